//! What is counted, under which names.

use dfuse_query::{GraphqlOperation, Metrics};
use metrics::{counter, describe_counter, describe_gauge};

const REQUESTS: &str = "dfuse_graphql_requests_total";
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
    describe_gauge!(SUBSCRIPTIONS, "Open GraphQL subscriptions.");
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
