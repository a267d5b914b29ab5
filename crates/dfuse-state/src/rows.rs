//! Rows of contract tables: every version of every row, the present ones, and what makes old heights cheap to read.

mod difference;
mod history;
mod keys;
mod scan;

use bytes::Bytes;
use dfuse_antelope::{
    Name,
    model::{DbOp, DbOperation},
};
use dfuse_index::{BlockContext, Delta, DeltaBuilder, Family, Index, Result, View, codec::ValueReader};
use dfuse_kv::{Direction, KeyRange};

use self::keys::KeyChanges;
#[cfg(test)]
pub(crate) use self::scan::Limits;
pub use self::{
    difference::{RowDifference, TableDifference},
    history::{RowChange, RowHistory, row_history},
    scan::{RowRange, TableRows},
};
use crate::{
    Row, RowKey, TableKey, TableRow,
    table::Version,
    versions::{newest, versioned},
};

/// Contract, table, scope, primary key and inverted block number to payer and data; empty where the row was removed.
pub const ROW_HISTORY: Family = Family::new("row-history");
/// Contract, table, scope and primary key to version, payer and data of the rows that are there now.
pub const ROW_CURRENT: Family = Family::new("row-current");
/// Contract, table, scope, block number and primary key of every removal, to how many there were since the table's last
/// list of keys, and the version that was removed.
pub const ROW_REMOVALS: Family = Family::new("row-removal");
/// Contract, table, scope, block number and a primary key to the keys from that one on that the table then had, with the
/// versions of their rows.
pub const ROW_KEYS: Family = Family::new("row-keys");

/// The index of rows. Its name is `rows`.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// Removals from a table, at the least, between two lists of its keys.
    pub(crate) removals: u64,
}

impl Default for Rows {
    fn default() -> Self {
        Self { removals: 1024 }
    }
}

/// What a block makes of a row.
pub(crate) struct RowWrite {
    pub(crate) key: RowKey,
    /// As the first operation found it.
    pub(crate) before: Option<Row>,
    /// As the last operation left it.
    pub(crate) after: Option<Row>,
}

/// What a block makes of every row that its `wanted` operations touch, in the order of keys. Rows that come and go within it
/// are not among them.
pub(crate) fn row_writes(context: &BlockContext<'_>, wanted: impl Fn(&DbOp) -> bool) -> Vec<RowWrite> {
    let traces = context.block().transaction_traces().iter().filter(|trace| !trace.is_reverted());
    let operations = traces.flat_map(|trace| &trace.db_ops);
    let operations = operations.filter(|op| op.operation != DbOperation::Unknown && wanted(op));
    let mut operations: Vec<_> = operations.map(|op| (RowKey::of(op), op)).collect();
    // Stable: operations on one row stay in their order.
    operations.sort_by_key(|(key, _)| *key);
    let writes = operations.chunk_by(|(key, _), (next, _)| key == next).filter_map(|of_one| {
        let ((key, first), (_, last)) = (of_one.first()?, of_one.last()?);
        let before = (first.operation != DbOperation::Insert)
            .then(|| Row { payer: first.old_payer, data: first.old_data.clone() });
        let after =
            (last.operation != DbOperation::Remove).then(|| Row { payer: last.new_payer, data: last.new_data.clone() });
        (before.is_some() || after.is_some()).then_some(RowWrite { key: *key, before, after })
    });
    writes.collect()
}

impl Index for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[ROW_HISTORY, ROW_CURRENT, ROW_REMOVALS, ROW_KEYS]
    }

    /// What a row was before a write is taken from the operations: reading it would cost a random read for every write.
    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let number = context.block().number;
        let mut delta = DeltaBuilder::new();
        let writes = row_writes(context, |_| true);
        for of_table in writes.chunk_by(|write, next| write.key.table == next.key.table) {
            let mut changes = KeyChanges::default();
            for RowWrite { key, before, after } in of_table {
                let bytes = key.to_bytes();
                let Some(row) = after else {
                    let Some((_, version)) = row_now(view, key)? else { continue };
                    delta.put(ROW_HISTORY, versioned(&bytes, number), []);
                    delta.delete(ROW_CURRENT, bytes);
                    changes.removed.push((key.primary_key, version));
                    continue;
                };
                if before == after && row_now(view, key)?.is_some_and(|(now, _)| now.row == *row) {
                    continue;
                }
                let version = Version { number, is_first: before.is_none() };
                delta.put(ROW_HISTORY, versioned(&bytes, number), row.encode_version());
                delta.put(ROW_CURRENT, bytes, TableRow::encode_current(row, version));
                changes.written.push((key.primary_key, version));
            }
            if let [first, ..] = of_table {
                changes.note(&mut delta, view, first.key.table, number, self.removals)?;
            }
        }
        Ok(delta.build())
    }
}

/// The row at the view's block.
pub(crate) fn row_now(view: &View, key: &RowKey) -> Result<Option<(TableRow, Version)>> {
    let value = view.get(ROW_CURRENT, &key.to_bytes())?;
    value.map(|value| TableRow::decode_current(ROW_CURRENT, key.primary_key, &value)).transpose()
}

/// The row at a height on the view's branch.
pub(crate) fn row_at(view: &View, key: &RowKey, number: u32) -> Result<Option<TableRow>> {
    let Some((block_number, value)) = newest(view, ROW_HISTORY, &key.to_bytes(), number)? else { return Ok(None) };
    table_row(key, block_number, &value)
}

/// Whether any block up to a height wrote the row, also if it was removed then.
pub(crate) fn row_was_seen(view: &View, key: &RowKey, number: u32) -> Result<bool> {
    Ok(newest(view, ROW_HISTORY, &key.to_bytes(), number)?.is_some())
}

/// The first scope after one of them, of all without one, in which a row of the table was ever written.
pub(crate) fn next_scope_of_rows(
    view: &View,
    contract: Name,
    table: Name,
    after: Option<Name>,
) -> Result<Option<Name>> {
    let Some(first) = after.map_or(Some(0), |after| after.0.checked_add(1)) else { return Ok(None) };
    let place = |scope| TableKey { contract, table, scope: Name(scope) };
    let last = versioned(&place(u64::MAX).row(u64::MAX).to_bytes(), 0);
    let range = KeyRange::new(versioned(&place(first).row(0).to_bytes(), u32::MAX)..=last);
    let Some((key, _)) = view.first(ROW_HISTORY, &range, Direction::Forward)? else { return Ok(None) };
    let mut reader = ValueReader::new(ROW_HISTORY, &key);
    reader.name()?;
    reader.name()?;
    Ok(Some(reader.name()?))
}

/// The row as that block wrote it, if it did: less than half the cost of [`row_at`].
fn row_written(view: &View, key: &RowKey, block_number: u32) -> Result<Option<TableRow>> {
    let value = view.get(ROW_HISTORY, &versioned(&key.to_bytes(), block_number))?;
    value.map_or(Ok(None), |value| table_row(key, block_number, &value))
}

fn table_row(key: &RowKey, block_number: u32, value: &Bytes) -> Result<Option<TableRow>> {
    let row = Row::decode_version(ROW_HISTORY, value)?;
    Ok(row.map(|row| TableRow { primary_key: key.primary_key, row, block_number }))
}
