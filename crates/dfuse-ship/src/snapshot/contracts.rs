//! Where a reader is among the rows of contracts, which stand in groups.

use std::io::Read;

use dfuse_antelope::raw::Reader;

use super::row::SnapshotRow;
use crate::{Result, rows, state::Table, window::Window};

/// Kinds of rows: primary rows, and five kinds of secondary indexes.
const KINDS: u8 = 6;

/// What is left of a section, and its name for errors.
pub(super) struct Left<'a> {
    pub(super) name: &'a str,
    /// Rows, of which tables and counts of groups are some.
    pub(super) rows: &'a mut u64,
    /// Where the section ends.
    pub(super) end: u64,
}

impl Left<'_> {
    /// Reads what counts as a row of the section.
    pub(super) fn row<R: Read, T>(
        &mut self,
        window: &mut Window<R>,
        decode: impl FnMut(&mut Reader<'_>) -> dfuse_antelope::Result<T>,
    ) -> Result<T> {
        if *self.rows == 0 {
            return Err(window.damaged(self.name, "has more rows than it announces"));
        }
        *self.rows -= 1;
        window.row(self.name, self.end - window.offset(), decode)
    }
}

/// The section `contract_tables` of versions 2 to 6: each table is followed by its rows of all kinds.
#[derive(Default)]
pub(super) struct ContractTables {
    table: Table,
    /// The next group of the table.
    group: Option<u8>,
    left_in_group: u32,
    /// Rows of the table that are not in a group yet.
    left_in_table: u32,
}

impl ContractTables {
    pub(super) fn next<R: Read>(&mut self, window: &mut Window<R>, left: &mut Left<'_>) -> Result<Option<SnapshotRow>> {
        while self.left_in_group == 0 {
            match self.group {
                Some(group) if group < KINDS => self.begin_group(window, left, group)?,
                Some(_) if self.left_in_table > 0 => {
                    return Err(window.damaged(left.name, format!("a table lacks {} rows", self.left_in_table)));
                }
                _ if *left.rows == 0 => return Ok(None),
                _ => {
                    self.table = left.row(window, rows::table)?;
                    (self.group, self.left_in_table) = (Some(0), self.table.rows.unwrap_or_default());
                    return Ok(Some(SnapshotRow::Table(self.table)));
                }
            }
        }
        self.left_in_group -= 1;
        let kind = self.group.map_or(0, |next| next - 1);
        row(window, left, &self.table, kind).map(Some)
    }

    fn begin_group<R: Read>(&mut self, window: &mut Window<R>, left: &mut Left<'_>, group: u8) -> Result<()> {
        let count = left.row(window, |r| r.varuint32())?;
        let Some(rest) = self.left_in_table.checked_sub(count) else {
            return Err(window.damaged(left.name, "a table has more rows than it announces"));
        };
        (self.left_in_group, self.left_in_table, self.group) = (count, rest, Some(group + 1));
        Ok(())
    }
}

/// A section of version 8 that has the rows of one kind, by table.
#[derive(Default)]
pub(super) struct SplitRows {
    table: Table,
    left_in_table: u32,
}

impl SplitRows {
    pub(super) fn next<R: Read>(
        &mut self,
        window: &mut Window<R>,
        left: &mut Left<'_>,
        tables: &[Table],
        kind: u8,
    ) -> Result<Option<SnapshotRow>> {
        while self.left_in_table == 0 {
            if *left.rows == 0 {
                return Ok(None);
            }
            let number = left.row(window, |r| r.u64())?;
            let table = usize::try_from(number).ok().and_then(|number| tables.get(number));
            self.table = *table.ok_or_else(|| window.damaged(left.name, format!("there is no table {number}")))?;
            self.left_in_table = left.row(window, |r| r.varuint32())?;
        }
        self.left_in_table -= 1;
        row(window, left, &self.table, kind).map(Some)
    }
}

fn row<R: Read>(window: &mut Window<R>, left: &mut Left<'_>, table: &Table, kind: u8) -> Result<SnapshotRow> {
    left.row(window, |reader| match kind {
        0 => rows::contract_row(reader, table).map(SnapshotRow::Contract),
        kind => rows::secondary_row(reader, table, kind).map(SnapshotRow::Secondary),
    })
}
