//! Queries over blocks as they come, and over blocks that lost.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use dfuse_antelope::{Checksum256, model::Block};
use dfuse_blocks::Step;
use dfuse_index::{BlockContext, BlockRef, ServingSnapshot, View, blocks};
use dfuse_kv::Direction;
use roaring::RoaringBitmap;

use crate::{
    Budget, Error, Match, Place, Position, Query, Request, Result, SearchIndex,
    field::INDEXED,
    plan::{Leaf, Plan, Sets, evaluate},
    search::search,
    terms::{BlockAbis, BlockTerms, KnownAbis},
};

/// Blocks whose evaluations are kept.
const KEPT_BLOCKS: usize = 64;
/// Evaluations that are kept for one block.
const KEPT_QUERIES: usize = 4096;
/// Blocks that a branch that lost may have.
const MAX_LOST_BLOCKS: usize = 10_000;

/// Evaluates queries over single blocks, each query once for each block whoever asks for it.
#[derive(Debug)]
pub struct Evaluations {
    index: Arc<SearchIndex>,
    abis: Mutex<KnownAbis>,
    blocks: Mutex<VecDeque<Evaluated>>,
}

#[derive(Debug)]
struct Evaluated {
    block: Checksum256,
    terms: Slot<Arc<BlockTerms>>,
    /// By canonical text.
    queries: BTreeMap<Box<str>, Slot<Arc<[Match]>>>,
}

/// Something that is computed once: who comes while it is computed waits for it.
type Slot<T> = Arc<Mutex<Option<T>>>;

fn once<T: Clone>(slot: &Slot<T>, compute: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    match &*slot {
        Some(known) => Ok(known.clone()),
        None => Ok(slot.insert(compute()?).clone()),
    }
}

impl Evaluations {
    /// Of the terms that the index has, without a block.
    pub fn new(index: Arc<SearchIndex>) -> Self {
        Self { index, abis: Mutex::default(), blocks: Mutex::default() }
    }

    /// What the query matches in a block, ascending. The block's parent must be on the view's branch.
    pub fn matches(&self, query: &Query, block: &Block, view: &View) -> Result<Arc<[Match]>> {
        let (terms, matches) = self.slots(query, block.id);
        once(&matches, || {
            let terms = once(&terms, || self.terms(block, view))?;
            Ok(of_block(&Plan::new(query), &terms)?.into())
        })
    }

    /// Where the terms of a block are, and what the query matches in it.
    fn slots(&self, query: &Query, block: Checksum256) -> (Slot<Arc<BlockTerms>>, Slot<Arc<[Match]>>) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let at = blocks.iter().rposition(|kept| kept.block == block).unwrap_or_else(|| {
            if blocks.len() == KEPT_BLOCKS {
                blocks.pop_front();
            }
            blocks.push_back(Evaluated { block, terms: Slot::default(), queries: BTreeMap::new() });
            blocks.len() - 1
        });
        let kept = &mut blocks[at];
        let matches = kept.queries.get(query.canonical()).cloned().unwrap_or_else(|| {
            let slot = Slot::default();
            if kept.queries.len() < KEPT_QUERIES {
                kept.queries.insert(query.canonical().into(), slot.clone());
            }
            slot
        });
        (kept.terms.clone(), matches)
    }

    fn terms(&self, block: &Block, view: &View) -> Result<Arc<BlockTerms>> {
        if let Some(terms) = self.index.recent_terms(block.id) {
            return Ok(terms);
        }
        let mut cache = self.abis.lock().unwrap_or_else(PoisonError::into_inner);
        let context = BlockContext::new(block);
        let mut abis = BlockAbis::after(context.parent(), view, &mut cache);
        abis.enter(&context);
        let terms = BlockTerms::new(&context, self.index.options(), &mut abis)?;
        abis.leave(context.reference());
        Ok(Arc::new(terms))
    }
}

/// What a plan matches in one block, ascending.
fn of_block(plan: &Plan, terms: &BlockTerms) -> Result<Vec<Match>> {
    let found = evaluate(&plan.root, &mut OfBlock { plan, terms }, None)?;
    let transactions = terms.transactions();
    let mut matches: Vec<Match> = Vec::new();
    let mut at = 0;
    for offset in found {
        while transactions.get(at + 1).is_some_and(|next| next.first <= offset) {
            at += 1;
        }
        let Some(transaction) = transactions.get(at) else { break };
        let action = offset - transaction.first;
        match matches.last_mut() {
            Some(last) if last.transaction == transaction.position => last.actions.push(action),
            _ => matches.push(Match {
                block: terms.block(),
                transaction: transaction.position,
                id: transaction.id,
                actions: vec![action],
            }),
        }
    }
    Ok(matches)
}

struct OfBlock<'a> {
    plan: &'a Plan,
    terms: &'a BlockTerms,
}

impl Sets for OfBlock<'_> {
    fn all(&mut self) -> Result<RoaringBitmap> {
        Ok(self.terms.find(INDEXED).iter().collect())
    }

    fn leaf(&mut self, leaf: usize, _: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        match &self.plan.leaves[leaf] {
            Leaf::Term(term) => Ok(self.terms.find(term).iter().collect()),
            Leaf::Prefix { start, .. } => Ok(self.terms.with_prefix(start).flatten().collect()),
            Leaf::Blocks(numbers) if numbers.contains(&self.terms.block().number) => self.all(),
            Leaf::Blocks(_) => Ok(RoaringBitmap::new()),
            Leaf::Transactions(positions) => {
                let transactions = self.terms.transactions();
                let ends = transactions.iter().skip(1).map(|next| next.first).chain([u32::MAX]);
                let wanted = transactions.iter().zip(ends).filter(|(own, _)| positions.contains(&own.position));
                let mut set = RoaringBitmap::new();
                for (own, end) in wanted {
                    set.insert_range(own.first..end);
                }
                Ok(set & self.all()?)
            }
        }
    }

    fn cost(&self, leaf: usize) -> usize {
        match &self.plan.leaves[leaf] {
            Leaf::Term(term) => self.terms.find(term).len(),
            _ => usize::MAX - 1,
        }
    }
}

/// Something to send to who follows a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveRow {
    /// A match.
    Match {
        /// What was found.
        found: Match,
        /// Whether it is taken back.
        undo: bool,
        /// Where the stream is after it.
        position: Position,
    },
    /// The stream is alive and has come to this block.
    Marker(
        /// Where the stream is after it.
        Position,
    ),
}

/// The live end of one ascending stream: which rows come of the steps of the feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LiveTail {
    irreversible_only: bool,
    /// Blocks between markers; 0 for none.
    marker_interval: u32,
    next_marker: Option<u32>,
}

impl LiveTail {
    /// Begins where the history ended. With `marker_interval` above 0 a marker comes at the head, and then after so many
    /// blocks each.
    pub fn new(irreversible_only: bool, marker_interval: u32) -> Self {
        Self { irreversible_only, marker_interval, next_marker: None }
    }

    /// Whether the matches of a block matter at this step; `is_final` as the feed tells it for a block that comes once.
    pub fn wants(&self, step: Step, is_final: bool) -> bool {
        match step {
            Step::New => !self.irreversible_only || is_final,
            Step::Undo => !self.irreversible_only,
            Step::Irreversible => self.irreversible_only,
        }
    }

    /// The rows of a step that is wanted. `at_head` says that the block is the newest one, the newest irreversible one
    /// where only those count.
    pub fn rows(&mut self, step: Step, block: BlockRef, at_head: bool, matches: &[Match]) -> Vec<LiveRow> {
        if step == Step::Undo {
            return matches.iter().rev().cloned().map(undo).collect();
        }
        let row = |found: &Match| LiveRow::Match { found: found.clone(), undo: false, position: found.position() };
        let mut rows: Vec<_> = matches.iter().map(row).collect();
        let due = self.next_marker.map_or(at_head, |next| block.number >= next);
        if self.marker_interval > 0 && due {
            self.next_marker = Some(block.number.saturating_add(self.marker_interval));
            rows.push(LiveRow::Marker(Position { block, place: Place::End }));
        }
        rows
    }
}

fn undo(found: Match) -> LiveRow {
    let position = Position { block: found.block, place: Place::Before(found.transaction) };
    LiveRow::Match { found, undo: true, position }
}

/// Blocks of branches that lost, for as long as they are kept.
pub trait LostBlocks {
    /// The block with that number and id; absent if it is not kept.
    fn lost_block(&self, block: BlockRef) -> Result<Option<Arc<Block>>>;
}

/// How an ascending stream goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// What was sent of blocks that lost, newest first: to be taken back.
    pub undone: Vec<LiveRow>,
    /// Where to go on then; on the best chain.
    pub position: Position,
}

/// Finds out how an ascending stream goes on from a position, whose block may have lost since.
///
/// # Errors
/// [`Error::CursorAhead`] if the block is not there yet, [`Error::CursorUnknown`] if it is not there any more.
pub fn resume(
    snapshot: &ServingSnapshot,
    index: &SearchIndex,
    query: &Query,
    position: Position,
    lost: &dyn LostBlocks,
) -> Result<Resumed> {
    let view = snapshot.view();
    if blocks::by_id(view, position.block.id)?.is_some() {
        return Ok(Resumed { undone: Vec::new(), position });
    }
    let (mut matches, junction) = match snapshot.view_at(position.block.id)? {
        Some(fork) => of_fork(view, &fork, query, position.block)?,
        None => of_lost(view, index, query, position.block, lost)?,
    };
    let sent = |found: &Match| found.block.number < position.block.number || position.place.has(found.transaction);
    matches.retain(sent);
    let undone = matches.into_iter().map(undo).collect();
    Ok(Resumed { undone, position: Position { block: junction, place: Place::End } })
}

/// The matches of a branch above the block where it leaves the best chain, newest first; and that block.
fn of_fork(view: &View, fork: &View, query: &Query, tip: BlockRef) -> Result<(Vec<Match>, BlockRef)> {
    for number in (0..tip.number).rev() {
        let (own, best) = (blocks::by_number(fork, number)?, blocks::by_number(view, number)?);
        let Some(own) = own else { break };
        if best.is_some_and(|best| best.id == own.id) {
            let blocks = number + 1..=tip.number;
            let request = Request { query, blocks, direction: Direction::Reverse, after: None, limit: usize::MAX };
            let page = search(fork, &request, &mut Budget::unlimited())?;
            return Ok((page.matches, BlockRef { number, id: own.id }));
        }
    }
    Err(Error::CursorUnknown(tip))
}

/// The same of blocks that no view has.
fn of_lost(
    view: &View,
    index: &SearchIndex,
    query: &Query,
    tip: BlockRef,
    lost: &dyn LostBlocks,
) -> Result<(Vec<Match>, BlockRef)> {
    // What is above the head may be known and not indexed yet: that is no reason to take it back.
    let head = view.block().map_or(0, |head| head.number);
    if tip.number > head {
        return Err(Error::CursorAhead { cursor: tip, head });
    }
    let mut branch: Vec<Arc<Block>> = Vec::new();
    let mut next = tip;
    while blocks::by_id(view, next.id)?.is_none() {
        let known = branch.len() < MAX_LOST_BLOCKS;
        let Some(block) = known.then(|| lost.lost_block(next)).transpose()?.flatten() else {
            return Err(Error::CursorUnknown(tip));
        };
        next = BlockContext::new(&block).parent();
        branch.push(block);
    }
    let mut cache = KnownAbis::default();
    let mut abis = BlockAbis::after(next, view, &mut cache);
    let plan = Plan::new(query);
    let mut matches = Vec::new();
    for block in branch.iter().rev() {
        let context = BlockContext::new(block);
        abis.enter(&context);
        matches.extend(of_block(&plan, &BlockTerms::new(&context, index.options(), &mut abis)?)?);
    }
    matches.reverse();
    Ok((matches, next))
}
