//! What the fields of several messages say together.

use super::{ActionTrace, Block, TransactionReceipt, TransactionStatus, TransactionTrace, TrxOp};
use crate::Name;

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

    /// Computes the four unfiltered counts (fields 22 to 25) from the lists.
    pub fn update_counts(&mut self) {
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
        const EOSIO: Name = Name::literal("eosio");
        const ONERROR: Name = Name::literal("onerror");
        match self.receipt.as_ref().map(|receipt| receipt.status) {
            Some(TransactionStatus::Executed) => false,
            Some(TransactionStatus::SoftFail) => {
                let first = self.action_traces.first().map(|action| (action.action.account, action.action.name));
                first != Some((EOSIO, ONERROR))
            }
            _ => true,
        }
    }
}

impl ActionTrace {
    /// True for an action of the transaction itself, rather than one that another action caused.
    pub fn is_input(&self) -> bool {
        self.creator_action_ordinal == 0
    }
}
