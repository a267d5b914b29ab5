//! Where blocks come from, and the node beside them.
//!
//! A [`SourceSpec`] names a place: a deep-mind log in a file or on standard input, or an existing block store.
//! [`Source::open`] begins to read it in the background, [`Source::next`] hands out blocks and ABI dumps in the order of
//! the source, forks included. Every source can start again from its beginning; whoever takes the blocks knows which it
//! has.
//!
//! [`nodeos::Nodeos`] supervises nodes, and gives a source of what one of them logs. [`rpc::NodeClient`] calls the HTTP API of a
//! node.

mod error;
mod log;
pub mod nodeos;
mod queue;
pub mod rpc;
mod source;
mod spec;
mod store;

pub use error::{Error, Result};
pub use log::{decompressed, open_log};
pub use queue::{Queue, QueueState};
pub use source::{Source, SourceEvent, SourceOptions};
pub use spec::SourceSpec;
