//! Firehose: streams of whole blocks with cursors, single blocks, what this endpoint serves, and the live feed.
//!
//! Blocks pass as the store and the source have them, without being decoded, unless a client of Firehose wants their JSON.

mod abi_dumps;
pub(crate) mod connect;
mod content;
mod cursor;
mod family;
mod fetch;
mod filter;
mod info;
mod live;
mod lost_blocks;
mod message;
mod older;
mod stream;

/// The services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Firehose {
    /// Whether blocks have the JSON that ABIs give, where a request does not say it.
    pub(crate) json: bool,
}
