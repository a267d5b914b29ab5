//! What operators look at beside conditions and counts: what supervised nodes write, and searches that took long.

use std::{
    collections::VecDeque,
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// Most searches that are kept.
const KEPT: usize = 20;

/// Nodes that this process supervises.
pub trait NodeLogs: fmt::Debug + Send + Sync {
    /// The last lines that a node wrote in its present run, the newest at the end; none if there is no such node.
    fn last_lines(&self, node: &str) -> Vec<String>;
}

/// A search that took long, whatever surface it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowSearch {
    /// When it ended, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The query, cut and without secrets.
    pub query: String,
    /// The blocks that were to be searched; none if the chain has none of them.
    pub blocks: Option<RangeInclusive<u32>>,
    /// Transactions that it found for its page.
    pub results: usize,
    /// In units of [`crate::Options::search_work`].
    pub work: u64,
    /// How long it took to find them.
    pub taken: Duration,
}

/// What parts of the process and use cases show to operators.
#[derive(Debug, Default)]
pub struct Operations {
    nodes: OnceLock<Arc<dyn NodeLogs>>,
    slow_searches: Mutex<VecDeque<SlowSearch>>,
    /// What is damaged in the indexes, as a read found it first.
    damage: OnceLock<String>,
}

impl Operations {
    /// Says which nodes are supervised; once.
    pub fn supervise(&self, nodes: Arc<dyn NodeLogs>) {
        // There is one supervision in a process.
        let _ = self.nodes.set(nodes);
    }

    /// See [`NodeLogs::last_lines`].
    pub fn last_lines(&self, node: &str) -> Vec<String> {
        self.nodes.get().map(|nodes| nodes.last_lines(node)).unwrap_or_default()
    }

    /// The last slow searches, the newest first.
    pub fn slow_searches(&self) -> Vec<SlowSearch> {
        self.slow_searches.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// What a read found damaged in the indexes, if one did. They cannot be mended while they are open.
    pub fn damage(&self) -> Option<String> {
        self.damage.get().cloned()
    }

    pub(crate) fn note_damage(&self, why: &str) {
        // The first one is enough to have them built anew.
        let _ = self.damage.set(why.to_owned());
    }

    pub(crate) fn note_slow(&self, search: SlowSearch) {
        let mut searches = self.slow_searches.lock().unwrap_or_else(PoisonError::into_inner);
        searches.push_front(search);
        searches.truncate(KEPT);
    }
}
