//! The nodes that a transaction is pushed to.

use std::time::Duration;

use dfuse_node::rpc::{PushAnswer, RpcError};
use dfuse_query::push::{PushNodes, Refusal};

use super::transaction::Pushed;
use crate::chain_api::upstreams::{Upstream, Upstreams};

/// A transaction on its way to the nodes.
#[derive(Debug)]
pub(super) struct Pushing<'a> {
    pub(super) upstreams: &'a Upstreams,
    /// The path of the call.
    pub(super) path: String,
    pub(super) pushed: &'a Pushed,
}

impl PushNodes for Pushing<'_> {
    type Node = Upstream;
    type Error = RpcError;

    fn candidates(&self) -> Vec<&Upstream> {
        self.upstreams.candidates()
    }

    fn random(&self) -> Option<&Upstream> {
        self.upstreams.random()
    }

    async fn push(&self, node: &Upstream, time: Duration) -> Result<(), RpcError> {
        let node = node.client();
        let PushAnswer { transaction_id, .. } = node.call_within(&self.path, &self.pushed.body, time).await?;
        if transaction_id == self.pushed.id {
            return Ok(());
        }
        let (node, path) = (node.url().to_owned(), self.path.clone());
        let reason = format!("it says that the transaction is {transaction_id}, not {}", self.pushed.id);
        Err(RpcError::Answer { node, path, status: 200, reason })
    }

    fn refusal(error: &RpcError) -> Refusal {
        match error.refusal() {
            None => Refusal::Away,
            Some(refusal) if refusal.is_retryable() => Refusal::Busy,
            Some(refusal) if refusal.is_duplicate() => Refusal::Duplicate,
            Some(refusal) if refusal.is_expired() => Refusal::Expired,
            Some(_) => Refusal::Refused,
        }
    }

    fn tried(&self, node: &Upstream, result: &Result<(), RpcError>) {
        match result {
            Ok(()) | Err(RpcError::Refused { .. }) => self.upstreams.succeeded(node),
            Err(error) => self.upstreams.failed(node, error),
        }
    }
}
