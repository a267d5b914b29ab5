//! The blocks that a search is about.

use std::ops::RangeInclusive;

use dfuse_index::{BlockRef, Part, ServingSnapshot, blocks};
use dfuse_kv::Direction;
use dfuse_search::{Bounds, Heads, Place, Position};
use serde_json::json;

use crate::{ApiError, ApiResult, ErrorCode, ReadContext};

/// Blocks below are never served, whatever the chain.
const FIRST_STREAMABLE: u32 = 2;

/// The blocks that a search is about, in one of the ways in which requests give them.
#[derive(Debug, Clone, Copy)]
pub enum AskedBlocks {
    /// By the first one and how many come after it.
    Span(BlockSpan),
    /// By the first and the last one.
    Between(BlockBounds),
}

impl AskedBlocks {
    /// Which block comes first.
    pub(super) fn direction(&self) -> Direction {
        match self {
            Self::Span(span) => span.direction,
            Self::Between(bounds) => bounds.direction,
        }
    }

    /// Whether blocks are searched that can still be undone.
    pub(super) fn with_reversible(&self) -> bool {
        match self {
            Self::Span(span) => span.with_reversible,
            Self::Between(bounds) => bounds.with_reversible,
        }
    }

    /// Finds out which blocks are meant.
    ///
    /// # Errors
    /// Those of [`BlockSpan::resolve`].
    pub(super) fn resolve(&self, read: &ReadContext<'_>, resumption: Option<&Resumption>) -> ApiResult<Range> {
        match self {
            Self::Span(span) => span.resolve(read, resumption),
            Self::Between(bounds) => bounds.resolve(read, resumption),
        }
    }
}

impl From<BlockSpan> for AskedBlocks {
    fn from(span: BlockSpan) -> Self {
        Self::Span(span)
    }
}

impl From<BlockBounds> for AskedBlocks {
    fn from(bounds: BlockBounds) -> Self {
        Self::Between(bounds)
    }
}

/// Blocks from one to another, as clients of streams name them.
#[derive(Debug, Clone, Copy)]
pub struct BlockBounds {
    /// Both are included; numbers below 0 count from the end.
    pub bounds: Bounds,
    /// Which block comes first.
    pub direction: Direction,
    /// Whether blocks are searched that can still be undone.
    pub with_reversible: bool,
}

impl BlockBounds {
    /// Finds out which blocks are meant.
    ///
    /// # Errors
    /// `request_validation_error` if there can be no such blocks, `app_not_ready_error` without any block,
    /// `data_not_kept_error` where searches do not reach any more, `auth_invalid_history_error` for a beginning or a cursor further
    /// back than whoever asks may read.
    pub(super) fn resolve(&self, read: &ReadContext<'_>, resumption: Option<&Resumption>) -> ApiResult<Range> {
        let heads = heads(read)?;
        self.must_be_kept(read, resumption)?;
        let resolve = |position| {
            self.bounds.resolve(self.direction, !self.with_reversible, false, position, heads).map_err(ApiError::from)
        };
        let asked = resolve(None);
        let blocks = match resumption {
            Some(resumption) if resumption.crosses_fork() => {
                let asked = asked.as_ref().map_err(Clone::clone)?;
                let from = (*asked.start()).min(resumption.cursor.block.number).max(resumption.position.block.number);
                from..=*asked.end()
            }
            resumption => resolve(resumption.map(|it| &it.position))?,
        };
        let floor = read.first_block();
        if let Some(resumption) = resumption {
            read.may_read(resumption.cursor.block.number)?;
        }
        if self.bounds.low.is_some() {
            read.may_read(*blocks.start())?;
        }
        let first_asked = asked.map_or(*blocks.start(), |asked| *asked.start());
        let blocks = (*blocks.start()).max(floor)..=*blocks.end();
        // Numbers below 0 count from the head.
        let from = self.bounds.low.map_or(Some(0), |low| u32::try_from(low).ok());
        let missing = from.and_then(|from| missing_below(heads.lowest, from));
        Ok(Range { blocks, first_asked, open_end: None, missing })
    }
}

impl BlockBounds {
    /// Fails if they begin, or go on, where searches reach no longer.
    fn must_be_kept(&self, read: &ReadContext<'_>, resumption: Option<&Resumption>) -> ApiResult<()> {
        let low = match resumption {
            Some(resumption) => Some(resumption.cursor.block.number),
            None => self.bounds.low.and_then(|low| u32::try_from(low).ok()).filter(|low| *low > FIRST_STREAMABLE),
        };
        low.map_or(Ok(()), |low| read.must_be_kept(Part::Search, low))
    }
}

/// What there is of the chain.
pub(crate) fn heads(read: &ReadContext<'_>) -> ApiResult<Heads> {
    let snapshot = read.snapshot();
    let head = snapshot.head().ok_or_else(ApiError::not_ready)?;
    let first = blocks::range(read.view(), 0..=u32::MAX, Direction::Forward)?.next().transpose()?;
    let lowest = first.map_or(head.number, |block| block.number).max(read.kept_from(Part::Search));
    Ok(Heads { lowest, head: head.number, lib: snapshot.lib().map_or(0, |lib| lib.number) })
}

/// Blocks that are missing below the lowest one that is there, if any are, from `first` on.
pub(crate) fn missing_below(lowest: u32, first: u32) -> Option<RangeInclusive<u32>> {
    Some(first.max(FIRST_STREAMABLE)..=lowest.saturating_sub(1)).filter(|missing| !missing.is_empty())
}

/// Blocks from one on, as a request gives them.
#[derive(Debug, Clone, Copy)]
pub struct BlockSpan {
    /// Where to begin; 0 for the first block, or the last one if descending.
    pub start: u32,
    /// How many blocks from there on come after it.
    pub count: u32,
    /// Which block comes first.
    pub direction: Direction,
    /// Whether blocks are searched that can still be undone.
    pub with_reversible: bool,
}

/// The blocks to search.
#[derive(Debug)]
pub(super) struct Range {
    /// Those that there are of what was asked for; may be empty.
    pub(super) blocks: RangeInclusive<u32>,
    /// The first block that was asked for, before a cursor took its place.
    pub(super) first_asked: u32,
    /// The last block there is, if there may be more to find when the chain goes on.
    pub(super) open_end: Option<Position>,
    /// Blocks that were asked for, too, and are not there, since history begins after them.
    pub(super) missing: Option<RangeInclusive<u32>>,
}

/// Where a search goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resumption {
    /// What the client gave.
    pub(super) cursor: Position,
    /// The same place, or the last one before the cursor's branch lost.
    pub(super) position: Position,
}

impl Resumption {
    /// Whether the cursor's block has lost.
    pub(super) fn crosses_fork(&self) -> bool {
        self.cursor != self.position
    }
}

impl BlockSpan {
    /// Finds out which blocks are meant.
    ///
    /// # Errors
    /// `request_validation_error` if there can be no such blocks, `app_not_ready_error` without any block,
    /// `data_not_kept_error` where searches do not reach any more, `auth_invalid_history_error` for a beginning or a cursor further
    /// back than whoever asks may read.
    pub(super) fn resolve(&self, read: &ReadContext<'_>, resumption: Option<&Resumption>) -> ApiResult<Range> {
        let heads @ Heads { lowest, head, lib } = heads(read)?;
        let last = if self.with_reversible { head } else { lib };
        if self.start > last {
            let (long, short) = if self.with_reversible { ("HEAD", "head") } else { ("LIB", "lib") };
            let error = refused(format!(
                "invalid start block num: goes beyond {long}, use `0` to follow {long} (requested: {}, {short}: {last})",
                self.start
            ));
            return Err(if self.start > head { error.awaiting(self.start) } else { error });
        }
        let ascending = self.direction == Direction::Forward;
        let is_whole = lowest <= FIRST_STREAMABLE;
        let from_beginning = self.start == 0 || ascending && self.start <= FIRST_STREAMABLE;
        match resumption {
            Some(resumption) => read.must_be_kept(Part::Search, resumption.cursor.block.number)?,
            None if !from_beginning => read.must_be_kept(Part::Search, self.start)?,
            None => {}
        }
        if !is_whole && !from_beginning && self.start < lowest && (!ascending || resumption.is_none()) {
            return Err(refused(format!(
                "invalid start block num: {} is lower than the lowest block served by this endpoint [{lowest}]",
                self.start
            )));
        }
        match resumption {
            Some(resumption) => read.may_read(resumption.cursor.block.number)?,
            None if self.start > 0 => read.may_read(self.start)?,
            None => {}
        }
        // What is further back than they may read is left out of what they don't name.
        let floor = read.first_block();
        let highest = if ascending || self.start == 0 { last } else { self.start };
        if highest < lowest.max(FIRST_STREAMABLE).max(floor) {
            let blocks = RangeInclusive::new(1, 0);
            return Ok(Range { blocks, first_asked: lowest, open_end: None, missing: None });
        }
        let base = if is_whole { 1 } else { lowest }.max(floor);
        let (low, high) = if ascending {
            let low = if self.start == 0 { base } else { self.start };
            (low, low.saturating_add(self.count))
        } else {
            (highest.saturating_sub(self.count).max(base), highest)
        };
        let bounds = Bounds { low: Some(low.into()), high: Some(high.into()) };
        let resolve = |position| bounds.resolve(self.direction, !self.with_reversible, false, position, heads);
        let blocks = match resumption {
            Some(resumption) if resumption.crosses_fork() => {
                // What was sent of the branch that lost began with the bound, or with the cursor.
                let plain = resolve(None)?;
                let from = (*plain.start()).min(resumption.cursor.block.number).max(resumption.position.block.number);
                from..=*plain.end()
            }
            resumption => resolve(resumption.map(|it| &it.position))?,
        };
        let goes_on = ascending && high > last;
        let open_end = if goes_on { Some(end_of(read.snapshot(), last)?) } else { None };
        let from = if ascending { self.start } else { highest.saturating_sub(self.count) };
        Ok(Range { blocks, first_asked: low, open_end, missing: missing_below(lowest, from) })
    }
}

fn end_of(snapshot: &ServingSnapshot, number: u32) -> ApiResult<Position> {
    let block = blocks::by_number(snapshot.view(), number)?;
    let block = block.ok_or_else(|| ApiError::unexpected(format!("block {number} is not in the index of blocks")))?;
    Ok(Position { block: BlockRef { number, id: block.id }, place: Place::End })
}

fn refused(message: String) -> ApiError {
    let errors = json!({"start_block": [message]});
    ApiError::new(ErrorCode::RequestValidation, message).detail("errors", errors)
}
