//! Final blocks that are far back: those that have actions for a query are found with the search index, and no others need be
//! read.

use std::{ops::RangeInclusive, sync::Arc, vec};

use dfuse_blocks::BlockRef;
use dfuse_index::{IndexState, Part, ServingSnapshot, blocks};
use dfuse_kv::Direction;
use dfuse_search::{Budget, PageEnd, Query, Request, search};

use crate::{ApiResult, Reading, Service, turns::Class};

/// Fewer blocks than that below the last irreversible one are read without asking the index.
const WORTH_IT: u32 = 100;
/// Reading one block by itself costs as much as so many in a row.
const SINGLE_READ: usize = 8;
/// Transactions that are looked for at once.
const AT_ONCE: usize = 500;
/// Work that one search may do in a turn; a unit is some microseconds.
const WORK: u64 = 5_000;

/// Blocks to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PastBlocks {
    /// Numbers of those that may have something, ascending.
    blocks: Vec<u32>,
    /// All between are dealt with then.
    range: RangeInclusive<u32>,
}

/// The next final blocks from that one on that may have what a query finds, in a stream's turn; none if the chain's end is near,
/// or the index begins later.
///
/// # Errors
/// Those of reading.
async fn past_blocks(service: &Service, query: &Arc<Query>, next: u32) -> ApiResult<Option<PastBlocks>> {
    let query = query.clone();
    let work = move |snapshot: &ServingSnapshot, reading: &Reading| {
        let lib = snapshot.lib().map_or(0, |lib| lib.number);
        let is_early =
            || ApiResult::Ok(first_block(snapshot)?.is_none_or(|first| first.max(kept_from(snapshot)) > next));
        if lib < next.saturating_add(WORTH_IT) || is_early()? {
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

/// What a stream of the past comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PastStep {
    /// A block that may have something.
    Block(BlockRef),
    /// Blocks that have nothing; they were not read.
    Passed(RangeInclusive<u32>),
}

/// Final blocks that are far back, in order, as far as the search index helps.
#[derive(Debug)]
pub struct PastReader {
    service: Service,
    /// What the blocks must have; absent if the index cannot help.
    query: Option<Arc<Query>>,
    next: u32,
    found: Found,
}

/// The rest of what was found last.
#[derive(Debug)]
enum Found {
    /// All blocks are read in a row.
    All(RangeInclusive<u32>),
    /// Only these are read.
    Single {
        blocks: vec::IntoIter<u32>,
        upcoming: Option<u32>,
        next: u32,
        last: u32,
    },
    Nothing,
}

impl PastReader {
    /// From that block on. Without a query it has nothing.
    pub fn new(service: &Service, query: Option<Query>, start: u32) -> Self {
        let query = query.filter(|_| has_past(service)).map(Arc::new);
        let next = match query {
            Some(_) => start.max(service.chain().feed.first_block().unwrap_or(0)),
            None => start,
        };
        Self { service: service.clone(), query, next, found: Found::Nothing }
    }

    /// Looks for what comes next, until there is something. False if the rest is not for this reader.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn ready(&mut self) -> ApiResult<bool> {
        while self.found.is_empty() {
            let Some(query) = &self.query else { return Ok(false) };
            let Some(PastBlocks { blocks, range }) = past_blocks(&self.service, query, self.next).await? else {
                return Ok(false);
            };
            self.next = range.end().saturating_add(1);
            self.found = Found::new(blocks, range);
        }
        Ok(true)
    }

    /// What [`Self::ready`] has found.
    ///
    /// # Errors
    /// Those of reading the block.
    pub async fn next(&mut self) -> ApiResult<Option<PastStep>> {
        let feed = &self.service.chain().feed;
        let block = match &mut self.found {
            Found::Nothing => return Ok(None),
            Found::All(range) => match range.next() {
                Some(number) => feed.block_in_row(number).await?,
                None => return Ok(None),
            },
            Found::Single { blocks, upcoming, next, last } => {
                let number = upcoming.take().or_else(|| blocks.next());
                let passed_to = number.map_or(Some(*last), |number| number.checked_sub(1));
                if let Some(end) = passed_to.filter(|end| *next <= *end) {
                    *upcoming = number;
                    let passed = *next..=end;
                    match end.checked_add(1) {
                        Some(after) => *next = after,
                        None => self.found = Found::Nothing,
                    }
                    return Ok(Some(PastStep::Passed(passed)));
                }
                let Some(number) = number else { return Ok(None) };
                *next = number.saturating_add(1);
                feed.canonical_block(number).await?
            }
        };
        Ok(Some(PastStep::Block(block.encoded().into())))
    }

    /// The block with which a stream of the chain goes on.
    pub fn next_block(&self) -> u32 {
        self.next
    }

    /// The final block of that height, in a stream's turn.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn block_at(&self, number: u32) -> ApiResult<Option<BlockRef>> {
        let read = move |snapshot: &ServingSnapshot, _: &_| Ok(blocks::by_number(snapshot.view(), number)?);
        let found = self.service.at_turn(self.service.turns().turn(Class::Past).await, read).await?;
        Ok(found.map(|block| BlockRef { number, id: block.id }))
    }
}

impl Found {
    fn new(blocks: Vec<u32>, range: RangeInclusive<u32>) -> Self {
        let (first, last) = range.clone().into_inner();
        if blocks.len() * SINGLE_READ > (last - first) as usize {
            Self::All(range)
        } else {
            Self::Single { blocks: blocks.into_iter(), upcoming: None, next: first, last }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::All(range) => range.is_empty(),
            Self::Single { blocks, upcoming, next, last } => {
                blocks.as_slice().is_empty() && upcoming.is_none() && next > last
            }
            Self::Nothing => true,
        }
    }
}

/// Whether the index of actions has all final blocks that are served.
fn has_past(service: &Service) -> bool {
    let status = service.chain().serving.status();
    status.indexes.iter().any(|index| index.name == "search" && index.state == IndexState::Live)
}

/// Where lists of actions begin, if they are not kept as long as blocks.
fn kept_from(snapshot: &ServingSnapshot) -> u32 {
    snapshot.floors().get(Part::Search)
}

fn first_block(snapshot: &ServingSnapshot) -> ApiResult<Option<u32>> {
    let first = blocks::range(snapshot.view(), 0..=u32::MAX, Direction::Forward)?.next().transpose()?;
    Ok(first.map(|block| block.number))
}
