//! The index of action terms.
//!
//! Lists of ordinals by term are what queries read, but a list cannot be added to without writing it again. So new blocks
//! are kept as [segments](crate::segment), a key each. Segments of successive blocks are merged when the range of ordinals
//! that they are in has ended: 2^8 ordinals, then 2^12. A chunk of 2^16 that has ended is split: with each of the next
//! blocks the lists of some more of its terms are written, and with the last ones its segments are removed. Every term is
//! thus written four times in all, no block is held up for long, and what the store has follows from the blocks alone,
//! however many of them are committed at once.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use dfuse_antelope::{AbiDump, Checksum256};
use dfuse_index::{
    Aging, BlockContext, BlockRef, Delta, DeltaBuilder, EarlierWay, Family, Index, JoinPass, Kept, Part, PutEntry,
    Result, View,
};
use dfuse_kv::{Direction, KeyRange};

use crate::{
    earlier,
    families::{POSTINGS, SEGMENTS, SPLITS},
    keys::{ordinal, ordinals_of, put_key, read_key, segments},
    posting::{self, CHUNK_BITS, chunk_of},
    segment::{Segment, SegmentBuilder, merge},
    terms::{BlockAbis, BlockTerms, KnownAbis, options::TermOptions},
};

/// Segments are merged when so many low bits of their ordinals have come to an end.
const MERGE_BITS: [u32; 2] = [12, 8];
const VERSION: u32 = 3;
/// Blocks in which a chunk is split, if they are small.
const SPLIT_BLOCKS: usize = 32;
/// Actions of blocks in which it is split at the latest.
const SPLIT_ACTIONS: usize = 1 << (CHUNK_BITS - 1);
/// Blocks whose terms are kept in memory for live searches.
const RECENT_BLOCKS: usize = 32;

/// The index of action terms. Its name is `search`.
#[derive(Debug, Default)]
pub struct SearchIndex {
    options: TermOptions,
    abis: Mutex<KnownAbis>,
    recent: Mutex<VecDeque<Arc<BlockTerms>>>,
    splitting: Mutex<Option<Splitting>>,
}

/// A chunk that is being split, so that its segments are not read again for each block.
#[derive(Debug, Clone)]
struct Splitting {
    /// After which block.
    block: BlockRef,
    chunk: u64,
    segments: Arc<[(u64, Segment)]>,
}

impl SearchIndex {
    /// With these terms. The options are part of the index: other ones need one built anew.
    pub fn new(options: TermOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Which terms there are.
    pub fn options(&self) -> &TermOptions {
        &self.options
    }

    /// The terms of a block that was indexed lately, on whatever branch.
    pub fn recent_terms(&self, id: Checksum256) -> Option<Arc<BlockTerms>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().rev().find(|terms| terms.block().id == id).cloned()
    }

    /// Writes the share of a chunk's lists that comes with a block.
    fn split_on(&self, context: &BlockContext<'_>, view: &View, delta: &mut DeltaBuilder, chunk: u64) -> Result<()> {
        let known = self.splitting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let segments = match known.filter(|known| (known.block, known.chunk) == (context.parent(), chunk)) {
            Some(known) => known.segments,
            None => segments(view, ordinals_of(chunk))?.into(),
        };
        let actions = context.global_sequences().map_or(0, |own| own.end() - own.start());
        if !split(view, delta, chunk, &segments, usize::try_from(actions).unwrap_or(usize::MAX))? {
            let next = Splitting { block: context.reference(), chunk, segments };
            *self.splitting.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        }
        Ok(())
    }

    fn terms(&self, context: &BlockContext<'_>, view: &View) -> Result<Arc<BlockTerms>> {
        // A cache can be used whatever happened to it.
        let mut cache = self.abis.lock().unwrap_or_else(PoisonError::into_inner);
        let mut abis = BlockAbis::after(context.parent(), view, &mut cache);
        abis.enter(context);
        let terms = Arc::new(BlockTerms::new(context, &self.options, &mut abis)?);
        abis.leave(context.reference());
        drop(cache);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT_BLOCKS {
            recent.pop_front();
        }
        recent.push_back(terms.clone());
        Ok(terms)
    }
}

impl Index for SearchIndex {
    fn name(&self) -> &'static str {
        "search"
    }

    fn schema_version(&self) -> u32 {
        VERSION
    }

    fn settings(&self) -> Option<Checksum256> {
        self.options.identity()
    }

    fn families(&self) -> &'static [Family] {
        &[POSTINGS, SEGMENTS, SPLITS]
    }

    /// What is not in lists yet goes by itself.
    fn kept(&self, family: Family) -> Option<Kept> {
        let aging = Aging::Actions(|key| read_key(key).map(|(_, chunk)| *ordinals_of(chunk).end()));
        (family == POSTINGS).then_some(Kept { parts: &[Part::Search], aging })
    }

    fn is_read_with_block_files(&self) -> bool {
        true
    }

    fn earlier_way(&self) -> EarlierWay {
        EarlierWay::Lists
    }

    fn join_earlier(&self, earlier: &View, own: &View, pass: JoinPass, put: &mut PutEntry<'_>) -> Result<()> {
        match pass {
            JoinPass::Before => earlier::join_ended(earlier, put),
            JoinPass::Between => {
                // What was read of the chunk is not all of it any more.
                self.splitting.lock().unwrap_or_else(PoisonError::into_inner).take();
                self.abis.lock().unwrap_or_else(PoisonError::into_inner).clear();
                earlier::join_shared(earlier, own, put)
            }
            JoinPass::After => Ok(()),
        }
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let mut delta = DeltaBuilder::new();
        let parts = self.terms(context, view)?.segments();
        let Some(((first, part), before)) = parts.split_last() else { return Ok(delta.build()) };
        let known = |direction| -> Result<Option<u64>> {
            view.first(SEGMENTS, &KeyRange::all(), direction)?.map(|(key, _)| ordinal(&key)).transpose()
        };
        let newest = known(Direction::Reverse)?;
        let (oldest, open) = (known(Direction::Forward)?.map(chunk_of), newest.map(chunk_of));
        // Chunks that have ended, before this block or with it, and are not split.
        let mut ended: Vec<_> =
            oldest.into_iter().chain(open).chain(before.iter().map(|(at, _)| chunk_of(*at))).collect();
        ended.retain(|chunk| *chunk != chunk_of(*first));
        ended.dedup();
        if let Some((last, others)) = ended.split_last() {
            // There is one at a time: others are split as a whole.
            for chunk in others {
                let mut all = segments(view, ordinals_of(*chunk))?;
                for (at, part) in before.iter().filter(|(at, _)| chunk_of(*at) == *chunk) {
                    all.push((*at, Segment::open(part.clone().into())?));
                }
                split(view, &mut delta, *chunk, &all, SPLIT_ACTIONS)?;
            }
            if Some(*last) == oldest && oldest != open {
                self.split_on(context, view, &mut delta, *last)?;
            }
            for (at, part) in before.iter().filter(|(at, _)| chunk_of(*at) == *last) {
                delta.put(SEGMENTS, at.to_be_bytes(), part);
            }
        }
        if let Some(newest) = newest.filter(|newest| chunk_of(*newest) == chunk_of(*first)) {
            merge_ended(view, &mut delta, newest, *first)?;
        }
        delta.put(SEGMENTS, first.to_be_bytes(), part);
        Ok(delta.build())
    }

    /// What is decoded with which ABI may be another now.
    fn abi_dump(&self, _: &AbiDump, _: &View) -> Result<Delta> {
        self.abis.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(Delta::default())
    }
}

/// Writes the lists of the next terms of a chunk that has ended: a share of them that grows with the number of actions in the
/// block. With the last ones its segments are removed, and it is true that all is written.
fn split(
    view: &View,
    delta: &mut DeltaBuilder,
    chunk: u64,
    segments: &[(u64, Segment)],
    actions: usize,
) -> Result<bool> {
    let key = chunk.to_be_bytes();
    let from = view.get(SPLITS, &key)?.unwrap_or_default();
    let merged: Vec<_> = segments.iter().map(|(_, segment)| segment.clone()).collect();
    // The terms of one segment tell what a share is.
    let mut to = None;
    if let Some(largest) = merged.iter().max_by_key(|segment| segment.len())
        && actions < SPLIT_ACTIONS
    {
        let share = (largest.len() * actions / SPLIT_ACTIONS).max(largest.len().div_ceil(SPLIT_BLOCKS));
        let next = largest.position(&from)? + share;
        if next < largest.len() {
            to = Some(largest.entry(next)?.0);
        }
    }
    let mut posting_key = Vec::new();
    merge(&merged, &from, to, |term, list| {
        posting_key.clear();
        put_key(&mut posting_key, term, chunk);
        delta.put(POSTINGS, &posting_key, posting::encode(list));
    })?;
    match to {
        Some(to) => delta.put(SPLITS, key, to),
        None => {
            segments.iter().for_each(|(first, _)| delta.delete(SEGMENTS, first.to_be_bytes()));
            if !from.is_empty() {
                delta.delete(SPLITS, key);
            }
        }
    }
    Ok(to.is_none())
}

/// Segments of the largest range that ends between the two ordinals become one.
fn merge_ended(view: &View, delta: &mut DeltaBuilder, last: u64, next: u64) -> Result<()> {
    let Some(bits) = MERGE_BITS.into_iter().find(|bits| last >> bits != next >> bits) else { return Ok(()) };
    let ended = segments(view, (last >> bits) << bits..=last)?;
    if let [(first, _), _, ..] = ended[..] {
        ended.iter().for_each(|(first, _)| delta.delete(SEGMENTS, first.to_be_bytes()));
        let segments: Vec<_> = ended.into_iter().map(|(_, segment)| segment).collect();
        let mut builder = SegmentBuilder::default();
        merge(&segments, b"", None, |term, list| builder.push(term, list))?;
        delta.put(SEGMENTS, first.to_be_bytes(), builder.finish());
    }
    Ok(())
}
