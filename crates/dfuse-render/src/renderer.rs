//! The lifecycle of a transaction.

use dfuse_antelope::{
    Checksum256,
    model::{CreationFlatNode, ExtDtrxOp, TransactionLifecycle, TransactionTrace},
};
use dfuse_index::{Result, abi::AbiSource, global_sequences};
use dfuse_trx::Status;

use crate::JsonWriter;

/// JSON of decoded data that one lifecycle or trace may have. A few bytes on the chain can stand for a great many here;
/// what a chain lets a transaction do stays far below.
const DECODED_BYTES: usize = 32 << 20;

/// Appends the JSON of transactions and their parts to a buffer.
///
/// Action data is decoded with the ABI that was in force for that very action; data that does not decode is there as hex
/// only. Data in a transaction that has not run, or failed, is decoded with the ABIs at the place where it stood or was
/// deferred.
///
/// Every method appends one value, with a comma before it where one is needed. An [`Err`] means that the ABIs could not be
/// read and leaves half a value behind.
pub struct Renderer<'a> {
    pub(crate) json: JsonWriter<'a>,
    pub(crate) abis: &'a dyn AbiSource,
    /// What is left of [`DECODED_BYTES`].
    pub(crate) room: usize,
}

impl std::fmt::Debug for Renderer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderer").field("written", &self.json.text.len()).finish_non_exhaustive()
    }
}

impl<'a> Renderer<'a> {
    /// Appends to `text`.
    pub fn new(text: &'a mut Vec<u8>, abis: &'a dyn AbiSource) -> Self {
        Self { json: JsonWriter { text }, abis, room: DECODED_BYTES }
    }

    /// What is appended to, for what stands around.
    pub fn json(&mut self) -> &mut JsonWriter<'a> {
        &mut self.json
    }

    pub(crate) fn make_room(&mut self) {
        self.room = DECODED_BYTES;
    }

    /// A `TransactionLifecycle`: every key, in the order of the documentation; `null` for what there is none of.
    ///
    /// Whether creation and cancellation are irreversible is told under two names each: those of the documentation and those
    /// that dfuse wrote.
    pub fn lifecycle(&mut self, lifecycle: &TransactionLifecycle) -> Result<()> {
        self.make_room();
        let TransactionLifecycle { execution_trace: trace, created_by, canceled_by, .. } = lifecycle;
        let first_sequence = match (trace, created_by) {
            (Some(trace), _) => self.first_sequence(trace)?,
            (None, Some(created_by)) => self.sequence_of(created_by)?,
            (None, None) => u64::MAX,
        };
        self.json.begin_object();
        self.json.key("transaction_status").string(Status::of(lifecycle).as_str());
        self.json.key("id").checksum(lifecycle.id);
        self.json.key("transaction");
        match &lifecycle.transaction {
            Some(transaction) => self.executed_transaction(transaction, trace.as_ref(), first_sequence)?,
            None => self.json.null(),
        }
        self.json.key("execution_trace");
        match trace {
            Some(trace) => self.transaction_trace(trace, first_sequence)?,
            None => self.json.null(),
        }
        self.json.key("execution_block_header");
        match &lifecycle.execution_block_header {
            Some(header) => self.json.block_header(header),
            None => self.json.null(),
        }
        match trace {
            Some(trace) => self.operations(trace, first_sequence)?,
            None => {
                for key in ["dtrxops", "creation_tree", "dbops", "ramops", "tableops"] {
                    self.json.key(key).null();
                }
            }
        }
        self.json.key("pub_keys").array_or_null(&lifecycle.public_keys, |json, key| json.string(key));
        self.json.key("created_by");
        self.external_dtrx_op(created_by.as_ref())?;
        self.json.key("canceled_by");
        self.external_dtrx_op(canceled_by.as_ref())?;
        self.json.key("execution_irreversible").boolean(lifecycle.execution_irreversible);
        for key in ["dtrx_creation_irreversible", "creation_irreversible"] {
            self.json.key(key).boolean(lifecycle.creation_irreversible);
        }
        for key in ["dtrx_cancelation_irreversible", "cancelation_irreversible"] {
            self.json.key(key).boolean(lifecycle.cancelation_irreversible);
        }
        self.json.end_object();
        Ok(())
    }

    /// The keys of what a trace changed.
    fn operations(&mut self, trace: &TransactionTrace, first_sequence: u64) -> Result<()> {
        self.json.key("dtrxops");
        match &trace.dtrx_ops[..] {
            [] => self.json.null(),
            ops => {
                self.json.begin_array();
                for op in ops {
                    self.json.begin_object();
                    self.dtrx_op_v1(op, sequence_at(trace, op.action_index, first_sequence))?;
                    self.json.end_object();
                }
                self.json.end_array();
            }
        }
        self.json.key("creation_tree").array(trace.creation_tree.iter().zip(0u32..), |json, (node, index)| {
            let CreationFlatNode { creator_action_index, execution_action_index } = *node;
            json.array(
                [index.into(), i64::from(creator_action_index), execution_action_index.into()],
                JsonWriter::signed,
            );
        });
        self.json.key("dbops").array_or_null(&trace.db_ops, |json, op| json.db_op_v1(op));
        self.json.key("ramops").array_or_null(&trace.ram_ops, |json, op| json.ram_op_v1(op));
        self.json.key("tableops").array_or_null(&trace.table_ops, |json, op| json.table_op(op));
        Ok(())
    }

    fn external_dtrx_op(&mut self, op: Option<&ExtDtrxOp>) -> Result<()> {
        let Some(op) = op else {
            self.json.null();
            return Ok(());
        };
        let sequence = self.sequence_of(op)?;
        self.json.begin_object();
        self.json.key("src_trx_id");
        match op.is_source_known() {
            true => self.json.checksum(op.source_transaction_id),
            false => self.json.string(""),
        }
        self.json.key("block_num").unsigned(op.block_num);
        self.json.key("block_id").checksum(op.block_id);
        self.json.key("block_time").block_time(op.block_time);
        self.dtrx_op_v1(&op.dtrx_op, sequence)?;
        self.json.end_object();
        Ok(())
    }

    /// Global sequence of the action that did it.
    fn sequence_of(&self, op: &ExtDtrxOp) -> Result<u64> {
        sequence(self.abis, op.block_num, op.source_transaction_id, op.dtrx_op.action_index)
    }

    /// As the function of that name.
    pub(crate) fn first_sequence(&self, trace: &TransactionTrace) -> Result<u64> {
        first_sequence(self.abis, trace)
    }
}

/// Global sequence of the first action of a transaction, or of what came next on the chain if it executed none for good.
///
/// # Errors
/// The source of ABIs cannot be read.
pub fn first_sequence(abis: &dyn AbiSource, trace: &TransactionTrace) -> Result<u64> {
    match global_sequences(trace) {
        Some(own) => Ok(*own.start()),
        None => sequence(abis, trace.block_num, trace.id, 0),
    }
}

fn sequence(abis: &dyn AbiSource, block_number: u64, transaction: Checksum256, action_index: u32) -> Result<u64> {
    abis.sequence(u32::try_from(block_number).unwrap_or(u32::MAX), transaction, action_index)
}

/// Global sequence of the action at that position if it was executed for good, otherwise that of the transaction's beginning.
pub fn sequence_at(trace: &TransactionTrace, action_index: u32, first_sequence: u64) -> u64 {
    own_sequence(trace, action_index).unwrap_or(first_sequence)
}

/// Global sequence of the action at that position if it was executed for good.
pub(crate) fn own_sequence(trace: &TransactionTrace, action_index: u32) -> Option<u64> {
    let action = trace.action_traces.get(action_index as usize).filter(|_| !trace.is_reverted());
    action?.receipt.as_ref().map(|receipt| receipt.global_sequence)
}
