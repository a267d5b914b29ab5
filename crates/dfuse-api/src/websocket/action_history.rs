//! Final blocks that are far back: those that have actions for a filter are found with the search index, and no others are
//! read.

use std::{ops::RangeInclusive, sync::Arc};

use dfuse_blocks::BlockRef;
use dfuse_index::{ServingSnapshot, blocks};
use dfuse_query::{
    ApiResult,
    streams::{PastBlocks, Progress, has_past, past_blocks},
    turns::Class,
};
use metrics::counter;

use super::{Room, action_traces::Filter, selection::Blocks};
use crate::metrics::WS_REPLAYED;

/// Reading one block by itself costs as much as so many in a row.
const SINGLE_READ: usize = 8;

/// A stream in the past.
pub(super) struct Replay<'a> {
    pub(super) blocks: &'a Blocks<Arc<Filter>>,
    pub(super) progress: &'a mut Progress,
}

impl Replay<'_> {
    /// Sends what final blocks from that one on have, as far as the index helps. Returns the block to go on with.
    pub(super) async fn run(&mut self, start: u32) -> ApiResult<u32> {
        let api = self.blocks.context.api();
        let query = self.blocks.selection.actions.query(&api.chain().search).filter(|_| has_past(api));
        let Some(query) = query.map(Arc::new) else { return Ok(start) };
        let mut next = start.max(api.chain().feed.first_block().unwrap_or(0));
        while let Some(PastBlocks { blocks, range }) = past_blocks(self.blocks.context.api(), &query, next).await? {
            let length = (range.end() - range.start()) as usize;
            if blocks.len() * SINGLE_READ > length {
                self.send_range(range.clone()).await?;
            } else {
                self.send_single(&blocks, range.clone()).await?;
            }
            next = range.end().saturating_add(1);
        }
        Ok(next)
    }

    /// Reads all blocks in a row.
    async fn send_range(&mut self, range: RangeInclusive<u32>) -> ApiResult<()> {
        for number in range {
            let room = self.blocks.context.room().await;
            let block = self.blocks.context.api().chain().feed.block_in_row(number).await?.encoded().into();
            self.send(room, block).await?;
        }
        Ok(())
    }

    /// Reads these blocks of the range only.
    async fn send_single(&mut self, blocks: &[u32], range: RangeInclusive<u32>) -> ApiResult<()> {
        let mut next = *range.start();
        for number in blocks {
            let room = self.blocks.context.room().await;
            let block: BlockRef =
                self.blocks.context.api().chain().feed.canonical_block(*number).await?.encoded().into();
            if let Some(before) = number.checked_sub(1) {
                self.passed(next..=before).await?;
            }
            self.send(room, block).await?;
            next = number.saturating_add(1);
        }
        self.passed(next..=*range.end()).await
    }

    /// Tells of blocks that have nothing.
    async fn passed(&mut self, numbers: RangeInclusive<u32>) -> ApiResult<()> {
        let Some(number) = self.progress.last_due(numbers) else { return Ok(()) };
        let (context, api) = (&self.blocks.context, self.blocks.context.api());
        let read = move |snapshot: &ServingSnapshot, _: &_| Ok(blocks::by_number(snapshot.view(), number)?);
        if let Some(block) = api.at_turn(api.turns().turn(Class::Past).await, read).await? {
            context.progress(BlockRef { number, id: block.id }).await;
        }
        Ok(())
    }

    async fn send(&mut self, room: Room, block: BlockRef) -> ApiResult<()> {
        let context = &self.blocks.context;
        context.api().metrics().record(|| counter!(WS_REPLAYED).increment(1));
        self.blocks.send_final(room, block).await?;
        if self.progress.is_due(block.number) {
            context.progress(block).await;
        }
        Ok(())
    }
}
