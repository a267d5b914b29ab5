//! What a block has for those who follow actions or the rows of a table: one document an action or a change of a row.

use dfuse_antelope::{
    Checksum256,
    model::{Block, TransactionTrace},
};
use dfuse_index::Result;

use crate::{ActionTree, JsonWriter, RowChange, RowChangeForm, renderer::Renderer, time::rfc3339};

/// Which operations of an action are written beside its trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionParts {
    /// Changes of rows.
    pub db_ops: bool,
    /// Changes of the use of RAM.
    pub ram_ops: bool,
    /// Changes of deferred transactions.
    pub dtrx_ops: bool,
    /// Tables that were created or removed.
    pub table_ops: bool,
}

impl Renderer<'_> {
    /// The action at a position of a transaction: its block, its trace with what it caused if there is a tree, and its
    /// operations. `step` says what happens to the block, where the client wants to know.
    ///
    /// # Errors
    /// Those of reading ABIs.
    pub fn action_of_block(
        &mut self,
        block: &Block,
        trace: &TransactionTrace,
        position: usize,
        tree: Option<&ActionTree>,
        parts: ActionParts,
        step: Option<&str>,
    ) -> Result<()> {
        self.json().begin_object();
        self.json().key("block_num").unsigned(block.number);
        self.json().key("block_id").checksum(block.id);
        self.json().key("block_time").string(&rfc3339(block.header.timestamp));
        self.json().key("trx_id").checksum(trace.id);
        self.json().key("idx").unsigned(position as u64);
        self.json().key("trace");
        self.action_trace(trace, position, tree)?;
        let is_own = |action_index: u32| action_index as usize == position;
        let db_ops = trace.db_ops.iter().filter(|op| parts.db_ops && is_own(op.action_index));
        array(self.json(), "dbops", db_ops, JsonWriter::db_op_v0);
        let ram_ops = trace.ram_ops.iter().filter(|op| parts.ram_ops && is_own(op.action_index));
        array(self.json(), "ramops", ram_ops, JsonWriter::ram_op_v0);
        let mut dtrx_ops = trace.dtrx_ops.iter().filter(|op| parts.dtrx_ops && is_own(op.action_index)).peekable();
        if dtrx_ops.peek().is_some() {
            self.json().key("dtrxops").begin_array();
            for op in dtrx_ops {
                self.dtrx_op_v0(op, trace)?;
            }
            self.json().end_array();
        }
        let table_ops = trace.table_ops.iter().filter(|op| parts.table_ops && is_own(op.action_index));
        array(self.json(), "tableops", table_ops, JsonWriter::table_op);
        if let Some(step) = step {
            self.json().key("step").string(step);
        }
        self.json().end_object();
        Ok(())
    }

    /// A change of a row: its block, the operation, and what happens to the block. Of a block that is undone, the operation is
    /// written the other way round.
    ///
    /// # Errors
    /// Those of reading ABIs.
    pub fn row_change_of_block(
        &mut self,
        block_id: Checksum256,
        change: &RowChange<'_>,
        form: RowChangeForm<'_>,
        undone: bool,
        step: &str,
    ) -> Result<()> {
        self.json().begin_object();
        self.json().key("block_num").unsigned(change.block_number);
        self.json().key("block_id").checksum(block_id);
        self.json().key("dbop");
        self.table_delta(change, undone, form)?;
        self.json().key("step").string(step);
        self.json().end_object();
        Ok(())
    }
}

/// Nothing at all if there are no items.
fn array<'a, 'o, T: 'a>(
    json: &mut JsonWriter<'o>,
    key: &'static str,
    items: impl Iterator<Item = &'a T>,
    item: impl Fn(&mut JsonWriter<'o>, &'a T),
) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        json.key(key).array(items, item);
    }
}
