//! `/v0/search/count`: how much a query matches.

use dfuse_kv::Direction;
use dfuse_query::ApiResult;
use dfuse_search::{Count, Request, count as count_in};

use super::{
    coverage::incomplete_from,
    page::{budget, deadline, write_range},
    params::QueryRule,
    range::Asked,
};
use crate::{
    Api, JsonText, Params,
    params::rules::{at_least, between, boolean},
    rest::state::coverage,
};
use dfuse_render::JsonWriter;

/// Blocks that are counted first, as a whole or not at all; then more and more.
const FIRST_BLOCKS: u32 = 128;
/// How many times as many blocks come next.
const GROWTH: u32 = 4;

/// Exact numbers of transactions and actions. When the budget is spent they are those of the range that is told, whose end
/// is where another request can go on.
pub(super) async fn count(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let (query, asked) = {
        let rule = QueryRule::new(&api.chain().search);
        let query = params.required("q", |field| rule.read(field));
        let start = params.optional_or("start_block", 0, between(0..=u32::MAX));
        let count = params.optional_or("block_count", u32::MAX, at_least(1));
        let reversible = params.optional_or("with_reversible", false, boolean);
        let (query, start, count, with_reversible) = rule.finish(params, (query, start, count, reversible))?;
        (query, Asked { start, count, direction: Direction::Forward, with_reversible })
    };
    let reader = api.clone();
    let text = api.read(move |snapshot, reading| {
        let deadline = deadline(&reader);
        let range = asked.resolve(snapshot, None)?.blocks;
        let (mut total, mut work, mut slice) = (Count::default(), reader.options().search_work, FIRST_BLOCKS);
        let incomplete_from = incomplete_from(snapshot, &query, reader.chain().search.options(), &range)?;
        let mut next = Some(*range.start());
        while let Some(first) = next.filter(|first| range.contains(first)) {
            let last = first.saturating_add(slice - 1).min(*range.end());
            let mut budget = budget(&reader, reading, work, deadline);
            let request = Request {
                query: &query,
                blocks: first..=last,
                direction: Direction::Forward,
                after: None,
                limit: usize::MAX,
            };
            let counted = count_in(snapshot.view(), &request, &mut budget)?;
            reading.go_on()?;
            let Some(counted) = counted else { break };
            total.transactions += counted.transactions;
            total.actions += counted.actions;
            work = work.saturating_sub(budget.spent());
            slice = slice.saturating_mul(GROWTH);
            next = last.checked_add(1);
        }
        // Past the end only if all was counted.
        let done = next.is_none_or(|next| next > *range.end());
        let end = next.map_or(u32::MAX, |next| next.saturating_sub(1)).min(*range.end());
        let counted = *range.start()..=end;
        let mut text = Vec::new();
        let mut json = JsonWriter::new(&mut text);
        json.begin_object();
        json.key("actions").unsigned(total.actions);
        json.key("transactions").unsigned(total.transactions);
        match incomplete_from {
            Some(first_block) => coverage::write(&mut json, Some(first_block), false),
            None => json.key("complete").boolean(done),
        }
        write_range(json.key("range"), Some(counted).filter(|counted| !counted.is_empty()), done);
        json.end_object();
        Ok(text)
    });
    text.await.map(JsonText)
}
