//! Blocks of a list, read where they are wanted.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dfuse_antelope::model::BlockParts;
use dfuse_blocks::feed::FeedHandle;
use dfuse_index::BlockRef;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Handle;

use crate::{ApiResult, ReadContext};

/// Blocks that are read together: the one that is wanted, and those after it.
const AHEAD: usize = 8;
/// Blocks that are read at a time.
const AT_ONCE: usize = 4;
/// Blocks that are held.
const HELD: usize = 2 * AHEAD;

/// Blocks that someone goes through in order, each read once and let go of later. Nothing is read before it is wanted.
pub struct BlockWindow {
    feed: FeedHandle,
    runtime: Handle,
    /// Without those that follow themselves.
    order: Vec<BlockRef>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    blocks: VecDeque<(BlockRef, Arc<BlockParts>)>,
    read: u64,
}

impl fmt::Debug for BlockWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockWindow").field("order", &self.order).finish_non_exhaustive()
    }
}

impl BlockWindow {
    /// Over these blocks, for threads that may block.
    pub fn new(read: &ReadContext<'_>, mut order: Vec<BlockRef>) -> Self {
        order.dedup();
        Self { feed: read.chain().feed.clone(), runtime: Handle::current(), order, held: Mutex::default() }
    }

    /// A block, of the list or not.
    ///
    /// # Errors
    /// Those of reading.
    pub fn parts(&self, block: BlockRef) -> ApiResult<Arc<BlockParts>> {
        let wanted = {
            let held = self.held();
            if let Some((_, parts)) = held.blocks.iter().find(|(own, _)| *own == block) {
                return Ok(parts.clone());
            }
            let alone = [block];
            let from = self.order.iter().position(|it| *it == block);
            let wanted = from.map_or(&alone[..], |from| &self.order[from..self.order.len().min(from + AHEAD)]);
            let is_missing = |it: &&BlockRef| !held.blocks.iter().any(|(own, _)| own == *it);
            wanted.iter().filter(is_missing).copied().collect::<Vec<_>>()
        };
        let read = stream::iter(wanted).map(|block| self.read_block(block)).buffered(AT_ONCE);
        let read: Vec<_> = self.runtime.block_on(read.try_collect())?;
        let found = read[0].1.clone();
        let mut held = self.held();
        held.read += read.len() as u64;
        held.blocks.extend(read);
        let surplus = held.blocks.len().saturating_sub(HELD);
        held.blocks.drain(..surplus);
        Ok(found)
    }

    /// Blocks that were read by now.
    pub fn read(&self) -> u64 {
        self.held().read
    }

    async fn read_block(&self, block: BlockRef) -> dfuse_blocks::Result<(BlockRef, Arc<BlockParts>)> {
        Ok((block, self.feed.block(block).await?.parts()?))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
