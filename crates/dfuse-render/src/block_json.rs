//! The decoded JSON for which the messages of a block have room.

use std::ops::RangeInclusive;

use dfuse_antelope::{
    Name,
    abi::{AbiType, Rendering},
    model::{Action, Block, DbOp, SignedTransaction, TransactionTrace, TrxOp},
};
use dfuse_index::{Result, abi::AbiSource, global_sequences};

/// JSON of one value; what would be longer is left out.
const VALUE_BYTES: usize = 16 << 20;
/// JSON of a block, after which the rest is left out. A few bytes on the chain can stand for a great many.
const BLOCK_BYTES: usize = 64 << 20;

/// Fills in the JSON of a block, in the form in which nodeos renders it: of actions, those in deferred, failed and implicit
/// transactions among them, of what they returned, and of rows before and after they changed.
///
/// Actions are decoded with the ABI in force when they were executed, rows with the one after their transaction. What does not
/// decode is left as it was.
///
/// # Errors
/// The ABIs cannot be read.
pub fn fill_json(block: &mut Block, abis: &dyn AbiSource) -> Result<()> {
    let traces = [&block.unfiltered_transaction_traces, &block.filtered_transaction_traces];
    let first = traces.into_iter().flatten().find_map(global_sequences);
    let next = match first {
        Some(own) => *own.start(),
        None => abis.sequence(block.number, block.id, 0)?,
    };
    let mut filler = Filler { abis, next, room: BLOCK_BYTES, text: Vec::new() };
    for trace in &mut block.unfiltered_transaction_traces {
        filler.trace(trace)?;
    }
    filler.implicit(&mut block.unfiltered_implicit_transaction_ops)?;
    filler.next = next;
    for trace in &mut block.filtered_transaction_traces {
        filler.trace(trace)?;
    }
    filler.implicit(&mut block.filtered_implicit_transaction_ops)
}

struct Filler<'a> {
    abis: &'a dyn AbiSource,
    /// Global sequence of the action that comes after the transactions so far.
    next: u64,
    /// What is left of [`BLOCK_BYTES`].
    room: usize,
    text: Vec<u8>,
}

impl Filler<'_> {
    fn trace(&mut self, trace: &mut TransactionTrace) -> Result<()> {
        let own = global_sequences(trace);
        let places = self.places(trace, own.as_ref());
        let at = |action_index: u32| places.get(action_index as usize).or(places.last()).copied();
        for (action, place) in trace.action_traces.iter_mut().zip(&places) {
            self.action(&mut action.action, *place)?;
            if !action.raw_return_value.is_empty()
                && let Some(abi) = self.abis.abi(action.action.account, *place)?
                && let Ok(kind) = abi.action_result(action.action.name)
            {
                self.fill(&mut action.json_return_value, &kind, &action.raw_return_value);
            }
        }
        for op in &mut trace.dtrx_ops {
            let place = at(op.action_index).unwrap_or(self.next);
            if let Some(transaction) = &mut op.transaction {
                self.transaction(transaction, place)?;
            }
        }
        // Rows have the form that their contract has after the transaction: one that is set up writes some before it has an ABI.
        let after = own.as_ref().map_or(self.next, |own| own.end().saturating_add(1));
        trace.db_ops.iter_mut().try_for_each(|op| self.row(op, after))?;
        if let Some(failed) = &mut trace.failed_dtrx_trace {
            self.trace(failed)?;
        }
        self.next = after;
        Ok(())
    }

    /// Where the actions of a trace stand. One that failed has no place of its own: it saw what those before it left. A
    /// transaction that failed gives its places back.
    fn places(&self, trace: &TransactionTrace, own: Option<&RangeInclusive<u64>>) -> Vec<u64> {
        let mut last = own.map_or(self.next, |own| *own.start());
        let place = |receipt: Option<u64>| {
            last = receipt.filter(|_| own.is_some()).unwrap_or(last);
            last
        };
        trace.action_traces.iter().map(|it| it.receipt.as_ref().map(|it| it.global_sequence)).map(place).collect()
    }

    fn implicit(&mut self, ops: &mut [TrxOp]) -> Result<()> {
        let place = self.next;
        ops.iter_mut().filter_map(|op| op.transaction.as_mut()).try_for_each(|it| self.transaction(it, place))
    }

    fn transaction(&mut self, transaction: &mut SignedTransaction, place: u64) -> Result<()> {
        let transaction = &mut transaction.transaction;
        let actions = transaction.context_free_actions.iter_mut().chain(&mut transaction.actions);
        actions.into_iter().try_for_each(|action| self.action(action, place))
    }

    fn action(&mut self, action: &mut Action, place: u64) -> Result<()> {
        let Some(abi) = self.abis.abi(action.account, place)? else { return Ok(()) };
        if let Ok(kind) = abi.action(action.name) {
            self.fill(&mut action.json_data, &kind, &action.raw_data);
        }
        Ok(())
    }

    fn row(&mut self, op: &mut DbOp, place: u64) -> Result<()> {
        let Some(abi) = self.abis.abi(op.code, place)? else { return Ok(()) };
        let table: Name = op.table_name;
        let Ok(kind) = abi.table(table) else { return Ok(()) };
        for (json, data) in [(&mut op.old_data_json, &op.old_data), (&mut op.new_data_json, &op.new_data)] {
            if !data.is_empty() {
                self.fill(json, &kind, data);
            }
        }
        Ok(())
    }

    fn fill(&mut self, json: &mut String, kind: &AbiType<'_>, data: &[u8]) {
        self.text.clear();
        let limit = self.room.min(VALUE_BYTES);
        if kind.decode(data, Rendering::Nodeos, limit, &mut self.text).is_ok()
            && let Ok(text) = std::str::from_utf8(&self.text)
        {
            self.room = self.room.saturating_sub(text.len());
            text.clone_into(json);
        }
    }
}
