//! What each fuzz target does with its input, as ordinary functions: the targets call them under libFuzzer, and the
//! tests on every input of the kept corpus.
//!
//! Each takes any bytes. It panics when one of the parsers panics, or breaks a promise that is written beside it.

mod abi;
mod blocks;
mod firehose;
mod graphql;
mod history;
mod log;
mod mutate;
mod search;
mod snapshot;
mod state;
mod stream;
mod text;

pub use abi::abi_decode;
pub use blocks::bundle_file;
pub use firehose::firehose_request;
pub use graphql::{graphql_document, graphql_message};
pub use history::{history_log, history_message};
pub use log::{log_lines, log_reader};
pub use mutate::mutate_log;
pub use search::{filter, query};
pub use snapshot::snapshot;
pub use state::{cursors, primary_keys};
pub use stream::stream_message;
pub use text::{assets, keys, names};

/// What a target does with its input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its folder in `corpus`.
pub const TARGETS: [(&str, Target); 18] = [
    ("abi_decode", abi_decode),
    ("assets", assets),
    ("bundle_file", bundle_file),
    ("cursors", cursors),
    ("filter", filter),
    ("firehose_request", firehose_request),
    ("graphql_document", graphql_document),
    ("graphql_message", graphql_message),
    ("history_log", history_log),
    ("history_message", history_message),
    ("keys", keys),
    ("log_lines", log_lines),
    ("log_reader", log_reader),
    ("names", names),
    ("primary_keys", primary_keys),
    ("query", query),
    ("snapshot", snapshot),
    ("stream_message", stream_message),
];
