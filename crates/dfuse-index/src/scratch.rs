//! Writes of reversible blocks that do not fit into memory, in the scratch space.
//!
//! | key | value |
//! |---|---|
//! | 0, position of the keyspace (u16), key with 0 as 0 255 and 0 0 at its end, block number, segment (u32 each) | 0, or 1 and the value |
//! | 1, block id | what the indexes write for the block |
//!
//! The first kind serves reads: one seek finds the newest version of a key on a branch. The second is what is committed.
//! Oldest blocks are put here first, so along every branch these are below those in memory.

use bytes::Bytes;
use dfuse_antelope::Checksum256;
use dfuse_kv::{Direction, Entry, Hint, KeyRange, Keyspace, Scan, Snapshot, WriteBatch};

use crate::{
    Delta, DeltaBuilder, Error, Family, Result,
    branch::Place,
    codec::{ValueReader, put_varint},
    families::Families,
    sight::{LayerScan, Layered, Sight},
};

/// Space for what does not fit into memory, the only keyspace of its store.
pub(crate) const SCRATCH: Family = Family::new("scratch");
const SPACE: Keyspace = Keyspace::at(0);

const VERSION: u8 = 0;
const BLOCK: u8 = 1;
/// Longer and above any number and segment.
const ABOVE_ALL: [u8; 9] = [0xff; 9];

fn versions_of(keyspace: Keyspace, key: &[u8]) -> Vec<u8> {
    let mut prefix = family_prefix(keyspace).to_vec();
    for byte in key {
        prefix.push(*byte);
        if *byte == 0 {
            prefix.push(0xff);
        }
    }
    prefix.extend([0, 0]);
    prefix
}

/// A key that comes after them all.
fn after_versions_of(keyspace: Keyspace, key: &[u8]) -> Vec<u8> {
    [&versions_of(keyspace, key)[..], &ABOVE_ALL].concat()
}

fn family_prefix(keyspace: Keyspace) -> [u8; 3] {
    // Keyspaces are counted in 16 bits.
    let [.., high, low] = keyspace.position().to_be_bytes();
    [VERSION, high, low]
}

fn version_key(keyspace: Keyspace, key: &[u8], place: Place) -> Vec<u8> {
    let mut version = versions_of(keyspace, key);
    version.extend(place.number.to_be_bytes());
    version.extend(place.segment.to_be_bytes());
    version
}

fn block_key(id: Checksum256) -> Vec<u8> {
    [&[BLOCK][..], &id.0].concat()
}

pub(crate) fn damaged(why: &str) -> Error {
    Error::Damaged { family: SCRATCH.name(), why: why.into() }
}

/// Key and place of a version.
fn read_version(version: &[u8]) -> Result<(Vec<u8>, Place)> {
    let (rest, place) = version.split_last_chunk::<8>().ok_or_else(|| damaged("a short key"))?;
    let mut bytes = rest.iter().skip(family_prefix(Keyspace::at(0)).len()).copied();
    let mut key = Vec::with_capacity(rest.len());
    while let Some(byte) = bytes.next() {
        if byte == 0 && bytes.next() != Some(0xff) {
            break;
        }
        key.push(byte);
    }
    let place = u64::from_be_bytes(*place);
    Ok((key, Place { number: (place >> 32) as u32, segment: place as u32 }))
}

fn read_value(value: &Bytes) -> Result<Option<Bytes>> {
    match value.first() {
        Some(0) => Ok(None),
        Some(1) => Ok(Some(value.slice(1..))),
        _ => Err(damaged("a value without its kind")),
    }
}

/// Puts a block's writes into a batch.
pub(crate) fn put(
    batch: &mut WriteBatch,
    families: &Families,
    id: Checksum256,
    place: Place,
    deltas: &[Delta],
) -> Result<()> {
    let mut whole = Vec::new();
    put_varint(&mut whole, deltas.len() as u64);
    for delta in deltas {
        put_varint(&mut whole, delta.families().count() as u64);
        for (family, writes) in delta.families() {
            let keyspace = families.keyspace(family)?;
            put_varint(&mut whole, keyspace.position() as u64);
            put_varint(&mut whole, writes.len() as u64);
            for (key, value) in writes {
                put_varint(&mut whole, key.len() as u64);
                whole.extend_from_slice(key);
                put_varint(&mut whole, value.as_ref().map_or(0, |value| value.len() as u64 + 1));
                whole.extend(value.iter().flatten());
                let version = value.as_ref().map_or_else(|| vec![0], |value| [&[1], &value[..]].concat());
                batch.put(SPACE, version_key(keyspace, key, place), version);
            }
        }
    }
    batch.put(SPACE, block_key(id), whole);
    Ok(())
}

/// Reads a block's writes back.
pub(crate) fn read(snapshot: &dyn Snapshot, families: &Families, id: Checksum256) -> Result<Vec<Delta>> {
    let value = snapshot.get(SPACE, &block_key(id))?.ok_or_else(|| damaged("a block is missing"))?;
    let mut reader = ValueReader::new(SCRATCH, &value);
    let mut deltas = Vec::new();
    for _ in 0..reader.varint()? {
        let mut delta = DeltaBuilder::new();
        for _ in 0..reader.varint()? {
            let position = u16::try_from(reader.varint()?).map_err(|_| damaged("no such keyspace"))?;
            let family = families.family(Keyspace::at(position)).ok_or_else(|| damaged("no such keyspace"))?;
            for _ in 0..reader.varint()? {
                let length = reader.varint()? as usize;
                let key = reader.take(length)?;
                match (reader.varint()? as usize).checked_sub(1) {
                    Some(length) => delta.put(family, key, reader.take(length)?),
                    None => delta.delete(family, key),
                }
            }
        }
        deltas.push(delta.build());
    }
    reader.finish()?;
    Ok(deltas)
}

/// Removes a block's writes.
pub(crate) fn delete(
    batch: &mut WriteBatch,
    families: &Families,
    id: Checksum256,
    place: Place,
    deltas: &[Delta],
) -> Result<()> {
    for (family, writes) in deltas.iter().flat_map(Delta::families) {
        let keyspace = families.keyspace(family)?;
        for (key, _) in writes {
            batch.delete(SPACE, version_key(keyspace, key, place));
        }
    }
    batch.delete(SPACE, block_key(id));
    Ok(())
}

/// The newest write to `key` in sight: a value, or nothing for a deletion.
pub(crate) fn get(
    snapshot: &dyn Snapshot,
    keyspace: Keyspace,
    key: &[u8],
    sight: &Sight,
) -> Result<Option<Option<Bytes>>> {
    let versions = versions_of(keyspace, key);
    let newest = [&versions[..], &sight.branch.tip().to_be_bytes(), &[0xff; 4]].concat();
    for entry in snapshot.scan(SPACE, &KeyRange::new(versions..=newest), Direction::Reverse)? {
        let (version, value) = entry?;
        let (_, place) = read_version(&version)?;
        if sight.sees(place) {
            return read_value(&value).map(Some);
        }
        if place.number <= sight.committed {
            break;
        }
    }
    Ok(None)
}

/// What is in sight of a range of keys, in order.
pub(crate) struct ScratchScan {
    entries: Scan,
    keyspace: Keyspace,
    direction: Direction,
    sight: Sight,
    /// Of the key that comes next.
    next: Option<Entry>,
    started: bool,
}

impl ScratchScan {
    pub(crate) fn new(
        snapshot: &dyn Snapshot,
        keyspace: Keyspace,
        range: &KeyRange,
        direction: Direction,
        hint: Hint,
        sight: Sight,
    ) -> Result<Self> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let after = |key: &[u8]| after_versions_of(keyspace, key);
        let start = match range.start_bound() {
            Included(key) => versions_of(keyspace, key),
            Excluded(key) => after(key),
            Unbounded => family_prefix(keyspace).to_vec(),
        };
        let whole = KeyRange::prefix(family_prefix(keyspace).to_vec());
        let end = match range.end_bound() {
            Included(key) => Excluded(after(key)),
            Excluded(key) => Excluded(versions_of(keyspace, key)),
            Unbounded => whole.end_bound().map(<[u8]>::to_vec),
        };
        let range = KeyRange::new((Included(start), end));
        let entries = snapshot.scan_hinted(SPACE, &range, direction, hint)?;
        Ok(Self { entries, keyspace, direction, sight, next: None, started: false })
    }

    fn step(&mut self) -> Result<Option<Layered>> {
        if !self.started {
            self.started = true;
            self.next = self.entries.next().transpose()?;
        }
        while let Some((version, value)) = self.next.take() {
            let (key, mut place) = read_version(&version)?;
            let mut value = value;
            let mut found = None;
            loop {
                // Versions come in the order of their blocks, or against it.
                if self.sight.sees(place) && (found.is_none() || self.direction == Direction::Forward) {
                    found = Some(read_value(&value)?);
                }
                self.next = self.entries.next().transpose()?;
                let Some((version, next_value)) = &self.next else { break };
                let (next_key, next_place) = read_version(version)?;
                if next_key != key {
                    break;
                }
                (place, value) = (next_place, next_value.clone());
            }
            if let Some(value) = found {
                return Ok(Some((Bytes::from(key), value)));
            }
        }
        Ok(None)
    }
}

impl Iterator for ScratchScan {
    type Item = Result<Layered>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

impl LayerScan for ScratchScan {
    fn skip_to(&mut self, key: &[u8]) -> Result<()> {
        if let Some((version, _)) = &self.next
            && self.direction.reaches(&read_version(version)?.0, key)
        {
            return Ok(());
        }
        if self.started && self.next.is_none() {
            // It has ended.
            return Ok(());
        }
        self.started = false;
        self.next = None;
        Ok(self.entries.skip_to(&match self.direction {
            Direction::Forward => versions_of(self.keyspace, key),
            Direction::Reverse => after_versions_of(self.keyspace, key),
        })?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn versions_sort_as_their_keys(a: Vec<u8>, b: Vec<u8>, number: u32, segment: u32) {
            let place = Place { number, segment };
            let [version_a, version_b] = [&a, &b].map(|key| version_key(Keyspace::at(258), key, place));
            prop_assert_eq!(version_a.cmp(&version_b), a.cmp(&b));
            prop_assert_eq!(read_version(&version_a).unwrap(), (a, place));
        }
    }
}
