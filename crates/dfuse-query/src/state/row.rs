//! One row.

use dfuse_antelope::Name;
use dfuse_render::RowForm;
use dfuse_state::{KeyType, TableKey, TableRow};

use super::{AskedHeight, Height, form_at};
use crate::{ApiError, ApiResult, ErrorCode, ReadContext, shorten};

/// Which row, and the texts that name it: errors repeat them.
#[derive(Debug, Clone, Copy)]
pub struct RowQuestion<'a> {
    /// The table.
    pub table: TableKey,
    /// The scope's name, as it was asked for: it may be a symbol.
    pub scope: &'a str,
    /// The primary key.
    pub primary_key: u64,
    /// The primary key, as it was asked for.
    pub primary_key_text: &'a str,
    /// What that was read as.
    pub key_type: KeyType,
    /// When.
    pub at: AskedHeight,
    /// Whether the row is to be decoded.
    pub json: bool,
}

/// A row at a height.
#[derive(Debug)]
pub struct RowAt {
    /// The height.
    pub height: Height,
    /// The row.
    pub row: TableRow,
    /// What becomes of its bytes.
    pub form: RowForm,
}

/// A row of a table.
///
/// # Errors
/// `data_row_not_found_error` if it is not there; those of [`form_at`] and [`Height::asked`].
pub fn row(read: &ReadContext<'_>, question: &RowQuestion<'_>) -> ApiResult<RowAt> {
    let height = Height::asked(read, question.at)?;
    let TableKey { contract, table, .. } = question.table;
    let key = question.table.row(question.primary_key);
    // A row that is not there needs no ABI.
    let Some(row) = height.state().row(&key)? else {
        return Err(height.absent(height.knows_row(&key)?, not_found(&height, question, contract, table)));
    };
    let form = form_at(read.service(), &height, contract, table, question.json)?;
    Ok(RowAt { height, row, form })
}

fn not_found(height: &Height, question: &RowQuestion<'_>, contract: Name, table: Name) -> ApiError {
    let (number, key_type, text) = (height.number(), question.key_type, question.primary_key_text);
    let key = if text.is_empty() { "that is empty".to_owned() } else { format!("\"{}\"", shorten(text)) };
    let message = format!("At block {number} the table has no row of the primary key {key}, read as {key_type}.");
    ApiError::new(ErrorCode::RowNotFound, message)
        .detail("account", contract.to_string())
        .detail("scope", question.scope)
        .detail("table", table.to_string())
        .detail("primary_key", text)
}
