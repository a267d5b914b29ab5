//! Firehose: streams of whole blocks with cursors, single blocks, and what this endpoint serves.
//!
//! Blocks pass as the store and the source have them: nothing of them is decoded or encoded.

mod cursor;
mod family;
mod fetch;
mod info;
mod message;
mod stream;

/// The three services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Firehose;
