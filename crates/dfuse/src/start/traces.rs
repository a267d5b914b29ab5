//! Requests as spans, to a collector: OTLP over HTTP, in its JSON form (<https://opentelemetry.io/docs/specs/otlp/>).

use std::{pin::pin, time::Duration};

use dfuse_http::{Answered, SpanRecord, Spans};
use dfuse_node::rpc::NodeClient;
use dfuse_query::Service;
use metrics::{counter, describe_counter};
use serde_json::{Value, json};
use tokio::{sync::mpsc::Receiver, time::sleep};
use tracing::{info, warn};

/// Spans that may wait.
pub(super) const ROOM: usize = 4096;
/// Most spans that are sent together.
const AT_ONCE: usize = 512;
/// How long the first of them waits for others.
const GATHER: Duration = Duration::from_secs(5);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where collectors take traces.
const PATH: &str = "/v1/traces";
const SENT: &str = "dfuse_trace_spans_sent_total";
const LOST: &str = "dfuse_trace_spans_lost_total";
/// `SPAN_KIND_SERVER` and `STATUS_CODE_ERROR`.
const SERVER: u32 = 2;
const ERROR: u32 = 2;

/// Sends spans.
pub(super) struct Traces {
    pub(super) collector: NodeClient,
    pub(super) service_name: String,
    pub(super) spans: Spans,
    pub(super) records: Receiver<SpanRecord>,
    pub(super) service: Service,
}

impl Traces {
    /// Sends until it is dropped. What cannot be sent is dropped, and counted in the log.
    pub(super) async fn run(mut self) {
        self.service.metrics().record(|| {
            describe_counter!(SENT, "Spans of requests that a collector has taken.");
            describe_counter!(LOST, "Spans of requests that no collector has taken.");
        });
        let (mut failing, mut sent, mut failed) = (0u64, 0u64, 0u64);
        while let Some(records) = self.gather().await {
            let request = self.request(&records);
            let answer = self.collector.call_within::<Value>(PATH, &request, PATIENCE).await;
            let (taken, number) = (answer.is_ok(), records.len() as u64);
            *(if taken { &mut sent } else { &mut failed }) += number;
            self.service.metrics().record(|| {
                counter!(SENT).absolute(sent);
                counter!(LOST).absolute(failed + self.spans.lost());
            });
            match answer {
                Ok(_) if failing > 0 => {
                    info!(dropped = failing + self.spans.lost(), "traces are sent again");
                    failing = 0;
                }
                Ok(_) => {}
                Err(error) => {
                    if failing == 0 {
                        warn!(%error, "traces cannot be sent, and are dropped until they can: look at traces.collector");
                    }
                    failing += number;
                }
            }
        }
    }

    /// What comes in some seconds, or as much as is sent together.
    async fn gather(&mut self) -> Option<Vec<SpanRecord>> {
        let mut records = vec![self.records.recv().await?];
        let mut enough = pin!(sleep(GATHER));
        while records.len() < AT_ONCE {
            tokio::select! {
                () = &mut enough => break,
                record = self.records.recv() => match record {
                    Some(record) => records.push(record),
                    None => break,
                },
            }
        }
        Some(records)
    }

    fn request(&self, records: &[SpanRecord]) -> Value {
        let spans: Vec<_> = records.iter().map(|record| span(record, self.span_id())).collect();
        let resource = [("service.name", json!({"stringValue": self.service_name})), version()];
        json!({"resourceSpans": [{
            "resource": {"attributes": attributes(resource)},
            "scopeSpans": [{"scope": {"name": "dfuse"}, "spans": spans}],
        }]})
    }

    fn span_id(&self) -> [u8; 8] {
        let mut id = [0; 8];
        // An id of zeros means none: there is one in any case.
        if self.service.chain().entropy.fill(&mut id).is_err() || id == [0; 8] {
            id = [1; 8];
        }
        id
    }
}

fn version() -> (&'static str, Value) {
    ("service.version", json!({"stringValue": env!("CARGO_PKG_VERSION")}))
}

fn attributes(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Vec<Value> {
    pairs.into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

/// Trace ids are those of answers. What a client says of its own trace is a link.
fn span(record: &SpanRecord, id: [u8; 8]) -> Value {
    let SpanRecord { answered, route, traceparent } = record;
    let Answered { unix_ms, method, target, status, code, trace_id, taken } = answered;
    let end = u128::from(*unix_ms) * 1_000_000;
    let text = |value: &str| json!({"stringValue": value});
    let mut pairs = vec![
        ("http.request.method", text(method)),
        ("http.route", text(route)),
        ("url.path", text(target.split(['?', ';']).next().unwrap_or_default())),
        // Numbers of 64 bits are texts in this form.
        ("http.response.status_code", json!({"intValue": status.to_string()})),
    ];
    if let Some(code) = code {
        pairs.push(("error.type", text(code)));
    }
    let mut span = json!({
        "traceId": trace_id.to_string(),
        "spanId": const_hex::encode(id),
        "name": format!("{method} {route}"),
        "kind": SERVER,
        "startTimeUnixNano": end.saturating_sub(taken.as_nanos()).to_string(),
        "endTimeUnixNano": end.to_string(),
        "attributes": attributes(pairs),
    });
    if *status >= 500 {
        span["status"] = json!({"code": ERROR});
    }
    // Version, trace, span, flags.
    let mut parts = traceparent.iter().flat_map(|text| text.split('-')).skip(1);
    if let (Some(trace), Some(parent)) = (parts.next(), parts.next()) {
        span["links"] = json!([{"traceId": trace, "spanId": parent}]);
    }
    span
}

#[cfg(test)]
mod tests {
    use dfuse_query::TraceId;

    use super::*;

    #[test]
    fn a_request_is_a_span() {
        let answered = Answered {
            unix_ms: 1_700_000_000_000,
            method: "GET",
            target: "/v0/blocks/ab?token=***".to_owned(),
            status: 503,
            code: Some("service_unavailable_error"),
            trace_id: TraceId([0xab; 16]),
            taken: Duration::from_micros(1500),
        };
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
        let record = SpanRecord { answered, route: "/v0/blocks/{id}".to_owned(), traceparent: Some(parent) };
        let span = span(&record, [1; 8]);
        assert_eq!(span["traceId"], "ab".repeat(16));
        assert_eq!((&span["spanId"], &span["kind"]), (&json!("01".repeat(8)), &json!(2)));
        assert_eq!(span["name"], "GET /v0/blocks/{id}");
        assert_eq!(span["endTimeUnixNano"], "1700000000000000000");
        assert_eq!(span["startTimeUnixNano"], "1699999999998500000");
        assert_eq!(span["status"]["code"], 2);
        assert_eq!(span["links"][0]["spanId"], "b7ad6b7169203331");
        let attributes = span["attributes"].as_array().unwrap();
        let value = |key: &str| attributes.iter().find(|it| it["key"] == key).map(|it| &it["value"]).unwrap();
        assert_eq!(value("http.response.status_code")["intValue"], "503");
        assert_eq!(value("url.path")["stringValue"], "/v0/blocks/ab", "nothing of the query");
        assert_eq!(value("error.type")["stringValue"], "service_unavailable_error");
    }
}
