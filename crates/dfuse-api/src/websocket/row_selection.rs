//! Which changes of rows a stream wants, and how they are rendered.

use std::sync::Arc;

use dfuse_antelope::model::Block;
use dfuse_query::{
    ApiError, ApiResult, ReadContext,
    state::older_abi,
    streams::{Places, RowItem, pick_rows, rows_of, view_of},
};
use dfuse_render::{Renderer, RowChange, RowChangeForm};
use dfuse_state::TableKey;

use super::selection::{Change, Page, Selection, Slice, slice};

/// The changes of a table's rows, and how they look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowSelection {
    pub(super) table: TableKey,
    pub(super) json: bool,
}

impl Selection for RowSelection {
    const KIND: &str = "table_delta";
    type Item = RowItem;

    fn all(block: &Block) -> Arc<[RowItem]> {
        rows_of(block)
    }

    fn pick(&self, all: &[RowItem]) -> Places {
        pick_rows(self.table, all)
    }

    fn render(page: &Page<Self>, read: &ReadContext<'_>, from: usize) -> ApiResult<Slice> {
        let view = view_of(read.snapshot(), page.block.id)?;
        let abis = read.abis(&view);
        let RowSelection { table, json } = page.selection;
        let without_abi =
            if json { older_abi(read.snapshot(), &view, table.contract, page.block.number)? } else { None };
        let form = if json { RowChangeForm::Decoded(without_abi.as_deref()) } else { RowChangeForm::Hex };
        let (undone, step) = (page.change == Change::Undo, page.change.as_str());
        let Block { id, number: block_number, .. } = *page.block;
        slice(read.reading(), &page.places[from..], |text, (transaction, op)| {
            let found = page.block.row_operation(*transaction, *op);
            let (trace, op) = found.ok_or_else(|| ApiError::unexpected("a change of a row that its block lacks"))?;
            let change = RowChange { block_number, trace, op };
            Ok(Renderer::new(text, &abis).row_change_of_block(id, &change, form, undone, step)?)
        })
    }
}
