//! A query evaluated over the blocks of a view, in either direction, a page at a time.

use std::{ops::RangeInclusive, sync::Arc};

use dfuse_antelope::Checksum256;
use dfuse_index::{
    BlockRef, View,
    blocks::{self, BlockTransaction, IndexedBlock, SEQUENCES, first_global_sequence_from},
    codec::ValueReader,
};
use dfuse_kv::{Direction, KeyRange};
use roaring::RoaringBitmap;

use crate::{
    Budget, Error, Place, Position, Query, Result,
    families::POSTINGS,
    field::{INDEXED, TRANSACTION_START},
    lists::{
        Beginnings, Course, HeldLists, MAX_PREFIX_TERMS, MAX_QUERY_TERMS, MAX_SCANS, OpenChunks, TermList, WithPrefix,
    },
    plan::{Leaf, Node, Plan, Sets, evaluate},
    posting::{CHUNK_BITS, chunk_of, low},
};

/// What to look for, and where.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The query.
    pub query: &'a Query,
    /// Numbers of the first and the last block, both included. Blocks that the view does not have are passed over.
    pub blocks: RangeInclusive<u32>,
    /// Ascending or descending by block and transaction.
    pub direction: Direction,
    /// Where an earlier search ended; its block must be on the view's branch. The range still counts.
    pub after: Option<Position>,
    /// Most matches on the page.
    pub limit: usize,
}

/// A transaction with actions that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Its block.
    pub block: BlockRef,
    /// Its position among the block's traces.
    pub transaction: u32,
    /// Its id.
    pub id: Checksum256,
    /// The actions that match, by their place in the order of execution within the transaction, from 0; ascending.
    pub actions: Vec<u32>,
}

impl Match {
    /// Where a stream is after this match.
    pub fn position(&self) -> Position {
        Position { block: self.block, place: Place::After(self.transaction) }
    }
}

/// A part of the matches, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Transactions with actions that match.
    pub matches: Vec<Match>,
    /// Why there are no more.
    pub end: PageEnd,
}

/// Why a page ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageEnd {
    /// The range has no more.
    Complete,
    /// The limit is reached; there may be more after the last match.
    Limit,
    /// The budget is spent, or the search was cancelled. It goes on from here.
    Partial(Position),
}

/// Numbers of what a query matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Transactions.
    pub transactions: u64,
    /// Actions.
    pub actions: u64,
}

/// Searches the blocks of a view.
///
/// # Errors
/// [`Error::TooBroad`]; [`Error::CursorForkedOut`], [`Error::CursorAhead`] or [`Error::CursorUnknown`] if the position is not
/// on the view's branch; and those of the indexes, which must be `search`, `blocks` and `abi`.
pub fn search(view: &View, request: &Request<'_>, budget: &mut Budget<'_>) -> Result<Page> {
    let mut collector = Collector {
        view,
        direction: request.direction,
        located: None,
        limit: request.limit,
        matches: Vec::new(),
        unfinished: None,
    };
    let ordinals = ordinals(view, request, budget)?;
    let end = |collector: Collector<'_>, end| Ok(Page { matches: collector.finish(), end });
    if ordinals.is_empty() || request.limit == 0 {
        let all = if ordinals.is_empty() { PageEnd::Complete } else { PageEnd::Limit };
        return end(collector, all);
    }
    let plan = Plan::new(request.query);
    let mut chunks = Chunks::new(view, &plan, &ordinals, request.direction, budget)?;
    while let Some((chunk, found)) = chunks.next()? {
        let base = chunk << CHUNK_BITS;
        let mut take = |value: u32| collector.take(base + u64::from(value));
        let full = match request.direction {
            Direction::Forward => found.iter().map(&mut take).find(|full| !matches!(full, Ok(false))),
            Direction::Reverse => found.iter().rev().map(&mut take).find(|full| !matches!(full, Ok(false))),
        };
        if full.transpose()?.is_some() {
            return end(collector, PageEnd::Limit);
        }
        if chunks.budget.is_spent()
            && let Some(position) = collector.stop_after(chunk, &ordinals)?
        {
            return end(collector, PageEnd::Partial(position));
        }
    }
    end(collector, PageEnd::Complete)
}

/// Counts what the query matches in the blocks of a request, whose limit does not matter; absent if the budget does not
/// suffice.
pub fn count(view: &View, request: &Request<'_>, budget: &mut Budget<'_>) -> Result<Option<Count>> {
    let ordinals = ordinals(view, request, budget)?;
    let mut count = Count::default();
    if ordinals.is_empty() {
        return Ok(Some(count));
    }
    let plan = Plan::new(request.query);
    let mut chunks = Chunks::new(view, &plan, &ordinals, Direction::Forward, budget)?;
    let mut starts = TermList::new(TRANSACTION_START, &chunks.open);
    // Where the last transaction began that was counted.
    let mut counted = None;
    while let Some((chunk, found)) = chunks.next()? {
        if chunks.budget.is_spent() {
            return Ok(None);
        }
        count.actions += found.len();
        starts.seek(chunk, &chunks.course, true, view, chunks.budget)?;
        let starts = starts.in_chunk(chunk)?;
        let mut starts = starts.iter().peekable();
        let base = chunk << CHUNK_BITS;
        let mut began = None;
        for value in found {
            while let Some(start) = starts.next_if(|start| *start <= value) {
                began = Some(base + u64::from(start));
            }
            // What began in an earlier chunk is one transaction at most.
            if began.is_none() {
                let located = Located::find(view, base + u64::from(value))?;
                began = Some(located.transactions[located.at(base + u64::from(value))?].0);
            }
            if counted != began {
                count.transactions += 1;
                counted = began;
            }
        }
    }
    Ok(Some(count))
}

/// Ordinals of the actions of the request's blocks after its position.
fn ordinals(view: &View, request: &Request<'_>, budget: &mut Budget<'_>) -> Result<RangeInclusive<u64>> {
    let (first, last) = (*request.blocks.start(), *request.blocks.end());
    let none = RangeInclusive::new(1, 0);
    budget.spend(0);
    let Some(mut low) = first_global_sequence_from(view, first)? else { return Ok(none) };
    let after = |number: u32, budget: &mut Budget<'_>| -> Result<Option<u64>> {
        budget.spend(0);
        Ok(match number.checked_add(1) {
            Some(next) => first_global_sequence_from(view, next)?,
            None => None,
        })
    };
    // Of the head's branch nothing is above the view's block.
    let mut high = after(last, budget)?.map_or(Some(u64::MAX), |next| next.checked_sub(1));
    if let Some(Position { block, place }) = request.after {
        check_on_branch(view, block)?;
        let next_transaction = match (request.direction, place) {
            (Direction::Forward, Place::After(transaction)) => transaction.checked_add(1),
            (_, Place::Before(transaction) | Place::After(transaction)) => Some(transaction),
            (_, Place::End) => None,
        };
        let transactions = blocks::transactions(view, block.number)?;
        let rest = transactions.iter().skip(next_transaction.map_or(usize::MAX, |position| position as usize));
        let boundary = match rest.filter_map(|transaction| transaction.first_global_sequence).next() {
            Some(boundary) => Some(boundary),
            // Not the next block's first one: there may be chunks without an action between them.
            None if request.direction == Direction::Reverse => {
                let known = blocks::by_number(view, block.number)?.and_then(|block| block.global_sequences);
                match known {
                    Some(own) => own.end().checked_add(1),
                    None => first_global_sequence_from(view, block.number)?,
                }
            }
            None => after(block.number, budget)?,
        };
        match (request.direction, boundary) {
            (Direction::Forward, Some(boundary)) => low = low.max(boundary),
            (Direction::Forward, None) => return Ok(none),
            (Direction::Reverse, Some(boundary)) => high = high.min(boundary.checked_sub(1)),
            (Direction::Reverse, None) => {}
        }
    }
    Ok(high.map_or(none, |high| low..=high))
}

fn check_on_branch(view: &View, block: BlockRef) -> Result<()> {
    match blocks::by_number(view, block.number)? {
        Some(known) if known.id == block.id => Ok(()),
        Some(known) => Err(Error::CursorForkedOut { found: block, correct: known.id }),
        None => {
            let head = view.block().map_or(0, |head| head.number);
            Err(if block.number > head {
                Error::CursorAhead { cursor: block, head }
            } else {
                Error::CursorUnknown(block)
            })
        }
    }
}

/// Evaluates a plan chunk by chunk.
struct Chunks<'a, 'b> {
    plan: &'a Plan,
    ordinals: RangeInclusive<u64>,
    course: Course,
    open: Arc<OpenChunks>,
    lists: Lists<'a>,
    budget: &'a mut Budget<'b>,
    /// The chunk from which to look on.
    target: Option<u64>,
}

/// The sets of leaves at one chunk.
struct Lists<'a> {
    view: &'a View,
    leaves: Vec<LeafLists>,
    all: TermList,
    may_scan: bool,
    chunk: u64,
}

enum LeafLists {
    Terms(Vec<TermList>),
    Held(HeldLists),
    /// Of some blocks; absent if they have no actions.
    Ordinals(Option<RangeInclusive<u64>>),
    Transactions(RangeInclusive<u32>),
}

impl<'a, 'b> Chunks<'a, 'b> {
    fn new(
        view: &'a View,
        plan: &'a Plan,
        ordinals: &RangeInclusive<u64>,
        direction: Direction,
        budget: &'a mut Budget<'b>,
    ) -> Result<Self> {
        let chunks = chunk_of(*ordinals.start())..=chunk_of(*ordinals.end());
        let course = Course { chunks, direction };
        let open = Arc::new(OpenChunks::read(view, &course, budget)?);
        let target = Some(match direction {
            Direction::Forward => *course.chunks.start(),
            Direction::Reverse => *course.chunks.end(),
        });
        let list = |term: &[u8]| TermList::new(term, &open);
        let mut beginnings = Beginnings::default();
        let mut leaves = Vec::with_capacity(plan.leaves.len());
        for leaf in &plan.leaves {
            leaves.push(match leaf {
                Leaf::Term(term) => LeafLists::Terms(vec![list(term)]),
                Leaf::Prefix { start, field, prefix } => match beginnings.read(view, &open, start, &course, budget)? {
                    WithPrefix::Lists(held) => LeafLists::Held(held),
                    WithPrefix::Terms(terms) => LeafLists::Terms(terms.iter().map(|term| list(term)).collect()),
                    WithPrefix::TooMany => {
                        let (field, prefix) = (field.to_string(), prefix.to_string());
                        return Err(Error::TooBroad {
                            field,
                            prefix,
                            limit: MAX_PREFIX_TERMS,
                            in_query: MAX_QUERY_TERMS,
                        });
                    }
                },
                Leaf::Blocks(numbers) => {
                    let low = first_global_sequence_from(view, *numbers.start())?;
                    let next = numbers.end().checked_add(1);
                    let next = next.map_or(Ok(None), |next| first_global_sequence_from(view, next))?;
                    let high = next.map_or(Some(u64::MAX), |next| next.checked_sub(1));
                    LeafLists::Ordinals(low.zip(high).map(|(low, high)| low..=high).filter(|own| !own.is_empty()))
                }
                Leaf::Transactions(positions) => LeafLists::Transactions(positions.clone()),
            });
        }
        let terms = leaves.iter().map(|leaf| if let LeafLists::Terms(terms) = leaf { terms.len() } else { 0 });
        let may_scan = terms.sum::<usize>() <= MAX_SCANS;
        let lists = Lists { view, leaves, all: list(INDEXED), may_scan, chunk: 0 };
        Ok(Self { plan, ordinals: ordinals.clone(), course, open, lists, budget, target })
    }

    /// The next chunk that was evaluated, with the ordinals in it that match: maybe none.
    fn next(&mut self) -> Result<Option<(u64, RoaringBitmap)>> {
        let Some(target) = self.target else { return Ok(None) };
        let Some(chunk) = self.lists.candidate(&self.plan.root, target, &self.course, self.budget)? else {
            self.target = None;
            return Ok(None);
        };
        self.target = match self.course.direction {
            Direction::Forward => chunk.checked_add(1).filter(|next| next <= self.course.chunks.end()),
            Direction::Reverse => chunk.checked_sub(1).filter(|next| next >= self.course.chunks.start()),
        };
        self.lists.chunk = chunk;
        let mut sets = AtChunk { lists: &mut self.lists, course: &self.course, budget: self.budget, located: None };
        let mut found = evaluate(&self.plan.root, &mut sets, None)?;
        if chunk == chunk_of(*self.ordinals.start()) {
            found.remove_range(..low(*self.ordinals.start()));
        }
        if chunk == chunk_of(*self.ordinals.end()) {
            found.remove_range(low(*self.ordinals.end()) + 1..);
        }
        Ok(Some((chunk, found)))
    }
}

impl Lists<'_> {
    /// The first chunk from `target` on in which the node may have an action.
    fn candidate(&mut self, node: &Node, target: u64, course: &Course, budget: &mut Budget<'_>) -> Result<Option<u64>> {
        match node {
            Node::Nothing => Ok(None),
            Node::All => self.all.seek(target, course, self.may_scan, self.view, budget),
            Node::Leaf(leaf) => match &mut self.leaves[*leaf] {
                LeafLists::Terms(terms) => TermList::seek_any(terms, target, course, self.may_scan, self.view, budget),
                LeafLists::Held(held) => Ok(held.seek(target, course)),
                LeafLists::Ordinals(own) => {
                    let Some(own) = own else { return Ok(None) };
                    let (low, high) = (chunk_of(*own.start()), chunk_of(*own.end()));
                    let nearest = target.clamp(low, high);
                    if !course.reaches(nearest, target) {
                        return Ok(None);
                    }
                    let chunk = self.all.seek(nearest, course, self.may_scan, self.view, budget)?;
                    Ok(chunk.filter(|chunk| (low..=high).contains(chunk)))
                }
                LeafLists::Transactions(_) => self.all.seek(target, course, self.may_scan, self.view, budget),
            },
            Node::Or(operands) => {
                let mut first = None;
                for operand in operands {
                    if let Some(chunk) = self.candidate(operand, target, course, budget)? {
                        first = Some(first.map_or(chunk, |first| course.earlier(first, chunk)));
                    }
                }
                Ok(first)
            }
            Node::And(with, _) => {
                let mut target = target;
                loop {
                    let before = target;
                    for operand in with {
                        match self.candidate(operand, target, course, budget)? {
                            Some(chunk) => target = chunk,
                            None => return Ok(None),
                        }
                    }
                    // Whoever asks looks at the chunk that was come to, and stops if the budget is spent.
                    if target == before || budget.is_spent() {
                        return Ok(Some(target));
                    }
                }
            }
        }
    }
}

struct AtChunk<'l, 'a, 'b> {
    lists: &'l mut Lists<'a>,
    course: &'l Course,
    budget: &'l mut Budget<'b>,
    located: Option<Located>,
}

impl Sets for AtChunk<'_, '_, '_> {
    fn all(&mut self) -> Result<RoaringBitmap> {
        let Lists { all, view, chunk, may_scan, .. } = &mut *self.lists;
        all.seek(*chunk, self.course, *may_scan, view, self.budget)?;
        all.in_chunk(*chunk)
    }

    fn leaf(&mut self, leaf: usize, within: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        let Lists { leaves, view, chunk, may_scan, .. } = &mut *self.lists;
        let base = *chunk << CHUNK_BITS;
        if let LeafLists::Terms(terms) = &mut leaves[leaf] {
            let mut set = RoaringBitmap::new();
            for term in terms {
                // Lists that rule actions out were not sought before.
                if term.seek(*chunk, self.course, *may_scan, view, self.budget)? == Some(*chunk) {
                    set |= term.in_chunk(*chunk)?;
                }
            }
            return Ok(set);
        }
        if let LeafLists::Held(held) = &leaves[leaf] {
            return Ok(held.in_chunk(*chunk));
        }
        let mut set = match within {
            Some(within) => within.clone(),
            None => self.all()?,
        };
        match &self.lists.leaves[leaf] {
            LeafLists::Terms(_) | LeafLists::Held(_) | LeafLists::Ordinals(None) => set.clear(),
            LeafLists::Ordinals(Some(own)) => {
                let last = base | u64::from(low(u64::MAX));
                if *own.start() > last || *own.end() < base {
                    set.clear();
                } else {
                    set.remove_range(..low((*own.start()).max(base)));
                    set.remove_range(low((*own.end()).min(last)) + 1..);
                }
            }
            LeafLists::Transactions(positions) => {
                let mut kept = Vec::new();
                for value in &set {
                    let ordinal = base + u64::from(value);
                    if self.located.as_ref().is_none_or(|located| !located.holds(ordinal)) {
                        self.located = Some(Located::find(self.lists.view, ordinal)?);
                        self.budget.spend(0);
                    }
                    if let Some(located) = &self.located
                        && positions.contains(&located.transactions[located.at(ordinal)?].1)
                    {
                        kept.push(value);
                    }
                }
                set = kept.into_iter().collect();
            }
        }
        Ok(set)
    }

    fn cost(&self, leaf: usize) -> usize {
        match &self.lists.leaves[leaf] {
            LeafLists::Terms(terms) => terms.iter().map(|term| term.length_in(self.lists.chunk)).sum(),
            LeafLists::Held(held) => held.length_in(self.lists.chunk),
            // Cheap, but only of use with a set to narrow.
            LeafLists::Ordinals(_) => usize::MAX - 2,
            LeafLists::Transactions(_) => usize::MAX - 1,
        }
    }
}

/// A block, with its transactions that executed actions.
struct Located {
    block: BlockRef,
    ordinals: RangeInclusive<u64>,
    /// First ordinal, position and id.
    transactions: Vec<(u64, u32, Checksum256)>,
}

impl Located {
    fn find(view: &View, ordinal: u64) -> Result<Self> {
        let missing = |why: &str| {
            let why = format!("{why} {ordinal}, which an action has that was indexed");
            Error::from(ValueReader::new(POSTINGS, &[]).damaged(why))
        };
        let block =
            blocks::by_global_sequence(view, ordinal)?.ok_or_else(|| missing("no block has global sequence"))?;
        let traces = (0..).zip(blocks::transactions_of(view, &block)?);
        let executed = |(position, trace): (u32, BlockTransaction)| {
            trace.first_global_sequence.map(|first| (first, position, trace.id))
        };
        let mut transactions: Vec<_> = traces.filter_map(executed).collect();
        transactions.sort_unstable();
        let reference = BlockRef { number: block.number, id: block.id };
        let ordinals = block.global_sequences.ok_or_else(|| missing("the block has no"))?;
        Ok(Self { block: reference, ordinals, transactions })
    }

    fn holds(&self, ordinal: u64) -> bool {
        self.ordinals.contains(&ordinal)
    }

    /// The transaction that has the ordinal.
    fn at(&self, ordinal: u64) -> Result<usize> {
        let after = self.transactions.partition_point(|(first, ..)| *first <= ordinal);
        let why = "an action in no transaction";
        Ok(after.checked_sub(1).ok_or_else(|| ValueReader::new(POSTINGS, &[]).damaged(why))?)
    }
}

/// Puts ordinals together to matches.
struct Collector<'a> {
    view: &'a View,
    direction: Direction,
    located: Option<Located>,
    limit: usize,
    matches: Vec<Match>,
    /// The match at work.
    unfinished: Option<Match>,
}

impl Collector<'_> {
    /// The next ordinal; true if it is one too many.
    fn take(&mut self, ordinal: u64) -> Result<bool> {
        let located = match self.located.take().filter(|located| located.holds(ordinal)) {
            Some(located) => located,
            None => Located::find(self.view, ordinal)?,
        };
        let (first, transaction, id) = located.transactions[located.at(ordinal)?];
        let action = u32::try_from(ordinal - first).unwrap_or(u32::MAX);
        match &mut self.unfinished {
            Some(found) if (found.block, found.transaction) == (located.block, transaction) => {
                found.actions.push(action);
            }
            _ => {
                self.finish_match();
                if self.matches.len() == self.limit {
                    return Ok(true);
                }
                self.unfinished = Some(Match { block: located.block, transaction, id, actions: vec![action] });
            }
        }
        self.located = Some(located);
        Ok(false)
    }

    fn finish_match(&mut self) {
        if let Some(mut found) = self.unfinished.take() {
            found.actions.sort_unstable();
            self.matches.push(found);
        }
    }

    fn finish(mut self) -> Vec<Match> {
        self.finish_match();
        self.matches
    }

    /// Where to go on after a whole chunk; absent if nothing is left, or if nothing would be won.
    fn stop_after(&mut self, chunk: u64, ordinals: &RangeInclusive<u64>) -> Result<Option<Position>> {
        let next = match self.direction {
            Direction::Forward => (chunk + 1) << CHUNK_BITS,
            Direction::Reverse => match (chunk << CHUNK_BITS).checked_sub(1) {
                Some(next) => next,
                None => return Ok(None),
            },
        };
        if !ordinals.contains(&next) {
            return Ok(None);
        }
        let Some(block) = nearest_block(self.view, next, self.direction)? else { return Ok(None) };
        if !block.global_sequences.as_ref().is_some_and(|own| own.contains(&next)) {
            let place = if self.direction == Direction::Forward { Place::Before(0) } else { Place::End };
            return Ok(Some(Position { block: BlockRef { number: block.number, id: block.id }, place }));
        }
        // The transaction that goes over the boundary is looked at again as a whole.
        let located = Located::find(self.view, next)?;
        let at = located.at(next)?;
        let (first, transaction, _) = located.transactions[at];
        let after = located.transactions.get(at + 1).map_or(*located.ordinals.end(), |(next, ..)| *next - 1);
        let (place, advances) = match self.direction {
            Direction::Forward => (Place::Before(transaction), first > *ordinals.start()),
            Direction::Reverse => {
                (transaction.checked_add(1).map_or(Place::End, Place::Before), after < *ordinals.end())
            }
        };
        let again = |found: &Match| (found.block, found.transaction) == (located.block, transaction);
        if !advances {
            return Ok(None);
        }
        if self.unfinished.as_ref().is_some_and(again) {
            self.unfinished = None;
        }
        Ok(Some(Position { block: located.block, place }))
    }
}

/// The block that has the ordinal, or else the next one in that direction.
fn nearest_block(view: &View, ordinal: u64, direction: Direction) -> Result<Option<IndexedBlock>> {
    if let Some(block) = blocks::by_global_sequence(view, ordinal)? {
        return Ok(Some(block));
    }
    let range = match direction {
        Direction::Forward => KeyRange::new(ordinal.to_be_bytes()..),
        Direction::Reverse => KeyRange::new(..=ordinal.to_be_bytes()),
    };
    let Some((_, number)) = view.first(SEQUENCES, &range, direction)? else { return Ok(None) };
    Ok(blocks::by_number(view, ValueReader::new(SEQUENCES, &number).u32()?)?)
}
