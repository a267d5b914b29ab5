//! The last requests that failed or took long, for operators.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use dfuse_query::TraceId;

/// Most requests that are kept of each kind.
const KEPT: usize = 20;
/// Who takes longer is slow.
const SLOW: Duration = Duration::from_millis(500);

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Its method.
    pub method: &'static str,
    /// Path and query, cut and without secrets.
    pub target: String,
    /// 0 if the client left before.
    pub status: u16,
    /// The code of its error.
    pub code: Option<&'static str>,
    /// Under which the log has it.
    pub trace_id: TraceId,
    /// How long it took.
    pub taken: Duration,
}

/// The last requests that failed or took long.
#[derive(Debug, Default)]
pub struct Recent {
    failed: Mutex<VecDeque<Answered>>,
    slow: Mutex<VecDeque<Answered>>,
}

impl Recent {
    /// Keeps the request if it is worth a look. What connections for streams take is no sign of anything.
    pub(crate) fn note(&self, answered: impl FnOnce() -> Answered, status: u16, taken: Duration) {
        let (has_failed, is_slow) = (status >= 400, taken >= SLOW);
        if !has_failed && !is_slow {
            return;
        }
        let answered = answered();
        if has_failed {
            keep(&self.failed, answered.clone());
        }
        if is_slow {
            keep(&self.slow, answered);
        }
    }

    /// Those that failed, the newest first.
    pub fn failed(&self) -> Vec<Answered> {
        newest_first(&self.failed)
    }

    /// Those that took long, the newest first.
    pub fn slow(&self) -> Vec<Answered> {
        newest_first(&self.slow)
    }
}

fn keep(list: &Mutex<VecDeque<Answered>>, answered: Answered) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    list.push_front(answered);
    list.truncate(KEPT);
}

fn newest_first(list: &Mutex<VecDeque<Answered>>) -> Vec<Answered> {
    list.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}
