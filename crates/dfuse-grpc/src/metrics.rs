//! What is counted, under which names.

use dfuse_query::Metrics;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const CALLS: &str = "dfuse_grpc_calls_total";
const CALL_DURATION: &str = "dfuse_grpc_call_duration_seconds";
const CALLS_IN_FLIGHT: &str = "dfuse_grpc_calls_in_flight";
const MESSAGES: &str = "dfuse_grpc_messages_sent_total";

/// For `/metrics`.
pub(crate) fn describe() {
    describe_counter!(CALLS, "gRPC calls that have ended; status left: the client left before.");
    describe_histogram!(CALL_DURATION, "Time from the beginning of a gRPC call to its end.");
    describe_gauge!(CALLS_IN_FLIGHT, "gRPC calls that are being answered.");
    describe_counter!(MESSAGES, "Messages that gRPC calls were answered with.");
}

pub(crate) fn call_begins(metrics: &Metrics) {
    metrics.record(|| gauge!(CALLS_IN_FLIGHT).increment(1.0));
}

pub(crate) fn call_ends(metrics: &Metrics, method: &str, status: &'static str, messages: u64, seconds: f64) {
    let method = method.to_owned();
    metrics.record(|| {
        gauge!(CALLS_IN_FLIGHT).decrement(1.0);
        counter!(CALLS, "method" => method.clone(), "status" => status).increment(1);
        counter!(MESSAGES, "method" => method.clone()).increment(messages);
        histogram!(CALL_DURATION, "method" => method).record(seconds);
    });
}
