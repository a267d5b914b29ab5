//! Which blocks have lost since the start, in the order in which that showed.

use std::collections::VecDeque;

use crate::BlockRef;

/// Losses that are remembered, the newest.
const REMEMBERED: usize = 10_000;

/// Blocks that have lost since the start, in the order in which that showed.
#[derive(Debug, Default)]
pub(super) struct LossLog {
    blocks: VecDeque<BlockRef>,
    /// How many are remembered no longer.
    forgotten: u64,
}

impl LossLog {
    pub(super) fn add(&mut self, block: BlockRef) {
        self.blocks.push_back(block);
        if self.blocks.len() > REMEMBERED {
            self.blocks.pop_front();
            self.forgotten += 1;
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.forgotten + self.blocks.len() as u64
    }

    /// Those after the first `count`; absent if some of them are forgotten.
    pub(super) fn after(&self, count: u64) -> Option<Vec<BlockRef>> {
        let skipped = usize::try_from(count.checked_sub(self.forgotten)?).ok()?;
        Some(self.blocks.iter().skip(skipped).copied().collect())
    }
}
