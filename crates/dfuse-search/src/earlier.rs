//! Lists of earlier actions, which join those that are there.
//!
//! Chunks that ended come as they are. The last one may have actions of both: its lists are made of both, or it gets one more
//! segment.

use bytes::Bytes;
use dfuse_index::{PutEntry, Result, View, blocks::SEQUENCES};
use dfuse_kv::{Direction, Entry, KeyRange};

use crate::{
    families::{POSTINGS, SEGMENTS, SPLITS},
    keys::{ordinal, ordinals_of, put_key, read_key, segments},
    posting::{self, chunk_of},
    segment::{Segment, SegmentBuilder, merge},
};

/// The chunks that are not split yet, and so are in segments as a whole: two at most.
fn open_chunks(view: &View) -> Result<Vec<u64>> {
    let keys = view.scan(SEGMENTS, &KeyRange::all(), Direction::Forward)?;
    let chunks = keys.map(|entry: Result<Entry>| entry.and_then(|(key, _)| ordinal(&key)).map(chunk_of));
    let mut chunks = chunks.collect::<Result<Vec<_>>>()?;
    chunks.dedup();
    Ok(chunks)
}

/// Hands each term of a chunk in segments to `take`, with its list.
fn lists_of(view: &View, chunk: u64, mut take: impl FnMut(&[u8], &[u32]) -> Result<()>) -> Result<()> {
    let all: Vec<Segment> = segments(view, ordinals_of(chunk))?.into_iter().map(|(_, segment)| segment).collect();
    let mut taken = Ok(());
    merge(&all, b"", None, |term, list| {
        if taken.is_ok() {
            taken = take(term, list);
        }
    })?;
    taken
}

fn key_of(term: &[u8], chunk: u64) -> Bytes {
    let mut key = Vec::new();
    put_key(&mut key, term, chunk);
    key.into()
}

/// Chunks that ended before the first own action.
pub(crate) fn join_ended(earlier: &View, put: &mut PutEntry<'_>) -> Result<()> {
    let open = open_chunks(earlier)?;
    for entry in earlier.scan(POSTINGS, &KeyRange::all(), Direction::Forward)? {
        let (key, value) = entry?;
        if !open.contains(&read_key(&key)?.1) {
            put(POSTINGS, key, Some(value))?;
        }
    }
    for &chunk in open.split_last().map_or(&[][..], |(_, ended)| ended) {
        lists_of(earlier, chunk, |term, list| put(POSTINGS, key_of(term, chunk), Some(posting::encode(list).into())))?;
    }
    Ok(())
}

/// The chunk that may have actions of both: the last one. `own` is without reversible blocks.
pub(crate) fn join_shared(earlier: &View, own: &View, put: &mut PutEntry<'_>) -> Result<()> {
    let Some(chunk) = open_chunks(earlier)?.pop() else { return Ok(()) };
    // Without an own action, those that are reversible go on in the chunk.
    let is_open = !segments(own, ordinals_of(chunk))?.is_empty()
        || own.first(SEQUENCES, &KeyRange::all(), Direction::Forward)?.is_none();
    // Terms below have their lists already; all have if there is no segment any more.
    let split_to = own.get(SPLITS, &chunk.to_be_bytes())?.unwrap_or_default();
    let mut segment = SegmentBuilder::default();
    lists_of(earlier, chunk, |term, list| {
        if is_open {
            segment.push(term, list);
        }
        if is_open && term >= &split_to[..] {
            return Ok(());
        }
        let key = key_of(term, chunk);
        let mut all = list.to_vec();
        if let Some(value) = own.get(POSTINGS, &key)? {
            all.extend(posting::decode(&value)?);
            all.sort_unstable();
            all.dedup();
        }
        put(POSTINGS, key, Some(posting::encode(&all).into()))
    })?;
    let first = segments(earlier, ordinals_of(chunk))?.first().map(|(first, _)| *first);
    match first.filter(|_| is_open) {
        Some(first) => put(SEGMENTS, Bytes::copy_from_slice(&first.to_be_bytes()), Some(segment.finish().into())),
        None => Ok(()),
    }
}
