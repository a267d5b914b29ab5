//! How blocks hang together.

use std::fmt;

use dfuse_antelope::Checksum256;

/// A block by number and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// Height.
    pub number: u32,
    /// Block id.
    pub id: Checksum256,
}

/// What the place of a block in the chain depends on.
pub trait Linked {
    /// Block id; carries the number.
    fn id(&self) -> Checksum256;
    /// Id of the block before.
    fn previous(&self) -> Checksum256;
    /// Number of the last irreversible block when this one is the head.
    fn lib_number(&self) -> u32;

    /// Height.
    fn number(&self) -> u32 {
        self.id().block_num()
    }
}

impl<B: Linked> From<&B> for BlockRef {
    fn from(block: &B) -> Self {
        Self { number: block.number(), id: block.id() }
    }
}

impl fmt::Display for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.id)
    }
}
