//! Blocks as they come, those of forks included, for other machines that choose between forks themselves.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::watch;

use super::{block::FeedBlock, shared::Shared};
use crate::{BlockRef, Error, Result};

/// Blocks in the order in which they came, each after its parent: first those that the feed holds, then every new one. It keeps
/// no block in memory.
#[derive(Debug)]
pub struct Arrivals {
    shared: Arc<Shared>,
    changes: watch::Receiver<()>,
    /// The lowest number that is wanted.
    from: u32,
    /// The first arrival that was not looked at.
    next_arrival: u64,
    /// The head when it was last looked.
    head: Option<u32>,
    waiting: VecDeque<BlockRef>,
}

impl Arrivals {
    pub(super) fn new(shared: Arc<Shared>, from: u32) -> Self {
        let changes = shared.changes.clone();
        Self { shared, changes, from, next_arrival: 0, head: None, waiting: VecDeque::new() }
    }

    /// The next block. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`Error::TooSlow`] where blocks have left the feed that were not taken; [`Error::Closed`]; those of the store.
    pub async fn next(&mut self) -> Result<Arc<FeedBlock>> {
        loop {
            if let Some(block) = self.waiting.front() {
                let block = self.shared.block(*block).await?;
                self.waiting.pop_front();
                return Ok(block);
            }
            // What changes from here on ends the waiting for a change.
            self.changes.mark_unchanged();
            self.look()?;
            if self.waiting.is_empty() {
                self.changes.changed().await.map_err(|_| Error::Closed)?;
            }
        }
    }

    fn look(&mut self) -> Result<()> {
        let hub = self.shared.hub();
        let Some(hub) = &*hub else { return Ok(()) };
        if self.head.is_some_and(|head| head < hub.floor().number) {
            return Err(Error::TooSlow { cursor: None });
        }
        let mut arrived = hub.arrived(self.next_arrival);
        // Each after its parent, also where the feed was restored from files that tell no order.
        arrived.sort_unstable_by_key(|(arrival, block)| (block.number, *arrival));
        self.head = Some(hub.head().number);
        self.next_arrival = arrived.iter().map(|(arrival, _)| arrival + 1).max().unwrap_or(self.next_arrival);
        self.waiting.extend(arrived.into_iter().map(|(_, block)| block).filter(|block| block.number >= self.from));
        Ok(())
    }
}
