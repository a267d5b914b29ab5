//! Deferred transactions.

use std::sync::Arc;

use async_graphql::Object;
use dfuse_antelope::model;
use dfuse_query::ApiResult;

use super::{
    Time, Uint32,
    call::{Action, actions},
};
use crate::source::{Source, Trace};

/// The transaction of an operation with deferred transactions.
pub(crate) struct Transaction {
    pub(super) source: Arc<Source>,
    pub(super) trace: Arc<Trace>,
    /// The operation, by its position in the trace.
    pub(super) op: usize,
}

impl Transaction {
    fn op(&self) -> &model::DtrxOp {
        &self.trace.dtrx_ops[self.op]
    }

    fn header(&self) -> model::TransactionHeader {
        self.op().transaction.as_ref().map(|signed| signed.transaction.header.clone()).unwrap_or_default()
    }

    fn actions_of(&self, of: fn(&model::Transaction) -> &Vec<model::Action>) -> ApiResult<Vec<Action>> {
        let signed = self.op().transaction.as_ref();
        let all = signed.map(|signed| of(&signed.transaction)).into_iter().flatten();
        let action = |action: &model::Action| Action {
            source: self.source.clone(),
            trace: self.trace.clone(),
            position: self.op().action_index,
            action: action.clone(),
        };
        actions(&self.source, all.map(action).collect())
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
        self.actions_of(|transaction| &transaction.context_free_actions)
    }

    /// Its actions.
    async fn actions(&self) -> ApiResult<Vec<Action>> {
        self.actions_of(|transaction| &transaction.actions)
    }
}
