//! Firehose: streams of whole blocks with cursors, single blocks, what this endpoint serves, and the live feed.
//!
//! Blocks pass as the store and the source have them: nothing of them is decoded or encoded.

mod abi_dumps;
mod cursor;
mod family;
mod fetch;
mod info;
mod live;
mod message;
mod stream;

/// The services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Firehose;
