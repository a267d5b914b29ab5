//! Where blocks come from.
//!
//! A [`SourceSpec`] names a place: a deep-mind log in a file or on standard input, or an existing block store.
//! [`Source::open`] begins to read it in the background, [`Source::next`] hands out blocks and ABI dumps in the order of
//! the source, forks included. Every source can start again from its beginning; whoever takes the blocks knows which it
//! has.

mod error;
mod log;
mod source;
mod spec;
mod store;

pub use error::{Error, Result};
pub use log::{decompressed, open_log};
pub use source::{Source, SourceEvent, SourceOptions};
pub use spec::SourceSpec;
