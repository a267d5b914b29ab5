//! What is counted, under which names.

use std::sync::atomic::AtomicU64;

use dfuse_query::{GraphqlOperation, Metrics};
use metrics::{counter, describe_counter, describe_gauge};

const REQUESTS: &str = "dfuse_graphql_requests_total";
const BLOCKS: &str = "dfuse_graphql_blocks_read_total";
const TRACES: &str = "dfuse_graphql_traces_decoded_total";
const ABIS: &str = "dfuse_graphql_abis_asked_total";
pub(crate) const SUBSCRIPTIONS: &str = "dfuse_graphql_subscriptions";

/// How a document came.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transport {
    Http,
    WebSocket,
}

/// For `/metrics`.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, "GraphQL documents that came.");
    describe_counter!(BLOCKS, "Blocks that were read for fields of GraphQL answers.");
    describe_counter!(TRACES, "Traces of transactions that were decoded for fields of GraphQL answers.");
    describe_counter!(ABIS, "How often an ABI was asked for to decode data of a GraphQL answer.");
    describe_gauge!(SUBSCRIPTIONS, "Open GraphQL subscriptions.");
}

/// What answers cost besides looking into indexes.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    /// Traces that were decoded.
    pub(crate) traces: AtomicU64,
    /// How often an ABI was asked for.
    pub(crate) abis: AtomicU64,
}

impl Costs {
    /// Counts them, with the blocks that were read, once for all.
    pub(crate) fn count(&mut self, metrics: &Metrics, blocks: u64) {
        for (name, count) in [(BLOCKS, blocks), (TRACES, *self.traces.get_mut()), (ABIS, *self.abis.get_mut())] {
            if count > 0 {
                metrics.record(|| counter!(name).increment(count));
            }
        }
    }
}

/// Counts a document by what it does.
pub(crate) fn count_request(metrics: &Metrics, transport: Transport, operation: Option<GraphqlOperation>) {
    let transport = match transport {
        Transport::Http => "http",
        Transport::WebSocket => "websocket",
    };
    let operation = match operation {
        Some(GraphqlOperation::Query) => "query",
        Some(GraphqlOperation::Subscription) => "subscription",
        None => "invalid",
    };
    metrics.record(|| counter!(REQUESTS, "transport" => transport, "operation" => operation).increment(1));
}
