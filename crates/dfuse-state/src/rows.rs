//! Rows of contract tables: every version of every row, the present ones, and what makes old heights cheap to read.

mod difference;
mod families;
mod history;
mod keys;
mod point;
mod range;
mod scan;

use dfuse_antelope::model::{DbOp, DbOperation};
use dfuse_index::{
    Aging, BlockContext, Delta, DeltaBuilder, Family, Index, Kept, LoadedEntries, Part, Result, StateRow, View,
};

use self::keys::KeyChanges;
pub(crate) use self::point::{next_scope_of_rows, row_at, row_now, row_was_seen};
#[cfg(test)]
pub(crate) use self::scan::Limits;
pub use self::{
    difference::{RowDifference, TableDifference},
    families::{ROW_CURRENT, ROW_HISTORY, ROW_KEYS, ROW_REMOVALS},
    history::{RowChange, RowHistory, row_history},
    range::RowRange,
    scan::TableRows,
};
use crate::{
    Row, RowKey, TableKey, TableRow,
    table::{TABLE_BYTES, Version},
    versions::versioned,
};

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
    let block = context.block();
    let of_block = block.state_history.iter().flat_map(|history| &history.db_ops).map(|op| (op, true));
    let of_traces = block.executed_traces().flat_map(|trace| &trace.db_ops).map(|op| (op, false));
    let operations = of_traces.chain(of_block);
    let operations = operations.filter(|(op, _)| op.operation != DbOperation::Unknown && wanted(op));
    let mut operations: Vec<_> = operations.map(|(op, is_of_block)| (RowKey::of(op), op, is_of_block)).collect();
    // Stable: operations on one row stay in their order, and that of the block as a whole is the last one.
    operations.sort_by_key(|(key, ..)| *key);
    let writes = operations.chunk_by(|(key, ..), (next, ..)| key == next).filter_map(|of_one| {
        let (key, last, is_of_block) = of_one.last()?;
        // It has all that the block did to the row, those of actions in a filtered block may not.
        let first = if *is_of_block { last } else { &of_one.first()?.1 };
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

    fn kept(&self, family: Family) -> Option<Kept> {
        let aging = match family {
            ROW_HISTORY => Aging::Versions,
            // Removals up to a height say nothing of it, but the last one has the count for the next list.
            ROW_REMOVALS => Aging::AfterFloor { offset: TABLE_BYTES },
            ROW_KEYS => Aging::Blocks { offset: TABLE_BYTES },
            _ => return None,
        };
        Some(Kept { parts: &[Part::State], aging })
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

    fn holds_state(&self) -> bool {
        true
    }

    /// Rows that may be older than the block count as written by it, and not as the first of their kind.
    fn load(&self, rows: &[StateRow], number: u32, entries: &mut LoadedEntries) -> Result<()> {
        let mut version = Vec::new();
        Version { number, is_first: false }.encode(&mut version);
        for row in rows {
            let StateRow::Contract(row) = row else { continue };
            let table = TableKey { contract: row.code, table: row.table, scope: row.scope };
            let (key, payer) = (table.row(row.primary_key).to_bytes(), row.payer.0.to_be_bytes());
            entries.put(ROW_HISTORY, &[&key, &(!number).to_be_bytes()], &[&payer, &row.value]);
            entries.put(ROW_CURRENT, &[&key], &[&version, &payer, &row.value]);
        }
        Ok(())
    }
}
