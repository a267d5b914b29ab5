//! Rows of contract tables at a height, and what became of them between two.

use std::sync::Arc;

use dfuse_antelope::Name;
use dfuse_blocks::CursorKind;
use dfuse_kv::Direction;
use dfuse_query::{
    ApiResult, ListCursor, RouteClass, Step,
    state::{self, AskedHeight, DifferenceQuestion, RowQuestion, TableOptions},
};
use dfuse_state::{KeyType, RowRange, TableKey};

use super::arguments::invalid;
use crate::{
    read::Request,
    types::{
        StateHeight, Table, TableDiffResponse, TableRowDiff, TableRowResponse, TableRowsResponse, Uint32,
        Uint64Encoding,
    },
};

/// Most rows of a page.
const MAX_ROWS: u32 = 1000;

/// A table by the texts of its names.
///
/// # Errors
/// `request_validation_error`.
pub(super) fn table(code: &str, table: &str, scope: &str) -> ApiResult<TableKey> {
    let name = |argument: &'static str, text: &str| {
        let name = text.parse::<Name>().ok().filter(|_| !text.is_empty());
        name.ok_or_else(|| invalid(argument, "is not a valid name"))
    };
    let scope = key_of("scope", scope, KeyType::Name)?;
    Ok(TableKey { contract: name("code", code)?, table: name("table", table)?, scope: Name(scope) })
}

fn key_of(argument: &'static str, text: &str, key_type: KeyType) -> ApiResult<u64> {
    let key = key_type.parse(text);
    key.map_err(|error| invalid(argument, &format!("is not {}", error.expected)))
}

fn key_type(encoding: Option<Uint64Encoding>) -> KeyType {
    match encoding.unwrap_or(Uint64Encoding::Name) {
        Uint64Encoding::Name => KeyType::Name,
        Uint64Encoding::Decimal => KeyType::Uint64,
        Uint64Encoding::Hexadecimal => KeyType::HexBe,
        Uint64Encoding::Symbol => KeyType::Symbol,
        Uint64Encoding::SymbolCode => KeyType::SymbolCode,
    }
}

/// At which height a question is asked.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) block_num: Option<Uint32>,
    pub(super) irreversible_only: Option<bool>,
}

impl At {
    fn asked(self) -> AskedHeight {
        let block_num = self.block_num.map_or(0, |number| number.0).into();
        AskedHeight { block_num, irreversible_only: self.irreversible_only.unwrap_or(false) }
    }
}

/// Which rows of a table are asked for.
pub(super) struct Rows {
    pub(super) lower_key: Option<String>,
    pub(super) upper_key: Option<String>,
    pub(super) key_encoding: Option<Uint64Encoding>,
    pub(super) limit: Option<Uint32>,
    pub(super) cursor: Option<String>,
}

impl Rows {
    /// Absent if there can be none.
    fn range(&self) -> ApiResult<Option<RowRange>> {
        let key_type = key_type(self.key_encoding);
        let bound = |argument, text: &Option<String>, default| {
            text.as_deref().map_or(Ok(default), |text| key_of(argument, text, key_type))
        };
        let (lower, upper) = (bound("lowerKey", &self.lower_key, 0)?, bound("upperKey", &self.upper_key, u64::MAX)?);
        Ok((lower <= upper).then_some(RowRange { keys: lower..=upper, direction: Direction::Forward }))
    }

    fn limit(&self) -> ApiResult<u64> {
        match self.limit.map_or(100, |limit| limit.0) {
            limit @ 1..=MAX_ROWS => Ok(limit.into()),
            _ => Err(invalid("limit", "must be from 1 to 1000")),
        }
    }
}

/// A page of the rows of a table.
///
/// # Errors
/// Those of [`state::table`].
pub(super) fn rows(
    request: &Arc<Request>,
    key: TableKey,
    at: At,
    rows: &Rows,
    json: bool,
) -> ApiResult<TableRowsResponse> {
    let read = request.begin(RouteClass::List)?;
    let page = ListCursor::open(read.service(), CursorKind::Rows, rows.cursor.as_deref().unwrap_or_default());
    let page = page.map_err(|problem| invalid("cursor", &problem))?;
    let options = TableOptions { at: at.asked(), json, offset: 0, limit: rows.limit()? };
    let mut reader = state::table(&read, key, rows.range()?, options, page.as_ref())?;
    let table = Table::new(request, reader.form());
    let mut found = Vec::new();
    loop {
        read.go_on()?;
        match reader.next_row()? {
            Step::Item(row) => found.push(table.row(row)?),
            Step::Passed => {}
            Step::End => break,
        }
    }
    request.count(found.len().max(1));
    let height = StateHeight::new(reader.height(), reader.is_complete())?;
    Ok(TableRowsResponse { height, cursor: reader.cursor()?, rows: found })
}

/// A row, by the text of its primary key.
///
/// # Errors
/// Those of [`state::row`].
pub(super) fn row(
    request: &Arc<Request>,
    key: TableKey,
    scope: &str,
    (primary_key_text, encoding): (&str, Option<Uint64Encoding>),
    at: At,
    json: bool,
) -> ApiResult<TableRowResponse> {
    let read = request.begin(RouteClass::LookUp)?;
    let key_type = key_type(encoding);
    let primary_key = key_of("key", primary_key_text, key_type)?;
    let at = at.asked();
    let question = RowQuestion { table: key, scope, primary_key, primary_key_text, key_type, at, json };
    let found = state::row(&read, &question)?;
    request.count(1);
    let table = Table::new(request, &found.form);
    Ok(TableRowResponse { height: StateHeight::new(&found.height, true)?, row: table.row(found.row)? })
}

/// The rows that differ between two heights.
///
/// # Errors
/// `request_validation_error` for the beginning 0, and those of [`state::difference`].
pub(super) fn difference(
    request: &Arc<Request>,
    key: TableKey,
    from: Uint32,
    to: At,
    json: bool,
) -> ApiResult<TableDiffResponse> {
    let read = request.begin(RouteClass::List)?;
    if from.0 == 0 {
        return Err(invalid("fromBlockNum", "must be 1 or above"));
    }
    let AskedHeight { block_num: to_block, irreversible_only } = to.asked();
    let question = DifferenceQuestion { table: key, from_block: from.0.into(), to_block, irreversible_only, json };
    let mut reader = state::difference(&read, &question)?;
    let tables = reader.forms().each_ref().map(|form| Table::new(request, form));
    let mut found = Vec::new();
    loop {
        read.go_on()?;
        match reader.next_row()? {
            Step::Item((key, rows)) => {
                let side = |at: usize, row: Option<_>| row.map(|row| tables[at].row(row)).transpose();
                found.push(TableRowDiff { key, old: side(0, rows.old)?, new: side(1, rows.new)? });
            }
            Step::Passed => {}
            Step::End => break,
        }
    }
    request.count(found.len().max(1));
    let [old, new] = reader.heights();
    Ok(TableDiffResponse {
        height: StateHeight::new(new, reader.is_complete())?,
        from_block_num: old.number().into(),
        to_block_num: new.number().into(),
        rows: found,
    })
}
