//! How much a query matches.

use std::ops::RangeInclusive;

use dfuse_kv::Direction;
use dfuse_search::{Count, Query, Request, count as count_in};

use super::{
    budget::{budget, deadline},
    coverage::incomplete_from,
    range::{AskedBlocks, Range},
};
use crate::{ApiResult, ReadContext, RouteClass, Untold};

/// Blocks that are counted first, as a whole or not at all; then more and more.
const FIRST_BLOCKS: u32 = 128;
/// How many times as many blocks come next.
const GROWTH: u32 = 4;

/// How much a query matches in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Transactions with actions that match.
    pub transactions: u64,
    /// Actions that match.
    pub actions: u64,
    /// The blocks that were counted; absent if there are none.
    pub blocks: Option<RangeInclusive<u32>>,
    /// Whether they are all that were asked for.
    pub is_complete: bool,
    /// Blocks of those that were asked for which are not there, since history begins after them.
    pub missing: Option<RangeInclusive<u32>>,
    /// The first block that is indexed, if the numbers may be wrong since ABIs that were set before it are unknown.
    pub incomplete_from: Option<u32>,
    /// What the numbers may lack since the source of the blocks did not tell it.
    pub untold: Option<Untold>,
}

/// Exact numbers of transactions and actions. When the budget is spent they are those of the range that is told, whose end
/// is where another request can go on.
///
/// # Errors
/// `request_validation_error` if there can be no such blocks, `query_too_broad_error`, and those of reading.
pub fn count(read: &ReadContext<'_>, query: &Query, asked: &AskedBlocks) -> ApiResult<Counted> {
    let deadline = deadline(read);
    let Range { blocks: range, missing, .. } = asked.resolve(read, None)?;
    let incomplete_from = incomplete_from(read.snapshot(), query, read.chain().search.options(), &range)?;
    let untold = Untold::of(read.view(), query.fields_of_operations(), &range)?;
    let mut work = read.service().options().search_work;
    let (mut total, mut slice, mut next) = (Count::default(), FIRST_BLOCKS, Some(*range.start()));
    while let Some(first) = next.filter(|first| range.contains(first)) {
        let last = first.saturating_add(slice - 1).min(*range.end());
        let mut budget = budget(read, work, deadline);
        let request =
            Request { query, blocks: first..=last, direction: Direction::Forward, after: None, limit: usize::MAX };
        let counted = count_in(read.view(), &request, &mut budget)?;
        read.go_on()?;
        let Some(counted) = counted else { break };
        total.transactions += counted.transactions;
        total.actions += counted.actions;
        work = work.saturating_sub(budget.spent());
        slice = slice.saturating_mul(GROWTH);
        next = last.checked_add(1);
    }
    let spent = read.service().options().search_work.saturating_sub(work);
    read.service().caller().charge_work(RouteClass::Search, spent);
    // Past the end only if all was counted.
    let is_complete = next.is_none_or(|next| next > *range.end());
    let end = next.map_or(u32::MAX, |next| next.saturating_sub(1)).min(*range.end());
    let blocks = Some(*range.start()..=end).filter(|counted| !counted.is_empty());
    Ok(Counted {
        transactions: total.transactions,
        actions: total.actions,
        blocks,
        is_complete,
        missing,
        incomplete_from,
        untold,
    })
}
