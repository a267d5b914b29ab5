//! Blocks that lose, as it shows: for other servers, to whom streams tell only what was on the best chain in their time.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::watch;

use super::{block::FeedBlock, shared::Shared};
use crate::{BlockRef, Error, Result};

/// Blocks that lose from now on: those below the last irreversible block of whose branch nothing was known before, and those whose
/// branch can no longer win. It keeps no block in memory.
#[derive(Debug)]
pub struct Losses {
    shared: Arc<Shared>,
    changes: watch::Receiver<()>,
    /// Losses that were looked at.
    seen: u64,
    waiting: VecDeque<BlockRef>,
}

impl Losses {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (changes, seen) = (shared.changes.clone(), shared.lost().count());
        Self { shared, changes, seen, waiting: VecDeque::new() }
    }

    /// The next block. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`Error::TooSlow`] where some are remembered no longer that were not taken; [`Error::Closed`]; those of the store.
    pub async fn next(&mut self) -> Result<Arc<FeedBlock>> {
        loop {
            while let Some(block) = self.waiting.front() {
                let found = self.shared.block(*block).await;
                self.waiting.pop_front();
                match found {
                    // It is kept no longer.
                    Err(Error::NotFound(_)) => {}
                    found => return found,
                }
            }
            // What changes from here on ends the waiting for a change.
            self.changes.mark_unchanged();
            let new = self.shared.lost().after(self.seen).ok_or(Error::TooSlow { cursor: None })?;
            self.seen += new.len() as u64;
            self.waiting.extend(new);
            if self.waiting.is_empty() {
                self.changes.changed().await.map_err(|_| Error::Closed)?;
            }
        }
    }
}
