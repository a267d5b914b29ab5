//! What has become of a transaction.

use std::sync::Arc;

use async_graphql::Object;
use dfuse_antelope::model::{self, ExtDtrxOp};
use dfuse_index::{BlockRef, View};
use dfuse_query::{ApiResult, blocks::BlockWindow};

use super::{BlockHeader, DtrxOp, Transaction, TransactionLifecycleStatus, TransactionTrace};
use crate::{
    read::Request,
    source::{Blocks, Source},
};

/// All that is known of a transaction.
pub(crate) struct TransactionLifecycle {
    source: Arc<Source>,
    lifecycle: Arc<model::TransactionLifecycle>,
    /// Where it was executed: block and position there.
    executed: Option<(BlockRef, u32)>,
}

impl TransactionLifecycle {
    /// With the indexes that tell of it.
    pub(crate) fn new(request: &Arc<Request>, view: View, mut lifecycle: model::TransactionLifecycle) -> Self {
        let window = BlockWindow::new(&request.read(), Vec::new());
        let source = Source::new(request, view, Blocks::Results(window));
        let executed = lifecycle.execution_trace.take().map(|trace| {
            let number = u32::try_from(trace.block_num).unwrap_or(u32::MAX);
            let block = BlockRef { number, id: trace.producer_block_id.unwrap_or_default() };
            let position = u32::try_from(trace.index).unwrap_or(u32::MAX);
            source.keep(block, position, trace);
            (block, position)
        });
        Self { source, lifecycle: Arc::new(lifecycle), executed }
    }

    fn deferred(&self, op: Option<&ExtDtrxOp>) -> ApiResult<Option<ExternalDtrxOp>> {
        let external = |op: &ExtDtrxOp| {
            let trace = self.source.trace_of_deferring(op)?;
            let block = BlockRef { number: u32::try_from(op.block_num).unwrap_or(u32::MAX), id: op.block_id };
            let transaction = if op.is_source_known() { op.source_transaction_id.to_string() } else { String::new() };
            let op = DtrxOp::new(&self.source, &trace, 0);
            Ok(ExternalDtrxOp { source: self.source.clone(), block, transaction, op })
        };
        op.map(external).transpose()
    }
}

/// All that is known of a transaction.
#[Object]
impl TransactionLifecycle {
    /// Its id.
    async fn id(&self) -> String {
        self.lifecycle.id.to_string()
    }

    /// What has become of it.
    async fn status(&self) -> TransactionLifecycleStatus {
        self.lifecycle.transaction_status.into()
    }

    /// The transaction as it was signed, or as a contract made it; absent if no block has it.
    async fn transaction(&self) -> ApiResult<Option<Transaction>> {
        let Some(signed) = &self.lifecycle.transaction else { return Ok(None) };
        let executed = self.executed.map(|(block, position)| self.source.trace(block, position)).transpose()?;
        let trace = match (executed, &self.lifecycle.created_by) {
            (Some(trace), _) => trace,
            (None, Some(created_by)) => self.source.trace_of_deferring(created_by)?,
            (None, None) => self.source.no_trace(),
        };
        Ok(Some(Transaction::signed(&self.source, &trace, signed)))
    }

    /// Its signatures.
    async fn signatures(&self) -> Vec<String> {
        let signed = self.lifecycle.transaction.as_ref();
        signed.map(|signed| signed.signatures.clone()).unwrap_or_default()
    }

    /// The keys that signed it, where the chain's id is known.
    async fn public_keys(&self) -> Vec<String> {
        self.lifecycle.public_keys.clone()
    }

    /// The trace of its newest execution, or of the attempt at one; absent if there was none.
    async fn trace(&self) -> Option<TransactionTrace> {
        let (block, position) = self.executed?;
        Some(TransactionTrace::new(&self.source, block, position, self.lifecycle.id))
    }

    /// The contract's action that deferred it, or its own push with a delay.
    async fn created_by(&self) -> ApiResult<Option<ExternalDtrxOp>> {
        self.deferred(self.lifecycle.created_by.as_ref())
    }

    /// The action that cancelled it before it was executed.
    async fn canceled_by(&self) -> ApiResult<Option<ExternalDtrxOp>> {
        self.deferred(self.lifecycle.canceled_by.as_ref())
    }

    /// Whether the block that deferred it can no longer be undone.
    async fn creation_irreversible(&self) -> bool {
        self.lifecycle.creation_irreversible
    }

    /// Whether the block that executed it can no longer be undone.
    async fn execution_irreversible(&self) -> bool {
        self.lifecycle.execution_irreversible
    }

    /// Whether the block that cancelled it can no longer be undone.
    async fn cancelation_irreversible(&self) -> bool {
        self.lifecycle.cancelation_irreversible
    }
}

/// What an action of another transaction did with a deferred one.
pub(crate) struct ExternalDtrxOp {
    source: Arc<Source>,
    block: BlockRef,
    transaction: String,
    op: DtrxOp,
}

/// What an action of another transaction did with a deferred one.
#[Object(name = "ExternalDTrxOp")]
impl ExternalDtrxOp {
    /// The other transaction.
    #[graphql(name = "srcTrxID")]
    async fn src_trx_id(&self) -> &str {
        &self.transaction
    }

    /// The block that executed the other transaction.
    async fn block(&self) -> BlockHeader {
        BlockHeader::new(&self.source, self.block)
    }

    /// What was done.
    async fn op(&self) -> DtrxOp {
        self.op.clone()
    }
}
