//! What is counted, under which names.

use metrics::{describe_counter, describe_gauge};

pub(crate) const WS_STREAMS: &str = "dfuse_websocket_streams";
pub(crate) const WS_REQUESTS: &str = "dfuse_websocket_requests_total";
pub(crate) const WS_ERRORS: &str = "dfuse_websocket_errors_total";
pub(crate) const WS_RENDERED: &str = "dfuse_websocket_rendered_blocks_total";
pub(crate) const WS_REPLAYED: &str = "dfuse_websocket_replayed_blocks_total";
pub(crate) const UPSTREAM_UP: &str = "dfuse_chain_api_node_up";
pub(crate) const PUSHES: &str = "dfuse_guaranteed_pushes_total";
pub(crate) const PUSHES_WAITING: &str = "dfuse_guaranteed_pushes_waiting";

/// For `/metrics`.
pub(crate) fn describe() {
    describe_gauge!(WS_STREAMS, "Open streams on WebSocket connections.");
    describe_counter!(WS_REQUESTS, "Requests that came over WebSocket.");
    describe_counter!(WS_ERRORS, "Errors that were sent over WebSocket.");
    describe_counter!(WS_RENDERED, "Blocks that were rendered for streams, once for all that ask for the same.");
    describe_counter!(WS_REPLAYED, "Final blocks that streams of actions read where the index told them to.");
    describe_gauge!(UPSTREAM_UP, "1 if the node behind /v1/chain answers and is fit to be asked.");
    describe_counter!(PUSHES, "Pushes with a guarantee, and whether it was reached.");
    describe_gauge!(PUSHES_WAITING, "Pushes that wait for their guarantee.");
}
