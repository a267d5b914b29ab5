use std::ops::{Bound, RangeBounds};

use bytes::Bytes;

use crate::Direction;

/// A range of keys in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    start: Bound<Bytes>,
    end: Bound<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub const fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded }
    }

    /// Keys within the bounds, for example `KeyRange::new(from..to)`; bounds that cross each other hold no key.
    pub fn new<K: AsRef<[u8]>>(bounds: impl RangeBounds<K>) -> Self {
        let copy = |bound: Bound<&K>| bound.map(|key| Bytes::copy_from_slice(key.as_ref()));
        Self { start: copy(bounds.start_bound()), end: copy(bounds.end_bound()) }
    }

    /// Keys that begin with `prefix`; every key if it is empty.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let prefix = prefix.into();
        // The first key after all of the prefix: its last byte that can grow, grown. 0xff cannot grow.
        let end = prefix.iter().rposition(|byte| *byte != 0xff).map_or(Bound::Unbounded, |last| {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            Bound::Excluded(Bytes::from(end))
        });
        Self { start: Bound::Included(prefix), end }
    }

    /// The part of this range after `key` (in a scan: what is left once `key` has been seen).
    pub fn after(&self, key: impl Into<Bytes>) -> Self {
        Self { start: Bound::Excluded(key.into()), end: self.end.clone() }
    }

    /// The part of this range before `key`.
    pub fn before(&self, key: impl Into<Bytes>) -> Self {
        Self { start: self.start.clone(), end: Bound::Excluded(key.into()) }
    }

    /// The part of this range that a scan in that direction has before it once it has skipped to `key`.
    pub fn skipped_to(&self, key: &[u8], direction: Direction) -> Self {
        use Bound::{Excluded, Included, Unbounded};
        let near = match direction {
            Direction::Forward => &self.start,
            Direction::Reverse => &self.end,
        };
        match near {
            // It is there already.
            Included(near) | Excluded(near) if direction.reaches(near, key) => return self.clone(),
            Included(_) | Excluded(_) | Unbounded => {}
        }
        let key = Included(Bytes::copy_from_slice(key));
        match direction {
            Direction::Forward => Self { start: key, end: self.end.clone() },
            Direction::Reverse => Self { start: self.start.clone(), end: key },
        }
    }

    /// Whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        use Bound::{Excluded, Included, Unbounded};
        match (&self.start, &self.end) {
            // No key is empty, and nothing is before the first.
            (_, Included(end)) if end.is_empty() => true,
            (_, Excluded(end)) if end.is_empty() => true,
            (Unbounded, _) | (_, Unbounded) => false,
            (Included(start), Included(end)) => start > end,
            (Included(start) | Excluded(start), Excluded(end)) | (Excluded(start), Included(end)) => start >= end,
        }
    }

    /// Whether the range holds `key`.
    pub fn contains(&self, key: &[u8]) -> bool {
        RangeBounds::<[u8]>::contains(&(self.start_bound(), self.end_bound()), key)
    }

    /// Lower bound.
    pub fn start_bound(&self) -> Bound<&[u8]> {
        self.start.as_ref().map(AsRef::as_ref)
    }

    /// Upper bound.
    pub fn end_bound(&self) -> Bound<&[u8]> {
        self.end.as_ref().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_before_the_next_prefix() {
        let end = |prefix: &'static [u8]| match KeyRange::prefix(prefix).end {
            Bound::Excluded(end) => Some(end.to_vec()),
            _ => None,
        };
        assert_eq!(end(b""), None);
        assert_eq!(end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(end(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(end(b"\xff\xff"), None);
        assert!(KeyRange::prefix(b"a\xff".as_slice()).contains(b"a\xff\xff"));
        assert!(!KeyRange::prefix(b"a\xff".as_slice()).contains(b"b"));
    }

    #[test]
    fn crossed_and_touching_bounds_are_empty() {
        assert!(KeyRange::new("b".."a").is_empty());
        assert!(KeyRange::new("a".."a").is_empty());
        assert!(KeyRange::new::<&str>((Bound::Excluded("a"), Bound::Excluded("a"))).is_empty());
        assert!(KeyRange::new(..="").is_empty());
        assert!(!KeyRange::new("a"..="a").is_empty());
        assert!(!KeyRange::new("b"..).is_empty());
        assert!(!KeyRange::all().is_empty());
    }

    #[test]
    fn the_rest_of_a_range() {
        let range = KeyRange::new("a".."d");
        assert_eq!(range.after("b"), KeyRange::new::<&str>((Bound::Excluded("b"), Bound::Excluded("d"))));
        assert_eq!(range.before("b"), KeyRange::new("a".."b"));
        let skipped = |key: &str, direction| range.skipped_to(key.as_bytes(), direction);
        assert_eq!(skipped("b", Direction::Forward), KeyRange::new("b".."d"));
        assert_eq!(skipped("A", Direction::Forward), range);
        assert_eq!(skipped("b", Direction::Reverse), KeyRange::new("a"..="b"));
        assert_eq!(skipped("e", Direction::Reverse), range);
        assert_eq!(skipped("d", Direction::Reverse), range);
        assert!(skipped("d", Direction::Forward).is_empty());
        assert_eq!(KeyRange::all().skipped_to(b"b", Direction::Reverse), KeyRange::new(..="b"));
    }
}
