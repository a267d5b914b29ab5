//! What is counted of the source: which kind it is, whether it gives, which of its endpoints does, and how far it says that it is.

use dfuse_node::SourceSpec;
use dfuse_query::Service;
use metrics::{describe_gauge, gauge};

use super::origin::Origin;

const UP: &str = "dfuse_source_up";
const HEAD: &str = "dfuse_source_head_block_number";
const ENDPOINT: &str = "dfuse_source_endpoint";

/// Where the state of the source is told.
#[derive(Debug)]
pub(super) struct SourceState {
    service: Service,
    kind: &'static str,
    /// Which of several endpoints gives blocks, or did last.
    endpoint: Option<String>,
}

impl SourceState {
    /// A source from which nothing has come yet.
    pub(super) fn new(service: Service, origin: &Origin) -> Self {
        service.metrics().record(|| {
            describe_gauge!(UP, "1 while the source gives blocks, or waits for them; 0 while it is tried again.");
            describe_gauge!(
                ENDPOINT,
                "1 for the endpoint or node of the source that blocks come from, 0 for those before it."
            );
            describe_gauge!(HEAD, "Height up to which the source has said that it has blocks.");
        });
        let state = Self { service, kind: kind(origin), endpoint: None };
        state.is_up(true);
        state
    }

    pub(super) fn is_up(&self, is_up: bool) {
        self.service.metrics().record(|| gauge!(UP, "source" => self.kind).set(u32::from(is_up)));
        self.tell_endpoint(is_up);
    }

    /// Blocks come from that endpoint from now on, and from no other one.
    pub(super) fn is_served_by(&mut self, endpoint: String) {
        self.tell_endpoint(false);
        self.endpoint = Some(endpoint);
        self.tell_endpoint(true);
    }

    fn tell_endpoint(&self, serves: bool) {
        let Some(endpoint) = self.endpoint.clone() else { return };
        self.service.metrics().record(|| gauge!(ENDPOINT, "endpoint" => endpoint).set(u32::from(serves)));
    }

    pub(super) fn has_up_to(&self, number: u32) {
        self.service.metrics().record(|| gauge!(HEAD, "source" => self.kind).set(number));
    }
}

/// Without addresses and paths, which are nobody else's business.
fn kind(origin: &Origin) -> &'static str {
    match origin {
        Origin::Demo => "demo",
        Origin::Nodeos => "nodeos",
        Origin::Machines => "machines",
        Origin::Spec(SourceSpec::Log(_) | SourceSpec::StandardInput) => "deep-mind",
        Origin::Spec(SourceSpec::History(_)) => "ship",
        Origin::Spec(SourceSpec::HistoryLogs(_)) => "ship-log",
        Origin::Spec(SourceSpec::Blocks(_)) => "blocks",
        Origin::Spec(SourceSpec::Firehose(_)) => "firehose",
    }
}
