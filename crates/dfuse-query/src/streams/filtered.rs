//! Whole blocks of which only what a query finds is wanted.

mod part;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use dfuse_antelope::Checksum256;
use dfuse_blocks::{
    BlockRef, Cursor, Error, Step,
    feed::{FeedBlock, FeedStep},
};
use dfuse_search::{Match, Query};

use super::{
    blocks::{BlockSteps, BlocksAsked, BlocksStart, first_number},
    filled::at_block,
    past::{PastReader, PastStep},
};
use crate::{
    ApiError, ApiResult, Reading, Service,
    search::{InvalidQuery, parse},
    turns::Class,
};

/// The index is asked for final blocks that are so far below the last one.
const FAR_BACK: u32 = 100;
/// Where it could not help, it is asked again after so many blocks.
const ASK_AGAIN: u32 = 1000;

/// What is wanted of blocks.
#[derive(Debug, Clone)]
pub struct BlockFilter {
    query: Arc<Query>,
    include_empty: bool,
}

impl BlockFilter {
    /// Transactions that a query finds. Blocks in which it finds none are left out unless `include_empty`.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub fn new(query: &str, include_empty: bool, service: &Service) -> Result<Self, InvalidQuery> {
        Ok(Self { query: Arc::new(parse(service, query)?), include_empty })
    }
}

/// A block in which a filter finds something, and what happened to it.
#[derive(Debug)]
pub struct FilteredBlock {
    /// What happened to the block, and where the stream goes on.
    pub step: FeedStep,
    /// The whole block.
    pub block: Arc<FeedBlock>,
    /// Whose turn it is to work at it.
    pub class: Class,
    matches: Arc<[Match]>,
    query: Arc<Query>,
}

impl FilteredBlock {
    /// What is wanted of the bytes of the block, which may have been filled with JSON.
    ///
    /// # Errors
    /// A block that does not decode, and `service_unavailable_error` when it takes too long.
    pub async fn part_of(&self, whole: Bytes, service: &Service) -> ApiResult<Bytes> {
        let (matches, query) = (self.matches.clone(), self.query.clone());
        let work = move |_: &_, _: &Reading| Ok(part::part_of(whole, &matches, query.canonical())?);
        service.at_turn(service.turns().turn(self.class).await, work).await
    }
}

/// A stream of the blocks in which a filter finds something. Final blocks that are far back are found with the search index, and
/// others are not read.
#[derive(Debug)]
pub struct FilteredSteps {
    service: Service,
    filter: BlockFilter,
    stop_block: Option<u32>,
    final_only: bool,
    steps: BlockSteps,
    /// What goes before the steps.
    past: Option<PastReader>,
    /// Below this block the index is not asked.
    ask_from: u32,
    /// Blocks that can be undone, and what the filter found in them when they were new.
    recent: BTreeMap<Checksum256, Arc<[Match]>>,
}

impl FilteredSteps {
    /// Begins a stream, within what the caller may read.
    ///
    /// # Errors
    /// Those of [`BlockSteps::begin`].
    pub async fn begin(asked: &BlocksAsked, filter: BlockFilter, service: &Service) -> ApiResult<Self> {
        let steps = BlockSteps::begin(asked, service).await?;
        let BlocksAsked { start, stop_block, final_only } = *asked;
        let past = match next_final(start, service).await? {
            Some(number) if !filter.include_empty => {
                Some(PastReader::new(service, Some((*filter.query).clone()), number))
            }
            _ => None,
        };
        Ok(Self {
            service: service.clone(),
            filter,
            stop_block: stop_block.map(|stop| u32::try_from(stop).unwrap_or(u32::MAX)),
            final_only,
            steps,
            past,
            ask_from: 0,
            recent: BTreeMap::new(),
        })
    }

    /// The next block; none after the last one.
    ///
    /// # Errors
    /// Those of the feed and of reading.
    pub async fn next(&mut self) -> ApiResult<Option<FilteredBlock>> {
        loop {
            let Some(step) = self.next_step().await? else { return Ok(None) };
            let class = self.steps.class(&step);
            let block = self.steps.block(&step).await?;
            let matches = match self.recent.remove(&step.block.id).filter(|_| step.step == Step::Undo) {
                Some(matches) => matches,
                None => self.matches(&block, class).await?,
            };
            if step.step == Step::New && !step.is_final {
                self.recent.insert(step.block.id, matches.clone());
            }
            self.recent.retain(|id, _| id.block_num() > step.lib.number);
            if !matches.is_empty() || self.filter.include_empty {
                return Ok(Some(FilteredBlock { step, block, class, matches, query: self.filter.query.clone() }));
            }
        }
    }

    async fn matches(&self, block: &Arc<FeedBlock>, class: Class) -> ApiResult<Arc<[Match]>> {
        let (at, decoded) = (BlockRef::from(block.encoded()), block.block().await?);
        let (query, own) = (self.filter.query.clone(), self.service.clone());
        let find = move |view: &_| Ok(own.evaluations().matches(&query, &decoded, view)?);
        at_block(at, class, &self.service, find).await
    }

    /// The next step whose block may have something.
    async fn next_step(&mut self) -> ApiResult<Option<FeedStep>> {
        loop {
            if self.past.is_some() {
                match self.next_past().await? {
                    Past::Step(step) => return Ok(Some(step)),
                    Past::End => return Ok(None),
                    Past::CaughtUp => self.past = None,
                }
            }
            let Some(step) = self.steps.next_step().await? else { return Ok(None) };
            let number = step.block.number;
            let is_far_back = step.is_final && step.lib.number.saturating_sub(number) >= FAR_BACK;
            if self.filter.include_empty || !is_far_back || number < self.ask_from {
                return Ok(Some(step));
            }
            self.past = Some(PastReader::new(&self.service, Some((*self.filter.query).clone()), number));
        }
    }

    /// What the index finds next.
    async fn next_past(&mut self) -> ApiResult<Past> {
        let Some(past) = &mut self.past else { return Ok(Past::CaughtUp) };
        let is_after_stop = |number: u32| self.stop_block.is_some_and(|stop| number > stop);
        while past.ready().await? {
            match past.next().await? {
                Some(PastStep::Block(block)) if is_after_stop(block.number) => return Ok(Past::End),
                Some(PastStep::Passed(numbers)) if numbers.end().checked_add(1).is_none_or(is_after_stop) => {
                    return Ok(Past::End);
                }
                Some(PastStep::Block(block)) => return Ok(Past::Step(self.final_step(block)?)),
                Some(PastStep::Passed(_)) | None => {}
            }
        }
        let next = past.next_block();
        if is_after_stop(next) {
            return Ok(Past::End);
        }
        self.ask_from = next.saturating_add(ASK_AGAIN);
        self.steps = BlockSteps::at_final(next, self.stop_block, self.final_only, &self.service).await?;
        Ok(Past::CaughtUp)
    }

    /// The step of a final block as a stream that comes to it takes it.
    fn final_step(&self, block: BlockRef) -> ApiResult<FeedStep> {
        let feed = &self.service.chain().feed;
        let (head, lib) = (feed.head().ok_or_else(ApiError::not_ready)?, feed.lib().ok_or_else(ApiError::not_ready)?);
        let step = if self.final_only { Step::Irreversible } else { Step::New };
        let cursor = Cursor { step, block, tip: block, lib: block.number };
        Ok(FeedStep { step, block, is_final: true, cursor, head, lib })
    }
}

/// The number of the block that a stream sends first, if that one is final and far back.
async fn next_final(start: BlocksStart, service: &Service) -> ApiResult<Option<u32>> {
    let feed = &service.chain().feed;
    let Some(lib) = feed.lib() else { return Ok(None) };
    let next = match start {
        BlocksStart::Number(number) => first_number(number, feed)?,
        BlocksStart::Cursor(Cursor { tip, .. }) if tip.number <= lib.number => {
            match feed.canonical_block(tip.number).await {
                Ok(block) if block.encoded().id() == tip.id => tip.number.saturating_add(1),
                // What was sent of a branch that lost comes back first; below the first block there is none.
                Ok(_) | Err(Error::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        BlocksStart::Cursor(_) => return Ok(None),
    };
    Ok(Some(next).filter(|next| lib.number.saturating_sub(*next) >= FAR_BACK))
}

/// What comes of asking the index.
enum Past {
    /// A block that may have something.
    Step(FeedStep),
    /// Nothing more up to the last block that is wanted.
    End,
    /// The rest is not for the index.
    CaughtUp,
}
