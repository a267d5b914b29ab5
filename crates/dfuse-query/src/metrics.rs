use std::fmt;

use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Seconds: from an answer out of memory to one that reads much.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The counts of one process, as `/metrics` shows them. Whoever counts something describes it first.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Requests that wait for a block which another machine may have had before.
const AWAITING_BLOCK: &str = "dfuse_requests_awaiting_block";

impl Metrics {
    pub(crate) fn new() -> Self {
        let duration = Matcher::Suffix("_duration_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(duration, &BUCKETS);
        let recorder = builder.expect("the list of buckets is not empty").build_recorder();
        let metrics = Self { handle: recorder.handle(), recorder };
        metrics.record(|| {
            describe_gauge!(AWAITING_BLOCK, "Requests that wait for a block which another machine may have.");
        });
        metrics
    }

    /// Counts a request that waits for a block, until what is returned is dropped.
    pub(crate) fn awaiting_block(&self) -> AwaitingBlock<'_> {
        self.record(|| gauge!(AWAITING_BLOCK).increment(1.0));
        AwaitingBlock(self)
    }

    /// Runs `work` so that the macros of the `metrics` crate in it count here. For moments only: it must not await.
    pub fn record<T>(&self, work: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.recorder, work)
    }

    /// All of them in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Puts what was counted together, which nobody else does while `/metrics` is not read.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// A request that waits for a block.
#[derive(Debug)]
pub(crate) struct AwaitingBlock<'a>(&'a Metrics);

impl Drop for AwaitingBlock<'_> {
    fn drop(&mut self) {
        self.0.record(|| gauge!(AWAITING_BLOCK).decrement(1.0));
    }
}
