//! Segments: the terms of some successive actions, sorted, with their lists. One key of the store holds one segment.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | count of terms, little-endian |
//! | 4 each | end of each term's entry, counted from the first one |
//! | | the entries: length of the term (varint), term, list of low ordinals as varints |

use bytes::Bytes;
use dfuse_index::{
    Result,
    codec::{ValueReader, put_varint},
};

use crate::{families::SEGMENTS, posting};

/// Terms in ascending order with their lists.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    bytes: Bytes,
    count: usize,
}

/// Puts a segment together.
#[derive(Debug, Default)]
pub(crate) struct SegmentBuilder {
    ends: Vec<u8>,
    entries: Vec<u8>,
}

impl SegmentBuilder {
    /// The next term; terms must ascend.
    pub(crate) fn push(&mut self, term: &[u8], list: &[u32]) {
        put_varint(&mut self.entries, term.len() as u64);
        self.entries.extend_from_slice(term);
        posting::put_list(&mut self.entries, list);
        self.ends.extend((self.entries.len() as u32).to_le_bytes());
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let count = (self.ends.len() / 4) as u32;
        [&count.to_le_bytes()[..], &self.ends, &self.entries].concat()
    }
}

fn damaged(why: &str) -> dfuse_index::Error {
    ValueReader::new(SEGMENTS, &[]).damaged(why)
}

impl Segment {
    pub(crate) fn open(bytes: Bytes) -> Result<Self> {
        let count = bytes.first_chunk().map(|count| u32::from_le_bytes(*count) as usize);
        let count = count.filter(|count| bytes.len().saturating_sub(4) / 4 >= *count);
        Ok(Self { count: count.ok_or_else(|| damaged("it ends too early"))?, bytes })
    }

    /// Number of terms.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn end(&self, at: usize) -> Result<usize> {
        let end = self.bytes.get(4 + 4 * at..).and_then(|rest| rest.first_chunk());
        Ok(u32::from_le_bytes(*end.ok_or_else(|| damaged("it ends too early"))?) as usize)
    }

    /// A term and its list.
    pub(crate) fn entry(&self, at: usize) -> Result<(&[u8], &[u8])> {
        let start = if at == 0 { 0 } else { self.end(at - 1)? };
        let entries = self.bytes.get(4 + 4 * self.count..).unwrap_or_default();
        let entry = entries.get(start..self.end(at)?).ok_or_else(|| damaged("entries cross"))?;
        let mut reader = ValueReader::new(SEGMENTS, entry);
        let length = reader.varint()? as usize;
        let term = reader.take(length)?;
        Ok((term, reader.rest()))
    }

    /// Position of the first term that is not below `term`.
    pub(crate) fn position(&self, term: &[u8]) -> Result<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.0 < term {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The list of a term.
    pub(crate) fn find(&self, term: &[u8]) -> Result<Option<&[u8]>> {
        let at = self.position(term)?;
        if at == self.count {
            return Ok(None);
        }
        let (found, list) = self.entry(at)?;
        Ok((found == term).then_some(list))
    }

    /// Terms that begin with `prefix`, with their lists.
    pub(crate) fn with_prefix<'a>(
        &'a self,
        prefix: &'a [u8],
    ) -> Result<impl Iterator<Item = Result<(&'a [u8], &'a [u8])>>> {
        let entries = (self.position(prefix)?..self.count).map(|at| self.entry(at));
        Ok(entries.take_while(move |entry| entry.as_ref().map_or(true, |(term, _)| term.starts_with(prefix))))
    }
}

/// Terms of the segments from `from` on and below `to`, in ascending order, each with its whole list. Segments are in the
/// order of their ordinals.
pub(crate) fn merge(
    segments: &[Segment],
    from: &[u8],
    to: Option<&[u8]>,
    mut take: impl FnMut(&[u8], &[u32]),
) -> Result<()> {
    let mut entries = Vec::new();
    for segment in segments {
        let end = to.map_or(Ok(segment.len()), |to| segment.position(to))?;
        for at in segment.position(from)?..end {
            entries.push(segment.entry(at)?);
        }
    }
    // Stable: lists of one term stay in the order of segments.
    entries.sort_by_key(|(term, _)| *term);
    let mut list = Vec::new();
    for lists in entries.chunk_by(|(term, _), (next, _)| term == next) {
        list.clear();
        for (_, bytes) in lists {
            posting::read_list(bytes, &mut list)?;
        }
        if !list.is_sorted_by(|a, b| a < b) {
            list.sort_unstable();
            list.dedup();
        }
        take(lists[0].0, &list);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Terms = BTreeMap<Vec<u8>, Vec<u32>>;

    fn build(terms: &Terms) -> Segment {
        let mut builder = SegmentBuilder::default();
        terms.iter().for_each(|(term, list)| builder.push(term, list));
        Segment::open(builder.finish().into()).unwrap()
    }

    fn terms() -> impl Strategy<Value = Terms> {
        let list = prop::collection::btree_set(0..1000u32, 1..5).prop_map(|set| set.into_iter().collect());
        prop::collection::btree_map(prop::collection::vec(0..4u8, 0..4), list, 0..30)
    }

    proptest! {
        #[test]
        fn terms_are_found(terms in terms(), wanted in prop::collection::vec(0..4u8, 0..3)) {
            let segment = build(&terms);
            let read = |bytes: &[u8]| { let mut list = Vec::new(); posting::read_list(bytes, &mut list).unwrap(); list };
            prop_assert_eq!(segment.find(&wanted).unwrap().map(read), terms.get(&wanted).cloned());
            let found: Terms = segment.with_prefix(&wanted).unwrap()
                .map(|entry| entry.map(|(term, list)| (term.to_vec(), read(list))).unwrap()).collect();
            let expected: Terms = terms.iter().filter(|(term, _)| term.starts_with(&wanted))
                .map(|(term, list)| (term.clone(), list.clone())).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn merged_is_everything(
            terms in prop::collection::vec(terms(), 0..4),
            split in prop::collection::vec(0..4u8, 0..3),
        ) {
            let mut expected = Terms::new();
            let mut segments = Vec::new();
            for (terms, base) in terms.into_iter().zip((0..).step_by(1000)) {
                let terms: Terms = terms.into_iter()
                    .map(|(term, list)| (term, list.into_iter().map(|value| value + base).collect())).collect();
                segments.push(build(&terms));
                terms.into_iter().for_each(|(term, list)| expected.entry(term).or_default().extend(list));
            }
            let mut found = Vec::new();
            for (from, to) in [(&[][..], Some(&split[..])), (&split, None)] {
                merge(&segments, from, to, |term, list| found.push((term.to_vec(), list.to_vec()))).unwrap();
                prop_assert!(found.iter().all(|(term, _)| to.is_none_or(|to| &term[..] < to)));
            }
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_an_error_at_worst(bytes: Vec<u8>, count in 0..20u32) {
            for bytes in [bytes.clone(), [&count.to_le_bytes()[..], &bytes].concat()] {
                if let Ok(segment) = Segment::open(bytes.into()) {
                    let _ = segment.find(b"x");
                    let _ = merge(&[segment], b"", None, |_, _| ());
                }
            }
        }
    }
}
