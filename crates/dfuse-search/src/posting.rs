//! Lists of ordinals within one chunk, as bytes.
//!
//! The ordinal of an action is its global sequence; a chunk is 65,536 of them, so that a list holds the low 16 bits. A short
//! or clustered list is its varints: twice the first value, then the distance to each next one less one. Where that would be
//! longer, it is the byte 1 and a serialized roaring bitmap.

use dfuse_index::{
    Result,
    codec::{ValueReader, put_varint},
};
use roaring::RoaringBitmap;

use crate::families::POSTINGS;

/// Bits of an ordinal within its chunk.
pub(crate) const CHUNK_BITS: u32 = 16;

const BITMAP: u8 = 1;
/// Bytes of a roaring bitmap beside its values, at least.
const HEADER_BYTES: usize = 12;
/// Bytes of all bits of a chunk.
pub(crate) const BITMAP_BYTES: usize = 1 << (CHUNK_BITS - 3);

/// The chunk of an ordinal.
pub(crate) fn chunk_of(ordinal: u64) -> u64 {
    ordinal >> CHUNK_BITS
}

/// An ordinal within its chunk.
pub(crate) fn low(ordinal: u64) -> u32 {
    (ordinal & ((1 << CHUNK_BITS) - 1)) as u32
}

/// The list as varints; `list` ascends strictly.
pub(crate) fn put_list(out: &mut Vec<u8>, list: &[u32]) {
    let mut last = None;
    for &value in list {
        match last.replace(value) {
            None => put_varint(out, u64::from(value) << 1),
            Some(last) => put_varint(out, u64::from(value - last - 1)),
        }
    }
}

/// The list in whichever form is shorter.
pub(crate) fn encode(list: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    put_list(&mut out, list);
    // What a bitmap takes at least: its header, and runs of 4 bytes each or all of the chunk's bits.
    let runs = 1 + list.windows(2).filter(|pair| pair[1] - pair[0] > 1).count();
    if out.len() > BITMAP_BYTES.min(HEADER_BYTES + 4 * runs) {
        let mut bitmap = bitmap_of(list);
        bitmap.optimize();
        if bitmap.serialized_size() + 1 < out.len() {
            out.clear();
            out.push(BITMAP);
            // Writing to a vector does not fail.
            let written = bitmap.serialize_into(&mut out);
            debug_assert!(written.is_ok());
        }
    }
    out
}

/// The values, all of one chunk, as a set.
pub(crate) fn bitmap_of(list: &[u32]) -> RoaringBitmap {
    // Beyond this a container is a set of bits, of which each push would look for the last one.
    const ARRAY_VALUES: usize = 4096;
    if list.len() <= ARRAY_VALUES
        && let Ok(bitmap) = RoaringBitmap::from_sorted_iter(list.iter().copied())
    {
        return bitmap;
    }
    let mut bits = [0u8; BITMAP_BYTES];
    for value in list {
        if let Some(byte) = bits.get_mut((value / 8) as usize) {
            *byte |= 1 << (value % 8);
        }
    }
    RoaringBitmap::from_lsb0_bytes(0, &bits)
}

/// Appends the values of a list of varints.
pub(crate) fn read_list(bytes: &[u8], list: &mut Vec<u32>) -> Result<()> {
    let mut reader = ValueReader::new(POSTINGS, bytes);
    let first = reader.varint()?;
    let mut value = first >> 1;
    if first & 1 != 0 {
        return Err(reader.damaged("not a list"));
    }
    loop {
        if value >> CHUNK_BITS != 0 {
            return Err(reader.damaged("an ordinal beyond its chunk"));
        }
        list.push(value as u32);
        if reader.rest().is_empty() {
            return Ok(());
        }
        value = value.saturating_add(reader.varint()?).saturating_add(1);
    }
}

/// Reads either form.
pub(crate) fn decode(bytes: &[u8]) -> Result<RoaringBitmap> {
    let damaged = |why: &str| ValueReader::new(POSTINGS, bytes).damaged(why);
    match bytes.split_first() {
        Some((&BITMAP, bitmap)) => {
            let bitmap = RoaringBitmap::deserialize_from(bitmap).map_err(|error| damaged(&error.to_string()))?;
            match bitmap.max() {
                Some(last) if last >> CHUNK_BITS == 0 => Ok(bitmap),
                _ => Err(damaged("an empty list, or an ordinal beyond its chunk")),
            }
        }
        _ => {
            let mut list = Vec::with_capacity(bytes.len());
            read_list(bytes, &mut list)?;
            Ok(bitmap_of(&list))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list() -> impl Strategy<Value = Vec<u32>> {
        let sparse = prop::collection::btree_set(0..1u32 << CHUNK_BITS, 1..300);
        let dense = (0..30_000u32, 1..30_000u32, 1..7u32);
        let dense = dense.prop_map(|(from, count, step)| (from..from + count).filter(|v| v % 7 < step).collect());
        prop_oneof![sparse, dense]
            .prop_map(|set| set.into_iter().collect::<Vec<_>>())
            .prop_filter("", |l| !l.is_empty())
    }

    proptest! {
        #[test]
        fn lists_round_trip(list in list()) {
            let encoded = encode(&list);
            prop_assert!(encoded.len() <= 8300, "{}", encoded.len());
            prop_assert_eq!(decode(&encoded).unwrap().iter().collect::<Vec<_>>(), &list[..]);
            let (mut varints, mut again) = (Vec::new(), Vec::new());
            put_list(&mut varints, &list);
            read_list(&varints, &mut again).unwrap();
            prop_assert_eq!(&again, &list);
            prop_assert!(encoded.len() <= varints.len());
        }

        #[test]
        fn any_bytes_are_a_list_or_an_error(bytes: Vec<u8>) {
            if let Ok(bitmap) = decode(&bytes) {
                prop_assert!(bitmap.max().unwrap() < 1 << CHUNK_BITS);
            }
        }
    }

    #[test]
    fn tiny_and_full_lists_are_tiny() {
        assert_eq!(encode(&[5]), [10]);
        assert_eq!(encode(&[5, 6, 8]), [10, 0, 1]);
        assert!(encode(&(0..1 << CHUNK_BITS).collect::<Vec<_>>()).len() < 32);
        assert!(decode(&[]).is_err());
    }
}
