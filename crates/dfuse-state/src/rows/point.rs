//! Single rows and scopes.

use bytes::Bytes;
use dfuse_antelope::Name;
use dfuse_index::{Result, View, codec::ValueReader};
use dfuse_kv::{Direction, KeyRange};

use super::families::{ROW_CURRENT, ROW_HISTORY};
use crate::{
    Row, RowKey, TableKey, TableRow,
    table::Version,
    versions::{newest, versioned},
};

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
pub(super) fn row_written(view: &View, key: &RowKey, block_number: u32) -> Result<Option<TableRow>> {
    let value = view.get(ROW_HISTORY, &versioned(&key.to_bytes(), block_number))?;
    value.map_or(Ok(None), |value| table_row(key, block_number, &value))
}

pub(super) fn table_row(key: &RowKey, block_number: u32, value: &Bytes) -> Result<Option<TableRow>> {
    let row = Row::decode_version(ROW_HISTORY, value)?;
    Ok(row.map(|row| TableRow { primary_key: key.primary_key, row, block_number }))
}
