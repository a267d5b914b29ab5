//! Whole blocks as they become part of the chain and leave it.

use std::sync::Arc;

use dfuse_blocks::{
    BlockRef, Cursor, Error, Step,
    feed::{FeedBlock, FeedHandle, FeedStep, Request, Start},
};
use serde_json::json;

use super::follow::Steps;
use crate::{ApiError, ApiResult, Caller, ErrorCode, Service, turns::Class};

/// Which blocks are wanted.
#[derive(Debug, Clone, Copy)]
pub struct BlocksAsked {
    /// Where the stream begins.
    pub start: BlocksStart,
    /// The last block; without it the stream has no end.
    pub stop_block: Option<u64>,
    /// Only final blocks, each of them once.
    pub final_only: bool,
}

/// Where a stream of blocks begins.
#[derive(Debug, Clone, Copy)]
pub enum BlocksStart {
    /// With the block of that number, which may be above the head. Below zero it counts from the head. Numbers below the first
    /// block mean that one.
    Number(i64),
    /// After a position.
    Cursor(Cursor),
}

/// A stream of blocks: each that is new and each that is undone, or each that is final. It holds no block, and reads none ahead
/// for itself.
#[derive(Debug)]
pub struct BlockSteps {
    steps: Steps,
    feed: FeedHandle,
    final_only: bool,
}

impl BlockSteps {
    /// Begins a stream, within what the caller may read.
    ///
    /// # Errors
    /// `request_validation_error` for numbers that no chain has, a stop before the start, and cursors that lead nowhere;
    /// `auth_invalid_streaming_start_block_error`; `app_not_ready_error` where it counts from a head that is not there.
    pub async fn begin(asked: &BlocksAsked, service: &Service) -> ApiResult<Self> {
        let feed = service.chain().feed.clone();
        let BlocksAsked { start, stop_block, final_only } = *asked;
        let (start, first) = match start {
            BlocksStart::Number(number) => {
                let first = first_number(number, &feed)?;
                if let Some(stop) = stop_block.filter(|stop| u64::from(first) > *stop) {
                    return Err(wrong("stop_block_num", &format!("start block {first} is after stop block {stop}")));
                }
                (Start::Block(first), first)
            }
            BlocksStart::Cursor(cursor) => (Start::Cursor(cursor), cursor.tip.number),
        };
        may_begin(first, &feed, service.caller())?;
        // No chain comes to a number that has more bits.
        let stop_block = stop_block.map(|stop| u32::try_from(stop).unwrap_or(u32::MAX));
        let request = Request { irreversible_only: final_only, stop_block, ..Request::from(start) };
        let steps = Steps::from(request, &feed).await?;
        Ok(Self { steps, feed, final_only })
    }

    /// Goes on with the final block of that number, which is not above `stop_block`.
    ///
    /// # Errors
    /// Those of the feed.
    pub(super) async fn at_final(
        number: u32,
        stop_block: Option<u32>,
        final_only: bool,
        service: &Service,
    ) -> ApiResult<Self> {
        let feed = service.chain().feed.clone();
        let request = Request { irreversible_only: final_only, stop_block, ..Request::from(Start::Block(number)) };
        let steps = Steps::from(request, &feed).await?;
        Ok(Self { steps, feed, final_only })
    }

    /// The next step and its block; none after the last one.
    ///
    /// # Errors
    /// Those of the feed.
    pub async fn next(&mut self) -> ApiResult<Option<(FeedStep, Arc<FeedBlock>)>> {
        let Some(step) = self.next_step().await? else { return Ok(None) };
        let block = self.block(&step).await?;
        Ok(Some((step, block)))
    }

    /// The next step without its block; none after the last one.
    ///
    /// # Errors
    /// Those of the feed.
    pub(super) async fn next_step(&mut self) -> ApiResult<Option<FeedStep>> {
        loop {
            let step = self.steps.next_or_end().await?;
            // Clients that have new blocks see in each which ones are final.
            if self.final_only || step.is_none_or(|step| step.step != Step::Irreversible) {
                return Ok(step);
            }
        }
    }

    /// The block of a step.
    ///
    /// # Errors
    /// Those of the feed.
    pub(super) async fn block(&self, step: &FeedStep) -> ApiResult<Arc<FeedBlock>> {
        block_of(step, &self.feed).await
    }

    /// Whose turn it is to work at the block of a step.
    pub fn class(&self, step: &FeedStep) -> Class {
        self.steps.class(step)
    }
}

async fn block_of(step: &FeedStep, feed: &FeedHandle) -> ApiResult<Arc<FeedBlock>> {
    if step.is_final {
        let found = feed.block_in_row(step.block.number).await?;
        if found.encoded().id() == step.block.id {
            return Ok(found);
        }
    }
    Ok(feed.block(step.block).await?)
}

/// The number that a stream begins with.
pub(super) fn first_number(asked: i64, feed: &FeedHandle) -> ApiResult<u32> {
    let number = if asked < 0 {
        let head = feed.head().ok_or_else(ApiError::not_ready)?;
        i64::from(head.number).saturating_add(asked).max(0)
    } else {
        asked
    };
    let number = u32::try_from(number).map_err(|_| wrong("start_block_num", "must be below 4294967296"))?;
    Ok(number.max(feed.first_block().unwrap_or(0)))
}

/// Whether a stream may begin with the block of that number.
///
/// # Errors
/// `auth_invalid_streaming_start_block_error`.
pub(super) fn may_begin(number: u32, feed: &FeedHandle, caller: &Caller) -> ApiResult<()> {
    let floor = caller.first_block(feed.head().map_or(0, |head| head.number));
    if number >= floor {
        return Ok(());
    }
    let message = format!("Streams may begin at block {floor} or later: block {number} is too far back.");
    Err(ApiError::new(ErrorCode::StreamStartNotAllowed, message))
}

/// One block of a chain.
#[derive(Debug, Clone, Copy)]
pub enum BlockName {
    /// The block of the best chain at a height.
    Number(u64),
    /// That one, on any branch that is kept.
    Block(BlockRef),
}

/// A whole block, within what the caller may read. One that another machine may have had before is waited for.
///
/// # Errors
/// `app_not_ready_error` before the first block, `data_block_not_found_error`, and `auth_invalid_history_error`.
pub async fn whole_block(name: BlockName, service: &Service) -> ApiResult<Arc<FeedBlock>> {
    service.in_time(|| whole_block_now(name, service)).await
}

async fn whole_block_now(name: BlockName, service: &Service) -> ApiResult<Arc<FeedBlock>> {
    let feed = &service.chain().feed;
    let head = feed.head().ok_or_else(ApiError::not_ready)?.number;
    let (number, shown) = match name {
        BlockName::Number(number) => (number, number.to_string()),
        BlockName::Block(block) => (block.number.into(), block.id.to_string()),
    };
    let absent = || {
        ApiError::new(ErrorCode::BlockNotFound, format!("There is no block {shown}.")).detail("block", shown.clone())
    };
    let number = u32::try_from(number).map_err(|_| absent())?;
    service.caller().may_read(number, head)?;
    let absent = || if number > head { absent().awaiting(number) } else { absent() };
    let found = match name {
        BlockName::Number(_) if number > head => return Err(absent()),
        BlockName::Number(_) => feed.canonical_block(number).await,
        BlockName::Block(block) => feed.block(block).await,
    };
    found.map_err(|error| if matches!(error, Error::NotFound(_)) { absent() } else { error.into() })
}

/// The position of a client that had these blocks before it lost one: a position where other servers have undone it. The block
/// before it is looked up, unless it is the last irreversible one.
///
/// # Errors
/// `request_validation_error` where the block is not known here.
pub async fn after_undo(undone: BlockRef, lib: BlockRef, service: &Service) -> ApiResult<Cursor> {
    let before = undone.number.saturating_sub(1);
    let tip = if before <= lib.number {
        BlockRef { number: before, id: lib.id }
    } else {
        let block = service.in_time(|| block_of_cursor(undone, service)).await?;
        BlockRef { number: before, id: block.encoded().previous() }
    };
    Ok(Cursor { step: Step::Undo, block: undone, tip, lib: lib.number.min(before) })
}

async fn block_of_cursor(block: BlockRef, service: &Service) -> ApiResult<Arc<FeedBlock>> {
    let feed = &service.chain().feed;
    let head = feed.head().map_or(0, |head| head.number);
    feed.block(block).await.map_err(|error| match error {
        Error::NotFound(_) if block.number > head => Error::CursorAhead { cursor: block, head }.into(),
        Error::NotFound(_) => Error::CursorUnknown(block).into(),
        error => error.into(),
    })
}

fn wrong(parameter: &str, problem: &str) -> ApiError {
    ApiError::new(ErrorCode::RequestValidation, format!("The stream cannot begin: {problem}."))
        .detail("errors", json!({parameter: [problem]}))
}
