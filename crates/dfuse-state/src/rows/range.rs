use std::ops::RangeInclusive;

use dfuse_kv::{Direction, KeyRange};

use crate::{TableKey, table::ROW_BYTES};

/// Which rows of a table, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRange {
    /// Their primary keys.
    pub keys: RangeInclusive<u64>,
    /// Their order.
    pub direction: Direction,
}

impl Default for RowRange {
    /// All of them, in ascending order.
    fn default() -> Self {
        Self { keys: 0..=u64::MAX, direction: Direction::Forward }
    }
}

impl RowRange {
    /// What comes after a row in that order; absent if there can be nothing.
    pub fn after(&self, primary_key: u64) -> Option<Self> {
        let (first, last) = self.keys.clone().into_inner();
        let keys = match self.direction {
            Direction::Forward => primary_key.checked_add(1)?.max(first)..=last,
            Direction::Reverse => first..=primary_key.checked_sub(1)?.min(last),
        };
        (!keys.is_empty()).then_some(Self { keys, direction: self.direction })
    }

    /// Their keys, with what `bound` puts after them.
    pub(super) fn entries(&self, table: TableKey, bound: impl Fn(&[u8; ROW_BYTES], bool) -> Vec<u8>) -> KeyRange {
        let [first, last] = [self.keys.start(), self.keys.end()].map(|key| table.row(*key).to_bytes());
        KeyRange::new(bound(&first, false)..=bound(&last, true))
    }
}
