//! Which changes of rows in a block a stream wants.

use std::sync::Arc;

use dfuse_antelope::model::{Block, DbOperation};
use dfuse_state::{RowKey, TableKey};

use super::places::Places;

/// A change of a row of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowItem {
    table: TableKey,
    /// Positions of the transaction and of the operation there.
    at: (usize, usize),
}

/// All changes of rows of a block, by table.
pub fn rows_of(block: &Block) -> Arc<[RowItem]> {
    let traces = block.transaction_traces().iter().enumerate().filter(|(_, trace)| !trace.is_reverted());
    let items = traces.flat_map(|(transaction, trace)| {
        let ops = trace.db_ops.iter().enumerate().filter(|(_, op)| op.operation != DbOperation::Unknown);
        ops.map(move |(position, op)| RowItem { table: RowKey::of(op).table, at: (transaction, position) })
    });
    let mut items: Vec<_> = items.collect();
    items.sort_unstable();
    items.into()
}

/// Where those of a table are: positions of the transaction and of the operation there, in the order of execution.
pub fn pick_rows(table: TableKey, all: &[RowItem]) -> Places {
    let from = all.partition_point(|item| item.table < table);
    all[from..].iter().take_while(|item| item.table == table).map(|item| item.at).collect()
}
