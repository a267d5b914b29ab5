//! The index of action terms.
//!
//! Lists of ordinals by term are what queries read, but a list cannot be added to without writing it again. So new blocks
//! are kept as [segments](crate::segment), a key each. Segments of successive blocks are merged when the range of ordinals
//! that they are in has ended: 2^8 ordinals, then 2^12; with the end of a chunk of 2^16 its segments become the lists of
//! their terms. Every term is thus written four times in all, and what the store has follows from the blocks alone, however
//! many of them are committed at once.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use dfuse_antelope::{AbiDump, Checksum256};
use dfuse_index::{BlockContext, Delta, DeltaBuilder, Family, Index, Result, View, codec::ValueReader};
use dfuse_kv::{Direction, Entry, KeyRange};

use crate::{
    posting::{self, CHUNK_BITS, chunk_of},
    segment::{Segment, SegmentBuilder, merge},
    terms::{AbiCache, BlockAbis, BlockTerms, TermOptions},
};

/// Term and chunk to the ordinals of the actions that have the term.
pub const POSTINGS: Family = Family::new("posting");
/// First ordinal to the terms of the actions from there on that are in no chunk yet.
pub const SEGMENTS: Family = Family::new("posting-segment");

/// Segments are merged when so many low bits of their ordinals have come to an end.
const MERGE_BITS: [u32; 2] = [12, 8];
const VERSION: u32 = 1;
/// Blocks whose terms are kept in memory for live searches.
const RECENT_BLOCKS: usize = 32;

/// The index of action terms. Its name is `search`.
#[derive(Debug, Default)]
pub struct SearchIndex {
    options: TermOptions,
    abis: Mutex<AbiCache>,
    recent: Mutex<VecDeque<Arc<BlockTerms>>>,
}

impl SearchIndex {
    /// With these terms. The options are part of the schema version: other ones need an index built anew.
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
        self.options.fingerprint() << 16 | VERSION
    }

    fn families(&self) -> &'static [Family] {
        &[POSTINGS, SEGMENTS]
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let mut delta = DeltaBuilder::new();
        let segments = self.terms(context, view)?.segments();
        let Some(((first, newest), ended)) = segments.split_last() else { return Ok(delta.build()) };
        let last = view.first(SEGMENTS, &KeyRange::all(), Direction::Reverse)?;
        let mut last = last.map(|(key, _)| ordinal(&key)).transpose()?;
        // Of a block that goes over the end of a chunk, what is before the end.
        for (first, segment) in ended {
            let mut of_chunk = Vec::new();
            if let Some(last) = last.take() {
                of_chunk = take_chunk(view, &mut delta, chunk_of(last))?;
                if chunk_of(last) != chunk_of(*first) {
                    put_chunk(&mut delta, chunk_of(last), &std::mem::take(&mut of_chunk))?;
                }
            }
            of_chunk.push(Segment::open(segment.clone().into())?);
            put_chunk(&mut delta, chunk_of(*first), &of_chunk)?;
        }
        match last {
            Some(last) if chunk_of(last) == chunk_of(*first) => merge_ended(view, &mut delta, last, *first)?,
            Some(last) => {
                let of_chunk = take_chunk(view, &mut delta, chunk_of(last))?;
                put_chunk(&mut delta, chunk_of(last), &of_chunk)?;
            }
            None => {}
        }
        delta.put(SEGMENTS, first.to_be_bytes(), newest);
        Ok(delta.build())
    }

    /// What is decoded with which ABI may be another now.
    fn abi_dump(&self, _: &AbiDump, _: &View) -> Result<Delta> {
        self.abis.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(Delta::default())
    }
}

fn ordinal(key: &[u8]) -> Result<u64> {
    ValueReader::new(SEGMENTS, key).u64()
}

/// The segments that begin in the range, in ascending order.
pub(crate) fn segments(view: &View, ordinals: RangeInclusive<u64>) -> Result<Vec<(u64, Segment)>> {
    let range = KeyRange::new(ordinals.start().to_be_bytes()..=ordinals.end().to_be_bytes());
    let entries = view.scan(SEGMENTS, &range, Direction::Forward)?;
    let segment = |entry: Result<Entry>| entry.and_then(|(key, value)| Ok((ordinal(&key)?, Segment::open(value)?)));
    entries.map(segment).collect()
}

/// Ordinals of a chunk.
pub(crate) fn ordinals_of(chunk: u64) -> RangeInclusive<u64> {
    let first = chunk << CHUNK_BITS;
    first..=first | ((1 << CHUNK_BITS) - 1)
}

/// The segments of a chunk, which are removed.
fn take_chunk(view: &View, delta: &mut DeltaBuilder, chunk: u64) -> Result<Vec<Segment>> {
    Ok(remove(delta, segments(view, ordinals_of(chunk))?))
}

fn remove(delta: &mut DeltaBuilder, segments: Vec<(u64, Segment)>) -> Vec<Segment> {
    segments.iter().for_each(|(first, _)| delta.delete(SEGMENTS, first.to_be_bytes()));
    segments.into_iter().map(|(_, segment)| segment).collect()
}

/// The lists of a chunk that has ended.
fn put_chunk(delta: &mut DeltaBuilder, chunk: u64, segments: &[Segment]) -> Result<()> {
    let mut key = Vec::new();
    merge(segments, |term, list| {
        key.clear();
        put_key(&mut key, term, chunk);
        delta.put(POSTINGS, &key, posting::encode(list));
    })
}

/// Segments of the largest range that ends between the two ordinals become one.
fn merge_ended(view: &View, delta: &mut DeltaBuilder, last: u64, next: u64) -> Result<()> {
    let Some(bits) = MERGE_BITS.into_iter().find(|bits| last >> bits != next >> bits) else { return Ok(()) };
    let ended = segments(view, (last >> bits) << bits..=last)?;
    if let [(first, _), _, ..] = ended[..] {
        let segments = remove(delta, ended);
        let mut builder = SegmentBuilder::default();
        merge(&segments, |term, list| builder.push(term, list))?;
        delta.put(SEGMENTS, first.to_be_bytes(), builder.finish());
    }
    Ok(())
}

/// Appends the key of a term's list of a chunk: the term, how many bytes the chunk takes, and those, big endian.
pub(crate) fn put_key(key: &mut Vec<u8>, term: &[u8], chunk: u64) {
    let unused = chunk.leading_zeros() as usize / 8;
    key.extend_from_slice(term);
    key.push(8 - unused as u8);
    key.extend_from_slice(&chunk.to_be_bytes()[unused..]);
}

/// The chunk at the end of a key, after the term.
pub(crate) fn read_chunk(bytes: &[u8]) -> Option<u64> {
    let (length, rest) = bytes.split_first()?;
    let mut chunk = [0; 8];
    chunk.get_mut(8usize.checked_sub(rest.len())?..)?.copy_from_slice(rest);
    (rest.len() == usize::from(*length)).then(|| u64::from_be_bytes(chunk))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_in_the_order_of_chunks(a: u64, b: u64, bits in (0..64u32, 0..64u32)) {
            let (a, b) = (a >> bits.0, b >> bits.1);
            let key = |chunk| {
                let mut key = Vec::new();
                put_key(&mut key, b"t\0", chunk);
                key
            };
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert_eq!(read_chunk(&key(a)[2..]), Some(a));
            prop_assert_eq!(read_chunk(&key(a)[1..]), None);
        }
    }
}
