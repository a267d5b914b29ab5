//! Blocks.

use async_graphql::SimpleObject;
use dfuse_index::blocks::IndexedBlock;

use super::{Time, Uint32};

/// A block by its id.
#[derive(Debug, SimpleObject)]
#[graphql(name = "BlockIDResponse")]
pub(crate) struct BlockIdResponse {
    /// When it was made.
    time: Time,
    /// Its height.
    num: Uint32,
    /// Its id.
    id: String,
}

impl From<IndexedBlock> for BlockIdResponse {
    fn from(block: IndexedBlock) -> Self {
        Self { time: block.time.into(), num: block.number.into(), id: block.id.to_string() }
    }
}
