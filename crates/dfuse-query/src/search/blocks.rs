//! The blocks of a page.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dfuse_antelope::model::{Block, BlockParts};
use dfuse_blocks::feed::FeedHandle;
use dfuse_index::BlockRef;
use dfuse_trx::{BlockSource, FeedBlocks};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Handle;

use crate::ApiResult;

/// Blocks that are read at a time.
const AT_ONCE: usize = 4;

/// Reads each block of a page once: those of the results at hand are read together and held until the next results.
pub(super) struct PageBlocks {
    feed: FeedHandle,
    others: FeedBlocks,
    runtime: Handle,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    blocks: BTreeMap<BlockRef, Arc<BlockParts>>,
    /// Blocks that were read by now.
    read: u64,
}

impl PageBlocks {
    /// For threads that may block.
    pub(super) fn new(feed: &FeedHandle) -> Self {
        let others = FeedBlocks::new(feed.clone());
        Self { feed: feed.clone(), others, runtime: Handle::current(), held: Mutex::default() }
    }

    /// Reads the blocks that are not held yet, and lets go of all others.
    pub(super) fn hold(&self, wanted: &BTreeSet<BlockRef>) -> ApiResult<()> {
        let missing: Vec<_> = {
            let mut held = self.held();
            held.blocks.retain(|block, _| wanted.contains(block));
            wanted.iter().filter(|block| !held.blocks.contains_key(block)).copied().collect()
        };
        let read = stream::iter(missing).map(|reference| self.read_block(reference)).buffer_unordered(AT_ONCE);
        let read: Vec<_> = self.runtime.block_on(read.try_collect())?;
        let mut held = self.held();
        held.read += read.len() as u64;
        held.blocks.extend(read);
        Ok(())
    }

    async fn read_block(&self, reference: BlockRef) -> dfuse_blocks::Result<(BlockRef, Arc<BlockParts>)> {
        Ok((reference, self.feed.block(reference).await?.parts()?))
    }

    /// Blocks that were read by now.
    pub(super) fn read(&self) -> u64 {
        self.held().read
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockSource for PageBlocks {
    fn block(&self, block: BlockRef) -> dfuse_trx::Result<Arc<Block>> {
        self.others.block(block)
    }

    fn parts(&self, block: BlockRef) -> dfuse_trx::Result<Arc<BlockParts>> {
        if let Some(held) = self.held().blocks.get(&block) {
            return Ok(held.clone());
        }
        let read = self.others.parts(block)?;
        let mut held = self.held();
        held.read += 1;
        held.blocks.insert(block, read.clone());
        Ok(read)
    }
}
