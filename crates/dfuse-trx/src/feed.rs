//! Transactions and the feed of blocks.

use std::{ops::RangeInclusive, sync::Arc};

use dfuse_antelope::{
    BlockTimestamp, Checksum256,
    model::{Block, BlockParts},
};
use dfuse_blocks::feed::FeedHandle;
use dfuse_index::{BlockRef, ChainObserver};
use futures::TryStreamExt;
use tokio::runtime::Handle;

use crate::{BlockSource, Error, ForkedTransactions, Result};

/// Reads blocks through a feed: from its memory, one-block files, bundles or the lost blocks.
///
/// For threads that may block ([`tokio::task::spawn_blocking`] and others) only: on an async thread it panics.
#[derive(Debug, Clone)]
pub struct FeedBlocks {
    feed: FeedHandle,
    runtime: Handle,
}

impl FeedBlocks {
    /// Reads through the feed on the runtime at hand.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(feed: FeedHandle) -> Self {
        Self { feed, runtime: Handle::current() }
    }
}

impl FeedBlocks {
    /// The blocks at these heights that are kept and not on the best chain.
    ///
    /// # Errors
    /// [`Error::Source`].
    pub fn lost(&self, numbers: RangeInclusive<u32>) -> Result<Vec<BlockRef>> {
        let block = BlockRef { number: *numbers.start(), id: Checksum256::default() };
        let read = async {
            let lost = self.feed.lost_blocks(numbers).await?;
            lost.map_ok(|block| BlockRef::from(block.encoded())).try_collect().await
        };
        self.runtime.block_on(read).map_err(|error: dfuse_blocks::Error| Error::Source { block, source: error.into() })
    }
}

impl BlockSource for FeedBlocks {
    fn block(&self, block: BlockRef) -> Result<Arc<Block>> {
        // Decoded on this thread, so that no more are at work than read.
        let read = self.runtime.block_on(self.feed.block(block)).and_then(|found| found.block_here());
        read.map_err(|error| Error::Source { block, source: error.into() })
    }

    fn parts(&self, block: BlockRef) -> Result<Arc<BlockParts>> {
        let read = self.runtime.block_on(self.feed.block(block)).and_then(|found| found.parts());
        read.map_err(|error| Error::Source { block, source: error.into() })
    }
}

impl ForkedTransactions {
    /// Those of the lost blocks that a feed has kept: for a start, before anything is served.
    ///
    /// # Errors
    /// A block that cannot be read.
    pub async fn restore(feed: &FeedHandle) -> Result<Self, dfuse_blocks::Error> {
        let forked = Self::new();
        forked.take_lost(feed).await?;
        Ok(forked)
    }

    /// Takes in the blocks that have lost by now. A source that repeats may bring the feed from one branch to another before the
    /// indexes follow it, which then see no block undone.
    ///
    /// # Errors
    /// Those of the feed.
    pub async fn take_lost(&self, feed: &FeedHandle) -> Result<(), dfuse_blocks::Error> {
        let mut lost = std::pin::pin!(feed.lost_blocks(0..=u32::MAX).await?);
        while let Some(block) = lost.try_next().await? {
            self.undone(&*block.block().await?);
        }
        if let Some(lib) = feed.lib()
            && let Ok(block) = feed.block(lib).await
        {
            self.finalized(block.encoded().time());
        }
        Ok(())
    }
}

impl ChainObserver for ForkedTransactions {
    fn undone(&self, block: &Block) {
        self.undone(block);
    }

    fn finalized(&self, time: BlockTimestamp) {
        self.finalized(time);
    }
}
