//! Final blocks that are far back: those that have actions for a query are found with the search index, and no others need be
//! read.

use std::{ops::RangeInclusive, sync::Arc};

use dfuse_index::{IndexState, ServingSnapshot, blocks};
use dfuse_kv::Direction;
use dfuse_search::{Budget, PageEnd, Query, Request, search};

use crate::{ApiResult, Reading, Service, turns::Class};

/// Fewer blocks than that below the last irreversible one are read without asking the index.
const WORTH_IT: u32 = 100;
/// Transactions that are looked for at once.
const AT_ONCE: usize = 500;
/// Work that one search may do in a turn; a unit is some microseconds.
const WORK: u64 = 5_000;

/// Blocks to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastBlocks {
    /// Numbers of those that may have something, ascending.
    pub blocks: Vec<u32>,
    /// All between are dealt with then.
    pub range: RangeInclusive<u32>,
}

/// The next final blocks from that one on that may have what a query finds, in a stream's turn; none if the chain's end is near,
/// or the index begins later.
///
/// # Errors
/// Those of reading.
pub async fn past_blocks(service: &Service, query: &Arc<Query>, next: u32) -> ApiResult<Option<PastBlocks>> {
    let query = query.clone();
    let work = move |snapshot: &ServingSnapshot, reading: &Reading| {
        let lib = snapshot.lib().map_or(0, |lib| lib.number);
        if lib < next.saturating_add(WORTH_IT) || first_block(snapshot)?.is_none_or(|first| first > next) {
            return Ok(None);
        }
        let request =
            Request { query: &query, blocks: next..=lib, direction: Direction::Forward, after: None, limit: AT_ONCE };
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
        Ok(Some(PastBlocks { blocks, range: next..=end }))
    };
    service.at_turn(service.turns().turn(Class::Past).await, work).await
}

/// Whether the index of actions has all final blocks that are served.
pub fn has_past(service: &Service) -> bool {
    let status = service.chain().serving.status();
    status.indexes.iter().any(|index| index.name == "search" && index.state == IndexState::Live)
}

fn first_block(snapshot: &ServingSnapshot) -> ApiResult<Option<u32>> {
    let first = blocks::range(snapshot.view(), 0..=u32::MAX, Direction::Forward)?.next().transpose()?;
    Ok(first.map(|block| block.number))
}
