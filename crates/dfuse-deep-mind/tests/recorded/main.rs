//! What the decoder says of recorded chains, field by field against what the nodes themselves said: their counts of
//! lines, API answers, block logs and state-history logs.
//!
//! The files are found by `dfuse_testkit::recorded`; a test whose file is absent says so and passes.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

mod answers;
mod block_log;
mod chains;
mod consistency;
mod forks;
mod line_counts;
mod merkle;
mod node_json;
mod pushed;
mod state;
mod state_history;
mod trace_api;
