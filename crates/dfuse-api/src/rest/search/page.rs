//! A page of results.

use std::{ops::RangeInclusive, time::Duration};

use dfuse_kv::Direction;
use dfuse_query::{ApiError, ApiResult, Reading, secrets};
use dfuse_search::{Budget, Match, Page, PageEnd, Place, Position, Query, Request, search};
use tokio::runtime::Handle;

use super::{
    super::transactions::{AT_ONCE, PAGE_BYTES},
    blocks::PageBlocks,
    coverage::incomplete_from,
    range::{Asked, Range, Resumption},
    undone::{FeedLostBlocks, undone},
};
use crate::{Api, rest::state::coverage};
use dfuse_index::{ServingSnapshot, View, abi::ViewAbis};
use dfuse_render::{JsonWriter, Renderer};
use dfuse_trx::{BlockSource, Lifecycles, lifecycle_in_block};

/// How long a search may look before it answers with what it has; of the time that a request may take a quarter at most.
const SEARCH_TIME: Duration = Duration::from_secs(5);

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) query: Query,
    pub(super) asked: Asked,
    pub(super) limit: usize,
    pub(super) cursor: Option<Position>,
    pub(super) explain: bool,
}

/// A result.
#[derive(Debug)]
struct Row {
    found: Match,
    /// It was sent before and is taken back.
    undo: bool,
}

/// What a page was about.
#[derive(Debug)]
struct Outcome {
    /// Where the next page begins.
    next: Option<Position>,
    /// Blocks that were searched; of the last one in the direction of the search perhaps a part.
    searched: Option<RangeInclusive<u32>>,
    /// Whether nothing is left in the range for now.
    complete: bool,
}

/// A budget for one request; `work` is what is left of it.
pub(super) fn budget<'a>(api: &'a Api, reading: &'a Reading, work: u64, deadline: Duration) -> Budget<'a> {
    Budget::new(work).until(&*api.chain().clock, deadline).paced_by(reading)
}

/// When a search that begins now has to come to an end.
pub(super) fn deadline(api: &Api) -> Duration {
    api.chain().clock.elapsed() + SEARCH_TIME.min(api.options().read_timeout / 4)
}

impl Search {
    /// The JSON text.
    pub(super) fn answer(&self, api: &Api, snapshot: &ServingSnapshot, reading: &Reading) -> ApiResult<Vec<u8>> {
        let (view, clock) = (snapshot.view(), &api.chain().clock);
        let (began, deadline) = (clock.elapsed(), deadline(api));
        let (resumption, mut lost) = self.resume(api, snapshot, reading)?;
        let range = self.asked.resolve(snapshot, resumption.as_ref())?;
        if let Some(resumption) = &resumption {
            // What is below was never sent.
            let first = range.first_asked.min(resumption.cursor.block.number);
            lost.retain(|found| found.block.number >= first);
        }
        lost.truncate(self.limit);

        let mut budget = budget(api, reading, api.options().search_work, deadline);
        let room = self.limit - lost.len();
        let request = Request {
            query: &self.query,
            blocks: range.blocks.clone(),
            direction: self.asked.direction,
            after: resumption.map(|resumption| resumption.position),
            limit: room,
        };
        let page = match room {
            0 => Page { matches: Vec::new(), end: PageEnd::Limit },
            _ => search(view, &request, &mut budget)?,
        };
        reading.go_on()?;
        let search_time = clock.elapsed().saturating_sub(began);

        let lost = lost.into_iter().map(|found| Row { found, undo: true });
        let rows: Vec<_> = lost.chain(page.matches.into_iter().map(|found| Row { found, undo: false })).collect();
        let blocks = PageBlocks::new(&api.chain().feed);
        let mut text = Vec::new();
        let cut = self.render(api, snapshot, reading, &blocks, &rows, &mut text)?;
        let written = &rows[..cut.unwrap_or(rows.len())];
        let outcome = self.outcome(&range, resumption.as_ref(), written, cut.is_some(), page.end);

        let mut answer = Vec::with_capacity(text.len() + 300);
        let mut json = JsonWriter::new(&mut answer);
        json.begin_object();
        let next = outcome.next.map(|position| position.seal(api.chain().feed.cursor_key()));
        json.key("cursor").string(&next.unwrap_or_default());
        json.key("transactions").raw(&text);
        if self.asked.with_reversible && resumption.is_some_and(|resumption| resumption.crosses_fork()) {
            json.key("forked_head_warning").boolean(true);
        }
        if let Some(first_block) = incomplete_from(snapshot, &self.query, api.chain().search.options(), &range.blocks)?
        {
            coverage::write(&mut json, Some(first_block), false);
        }
        write_range(json.key("range"), outcome.searched, outcome.complete);
        if self.explain {
            json.key("explain");
            self.explain(&mut json, budget.spent(), blocks.read(), search_time);
        }
        json.end_object();
        Ok(answer)
    }

    /// Where the cursor goes on, and what is taken back before.
    fn resume(
        &self,
        api: &Api,
        snapshot: &ServingSnapshot,
        reading: &Reading,
    ) -> ApiResult<(Option<Resumption>, Vec<Match>)> {
        let Some(cursor) = self.cursor else { return Ok((None, Vec::new())) };
        if self.asked.direction == Direction::Reverse {
            // Refused by the search itself if its block has lost.
            return Ok((Some(Resumption { cursor, position: cursor }), Vec::new()));
        }
        let chain = api.chain();
        let lost = FeedLostBlocks { feed: &chain.feed, runtime: Handle::current(), reading };
        let (position, undone) = undone(snapshot, &chain.search, &self.query, cursor, &lost)?;
        Ok((Some(Resumption { cursor, position }), undone))
    }

    /// Writes the list of results; gives how many of them, if not all.
    fn render(
        &self,
        api: &Api,
        snapshot: &ServingSnapshot,
        reading: &Reading,
        blocks: &PageBlocks,
        rows: &[Row],
        text: &mut Vec<u8>,
    ) -> ApiResult<Option<usize>> {
        let (view, chain) = (snapshot.view(), api.chain());
        let lifecycles = Lifecycles { view, forked: &chain.forked, blocks, chain_id: chain.chain_id };
        let lost_view = self.cursor.filter(|_| rows.first().is_some_and(|row| row.undo));
        let lost_view = lost_view.map(|cursor| snapshot.view_at(cursor.block.id)).transpose()?.flatten();
        JsonWriter::new(text).begin_array();
        let mut written = 0;
        for rows in rows.chunks(AT_ONCE) {
            blocks.hold(&rows.iter().map(|row| row.found.block).collect())?;
            let ids: Vec<_> = rows.iter().filter(|row| !row.undo).map(|row| row.found.id).collect();
            let mut known = lifecycles.get_all(&ids)?.into_iter();
            for row in rows {
                reading.go_on()?;
                if text.len() > PAGE_BYTES {
                    JsonWriter::new(text).end_array();
                    return Ok(Some(written));
                }
                let (lifecycle, view): (_, &View) = match row.undo {
                    true => {
                        let lost = blocks.parts(row.found.block)?;
                        let lifecycle = lifecycle_in_block(&lost, row.found.transaction, row.found.id);
                        let lifecycle = lifecycle.map_err(ApiError::unexpected)?;
                        (lifecycle, lost_view.as_ref().unwrap_or(view))
                    }
                    false => (known.next().flatten(), view),
                };
                written += 1;
                // A transaction that was found has a lifecycle in the same view.
                let Some(lifecycle) = lifecycle else { continue };
                let abis = ViewAbis::new(view, api.abis());
                let mut renderer = Renderer::new(text, &abis);
                renderer.json().begin_object();
                renderer.json().key("lifecycle");
                renderer.lifecycle(&lifecycle)?;
                renderer.json().key("action_idx").array(row.found.actions.iter().copied(), JsonWriter::unsigned);
                if row.undo {
                    renderer.json().key("undo").boolean(true);
                }
                renderer.json().end_object();
            }
        }
        JsonWriter::new(text).end_array();
        Ok(None)
    }

    /// `rows` are those that were written; the page ends with the last of them if they were too many.
    fn outcome(
        &self,
        range: &Range,
        resumption: Option<&Resumption>,
        rows: &[Row],
        too_many: bool,
        end: PageEnd,
    ) -> Outcome {
        let (low, high) = (*range.blocks.start(), *range.blocks.end());
        let up_to = |next: &Position| match self.asked.direction {
            Direction::Forward => low..=next.block.number,
            Direction::Reverse => next.block.number..=high,
        };
        let (next, searched) = match end {
            PageEnd::Partial(position) if !too_many => (Some(position), up_to(&position)),
            PageEnd::Complete if !too_many => {
                // Not back to before what was sent, which a search with reversible blocks can have been.
                let beyond = resumption.map(|it| it.position).filter(|it| it.block.number > high);
                let next = range.open_end.map(|end| beyond.unwrap_or(end)).filter(|_| !rows.is_empty());
                let searched = Some(low..=high).filter(|searched| !searched.is_empty());
                return Outcome { next, searched, complete: true };
            }
            _ => match rows.last() {
                // The chain itself was not looked at yet.
                Some(Row { found, undo: true }) => {
                    let place = Place::Before(found.transaction);
                    (Some(Position { block: found.block, place }), RangeInclusive::new(1, 0))
                }
                Some(Row { found, undo: false }) => (Some(found.position()), up_to(&found.position())),
                None => (None, RangeInclusive::new(1, 0)),
            },
        };
        Outcome { next, searched: Some(searched).filter(|searched| !searched.is_empty()), complete: false }
    }

    /// How the query was understood, and what it cost.
    fn explain(&self, json: &mut JsonWriter<'_>, work: u64, blocks_read: u64, search_time: Duration) {
        json.begin_object();
        json.key("query").string(&secrets::masked(self.query.canonical()));
        json.key("terms").array(self.query.conditions(), |json, (field, values)| {
            json.begin_object();
            json.key("field").string(&field);
            json.key("values").array(values, |json, value| json.string(&value));
            json.end_object();
        });
        json.key("work").unsigned(work);
        json.key("blocks_read").unsigned(blocks_read);
        json.key("search_ms").unsigned(u64::try_from(search_time.as_millis()).unwrap_or(u64::MAX));
        json.end_object();
    }
}

/// The blocks that an answer is about.
pub(super) fn write_range(json: &mut JsonWriter<'_>, searched: Option<RangeInclusive<u32>>, complete: bool) {
    json.begin_object();
    match searched {
        Some(searched) => {
            json.key("from_block").unsigned(*searched.start());
            json.key("to_block").unsigned(*searched.end());
        }
        None => {
            json.key("from_block").null();
            json.key("to_block").null();
        }
    }
    json.key("complete").boolean(complete);
    json.end_object();
}
