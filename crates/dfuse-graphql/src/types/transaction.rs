//! Transactions, as they were executed and as they were made.

use std::sync::Arc;

use async_graphql::{Object, SimpleObject};
use dfuse_antelope::{Checksum256, model};
use dfuse_index::BlockRef;
use dfuse_query::{ApiError, ApiResult};

use super::{
    Action, ActionTrace, BlockHeader, Int64, Json, Time, TransactionStatus, Uint32, Uint64,
    action::{actions, top_level},
    exception::exception_json,
};
use crate::source::{Source, Trace};

/// The execution of a transaction. Of its own it knows only where it is.
#[derive(Clone)]
pub(crate) struct TransactionTrace {
    pub(super) source: Arc<Source>,
    pub(super) block: BlockRef,
    /// Its position in the block.
    pub(super) position: u32,
    pub(super) id: Checksum256,
    /// Positions of the actions that match a query.
    pub(super) matching: Arc<[u32]>,
}

impl TransactionTrace {
    /// One of which nothing matches.
    pub(crate) fn new(source: &Arc<Source>, block: BlockRef, position: u32, id: Checksum256) -> Self {
        Self { source: source.clone(), block, position, id, matching: Arc::default() }
    }

    /// One of its actions.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn action_at(&self, at: u32) -> ApiResult<ActionTrace> {
        let trace = self.trace()?;
        let at = at as usize;
        match at < trace.action_traces.len() {
            true => Ok(self.action(&trace, at)),
            false => Err(ApiError::unexpected(format!("transaction {} has no action {at}", self.id))),
        }
    }

    fn trace(&self) -> ApiResult<Arc<Trace>> {
        self.source.trace(self.block, self.position)
    }

    fn action(&self, trace: &Arc<Trace>, at: usize) -> ActionTrace {
        ActionTrace { source: self.source.clone(), trace: trace.clone(), at, matching: self.matching.clone() }
    }
}

/// The execution of a transaction.
#[Object]
impl TransactionTrace {
    /// Its id.
    async fn id(&self) -> String {
        self.id.to_string()
    }

    /// The block that executed it.
    async fn block(&self) -> BlockHeader {
        BlockHeader::new(&self.source, self.block)
    }

    /// How it ended.
    async fn status(&self) -> ApiResult<TransactionStatus> {
        let trace = self.trace()?;
        Ok(trace.receipt.as_ref().map_or(TransactionStatus::Unknown, |receipt| receipt.status.into()))
    }

    /// How it ended, and what it was billed.
    async fn receipt(&self) -> ApiResult<TransactionReceiptHeader> {
        let receipt = self.trace()?.receipt.as_ref().map(TransactionReceiptHeader::from);
        Ok(receipt.unwrap_or_default())
    }

    /// How long it took, in microseconds.
    async fn elapsed(&self) -> ApiResult<Int64> {
        Ok(self.trace()?.elapsed.into())
    }

    /// Its bytes of network bandwidth.
    async fn net_usage(&self) -> ApiResult<Uint64> {
        Ok(self.trace()?.net_usage.into())
    }

    /// Whether it was deferred.
    async fn scheduled(&self) -> ApiResult<bool> {
        Ok(self.trace()?.scheduled)
    }

    /// All its actions, in the order of execution.
    async fn executed_actions(&self) -> ApiResult<Vec<ActionTrace>> {
        let trace = self.trace()?;
        actions(&self.source, (0..trace.action_traces.len()).map(|at| self.action(&trace, at)).collect())
    }

    /// Those of its actions that match the query, in the order of execution.
    async fn matching_actions(&self) -> ApiResult<Vec<ActionTrace>> {
        if self.matching.is_empty() {
            return Ok(Vec::new());
        }
        let trace = self.trace()?;
        let matching = self.matching.iter().map(|at| *at as usize).filter(|at| *at < trace.action_traces.len());
        actions(&self.source, matching.map(|at| self.action(&trace, at)).collect())
    }

    /// Those of its actions that no other action created, in the order of execution.
    async fn top_level_actions(&self) -> ApiResult<Vec<Option<ActionTrace>>> {
        let trace = self.trace()?;
        actions(&self.source, top_level(&trace).into_iter().map(|at| Some(self.action(&trace, at))).collect())
    }

    /// Why it failed, if it did.
    #[graphql(name = "exceptJSON")]
    async fn except_json(&self) -> Option<ApiResult<Json>> {
        let json = |trace: Arc<Trace>| {
            trace.exception.as_deref().map(|it| exception_json(self.source.request(), it)).transpose()
        };
        self.trace().and_then(json).transpose()
    }
}

/// How a transaction ended, and what it was billed.
#[derive(Debug, SimpleObject)]
pub(crate) struct TransactionReceiptHeader {
    /// How it ended.
    status: TransactionStatus,
    /// Microseconds.
    #[graphql(name = "cpuUsageMicroSeconds")]
    cpu_usage_micro_seconds: Uint32,
    /// Words of 8 bytes.
    net_usage_words: Uint32,
}

impl Default for TransactionReceiptHeader {
    fn default() -> Self {
        Self { status: TransactionStatus::Unknown, cpu_usage_micro_seconds: 0.into(), net_usage_words: 0.into() }
    }
}

impl From<&model::TransactionReceiptHeader> for TransactionReceiptHeader {
    fn from(receipt: &model::TransactionReceiptHeader) -> Self {
        Self {
            status: receipt.status.into(),
            cpu_usage_micro_seconds: receipt.cpu_usage_micro_seconds.into(),
            net_usage_words: receipt.net_usage_words.into(),
        }
    }
}

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
