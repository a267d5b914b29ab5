//! Final blocks that are far back: those that have actions for a filter are found with the search index, and no others are
//! read.

use std::{ops::RangeInclusive, sync::Arc};

use dfuse_blocks::{
    BlockRef, EncodedBlock,
    feed::{Request as FeedRequest, Start},
};
use dfuse_index::{BlockRef as IndexedRef, IndexState, ServingSnapshot, blocks};
use dfuse_kv::Direction;
use dfuse_search::{Budget, PageEnd, Query, Request, search};
use futures::{StreamExt, TryStreamExt, stream};
use metrics::counter;

use super::{
    action_traces::Filter,
    context::Context,
    progress::Progress,
    selection::{Change, Page, Selection},
};
use crate::{Api, ApiResult, metrics::WS_REPLAYED};

/// Fewer blocks than that below the last irreversible one are read without asking the index.
const WORTH_IT: u32 = 100;
/// Transactions that are looked for at once.
const AT_ONCE: usize = 500;
/// Work that one search may do; a unit is some microseconds.
const WORK: u64 = 20_000;
/// Reading one block by itself costs as much as so many in a row.
const SINGLE_READ: usize = 8;
/// Single blocks that are read ahead.
const AHEAD: usize = 4;

/// A stream in the past.
pub(super) struct Replay<'a> {
    pub(super) context: &'a Context,
    pub(super) filter: &'a Arc<Filter>,
    pub(super) progress: &'a mut Progress,
}

/// Blocks to look at.
struct Candidates {
    /// Those that may have something, ascending.
    blocks: Vec<IndexedRef>,
    /// All between are dealt with then.
    range: RangeInclusive<u32>,
}

impl Replay<'_> {
    /// Sends what final blocks from that one on have, as far as the index helps. Returns the block to go on with.
    pub(super) async fn run(&mut self, start: u32) -> ApiResult<u32> {
        let api = self.context.api();
        let Some(query) = self.filter.query(&api.chain().search).filter(|_| is_live(api)).map(Arc::new) else {
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
        let query = query.clone();
        self.context
            .api()
            .read_in_turn(move |snapshot, reading| {
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
                let mut budget = Budget::new(WORK).cancelled_by(reading.given_up());
                let page = search(snapshot.view(), &request, &mut budget)?;
                reading.go_on()?;
                let mut blocks: Vec<_> = page.matches.iter().map(|found| found.block).collect();
                // Of the last block there may be more; it is looked at as a whole.
                let end = match page.end {
                    PageEnd::Complete => lib,
                    PageEnd::Limit => blocks.last().map_or(lib, |last| last.number),
                    PageEnd::Partial(position) => {
                        blocks.push(position.block);
                        position.block.number
                    }
                };
                blocks.dedup();
                Ok(Some(Candidates { blocks, range: next..=end }))
            })
            .await
    }

    /// Reads all blocks in a row.
    async fn send_range(&mut self, range: RangeInclusive<u32>) -> ApiResult<()> {
        let stop_block = Some(*range.end());
        let request = FeedRequest { stop_block, ..Start::Block(*range.start()).into() };
        let mut steps = self.context.api().chain().feed.subscribe(request).await?;
        // Each is new and final at once.
        while let Some(event) = steps.next().await? {
            let block = event.block.encoded();
            self.send(block.clone()).await?;
            if self.progress.is_due(block.number()) {
                self.context.progress(block.into()).await;
            }
        }
        Ok(())
    }

    /// Reads these blocks of the range only.
    async fn send_single(&mut self, blocks: &[IndexedRef], range: RangeInclusive<u32>) -> ApiResult<()> {
        let feed = self.context.api().chain().feed.clone();
        let numbers: Vec<_> = blocks.iter().map(|block| block.number).collect();
        let read = stream::iter(numbers).map(move |number| {
            let feed = feed.clone();
            async move { feed.canonical_block(number).await }
        });
        let read = read.buffered(AHEAD);
        let mut read = std::pin::pin!(read);
        let mut next = *range.start();
        while let Some(block) = read.try_next().await? {
            let block = block.encoded();
            if let Some(before) = block.number().checked_sub(1) {
                self.passed(next..=before).await?;
            }
            self.send(block.clone()).await?;
            if self.progress.is_due(block.number()) {
                self.context.progress(block.into()).await;
            }
            next = block.number().saturating_add(1);
        }
        self.passed(next..=*range.end()).await
    }

    /// Tells of blocks that have nothing.
    async fn passed(&mut self, numbers: RangeInclusive<u32>) -> ApiResult<()> {
        let Some(number) = self.progress.last_due(numbers) else { return Ok(()) };
        let read = move |snapshot: &ServingSnapshot, _: &_| Ok(blocks::by_number(snapshot.view(), number)?);
        if let Some(block) = self.context.api().read_in_turn(read).await? {
            self.context.progress(BlockRef { number, id: block.id }).await;
        }
        Ok(())
    }

    /// Sends what a block has. It is decoded for this stream only: others are elsewhere.
    async fn send(&self, encoded: EncodedBlock) -> ApiResult<()> {
        let api = self.context.api();
        api.metrics().record(|| counter!(WS_REPLAYED).increment(1));
        let (selection, reader) = (self.filter.clone(), api.clone());
        let render = api.read_in_turn(move |snapshot, reading| {
            let block = Arc::new(encoded.decode()?);
            let places = selection.pick(&Arc::<Filter>::all(&block));
            let page = Page { block, selection, places, change: Change::New };
            let first = Arc::<Filter>::render(&page, &reader, snapshot, reading, 0)?;
            Ok((page, first))
        });
        let (page, first) = render.await?;
        page.send(self.context, first).await
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
