//! What changed in a table between two heights.

use std::{cmp::Ordering, iter::Peekable};

use dfuse_index::Result;
use dfuse_kv::Direction;

use super::scan::TableRows;
use crate::TableRow;

/// A row that is not the same at two heights: inserted if there is no old one, removed if there is no new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// At the first height.
    pub old: Option<TableRow>,
    /// At the second one.
    pub new: Option<TableRow>,
}

/// The rows that differ, in the order of their primary keys, lazily. Ends after the first error.
#[derive(Debug)]
pub struct TableDifference {
    old: Peekable<TableRows>,
    new: Peekable<TableRows>,
    direction: Direction,
}

impl RowDifference {
    /// Its primary key.
    pub fn primary_key(&self) -> u64 {
        self.old.as_ref().or(self.new.as_ref()).map_or(0, |row| row.primary_key)
    }
}

impl TableDifference {
    /// Of the same rows of one table at two heights, in that direction.
    pub(crate) fn new(old: TableRows, new: TableRows, direction: Direction) -> Self {
        Self { old: old.peekable(), new: new.peekable(), direction }
    }

    /// Looks at the next row that is there at either height: its primary key, and how it differs if it does. Absent at the
    /// end. For who must not pass many rows that are the same in one go.
    pub fn look(&mut self) -> Result<Option<(u64, Option<RowDifference>)>> {
        let order = match (self.old.peek(), self.new.peek()) {
            (None, None) => return Ok(None),
            (Some(Ok(old)), Some(Ok(new))) => match self.direction {
                Direction::Forward => old.primary_key.cmp(&new.primary_key),
                Direction::Reverse => new.primary_key.cmp(&old.primary_key),
            },
            (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
            _ => Ordering::Greater,
        };
        let old = if order.is_le() { self.old.next().transpose()? } else { None };
        let new = if order.is_ge() { self.new.next().transpose()? } else { None };
        let difference = RowDifference { old, new };
        let [old, new] = [&difference.old, &difference.new].map(|row| row.as_ref().map(|row| &row.row));
        // Changed and changed back is not changed.
        let is_same = old == new;
        Ok(Some((difference.primary_key(), (!is_same).then_some(difference))))
    }
}

impl Iterator for TableDifference {
    type Item = Result<RowDifference>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(looked) = self.look().transpose() {
            match looked {
                Ok((_, None)) => {}
                Ok((_, Some(difference))) => return Some(Ok(difference)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
