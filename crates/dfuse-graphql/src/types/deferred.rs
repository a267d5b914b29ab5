//! Transactions as they were made, by whoever signed them or by a contract.

use std::sync::Arc;

use async_graphql::Object;
use dfuse_antelope::model;
use dfuse_query::ApiResult;

use super::{
    Time, Uint32,
    call::{Action, actions},
};
use crate::source::{Source, Trace};

/// A transaction as it was made.
pub(crate) struct Transaction {
    source: Arc<Source>,
    /// The trace with whose ABIs it is decoded.
    trace: Arc<Trace>,
    made: Made,
}

/// Where a transaction stands.
enum Made {
    /// In an operation with deferred transactions, by its position in the trace.
    Op(usize),
    /// In a block. The trace is of its execution, if it was executed.
    Signed(Box<model::Transaction>),
}

impl Transaction {
    /// That of an operation with deferred transactions, by its position in the trace.
    pub(super) fn deferred(source: &Arc<Source>, trace: &Arc<Trace>, op: usize) -> Self {
        Self { source: source.clone(), trace: trace.clone(), made: Made::Op(op) }
    }

    /// One of a block, with the trace of its execution or of what made it.
    pub(super) fn signed(source: &Arc<Source>, trace: &Arc<Trace>, signed: &model::SignedTransaction) -> Self {
        let made = Made::Signed(Box::new(signed.transaction.clone()));
        Self { source: source.clone(), trace: trace.clone(), made }
    }

    fn own(&self) -> Option<&model::Transaction> {
        match &self.made {
            Made::Op(op) => self.trace.dtrx_ops[*op].transaction.as_ref().map(|signed| &signed.transaction),
            Made::Signed(transaction) => Some(transaction),
        }
    }

    fn header(&self) -> model::TransactionHeader {
        self.own().map(|transaction| transaction.header.clone()).unwrap_or_default()
    }

    /// The position of the action in force at which an action of this transaction is decoded; `at` is its own position, context-free
    /// actions first.
    fn decoded_at(&self, at: usize) -> u32 {
        match &self.made {
            Made::Op(op) => self.trace.dtrx_ops[*op].action_index,
            // Those of the transaction itself have the first ordinals, in their order. There is no action at the last position:
            // that one stands for the beginning.
            Made::Signed(_) => {
                let is_own =
                    |it: &model::ActionTrace| it.is_input() && it.action_ordinal as usize == at.saturating_add(1);
                let executed = self.trace.action_traces.iter().position(is_own);
                executed.and_then(|executed| u32::try_from(executed).ok()).unwrap_or(u32::MAX)
            }
        }
    }

    /// Some of its actions, of which the first stands at `from` among all.
    fn actions_of(&self, from: usize, list: &[model::Action]) -> ApiResult<Vec<Action>> {
        let action = |(at, action): (usize, &model::Action)| Action {
            source: self.source.clone(),
            trace: self.trace.clone(),
            position: self.decoded_at(at),
            action: action.clone(),
        };
        actions(&self.source, (from..).zip(list).map(action).collect())
    }
}

/// A transaction without signatures.
#[Object]
impl Transaction {
    /// Until when it may come into a block.
    async fn expiration(&self) -> Time {
        self.header().expiration.into()
    }

    /// The low 16 bits of the number of a block that it refers to.
    async fn ref_block_num(&self) -> Uint32 {
        self.header().ref_block_num.into()
    }

    /// A part of the id of that block.
    async fn ref_block_prefix(&self) -> Uint32 {
        self.header().ref_block_prefix.into()
    }

    /// Most words of network bandwidth; 0 for no limit of its own.
    async fn max_net_usage_words(&self) -> Uint32 {
        self.header().max_net_usage_words.into()
    }

    /// Most milliseconds; 0 for no limit of its own.
    #[graphql(name = "maxCPUUsageMS")]
    async fn max_cpu_usage_ms(&self) -> Uint32 {
        self.header().max_cpu_usage_ms.into()
    }

    /// How many seconds later it is to be executed.
    async fn delay_sec(&self) -> Uint32 {
        self.header().delay_sec.into()
    }

    /// Its context-free actions.
    async fn context_free_actions(&self) -> ApiResult<Vec<Action>> {
        self.own().map_or(Ok(Vec::new()), |own| self.actions_of(0, &own.context_free_actions))
    }

    /// Its actions.
    async fn actions(&self) -> ApiResult<Vec<Action>> {
        self.own().map_or(Ok(Vec::new()), |own| self.actions_of(own.context_free_actions.len(), &own.actions))
    }
}
