//! Transactions, as they were executed and as they were made.

use std::sync::Arc;

use async_graphql::{Object, SimpleObject};
use dfuse_antelope::{Checksum256, model};
use dfuse_index::BlockRef;
use dfuse_query::{ApiError, ApiResult};

use super::{
    ActionTrace, BlockHeader, Int64, Json, SearchDetail, TransactionStatus, Uint32, Uint64, action::top_level,
    call::actions, exception::exception_json,
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

    /// What the source of its block did not tell of `dbOps`, `dtrxOps`, `ramOps` and `tableOps` of its actions.
    async fn details(&self) -> ApiResult<Vec<SearchDetail>> {
        SearchDetail::of_operations(&self.source, self.block.number)
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
