//! Families whose keys end in an inverted block number, so that the newest version of a key comes first. An empty value
//! says that from this block on nothing is there.

use bytes::Bytes;
use dfuse_index::{Family, Result, View, ViewScan, codec::ValueReader};
use dfuse_kv::{Direction, Entry, KeyRange};

/// Bytes of a version in a key.
pub(crate) const VERSION_BYTES: usize = 4;

/// Versions of one key that are passed before a seek: making one costs as much as some tens of steps.
const MAX_STEPS: usize = 24;

/// The key of the version of that block.
pub(crate) fn versioned(key: &[u8], number: u32) -> Vec<u8> {
    [key, &(!number).to_be_bytes()].concat()
}

/// A key's bytes without its version, and its block number.
pub(crate) fn split(family: Family, key: &Bytes) -> Result<(Bytes, u32)> {
    let at = key.len().saturating_sub(VERSION_BYTES);
    let number = !ValueReader::new(family, &key[at..]).u32()?;
    Ok((key.slice(..at), number))
}

/// Block and value of the newest version of a key at or below a height: one seek.
pub(crate) fn newest(view: &View, family: Family, key: &[u8], number: u32) -> Result<Option<(u32, Bytes)>> {
    let range = KeyRange::new(versioned(key, number)..=versioned(key, 0));
    let Some((key, value)) = view.first(family, &range, Direction::Forward)? else { return Ok(None) };
    Ok(Some((split(family, &key)?.1, value)))
}

/// The keys of a range with the newest version of each at or below a height.
pub(crate) struct Newest {
    view: View,
    family: Family,
    /// Of keys with versions.
    range: KeyRange,
    number: u32,
    direction: Direction,
    scan: ViewScan,
    /// The first entry of the next key.
    next: Option<Entry>,
}

/// A key, and the block and value that it has at a height; absent before its first version.
pub(crate) type AtHeight = (Bytes, Option<(u32, Bytes)>);

impl Newest {
    pub(crate) fn new(view: &View, family: Family, range: KeyRange, number: u32, direction: Direction) -> Result<Self> {
        let scan = view.scan(family, &range, direction)?;
        Ok(Self { view: view.clone(), family, range, number, direction, scan, next: None })
    }

    fn step(&mut self) -> Result<Option<AtHeight>> {
        let first = match self.next.take() {
            Some(entry) => Some(entry),
            None => self.scan.next().transpose()?,
        };
        let Some((entry_key, mut value)) = first else { return Ok(None) };
        let (key, mut number) = split(self.family, &entry_key)?;
        let mut found: Option<(u32, Bytes)> = None;
        for _ in 0..MAX_STEPS {
            // Versions come newest first or, in the other direction, oldest first.
            if number <= self.number && (found.is_none() || self.direction == Direction::Reverse) {
                found = Some((number, value));
            }
            let Some((entry_key, next_value)) = self.scan.next().transpose()? else { return Ok(Some((key, found))) };
            let (next_key, next_number) = split(self.family, &entry_key)?;
            if next_key != key {
                self.next = Some((entry_key, next_value));
                return Ok(Some((key, found)));
            }
            (number, value) = (next_number, next_value);
        }
        let rest = match self.direction {
            Direction::Forward => self.range.after(versioned(&key, 0)),
            Direction::Reverse => self.range.before(versioned(&key, u32::MAX)),
        };
        self.scan = self.view.scan(self.family, &rest, self.direction)?;
        if found.is_none() || self.direction == Direction::Reverse {
            found = newest(&self.view, self.family, &key, self.number)?;
        }
        Ok(Some((key, found)))
    }
}

impl Iterator for Newest {
    type Item = Result<AtHeight>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// What is there at a height among the keys with a prefix, after one of them that has `after` behind the prefix: keys with
/// block and value, without those that have an empty value.
pub(crate) fn present(
    view: &View,
    family: Family,
    prefix: &[u8],
    after: Option<&[u8]>,
    number: u32,
) -> Result<impl Iterator<Item = Result<(Bytes, u32, Bytes)>> + Send + use<>> {
    let mut range = KeyRange::prefix(prefix.to_vec());
    if let Some(after) = after {
        range = range.after(versioned(&[prefix, after].concat(), 0));
    }
    Ok(Newest::new(view, family, range, number, Direction::Forward)?.filter_map(|entry| match entry {
        Ok((key, Some((number, value)))) if !value.is_empty() => Some(Ok((key, number, value))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }))
}
