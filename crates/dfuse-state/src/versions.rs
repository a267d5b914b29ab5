//! Families whose keys end in an inverted block number, so that the newest version of a key comes first. An empty value
//! says that from this block on nothing is there.

use std::collections::BTreeMap;

use bytes::Bytes;
use dfuse_index::{
    BlockContext, Delta, DeltaBuilder, ExecutedAction, Family, Result, View, ViewScan, codec::ValueReader,
};
use dfuse_kv::{Direction, Entry, Hint, KeyRange};

/// Bytes of a version in a key.
pub(crate) const VERSION_BYTES: usize = 4;

/// Versions of one key that are read against their order, oldest first, before the newest is looked for: that costs as much as some
/// tens of steps.
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

/// Versions of a block whose keys are set by actions, as `read` tells: the last action counts, and no value removes.
pub(crate) fn set_by_actions(
    family: Family,
    context: &BlockContext<'_>,
    view: &View,
    read: impl Fn(&ExecutedAction<'_>) -> Option<(Vec<u8>, Option<Vec<u8>>)>,
) -> Result<Delta> {
    let number = context.block().number;
    let mut set: Vec<_> =
        context.executed_actions().filter_map(|executed| Some((executed.global_sequence, read(&executed)?))).collect();
    set.sort_by_key(|(global_sequence, _)| *global_sequence);
    let last: BTreeMap<_, _> = set.into_iter().map(|(_, change)| change).collect();
    let mut delta = DeltaBuilder::new();
    for (key, value) in last {
        let before = newest(view, family, &key, number)?.map_or_else(Bytes::new, |(_, value)| value);
        let after = value.map_or_else(Bytes::new, Bytes::from);
        if before != after {
            delta.put(family, versioned(&key, number), after);
        }
    }
    Ok(delta.build())
}

/// The keys of a range with the newest version of each at or below a height.
pub(crate) struct Newest {
    view: View,
    family: Family,
    number: u32,
    direction: Direction,
    /// Of keys with versions.
    scan: ViewScan,
    /// The first entry of the next key.
    next: Option<Entry>,
    /// Memory for keys to skip to.
    target: Vec<u8>,
}

/// A key, and the block and value that it has at a height; absent before its first version.
pub(crate) type AtHeight = (Bytes, Option<(u32, Bytes)>);

impl Newest {
    pub(crate) fn new(
        view: &View,
        family: Family,
        range: &KeyRange,
        number: u32,
        direction: Direction,
    ) -> Result<Self> {
        let scan = view.scan_hinted(family, range, direction, Hint::Many)?;
        Ok(Self { view: view.clone(), family, number, direction, scan, next: None, target: Vec::new() })
    }

    /// Goes on with the first entry from there on.
    fn skip_to(&mut self, key: &[u8], rest: &[&[u8]]) -> Result<()> {
        self.target.clear();
        self.target.extend_from_slice(key);
        rest.iter().for_each(|bytes| self.target.extend_from_slice(bytes));
        self.scan.skip_to(&self.target)
    }

    fn step(&mut self) -> Result<Option<AtHeight>> {
        let first = match self.next.take() {
            Some(entry) => Some(entry),
            None => self.scan.next().transpose()?,
        };
        let Some((entry_key, value)) = first else { return Ok(None) };
        let (key, number) = split(self.family, &entry_key)?;
        let found = match self.direction {
            Direction::Forward => self.newest_first(&key, (number, value))?,
            Direction::Reverse => self.oldest_first(&key, (number, value))?,
        };
        Ok(Some((key, found)))
    }

    fn newest_first(&mut self, key: &[u8], newest: (u32, Bytes)) -> Result<Option<(u32, Bytes)>> {
        let mut found = newest;
        if found.0 > self.number {
            self.skip_to(key, &[&(!self.number).to_be_bytes()])?;
            let Some((entry_key, value)) = self.scan.next().transpose()? else { return Ok(None) };
            let (next_key, number) = split(self.family, &entry_key)?;
            if next_key != key {
                self.next = Some((entry_key, value));
                return Ok(None);
            }
            found = (number, value);
        }
        // Right after the oldest version that there can be.
        self.skip_to(key, &[&(!0_u32).to_be_bytes(), &[0]])?;
        Ok(Some(found))
    }

    fn oldest_first(&mut self, key: &[u8], oldest: (u32, Bytes)) -> Result<Option<(u32, Bytes)>> {
        let mut found = None;
        let (mut number, mut value) = oldest;
        for _ in 0..MAX_STEPS {
            if number <= self.number {
                found = Some((number, value));
            }
            let Some((entry_key, next_value)) = self.scan.next().transpose()? else { return Ok(found) };
            let (next_key, next_number) = split(self.family, &entry_key)?;
            if next_key != key {
                self.next = Some((entry_key, next_value));
                return Ok(found);
            }
            (number, value) = (next_number, next_value);
        }
        // No block has the highest number, so this is before all versions.
        self.skip_to(key, &[&(!u32::MAX).to_be_bytes()])?;
        newest(&self.view, self.family, key, self.number)
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
    Ok(Newest::new(view, family, &range, number, Direction::Forward)?.filter_map(|entry| match entry {
        Ok((key, Some((number, value)))) if !value.is_empty() => Some(Ok((key, number, value))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }))
}
