//! What became of one row.

use std::ops::RangeInclusive;

use dfuse_index::{Result, View, ViewScan};
use dfuse_kv::{Direction, KeyRange};

use super::families::ROW_HISTORY;
use crate::{
    Row, RowKey,
    versions::{newest, split, versioned},
};

/// What a block made of a row. What happened to it within the block is not told apart: the block's operations say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The block.
    pub block_number: u32,
    /// The row before it; absent if there was none.
    pub old: Option<Row>,
    /// The row after it; absent if it was removed.
    pub new: Option<Row>,
}

/// The changes of a row, lazily. Ends after the first error.
pub struct RowHistory {
    scan: ViewScan,
    direction: Direction,
    first: u32,
    /// The version next to the one that comes next, on the side that was passed.
    at_hand: Option<Version>,
}

type Version = (u32, Option<Row>);

impl std::fmt::Debug for RowHistory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowHistory").field("direction", &self.direction).finish_non_exhaustive()
    }
}

/// The changes of a row in the blocks of that range on the view's branch, by block in either direction. To go on later,
/// begin after the block of the last change.
pub fn row_history(view: &View, key: &RowKey, blocks: RangeInclusive<u32>, direction: Direction) -> Result<RowHistory> {
    let (first, last) = blocks.into_inner();
    let key = key.to_bytes();
    let newest_key = versioned(&key, last);
    Ok(match direction {
        // Newer versions have lower keys. The version before the range is what the first change found.
        Direction::Reverse => {
            let range =
                if first > last { KeyRange::new(..=[]) } else { KeyRange::new(newest_key..=versioned(&key, 0)) };
            let mut scan = view.scan(ROW_HISTORY, &range, Direction::Forward)?;
            let at_hand = scan.next().transpose()?.map(read).transpose()?;
            RowHistory { scan, direction, first, at_hand }
        }
        Direction::Forward => {
            let range = KeyRange::new(newest_key..=versioned(&key, first));
            let before = first.checked_sub(1).map(|before| newest(view, ROW_HISTORY, &key, before)).transpose()?;
            let at_hand = match before.flatten() {
                Some((number, value)) => Some((number, Row::decode_version(ROW_HISTORY, &value)?)),
                None => None,
            };
            RowHistory { scan: view.scan(ROW_HISTORY, &range, Direction::Reverse)?, direction, first, at_hand }
        }
    })
}

fn read((key, value): dfuse_kv::Entry) -> Result<Version> {
    Ok((split(ROW_HISTORY, &key)?.1, Row::decode_version(ROW_HISTORY, &value)?))
}

impl RowHistory {
    fn step(&mut self) -> Result<Option<RowChange>> {
        let next = self.scan.next().transpose()?.map(read).transpose()?;
        if self.direction == Direction::Forward {
            let Some((block_number, new)) = next else { return Ok(None) };
            let old = self.at_hand.replace((block_number, new.clone())).and_then(|(_, row)| row);
            return Ok(Some(RowChange { block_number, old, new }));
        }
        let old = next.as_ref().and_then(|(_, row)| row.clone());
        let change = std::mem::replace(&mut self.at_hand, next).filter(|(number, _)| *number >= self.first);
        if change.is_none() {
            self.at_hand = None;
        }
        Ok(change.map(|(block_number, new)| RowChange { block_number, old, new }))
    }
}

impl Iterator for RowHistory {
    type Item = Result<RowChange>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
