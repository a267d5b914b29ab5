//! Final blocks that are far back: those that have actions for a filter are found with the search index, and no others are
//! read.

use std::{ops::RangeInclusive, sync::Arc};

use dfuse_blocks::BlockRef;
use dfuse_index::{IndexState, ServingSnapshot, blocks};
use dfuse_kv::Direction;
use dfuse_query::{ApiResult, Reading, turns::Class};
use dfuse_search::{Budget, PageEnd, Query, Request, search};
use metrics::counter;

use super::{Room, action_traces::Filter, progress::Progress, selection::Blocks};
use crate::{Api, metrics::WS_REPLAYED};

/// Fewer blocks than that below the last irreversible one are read without asking the index.
const WORTH_IT: u32 = 100;
/// Transactions that are looked for at once.
const AT_ONCE: usize = 500;
/// Work that one search may do in a turn; a unit is some microseconds.
const WORK: u64 = 5_000;
/// Reading one block by itself costs as much as so many in a row.
const SINGLE_READ: usize = 8;

/// A stream in the past.
pub(super) struct Replay<'a> {
    pub(super) blocks: &'a Blocks<Arc<Filter>>,
    pub(super) progress: &'a mut Progress,
}

/// Blocks to look at.
struct Candidates {
    /// Numbers of those that may have something, ascending.
    blocks: Vec<u32>,
    /// All between are dealt with then.
    range: RangeInclusive<u32>,
}

impl Replay<'_> {
    /// Sends what final blocks from that one on have, as far as the index helps. Returns the block to go on with.
    pub(super) async fn run(&mut self, start: u32) -> ApiResult<u32> {
        let api = self.blocks.context.api();
        let Some(query) = self.blocks.selection.query(&api.chain().search).filter(|_| is_live(api)).map(Arc::new)
        else {
            return Ok(start);
        };
        let mut next = start.max(api.chain().feed.first_block().unwrap_or(0));
        while let Some(candidates) = self.find(&query, next).await? {
            let Candidates { blocks, range } = candidates;
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

    /// What comes next; none if the chain's end is near, or the index begins later.
    async fn find(&self, query: &Arc<Query>, next: u32) -> ApiResult<Option<Candidates>> {
        let (query, api) = (query.clone(), self.blocks.context.api());
        let work = move |snapshot: &ServingSnapshot, reading: &Reading| {
            let lib = snapshot.lib().map_or(0, |lib| lib.number);
            if lib < next.saturating_add(WORTH_IT) || first_block(snapshot)?.is_none_or(|first| first > next) {
                return Ok(None);
            }
            let request = Request {
                query: &query,
                blocks: next..=lib,
                direction: Direction::Forward,
                after: None,
                limit: AT_ONCE,
            };
            let mut budget = Budget::new(WORK).paced_by(reading);
            let page = search(snapshot.view(), &request, &mut budget)?;
            reading.go_on()?;
            let mut blocks: Vec<_> = page.matches.iter().map(|found| found.block.number).collect();
            // Of the last block there may be more; it is looked at as a whole.
            let end = match page.end {
                PageEnd::Complete => lib,
                PageEnd::Limit => blocks.last().map_or(lib, |last| *last),
                PageEnd::Partial(position) => {
                    blocks.push(position.block.number);
                    position.block.number
                }
            };
            blocks.dedup();
            // Streams keep it while they wait.
            blocks.shrink_to_fit();
            Ok(Some(Candidates { blocks, range: next..=end }))
        };
        api.at_turn(api.turns().turn(Class::Past).await, work).await
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

/// Whether the index of actions has all final blocks that are served.
fn is_live(api: &Api) -> bool {
    let status = api.chain().serving.status();
    status.indexes.iter().any(|index| index.name == "search" && index.state == IndexState::Live)
}

fn first_block(snapshot: &ServingSnapshot) -> ApiResult<Option<u32>> {
    let first = blocks::range(snapshot.view(), 0..=u32::MAX, Direction::Forward)?.next().transpose()?;
    Ok(first.map(|block| block.number))
}
