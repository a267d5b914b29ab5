//! Which changes of rows in a block a stream wants.

use std::sync::Arc;

use dfuse_antelope::model::{Block, DbOperation};
use dfuse_state::{RowKey, TableKey};

use super::places::Places;

/// A change of a row of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowItem {
    table: TableKey,
    /// As [`Block::row_operation`] takes it.
    at: (usize, usize),
}

/// All changes of rows of a block, by table. Those of the block as a whole come after those of actions.
pub fn rows_of(block: &Block) -> Arc<[RowItem]> {
    let traces = block.transaction_traces();
    let executed = traces.iter().enumerate().filter(|(_, trace)| !trace.is_reverted());
    let of_actions = executed.map(|(transaction, trace)| (transaction, &trace.db_ops[..]));
    let of_block = block.state_history.iter().map(|history| (traces.len(), &history.db_ops[..]));
    let items = of_actions.chain(of_block).flat_map(|(transaction, ops)| {
        let ops = ops.iter().enumerate().filter(|(_, op)| op.operation != DbOperation::Unknown);
        ops.map(move |(position, op)| RowItem { table: RowKey::of(op).table, at: (transaction, position) })
    });
    let mut items: Vec<_> = items.collect();
    items.sort_unstable();
    items.into()
}

/// Where those of a table are, as [`Block::row_operation`] takes it, in the order of execution.
pub fn pick_rows(table: TableKey, all: &[RowItem]) -> Places {
    let from = all.partition_point(|item| item.table < table);
    all[from..].iter().take_while(|item| item.table == table).map(|item| item.at).collect()
}
