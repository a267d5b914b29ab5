//! Rows of contract tables at a height, and between two.

use std::sync::Arc;

use async_graphql::{Object, SimpleObject};
use dfuse_antelope::Name;
use dfuse_query::ApiResult;
use dfuse_render::{RenderedRow, RowForm};
use dfuse_state::TableRow as RowOfTable;

use super::{DecodedObject, Json, StateHeight, Uint32, Uint64Encoding, operations::encoded};
use crate::{metrics::Costs, read::Request};

/// The table of some rows at a height.
pub(crate) struct Table {
    request: Arc<Request>,
    /// What becomes of their bytes where they are asked for as JSON.
    form: RowForm,
}

impl Table {
    /// Of which rows are shown so.
    pub(crate) fn new(request: &Arc<Request>, form: &RowForm) -> Arc<Self> {
        if !matches!(form, RowForm::Hex) {
            let mut costs = Costs { abis: 1.into(), ..Costs::default() };
            costs.count(request.read().service().metrics(), 0);
        }
        Arc::new(Self { request: request.clone(), form: form.clone() })
    }

    /// A row, for which there must be room.
    ///
    /// # Errors
    /// Those of [`Request::take_room`].
    pub(crate) fn row(self: &Arc<Self>, row: RowOfTable) -> ApiResult<TableRow> {
        self.request.take_room(ROW_BYTES + row.row.data.len())?;
        Ok(TableRow { table: self.clone(), row })
    }
}

/// About what a row takes beside its bytes.
const ROW_BYTES: usize = 128;

/// A row of a contract's table at a height.
pub(crate) struct TableRow {
    table: Arc<Table>,
    row: RowOfTable,
}

/// A row of a contract's table at a height.
#[Object]
impl TableRow {
    /// Its primary key.
    async fn key(
        &self,
        #[graphql(desc = "How it is shown.", default_with = "Some(Uint64Encoding::Name)")] encoding: Option<
            Uint64Encoding,
        >,
    ) -> String {
        encoded(Name(self.row.primary_key), encoding)
    }

    /// Who pays for its RAM, where that is known.
    async fn payer(&self) -> Option<String> {
        Some(self.row.row.payer).filter(|payer| payer.0 != 0).map(|payer| payer.to_string())
    }

    /// The block that last wrote it.
    async fn block_num(&self) -> Uint32 {
        self.row.block_number.into()
    }

    /// Its bytes, in hex.
    async fn data(&self) -> ApiResult<String> {
        self.table.request.take_room(2 * self.row.row.data.len())?;
        Ok(const_hex::encode(&self.row.row.data))
    }

    /// The row by the ABI that was in force at the height.
    async fn json(&self) -> ApiResult<DecodedObject> {
        let renderer = match &self.table.form {
            RowForm::Json(renderer) => renderer,
            RowForm::NoAbi(error) => return Ok(DecodedObject { object: None, error: Some(error.clone()) }),
            RowForm::Hex => return Ok(DecodedObject::default()),
        };
        let decoded = match renderer.render(&self.row.row.data) {
            RenderedRow::Json(text) => {
                self.table.request.take_room(text.len())?;
                serde_json::from_slice(&text).map_err(|error| error.to_string())
            }
            RenderedRow::Hex { error, .. } => Err(error),
        };
        Ok(match decoded {
            Ok(object) => DecodedObject { object: Some(Json(object)), error: None },
            Err(error) => DecodedObject { object: None, error: Some(error) },
        })
    }
}

/// A page of rows of a table, in the order of their primary keys.
#[derive(SimpleObject)]
pub(crate) struct TableRowsResponse {
    /// When the rows were so.
    #[graphql(flatten)]
    pub(crate) height: StateHeight,
    /// Where the next page begins, which is of the same height; absent if nothing is left.
    pub(crate) cursor: Option<String>,
    /// The rows.
    pub(crate) rows: Vec<TableRow>,
}

/// A row of a table.
#[derive(SimpleObject)]
pub(crate) struct TableRowResponse {
    /// When the row was so.
    #[graphql(flatten)]
    pub(crate) height: StateHeight,
    /// The row.
    pub(crate) row: TableRow,
}

/// The rows of a table that differ between two heights, in the order of their primary keys.
#[derive(SimpleObject)]
pub(crate) struct TableDiffResponse {
    /// The height that the difference leads to.
    #[graphql(flatten)]
    pub(crate) height: StateHeight,
    /// The height that the difference begins at.
    pub(crate) from_block_num: Uint32,
    /// The height that it leads to.
    pub(crate) to_block_num: Uint32,
    /// The rows.
    pub(crate) rows: Vec<TableRowDiff>,
}

/// A row that differs between two heights.
pub(crate) struct TableRowDiff {
    pub(crate) key: u64,
    pub(crate) old: Option<TableRow>,
    pub(crate) new: Option<TableRow>,
}

/// A row that differs between two heights.
#[Object]
impl TableRowDiff {
    /// Its primary key.
    async fn key(
        &self,
        #[graphql(desc = "How it is shown.", default_with = "Some(Uint64Encoding::Name)")] encoding: Option<
            Uint64Encoding,
        >,
    ) -> String {
        encoded(Name(self.key), encoding)
    }

    /// The row before; absent if it is new.
    async fn old(&self) -> Option<&TableRow> {
        self.old.as_ref()
    }

    /// The row after; absent if it is gone.
    async fn new(&self) -> Option<&TableRow> {
        self.new.as_ref()
    }
}
