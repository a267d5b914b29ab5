//! What the fields of several messages say together.

use super::{
    ActionTrace, Block, DbOp, ExtDtrxOp, PermOp, RamOp, RlimitOp, StateHistory, TableOp, TransactionReceipt,
    TransactionStatus, TransactionTrace, TrxOp,
};
use crate::{Checksum256, Name};

impl Block {
    /// The last irreversible block once this one is applied; 0 in the first blocks of a chain.
    pub fn lib_num(&self) -> u32 {
        self.dpos_irreversible_blocknum
    }

    /// Receipts in block order; of a filtered block those that passed.
    pub fn transactions(&self) -> &[TransactionReceipt] {
        if self.filtering_applied { &self.filtered_transactions } else { &self.unfiltered_transactions }
    }

    /// Traces in the order of execution; of a filtered block those that passed.
    pub fn transaction_traces(&self) -> &[TransactionTrace] {
        if self.filtering_applied { &self.filtered_transaction_traces } else { &self.unfiltered_transaction_traces }
    }

    /// Transactions that the chain itself made; of a filtered block those that passed.
    pub fn implicit_transaction_ops(&self) -> &[TrxOp] {
        if self.filtering_applied {
            &self.filtered_implicit_transaction_ops
        } else {
            &self.unfiltered_implicit_transaction_ops
        }
    }

    /// Traces of what happened, in the order of execution.
    pub fn executed_traces(&self) -> impl Iterator<Item = &TransactionTrace> + Clone {
        self.transaction_traces().iter().filter(|trace| !trace.is_reverted())
    }

    /// Changes of rows: those of actions in the order of execution, then those of the block as a whole.
    pub fn row_operations(&self) -> impl Iterator<Item = &DbOp> + Clone {
        self.executed_traces().flat_map(|trace| &trace.db_ops).chain(self.of_block(|block| &block.db_ops))
    }

    /// A change of a row by the position of its trace and its own one there, with the trace. Changes of the block as a whole come as
    /// if in a trace after the last one, and without it.
    pub fn row_operation(&self, trace: usize, op: usize) -> Option<(Option<&TransactionTrace>, &DbOp)> {
        let traces = self.transaction_traces();
        match traces.get(trace) {
            Some(trace) => Some((Some(trace), trace.db_ops.get(op)?)),
            None if trace == traces.len() => Some((None, self.state_history.as_ref()?.db_ops.get(op)?)),
            None => None,
        }
    }

    /// Tables that came and went, in the order of [`Block::row_operations`], as are those below.
    pub fn table_operations(&self) -> impl Iterator<Item = &TableOp> + Clone {
        self.executed_traces().flat_map(|trace| &trace.table_ops).chain(self.of_block(|block| &block.table_ops))
    }

    /// Changes of permissions.
    pub fn permission_operations(&self) -> impl Iterator<Item = &PermOp> + Clone {
        self.executed_traces().flat_map(|trace| &trace.perm_ops).chain(self.of_block(|block| &block.perm_ops))
    }

    /// Changes of the RAM that accounts use.
    pub fn ram_operations(&self) -> impl Iterator<Item = &RamOp> + Clone {
        self.executed_traces().flat_map(|trace| &trace.ram_ops).chain(self.of_block(|block| &block.ram_ops))
    }

    /// Changes of what accounts may use and do use.
    pub fn account_resource_operations(&self) -> impl Iterator<Item = &RlimitOp> + Clone {
        self.executed_traces().flat_map(|trace| &trace.rlimit_ops).chain(self.of_block(|block| &block.rlimit_ops))
    }

    /// Deferred transactions that were sent, replaced or cancelled by actions that are not known.
    pub fn deferred_operations_of_block(&self) -> &[ExtDtrxOp] {
        self.state_history.as_ref().map(|history| &history.dtrx_ops[..]).unwrap_or_default()
    }

    /// What no single action is known to have done.
    fn of_block<T>(&self, list: impl Fn(&StateHistory) -> &Vec<T>) -> std::slice::Iter<'_, T> {
        self.state_history.as_ref().map(|history| list(history).iter()).unwrap_or_default()
    }

    /// Whether a filter left out transactions, and with them what they changed: what the chain's state is from this block on is
    /// not known. Blocks that dfuse filters have the changes in `state_history`.
    pub fn lacks_changes(&self) -> bool {
        let dropped = self.filtered_transaction_traces.len() < self.unfiltered_transaction_trace_count as usize;
        self.filtering_applied && self.state_history.is_none() && dropped
    }

    /// Computes the four unfiltered counts (fields 22 to 25) from the lists. A filtered block has lists of what is left only: its
    /// counts stay as they are.
    pub fn update_counts(&mut self) {
        if self.filtering_applied {
            return;
        }
        let actions = || self.unfiltered_transaction_traces.iter().flat_map(|trace| &trace.action_traces);
        let input_actions = actions().filter(|action| action.is_input()).count();
        let all_actions = actions().count();
        self.unfiltered_transaction_count = self.unfiltered_transactions.len() as u32;
        self.unfiltered_transaction_trace_count = self.unfiltered_transaction_traces.len() as u32;
        self.unfiltered_executed_input_action_count = input_actions as u32;
        self.unfiltered_executed_total_action_count = all_actions as u32;
    }
}

impl TransactionTrace {
    /// True when what the operations say did not happen, because the transaction failed or did not run.
    ///
    /// A soft failure whose first action is `eosio::onerror` is the handler that ran in place of the transaction.
    pub fn is_reverted(&self) -> bool {
        const ONERROR: Name = Name::literal("onerror");
        match self.receipt.as_ref().map(|receipt| receipt.status) {
            Some(TransactionStatus::Executed) => false,
            Some(TransactionStatus::SoftFail) => {
                let first = self.action_traces.first().map(|action| (action.action.account, action.action.name));
                first != Some((Name::EOSIO, ONERROR))
            }
            _ => true,
        }
    }
}

impl ExtDtrxOp {
    /// Whether it is known which transaction did it. Blocks made of state history do not always say so.
    pub fn is_source_known(&self) -> bool {
        self.source_transaction_id != Checksum256::default()
    }
}

impl ActionTrace {
    /// True for an action of the transaction itself, rather than one that another action caused.
    pub fn is_input(&self) -> bool {
        self.creator_action_ordinal == 0
    }
}
