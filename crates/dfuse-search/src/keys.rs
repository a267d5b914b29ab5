//! Keys of lists and of segments.

use std::ops::RangeInclusive;

use dfuse_index::{Result, View, codec::ValueReader};
use dfuse_kv::{Direction, Entry, KeyRange};

use crate::{
    families::{POSTINGS, SEGMENTS},
    field::{DATA, END, EVENT, PRESENCE},
    posting::CHUNK_BITS,
    segment::Segment,
};

pub(crate) fn ordinal(key: &[u8]) -> Result<u64> {
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

/// Appends the key of a term's list of a chunk: the term, how many bytes the chunk takes, and those, big endian.
pub(crate) fn put_key(key: &mut Vec<u8>, term: &[u8], chunk: u64) {
    let unused = chunk.leading_zeros() as usize / 8;
    key.extend_from_slice(term);
    key.push(8 - unused as u8);
    key.extend_from_slice(&chunk.to_be_bytes()[unused..]);
}

/// Term and chunk of any key.
pub(crate) fn read_key(key: &[u8]) -> Result<(&[u8], u64)> {
    let mut ends = key.iter().enumerate().filter(|(_, byte)| **byte == END).map(|(at, _)| at + 1);
    // A term has one 0, and one more behind its path.
    let field = if key.first() == Some(&PRESENCE) { key.get(1) } else { key.first() };
    let has_path = matches!(field, Some(&DATA | &EVENT));
    let split = ends.nth(usize::from(has_path)).and_then(|end| key.split_at_checked(end));
    let split = split.and_then(|(term, chunk)| Some((term, read_chunk(chunk)?)));
    split.ok_or_else(|| ValueReader::new(POSTINGS, key).damaged("a key without a chunk"))
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
    use crate::field::{Field, INDEXED, TRANSACTION_START};

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

        #[test]
        fn keys_are_taken_apart(chunk: u64, value: Vec<u8>, path in "[a-z.\\x00\\x01]{1,4}") {
            let fields = [Field::Receiver, Field::Status, Field::Data(path.clone()), Field::Event(path)];
            let of_fields = fields.iter().flat_map(|field| [field.term(&value), field.presence()]);
            for term in of_fields.chain([INDEXED.to_vec(), TRANSACTION_START.to_vec()]) {
                let mut key = Vec::new();
                put_key(&mut key, &term, chunk);
                prop_assert_eq!(read_key(&key).unwrap(), (&term[..], chunk));
                prop_assert!(read_key(&term).is_err());
            }
        }
    }
}
