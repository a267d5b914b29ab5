//! A page of results.

use std::{
    ops::{ControlFlow, RangeInclusive},
    time::Duration,
};

use dfuse_antelope::model::TransactionLifecycle;
use dfuse_index::View;
use dfuse_kv::Direction;
use dfuse_search::{Match, Page, PageEnd, Place, Position, Query, Request, search};
use dfuse_trx::{BlockSource, lifecycle_in_block};
use tokio::runtime::Handle;

use super::{
    blocks::PageBlocks,
    budget::{budget, deadline},
    coverage::incomplete_from,
    range::{AskedBlocks, Range, Resumption},
    undone::{FeedLostBlocks, undone},
};
use crate::{ApiError, ApiResult, ReadContext, RouteClass, SlowSearch, Untold, shorten_to, transactions::AT_ONCE};

/// Most characters of a slow query that operators are shown.
const SHOWN_QUERY: usize = 300;

/// What is searched.
#[derive(Debug, Clone)]
pub struct SearchQuestion {
    /// What matches.
    pub query: Query,
    /// Where.
    pub span: AskedBlocks,
    /// Most results on the page.
    pub limit: usize,
    /// Where the page before it ended.
    pub cursor: Option<Position>,
}

/// A result: a transaction with actions that match.
#[derive(Debug, Clone)]
pub struct SearchItem {
    /// The transaction, its block, and which of its actions match.
    pub found: Match,
    /// It was sent before and is taken back: its block was undone.
    pub undo: bool,
}

/// A page of results. Their lifecycles are read when they are asked for; who wants ids alone doesn't pay for them.
pub struct SearchPage {
    question: SearchQuestion,
    items: Vec<SearchItem>,
    range: Range,
    resumption: Option<Resumption>,
    end: PageEnd,
    blocks: PageBlocks,
    work: u64,
    search_time: Duration,
    incomplete_from: Option<u32>,
    untold: Option<Untold>,
}

impl std::fmt::Debug for SearchPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SearchPage").field("items", &self.items).finish_non_exhaustive()
    }
}

/// What a page was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// Where the next page begins.
    pub next: Option<Position>,
    /// Blocks that were searched; of the last one in the direction of the search perhaps a part.
    pub blocks: Option<RangeInclusive<u32>>,
    /// Whether nothing is left in the range for now.
    pub is_complete: bool,
}

/// What a page cost.
#[derive(Debug, Clone, Copy)]
pub struct SearchCost {
    /// In units of [`crate::Options::search_work`].
    pub work: u64,
    /// Blocks that were read for lifecycles by now.
    pub blocks_read: u64,
    /// How long it took to find the results.
    pub search_time: Duration,
}

/// Searches a page of the transactions with actions that match, in either direction. What was sent of blocks that were undone
/// since comes first, marked as such.
///
/// # Errors
/// `request_validation_error` if there can be no such blocks or the cursor is not usable, `query_too_broad_error`, and
/// those of reading.
pub fn page(read: &ReadContext<'_>, question: SearchQuestion) -> ApiResult<SearchPage> {
    let clock = &read.chain().clock;
    let (began, deadline) = (clock.elapsed(), deadline(read));
    let (resumption, mut lost) = question.resume(read)?;
    let range = question.span.resolve(read, resumption.as_ref())?;
    if let Some(resumption) = &resumption {
        // What is below was never sent.
        let first = range.first_asked.min(resumption.cursor.block.number);
        lost.retain(|found| found.block.number >= first);
    }
    lost.truncate(question.limit);

    let mut budget = budget(read, read.service().options().search_work, deadline);
    let room = question.limit - lost.len();
    let request = Request {
        query: &question.query,
        blocks: range.blocks.clone(),
        direction: question.span.direction(),
        after: resumption.map(|resumption| resumption.position),
        limit: room,
    };
    let page = match room {
        0 => Page { matches: Vec::new(), end: PageEnd::Limit },
        _ => search(read.view(), &request, &mut budget)?,
    };
    read.go_on()?;
    let search_time = clock.elapsed().saturating_sub(began);

    let lost = lost.into_iter().map(|found| SearchItem { found, undo: true });
    let items: Vec<_> = lost.chain(page.matches.into_iter().map(|found| SearchItem { found, undo: false })).collect();
    let blocks = PageBlocks::new(&read.chain().feed);
    let work = budget.spent();
    read.service().caller().charge_work(RouteClass::Search, work);
    let options = read.chain().search.options();
    let incomplete_from = incomplete_from(read.snapshot(), &question.query, options, &range.blocks)?;
    let untold = Untold::of(read.view(), question.query.fields_of_operations(), &range.blocks)?;
    if search_time >= read.service().options().slow_search {
        read.service().operations().note_slow(SlowSearch {
            unix_ms: u64::try_from(clock.now().as_millis()).unwrap_or(u64::MAX),
            query: shorten_to(question.query.canonical(), SHOWN_QUERY),
            blocks: Some(range.blocks.clone()).filter(|blocks| !blocks.is_empty()),
            results: items.len(),
            work,
            taken: search_time,
        });
    }
    let end = page.end;
    Ok(SearchPage { question, items, range, resumption, end, blocks, work, search_time, incomplete_from, untold })
}

impl SearchQuestion {
    /// Where the cursor goes on, and what is taken back before.
    fn resume(&self, read: &ReadContext<'_>) -> ApiResult<(Option<Resumption>, Vec<Match>)> {
        let Some(cursor) = self.cursor else { return Ok((None, Vec::new())) };
        if self.span.direction() == Direction::Reverse {
            // Refused by the search itself if its block has lost.
            return Ok((Some(Resumption { cursor, position: cursor }), Vec::new()));
        }
        let chain = read.chain();
        let lost = FeedLostBlocks { feed: &chain.feed, runtime: Handle::current(), reading: read.reading() };
        let (position, undone) = undone(read.snapshot(), &chain.search, &self.query, cursor, &lost)?;
        Ok((Some(Resumption { cursor, position }), undone))
    }
}

impl SearchPage {
    /// The results.
    pub fn items(&self) -> &[SearchItem] {
        &self.items
    }

    /// What was asked.
    pub fn question(&self) -> &SearchQuestion {
        &self.question
    }

    /// Blocks of those that were asked for which are not there, since history begins after them.
    pub fn missing(&self) -> Option<RangeInclusive<u32>> {
        self.range.missing.clone()
    }

    /// The first block that is indexed, if the search may miss something or find too much since ABIs that were set before it are
    /// unknown.
    pub fn incomplete_from(&self) -> Option<u32> {
        self.incomplete_from
    }

    /// What the search may not find since the source of its blocks did not tell it.
    pub fn untold(&self) -> Option<&Untold> {
        self.untold.as_ref()
    }

    /// Whether the block of the cursor was undone, and results with it may have been.
    pub fn crosses_fork(&self) -> bool {
        self.question.span.with_reversible() && self.resumption.is_some_and(|resumption| resumption.crosses_fork())
    }

    /// Reads the lifecycles in order, a few at a time, until `visit` breaks; it is told the view with whose ABIs they are to be
    /// rendered, too. Returns how many of the items were taken.
    ///
    /// # Errors
    /// Those of reading, and of `visit`.
    pub fn each_lifecycle(
        &self,
        read: &ReadContext<'_>,
        mut visit: impl FnMut(&SearchItem, &TransactionLifecycle, &View) -> ApiResult<ControlFlow<()>>,
    ) -> ApiResult<usize> {
        let (view, snapshot) = (read.view(), read.snapshot());
        let lifecycles = read.lifecycles(view, &self.blocks);
        let lost_view = self.question.cursor.filter(|_| self.items.first().is_some_and(|item| item.undo));
        let lost_view = lost_view.map(|cursor| snapshot.view_at(cursor.block.id)).transpose()?.flatten();
        let mut taken = 0;
        for items in self.items.chunks(AT_ONCE) {
            self.blocks.hold(&items.iter().map(|item| item.found.block).collect())?;
            let ids: Vec<_> = items.iter().filter(|item| !item.undo).map(|item| item.found.id).collect();
            let mut known = lifecycles.get_all(&ids)?.into_iter();
            for item in items {
                read.go_on()?;
                let (lifecycle, view): (_, &View) = match item.undo {
                    true => {
                        let lost = self.blocks.parts(item.found.block)?;
                        let lifecycle = lifecycle_in_block(&lost, item.found.transaction, item.found.id);
                        (lifecycle.map_err(ApiError::unexpected)?, lost_view.as_ref().unwrap_or(view))
                    }
                    false => (known.next().flatten(), view),
                };
                taken += 1;
                // A transaction that was found has a lifecycle in the same view.
                if let Some(lifecycle) = lifecycle
                    && visit(item, &lifecycle, view)?.is_break()
                {
                    return Ok(taken);
                }
            }
        }
        Ok(taken)
    }

    /// What the page is about if it ends after so many of its items.
    pub fn searched(&self, taken: usize) -> Searched {
        let too_many = taken < self.items.len();
        let items = &self.items[..taken.min(self.items.len())];
        let (low, high) = (*self.range.blocks.start(), *self.range.blocks.end());
        let up_to = |next: &Position| match self.question.span.direction() {
            Direction::Forward => low..=next.block.number,
            Direction::Reverse => next.block.number..=high,
        };
        let (next, blocks) = match self.end {
            PageEnd::Partial(position) if !too_many => (Some(position), up_to(&position)),
            PageEnd::Complete if !too_many => {
                // Not back to before what was sent, which a search with reversible blocks can have been.
                let beyond = self.resumption.map(|it| it.position).filter(|it| it.block.number > high);
                let next = self.range.open_end.map(|end| beyond.unwrap_or(end)).filter(|_| !items.is_empty());
                let blocks = Some(low..=high).filter(|blocks| !blocks.is_empty());
                return Searched { next, blocks, is_complete: true };
            }
            _ => match items.last() {
                // The chain itself was not looked at yet.
                Some(SearchItem { found, undo: true }) => {
                    let place = Place::Before(found.transaction);
                    (Some(Position { block: found.block, place }), RangeInclusive::new(1, 0))
                }
                Some(SearchItem { found, undo: false }) => (Some(found.position()), up_to(&found.position())),
                None => (None, RangeInclusive::new(1, 0)),
            },
        };
        Searched { next, blocks: Some(blocks).filter(|blocks| !blocks.is_empty()), is_complete: false }
    }

    /// The text of a cursor for what comes after so many of the items; absent if nothing does.
    pub fn cursor(&self, read: &ReadContext<'_>, taken: usize) -> Option<String> {
        self.searched(taken).next.map(|position| position.seal(read.chain().feed.cursor_key()))
    }

    /// What it cost by now.
    pub fn cost(&self) -> SearchCost {
        SearchCost { work: self.work, blocks_read: self.blocks.read(), search_time: self.search_time }
    }
}
