//! What is there when a stream begins, page by page. Each page is of the newest snapshot: what was sent of blocks that lost since the
//! page before is taken back first.

use std::sync::Arc;

use dfuse_index::{BlockRef, Part, ServingSnapshot, View, blocks};
use dfuse_kv::Direction;
use dfuse_search::{
    Bounds, Budget, LiveRow, LiveTail, Match, PageEnd, Place, Position, Query, Request, resume, search,
};
use tokio::runtime::Handle;

use super::told::{SearchRow, SearchRowKind, SearchRows};
use crate::{
    ApiError, ApiResult, ReadContext, RouteClass, Service,
    search::{FeedLostBlocks, heads},
    turns::Class,
};

/// Most matches that are looked for at once.
const AT_ONCE: usize = 100;
/// Work that one search may do in a turn; a unit is some microseconds.
const WORK: u64 = 5_000;

/// Which blocks a stream is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) bounds: Bounds,
    pub(super) direction: Direction,
    pub(super) cursor: Option<Position>,
    pub(super) irreversible_only: bool,
}

/// A stream that has not come to the end of the chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past {
    direction: Direction,
    irreversible_only: bool,
    /// The first and the last block that are searched; the last one may not be there yet.
    low: u32,
    high: u32,
    /// Of blocks below nothing was ever sent.
    first_asked: u32,
    position: Option<Position>,
}

/// What a look brought.
#[derive(Debug)]
pub(super) enum Found {
    /// Rows, and there is more.
    Rows(SearchRows),
    /// The last rows.
    End(SearchRows),
    /// Everything up to the newest block was searched.
    CaughtUp(CaughtUp),
}

/// The end of the chain that a stream has come to.
#[derive(Debug)]
pub(super) struct CaughtUp {
    pub(super) view: View,
    /// The newest block of those that count; absent if the stream begins later.
    pub(super) reached: Option<BlockRef>,
    /// The first block after what was searched.
    pub(super) next: u32,
    /// Of blocks below nothing was ever sent.
    pub(super) first_asked: u32,
    /// Where in a block that comes later an earlier stream ended.
    pub(super) ahead: Option<Position>,
    /// The newest block that is final.
    pub(super) lib: Option<BlockRef>,
    /// The last block that is asked for.
    pub(super) high: u32,
    pub(super) irreversible_only: bool,
    irreversible: u32,
}

impl CaughtUp {
    /// The marker at the block that was reached, if the stream has markers.
    pub(super) fn marker(&self, tail: &mut LiveTail) -> SearchRows {
        let rows = self.reached.map(|block| tail.rows(dfuse_blocks::Step::New, block, true, &[])).unwrap_or_default();
        let marker = |row| match row {
            LiveRow::Marker(position) => {
                Some(SearchRow { kind: SearchRowKind::Marker, position, irreversible: self.irreversible })
            }
            LiveRow::Match { .. } => None,
        };
        SearchRows { view: self.view.clone(), block: None, rows: rows.into_iter().filter_map(marker).collect() }
    }
}

impl Past {
    /// Finds out which blocks are meant.
    pub(super) async fn begin(service: &Service, asked: Asked) -> ApiResult<Self> {
        service.in_time(|| Self::begin_once(service, asked)).await
    }

    async fn begin_once(service: &Service, asked: Asked) -> ApiResult<Self> {
        let own = service.clone();
        let begin = move |snapshot: &ServingSnapshot, reading: &crate::Reading| {
            let read = ReadContext::new(&own, snapshot, reading);
            let Asked { bounds, direction, cursor, irreversible_only } = asked;
            let low = cursor.map(|cursor| cursor.block.number);
            if let Some(low) = low.or_else(|| bounds.low.and_then(|low| u32::try_from(low).ok()).filter(|low| *low > 2))
            {
                read.must_be_kept(Part::Search, low)?;
            }
            // A cursor of a block that lost is told apart when the first page is read.
            let range = bounds.resolve(direction, irreversible_only, true, cursor.as_ref(), heads(&read)?)?;
            match cursor {
                Some(cursor) => read.may_read(cursor.block.number)?,
                None if direction == Direction::Forward => read.may_read(*range.start())?,
                None => {}
            }
            if bounds.low.is_some() && direction == Direction::Reverse {
                read.may_read(*range.start())?;
            }
            let low = (*range.start()).max(read.first_block());
            let first_asked = match (cursor, bounds.low.and_then(|low| u32::try_from(low).ok())) {
                (None, _) => low,
                (Some(_), Some(asked)) => asked.min(low),
                // The head or what it was counted from was another one then.
                (Some(_), None) => 0,
            };
            Ok(Self { direction, irreversible_only, low, high: *range.end(), first_asked, position: cursor })
        };
        service.at_turn(service.turns().turn(Class::Past).await, begin).await
    }

    /// The next rows.
    pub(super) async fn next(&mut self, service: &Service, query: &Arc<Query>) -> ApiResult<Found> {
        let past = *self;
        let (found, position) = service.in_time(|| past.look_at_turn(service, query)).await?;
        self.position = position;
        Ok(found)
    }

    async fn look_at_turn(self, service: &Service, query: &Arc<Query>) -> ApiResult<(Found, Option<Position>)> {
        let (own, query) = (service.clone(), query.clone());
        let work = move |snapshot: &ServingSnapshot, reading: &crate::Reading| {
            self.look(&ReadContext::new(&own, snapshot, reading), &query)
        };
        service.at_turn(service.turns().turn(Class::Past).await, work).await
    }

    fn look(self, read: &ReadContext<'_>, query: &Query) -> ApiResult<(Found, Option<Position>)> {
        let snapshot = read.snapshot();
        let position = self.position;
        if let (Direction::Forward, Some(cursor)) = (self.direction, position) {
            let chain = read.chain();
            let lost = FeedLostBlocks { feed: &chain.feed, runtime: Handle::current(), reading: read.reading() };
            let resumed = resume(snapshot, &chain.search, query, cursor, &lost)?;
            if resumed.position != cursor {
                let view = snapshot.view_at(cursor.block.id)?.unwrap_or_else(|| read.view().clone());
                // What is below the first block that is asked for was never sent.
                let undone =
                    resumed.undone.into_iter().filter(|row| number_of(row).is_none_or(|it| it >= self.first_asked));
                let rows = self.undone(undone.collect(), resumed.position.block.number);
                return Ok((Found::Rows(SearchRows { view, block: None, rows }), Some(resumed.position)));
            }
        }
        let newest = if self.irreversible_only { snapshot.lib() } else { snapshot.head() };
        let end = newest.map_or(0, |newest| newest.number);
        let blocks = match (self.direction, position) {
            // Where a fork begins below the first block that is asked for, what is between is none of the stream's.
            (Direction::Forward, Some(position)) => position.block.number.max(self.first_asked)..=self.high.min(end),
            _ => self.low..=self.high.min(end),
        };
        if self.direction == Direction::Forward {
            // Floors may have risen since.
            read.must_be_kept(Part::Search, *blocks.start())?;
        }
        let request = Request { query, blocks, direction: self.direction, after: position, limit: AT_ONCE };
        let mut budget = Budget::new(WORK).paced_by(read.reading());
        let page = search(read.view(), &request, &mut budget)?;
        read.go_on()?;
        read.service().caller().charge_work(RouteClass::Stream, budget.spent());
        let rows = page.matches.into_iter().map(|found| self.row(read, found)).collect::<ApiResult<Vec<_>>>()?;
        let last = rows.last().map(|row| row.position);
        let rows = SearchRows { view: read.view().clone(), block: None, rows };
        let end_of = |reached: Option<BlockRef>| reached.map(|block| Position { block, place: Place::End });
        match page.end {
            PageEnd::Limit => Ok((Found::Rows(rows), last.or(position))),
            PageEnd::Partial(next) => Ok((Found::Rows(rows), Some(next))),
            PageEnd::Complete if self.direction == Direction::Reverse || self.high <= end => {
                Ok((Found::End(rows), last))
            }
            // The marker, and what follows, come when these were taken.
            PageEnd::Complete if !rows.rows.is_empty() => Ok((Found::Rows(rows), end_of(newest).or(last))),
            PageEnd::Complete => Ok((Found::CaughtUp(self.caught_up(read, newest)?), end_of(newest))),
        }
    }

    fn caught_up(self, read: &ReadContext<'_>, newest: Option<BlockRef>) -> ApiResult<CaughtUp> {
        let snapshot = read.snapshot();
        let reached = newest.filter(|newest| newest.number >= self.low);
        let irreversible = reached.map_or(Ok(0), |block| irreversible_at(read, block))?;
        let after = newest.map_or(0, |newest| newest.number.saturating_add(1));
        Ok(CaughtUp {
            view: read.view().clone(),
            reached,
            next: after.max(self.low),
            first_asked: self.first_asked,
            ahead: self.position.filter(|position| position.block.number >= after),
            lib: snapshot.lib(),
            high: self.high,
            irreversible_only: self.irreversible_only,
            irreversible,
        })
    }

    fn undone(self, undone: Vec<LiveRow>, junction: u32) -> Vec<SearchRow> {
        let row = |row| match row {
            LiveRow::Match { found, position, .. } => {
                Some(SearchRow { kind: SearchRowKind::Undo(found), position, irreversible: junction })
            }
            LiveRow::Marker(_) => None,
        };
        undone.into_iter().filter_map(row).collect()
    }

    fn row(self, read: &ReadContext<'_>, found: Match) -> ApiResult<SearchRow> {
        let irreversible = irreversible_at(read, found.block)?;
        Ok(SearchRow { position: found.position(), kind: SearchRowKind::New(found), irreversible })
    }
}

fn number_of(row: &LiveRow) -> Option<u32> {
    match row {
        LiveRow::Match { found, .. } => Some(found.block.number),
        LiveRow::Marker(_) => None,
    }
}

/// The newest final block as one of the best chain knows it; its own number if it is final.
fn irreversible_at(read: &ReadContext<'_>, block: BlockRef) -> ApiResult<u32> {
    let lib = read.snapshot().lib().map_or(0, |lib| lib.number);
    if block.number <= lib {
        return Ok(block.number);
    }
    let indexed = blocks::by_number(read.view(), block.number)?;
    let indexed =
        indexed.ok_or_else(|| ApiError::unexpected(format!("block {block} is not in the index of blocks")))?;
    Ok(indexed.lib_number)
}
