//! Which entries of a family no question about a block from the floor on needs.

use dfuse_kv::{Bytes, Entry, KeyRange};

use crate::{Aging, Family, Result, codec::ValueReader};

/// Bytes of a block number in a key.
const NUMBER_BYTES: usize = 4;

/// Takes the entries of a family in the order of keys, and tells those that are superfluous from the others.
pub(crate) struct Filter {
    family: Family,
    aging: Aging,
    floor: u32,
    /// Of the first action at or above the floor.
    first_sequence: u64,
    /// Versions that say that nothing is there stay: what was there before the indexes began is unknown.
    keep_removed: bool,
    /// The key whose versions come, and whether one at or below the floor has come.
    versions: (Bytes, bool),
    /// The last entry of a group so far.
    held: Option<Entry>,
}

/// What became of the entries that were taken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The key of one that is superfluous.
    pub(crate) superfluous: Option<Bytes>,
    /// Others, in order.
    pub(crate) kept: [Option<Entry>; 2],
}

impl Taken {
    fn superfluous(key: Bytes) -> Self {
        Self { superfluous: Some(key), ..Self::default() }
    }

    fn kept(entry: Entry) -> Self {
        Self { kept: [Some(entry), None], ..Self::default() }
    }
}

impl Filter {
    pub(crate) fn new(family: Family, aging: Aging, floor: u32, first_sequence: u64, keep_removed: bool) -> Self {
        Self { family, aging, floor, first_sequence, keep_removed, versions: Default::default(), held: None }
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// Where superfluous entries may be.
    pub(crate) fn range(&self) -> KeyRange {
        match self.aging {
            Aging::Blocks { offset: 0 } => KeyRange::new(..self.floor.to_be_bytes()),
            _ => KeyRange::all(),
        }
    }

    pub(crate) fn take(&mut self, entry: Entry) -> Result<Taken> {
        let key = &entry.0;
        match self.aging {
            Aging::Versions => {
                let at = key.len().saturating_sub(NUMBER_BYTES);
                let number = !self.number(key, at)?;
                if self.versions.0 != key[..at] {
                    self.versions = (key.slice(..at), false);
                }
                if number > self.floor {
                    return Ok(Taken::kept(entry));
                }
                let is_newest = !std::mem::replace(&mut self.versions.1, true);
                let is_needed = is_newest && (self.keep_removed || !entry.1.is_empty());
                Ok(if is_needed { Taken::kept(entry) } else { Taken::superfluous(entry.0) })
            }
            Aging::Blocks { offset } => {
                let is_below = self.number(key, offset)? < self.floor;
                Ok(if is_below { Taken::superfluous(entry.0) } else { Taken::kept(entry) })
            }
            Aging::AfterFloor { offset } => {
                let is_above = self.number(key, offset)? > self.floor;
                let held = self.held.take();
                let is_of_group = held.as_ref().is_some_and(|(held, _)| held[..offset] == key[..offset]);
                let (superfluous, before) = match held {
                    Some((key, _)) if is_of_group => (Some(key), None),
                    other => (None, other),
                };
                if is_above {
                    return Ok(Taken { superfluous, kept: [before, Some(entry)] });
                }
                self.held = Some(entry);
                Ok(Taken { superfluous, kept: [before, None] })
            }
            Aging::Actions(last) => {
                let is_below = last(key)? < self.first_sequence;
                Ok(if is_below { Taken::superfluous(entry.0) } else { Taken::kept(entry) })
            }
        }
    }

    /// There are no more entries: one that was held stays.
    pub(crate) fn finish(&mut self) -> Option<Entry> {
        self.held.take()
    }

    fn number(&self, key: &[u8], at: usize) -> Result<u32> {
        ValueReader::new(self.family, key.get(at..).unwrap_or_default()).u32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: Family = Family::new("family");

    /// What is superfluous of these entries, and what is kept.
    fn filtered(aging: Aging, floor: u32, keep_removed: bool, entries: &[(Vec<u8>, &str)]) -> (Vec<Bytes>, Vec<Bytes>) {
        let mut filter = Filter::new(FAMILY, aging, floor, u64::from(floor) * 10, keep_removed);
        let (mut superfluous, mut kept) = (Vec::new(), Vec::new());
        for (key, value) in entries {
            let taken = filter.take((key.clone().into(), value.as_bytes().to_vec().into())).unwrap();
            superfluous.extend(taken.superfluous);
            kept.extend(taken.kept.into_iter().flatten().map(|(key, _)| key));
        }
        kept.extend(filter.finish().map(|(key, _)| key));
        assert_eq!(superfluous.len() + kept.len(), entries.len());
        assert!(kept.is_sorted());
        (superfluous, kept)
    }

    fn version(key: &str, number: u32) -> Vec<u8> {
        [key.as_bytes(), &(!number).to_be_bytes()].concat()
    }

    fn at(key: &str, number: u32) -> Vec<u8> {
        [key.as_bytes(), &number.to_be_bytes(), b"x"].concat()
    }

    #[test]
    fn the_version_at_the_floor_stays() {
        let entries = [
            (version("a", 9), "9"),
            (version("a", 5), "5"),
            (version("a", 3), "3"),
            (version("b", 5), ""),
            (version("b", 4), "4"),
            (version("c", 4), "4"),
            (version("d", 6), ""),
            (version("d", 2), "2"),
        ];
        let (superfluous, _) = filtered(Aging::Versions, 5, false, &entries);
        assert_eq!(superfluous, [version("a", 3), version("b", 5), version("b", 4)]);
        let (superfluous, _) = filtered(Aging::Versions, 5, true, &entries);
        assert_eq!(superfluous, [version("a", 3), version("b", 4)], "what was removed is known to be gone");
        assert!(filtered(Aging::Versions, 0, false, &entries).0.is_empty());
    }

    #[test]
    fn blocks_below_the_floor_go() {
        let entries = [(at("a", 4), ""), (at("a", 5), ""), (at("b", 1), "")];
        assert_eq!(filtered(Aging::Blocks { offset: 1 }, 5, false, &entries).0, [at("a", 4), at("b", 1)]);
        assert!(filtered(Aging::Blocks { offset: 1 }, 0, false, &entries).0.is_empty());
    }

    #[test]
    fn the_last_of_a_group_stays() {
        let entries = [
            (at("a", 3), ""),
            (at("a", 4), ""),
            (at("a", 9), ""),
            (at("b", 4), ""),
            (at("b", 5), ""),
            (at("c", 6), ""),
        ];
        let aging = Aging::AfterFloor { offset: 1 };
        assert_eq!(filtered(aging, 5, false, &entries).0, [at("a", 3), at("a", 4), at("b", 4)]);
        assert_eq!(filtered(aging, 5, false, &entries[..2]).0, [at("a", 3)]);
    }

    #[test]
    fn actions_before_the_first_of_the_floor_go() {
        let entries = [(vec![49], ""), (vec![50], ""), (vec![51], "")];
        let last = |key: &[u8]| Ok(u64::from(key[0]));
        assert_eq!(filtered(Aging::Actions(last), 5, false, &entries).0, [vec![49]]);
    }

    #[test]
    fn keys_that_are_too_short_are_damage() {
        for aging in [Aging::Versions, Aging::Blocks { offset: 8 }] {
            let mut filter = Filter::new(FAMILY, aging, 5, 0, false);
            assert!(filter.take((Bytes::from_static(b"abc"), Bytes::new())).is_err());
        }
    }
}
