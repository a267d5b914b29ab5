//! What is counted, under which names.

use dfuse_query::{Metrics, Usage};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

pub(crate) fn request_begins(metrics: &Metrics) {
    metrics.record(|| gauge!(REQUESTS_IN_FLIGHT).increment(1.0));
}

pub(crate) fn request_ends(metrics: &Metrics, route: &str, method: &'static str, status: u16, seconds: f64) {
    let route = route.to_owned();
    metrics.record(|| {
        gauge!(REQUESTS_IN_FLIGHT).decrement(1.0);
        counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string()).increment(1);
        histogram!(REQUEST_DURATION, "route" => route).record(seconds);
    });
}

pub(crate) const CONNECTIONS: &str = "dfuse_connections";
pub(crate) const CONNECTIONS_MOST: &str = "dfuse_connections_most";
pub(crate) const SENT_AWAY: &str = "dfuse_idle_connections_closed_total";
const REQUESTS: &str = "dfuse_http_requests_total";
const REQUEST_DURATION: &str = "dfuse_http_request_duration_seconds";
const REQUESTS_IN_FLIGHT: &str = "dfuse_http_requests_in_flight";
pub(crate) const HEAD: &str = "dfuse_head_block_number";
pub(crate) const HEAD_DRIFT: &str = "dfuse_head_block_time_drift_seconds";
pub(crate) const LIB: &str = "dfuse_lib_block_number";
pub(crate) const COMMITTED: &str = "dfuse_index_committed_block_number";
pub(crate) const LOWEST_BLOCK: &str = "dfuse_lowest_block_number";
pub(crate) const INDEX_LIVE: &str = "dfuse_index_live";
pub(crate) const INDEX_STALLED: &str = "dfuse_index_stalled";
pub(crate) const REVERSIBLE_BLOCKS: &str = "dfuse_index_reversible_blocks";
pub(crate) const OVERLAY_BYTES: &str = "dfuse_index_overlay_bytes";
pub(crate) const FEED_BYTES: &str = "dfuse_feed_memory_bytes";
pub(crate) const FEED_HISTORY_BYTES: &str = "dfuse_feed_history_bytes";
pub(crate) const WS_CONNECTIONS: &str = "dfuse_websocket_connections";
pub(crate) const WS_MESSAGES: &str = "dfuse_websocket_messages_total";
pub(crate) const WS_CLOSED: &str = "dfuse_websocket_closed_total";
pub(crate) const WS_QUEUED_BYTES: &str = "dfuse_websocket_queued_bytes";
pub(crate) const BODY_BYTES: &str = "dfuse_http_body_bytes";
pub(crate) const USAGE_UNWRITTEN: &str = "dfuse_usage_unwritten_requests";
const USED_REQUESTS: &str = "dfuse_usage_requests_total";
const USED_DOCUMENTS: &str = "dfuse_usage_documents_total";
const USED_INGRESS: &str = "dfuse_usage_ingress_bytes_total";
const USED_EGRESS: &str = "dfuse_usage_egress_bytes_total";
const USED_LIMITED: &str = "dfuse_usage_rate_limited_total";
pub(crate) const READY: &str = "dfuse_ready";
pub(crate) const CONDITION_HOLDS: &str = "dfuse_condition_holds";

/// What a caller has used since the start: an API key by its id, or all of a kind.
pub(crate) fn usage_of(caller: &str, usage: Usage) {
    let Usage { requests, documents, ingress_bytes, egress_bytes, rate_limited } = usage;
    for (name, value) in [
        (USED_REQUESTS, requests),
        (USED_DOCUMENTS, documents),
        (USED_INGRESS, ingress_bytes),
        (USED_EGRESS, egress_bytes),
        (USED_LIMITED, rate_limited),
    ] {
        counter!(name, "key" => caller.to_owned()).absolute(value);
    }
}

/// For `/metrics`.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, "Requests that were answered; status 0: the client left before.");
    describe_histogram!(REQUEST_DURATION, "Time from the header of a request to the header of its answer.");
    describe_gauge!(REQUESTS_IN_FLIGHT, "Requests that are being answered.");
    describe_gauge!(HEAD, "Height of the head block.");
    describe_gauge!(LOWEST_BLOCK, "The lowest block that is kept, by part; 0 where all are.");
    describe_gauge!(HEAD_DRIFT, "How old the head block is.");
    describe_gauge!(LIB, "Height of the last irreversible block.");
    describe_gauge!(COMMITTED, "Height of the last block that is committed.");
    describe_gauge!(INDEX_LIVE, "1 if the index follows the chain, 0 if it must be built.");
    describe_gauge!(INDEX_STALLED, "1 while the store takes no writes.");
    describe_gauge!(REVERSIBLE_BLOCKS, "Blocks of all branches that are not committed.");
    describe_gauge!(OVERLAY_BYTES, "Memory that their writes take.");
    describe_gauge!(FEED_BYTES, "Memory that encoded blocks of the chain's end take.");
    describe_gauge!(FEED_HISTORY_BYTES, "Memory that blocks of history take that streams have read.");
    describe_gauge!(WS_CONNECTIONS, "Open WebSocket connections.");
    describe_counter!(WS_MESSAGES, "Messages that were sent over WebSocket.");
    describe_counter!(WS_CLOSED, "WebSocket connections that ended; code 0: the client left.");
    describe_gauge!(
        WS_QUEUED_BYTES,
        "Memory of messages that wait for WebSocket clients, and of those that are being made."
    );
    describe_gauge!(BODY_BYTES, "Room that bodies of requests have.");
    describe_gauge!(CONNECTIONS, "Open connections, WebSocket among them.");
    describe_gauge!(CONNECTIONS_MOST, "Most connections that may be open.");
    describe_counter!(SENT_AWAY, "Idle connections that were closed to make room for others.");
    let keys = "by id of the API key, or anonymous, network, secret and foreign; the 1,000 first, and others together.";
    describe_counter!(USED_REQUESTS, format!("Requests since the start, {keys}"));
    describe_counter!(USED_DOCUMENTS, format!("Documents since the start, {keys}"));
    describe_counter!(USED_INGRESS, format!("Bytes that came since the start, {keys}"));
    describe_counter!(USED_EGRESS, format!("Bytes that went since the start, before compression, {keys}"));
    describe_counter!(USED_LIMITED, format!("Requests that a limit refused since the start, {keys}"));
    describe_gauge!(USAGE_UNWRITTEN, "Requests that are not in the table of usage yet: what a crash would lose.");
    describe_gauge!(READY, "1 if all conditions of readiness hold.");
    describe_gauge!(CONDITION_HOLDS, "1 if the condition of readiness holds.");
}
