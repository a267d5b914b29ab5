//! Lists of a table's primary keys, so that a table at an old height costs what it had then, not what it ever had.
//!
//! The keys of a table at a height are among those of any later height and those removed between the two. Every removal
//! is noted by block; once a table has lost as many rows as it has, the keys that it has are written down. So for any
//! height the next list (or the rows that are there now) and the removals up to it are few, and they cost
//! a few bytes for each removal to write.

use std::collections::BTreeMap;

use dfuse_index::{
    DeltaBuilder, Result, View, ViewScan,
    codec::{ValueReader, put_varint},
};
use dfuse_kv::{Bytes, Direction, Hint, KeyRange};

use super::{
    families::{ROW_CURRENT, ROW_KEYS, ROW_REMOVALS},
    range::RowRange,
};
use crate::{
    TableKey,
    table::{TABLE_BYTES, Version},
};

/// Keys of one entry of a list.
const ENTRY_KEYS: usize = 1024;

/// Table, block number, primary key.
fn place(table: TableKey, number: u32, primary_key: u64) -> [u8; TABLE_BYTES + 12] {
    let mut bytes = [0; TABLE_BYTES + 12];
    bytes[..TABLE_BYTES].copy_from_slice(&table.to_bytes());
    bytes[TABLE_BYTES..TABLE_BYTES + 4].copy_from_slice(&number.to_be_bytes());
    bytes[TABLE_BYTES + 4..].copy_from_slice(&primary_key.to_be_bytes());
    bytes
}

/// Block number and primary key of a [`place`].
fn read_place(key: &[u8]) -> Result<(u32, u64)> {
    let mut reader = ValueReader::new(ROW_KEYS, key);
    reader.take(TABLE_BYTES)?;
    let place = (reader.u32()?, reader.u64()?);
    reader.finish()?;
    Ok(place)
}

/// What a block changes in the keys of a table. Versions are those that it writes, or removes.
#[derive(Default)]
pub(super) struct KeyChanges {
    pub(super) written: Vec<(u64, Version)>,
    pub(super) removed: Vec<(u64, Version)>,
}

impl KeyChanges {
    /// Notes what was removed, and lists the keys that the table has if it is time.
    pub(super) fn note(
        &self,
        delta: &mut DeltaBuilder,
        view: &View,
        table: TableKey,
        number: u32,
        interval: u64,
    ) -> Result<()> {
        if self.removed.is_empty() {
            return Ok(());
        }
        let last = view.first(ROW_REMOVALS, &KeyRange::prefix(table.to_bytes().to_vec()), Direction::Reverse)?;
        let before = last.map_or(Ok(0), |(_, value)| ValueReader::new(ROW_REMOVALS, &value).varint())?;
        let mut since = before + self.removed.len() as u64;
        // Whenever the count has doubled: looking costs about as much as listing.
        let doublings = |count: u64| (count / interval).checked_ilog2();
        if doublings(since) > doublings(before)
            && let Some(keys) = self.present_keys(view, table, since)?
        {
            put_list(delta, table, number, &keys);
            since = 0;
        }
        let mut value = Vec::new();
        for (key, version) in &self.removed {
            value.clear();
            put_varint(&mut value, since);
            version.encode(&mut value);
            delta.put(ROW_REMOVALS, place(table, number, *key), &value);
        }
        Ok(())
    }

    /// The keys that the table has after the block, unless they are more than `limit` (about).
    fn present_keys(&self, view: &View, table: TableKey, limit: u64) -> Result<Option<BTreeMap<u64, Version>>> {
        let mut keys: BTreeMap<_, _> = self.written.iter().copied().collect();
        for entry in
            view.scan_hinted(ROW_CURRENT, &KeyRange::prefix(table.to_bytes().to_vec()), Direction::Forward, Hint::Many)?
        {
            let (key, value) = entry?;
            let version = Version::decode(&mut ValueReader::new(ROW_CURRENT, &value))?;
            keys.entry(primary_key(&key)?).or_insert(version);
            if keys.len() as u64 > limit {
                return Ok(None);
            }
        }
        for (key, _) in &self.removed {
            keys.remove(key);
        }
        Ok(Some(keys))
    }
}

/// The primary key in a row's key.
pub(super) fn primary_key(key: &[u8]) -> Result<u64> {
    let mut reader = ValueReader::new(ROW_CURRENT, key);
    reader.take(TABLE_BYTES)?;
    reader.u64()
}

/// An empty list has an entry too, for key 0.
fn put_list(delta: &mut DeltaBuilder, table: TableKey, number: u32, keys: &BTreeMap<u64, Version>) {
    let keys: Vec<_> = keys.iter().collect();
    if keys.is_empty() {
        delta.put(ROW_KEYS, place(table, number, 0), []);
    }
    for keys in keys.chunks(ENTRY_KEYS) {
        let mut value = Vec::new();
        let first = *keys[0].0;
        let mut last = first;
        for (key, version) in keys {
            put_varint(&mut value, *key - last);
            version.encode(&mut value);
            last = **key;
        }
        delta.put(ROW_KEYS, place(table, number, first), value);
    }
}

/// The block of the first list of a table's keys at or after a height.
pub(super) fn next_list(view: &View, table: TableKey, number: u32) -> Result<Option<u32>> {
    let range = KeyRange::new(place(table, number, 0)..=place(table, u32::MAX, u64::MAX));
    let entry = view.first(ROW_KEYS, &range, Direction::Forward)?;
    entry.map(|(key, _)| Ok(read_place(&key)?.0)).transpose()
}

/// The keys of a list that are in a range, in its order.
pub(super) struct ListedKeys {
    scan: ViewScan,
    range: RowRange,
    /// Of the entry at hand; the next one last.
    keys: Vec<(u64, Version)>,
}

impl ListedKeys {
    pub(super) fn new(view: &View, table: TableKey, number: u32, range: RowRange) -> Result<Self> {
        // The entry that holds the first key of the range may begin before it.
        let first = KeyRange::new(place(table, number, 0)..=place(table, number, *range.keys.start()));
        let first = view.first(ROW_KEYS, &first, Direction::Reverse)?;
        let start = first.map_or(Ok(*range.keys.start()), |(key, _)| read_place(&key).map(|(_, key)| key))?;
        let entries = KeyRange::new(place(table, number, start)..=place(table, number, *range.keys.end()));
        let scan = view.scan(ROW_KEYS, &entries, range.direction)?;
        Ok(Self { scan, range, keys: Vec::new() })
    }

    pub(super) fn next(&mut self) -> Result<Option<(u64, Version)>> {
        loop {
            while let Some(listed) = self.keys.pop() {
                if self.range.keys.contains(&listed.0) {
                    return Ok(Some(listed));
                }
            }
            let Some((key, value)) = self.scan.next().transpose()? else { return Ok(None) };
            self.read_entry(&key, &value)?;
        }
    }

    fn read_entry(&mut self, key: &Bytes, value: &Bytes) -> Result<()> {
        let (_, mut last) = read_place(key)?;
        let mut reader = ValueReader::new(ROW_KEYS, value);
        while !reader.rest().is_empty() {
            last = last.checked_add(reader.varint()?).ok_or_else(|| reader.damaged("a key over 64 bits"))?;
            self.keys.push((last, Version::decode(&mut reader)?));
        }
        if self.range.direction == Direction::Forward {
            self.keys.reverse();
        }
        Ok(())
    }
}

/// Keys of a range that were removed between two heights, in the range's order, each once, with the versions that were removed
/// first.
pub(super) struct RemovedKeys {
    view: View,
    /// Of all removals between the heights.
    removals: KeyRange,
    rest: Option<RowRange>,
    direction: Direction,
    window: BTreeMap<u64, Version>,
    /// Keys that are held at a time.
    size: usize,
}

impl RemovedKeys {
    /// After the block `from`, up to the block `to`.
    pub(super) fn new(view: &View, table: TableKey, from: u32, to: u32, range: RowRange, size: usize) -> Self {
        let removals = KeyRange::new(place(table, from.saturating_add(1), 0)..=place(table, to, u64::MAX));
        let direction = range.direction;
        Self { view: view.clone(), removals, rest: Some(range), direction, window: BTreeMap::new(), size }
    }

    pub(super) fn next(&mut self) -> Result<Option<(u64, Version)>> {
        if self.window.is_empty() {
            self.fill()?;
        }
        Ok(match self.direction {
            Direction::Forward => self.window.pop_first(),
            Direction::Reverse => self.window.pop_last(),
        })
    }

    /// The next keys; the removals are read again for every window.
    fn fill(&mut self) -> Result<()> {
        let Some(range) = self.rest.take() else { return Ok(()) };
        let mut more = None;
        for entry in self.view.scan_hinted(ROW_REMOVALS, &self.removals, Direction::Forward, Hint::Many)? {
            let (key, value) = entry?;
            let (_, key) = read_place(&key)?;
            if !range.keys.contains(&key) {
                continue;
            }
            let mut reader = ValueReader::new(ROW_REMOVALS, &value);
            reader.varint()?;
            self.window.entry(key).or_insert(Version::decode(&mut reader)?);
            if self.window.len() > self.size {
                match self.direction {
                    Direction::Forward => self.window.pop_last(),
                    Direction::Reverse => self.window.pop_first(),
                };
                more = match self.direction {
                    Direction::Forward => self.window.last_key_value(),
                    Direction::Reverse => self.window.first_key_value(),
                }
                .map(|(key, _)| *key);
            }
        }
        self.rest = more.and_then(|last| range.after(last));
        Ok(())
    }
}
