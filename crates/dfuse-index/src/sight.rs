//! What a view sees of the blocks above the committed one.

use bytes::Bytes;

use crate::{
    Result,
    branch::{Branch, Place},
};

/// A key and what a layer says of it; nothing for a deletion.
pub(crate) type Layered = (Bytes, Option<Bytes>);

/// What a layer says of some keys, in the order of a scan.
pub(crate) trait LayerScan: Iterator<Item = Result<Layered>> {
    /// As [`dfuse_kv::EntryScan::skip_to`].
    fn skip_to(&mut self, key: &[u8]) -> Result<()>;
}

/// What a view sees of the overlay: the blocks of a branch above the committed one.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    pub(crate) committed: u32,
    pub(crate) branch: Branch,
}

impl Sight {
    #[inline]
    pub(crate) fn sees(&self, place: Place) -> bool {
        place.number > self.committed && self.branch.contains(place)
    }

    /// Whether there is any block to see.
    pub(crate) fn is_empty(&self) -> bool {
        self.branch.place().is_none()
    }
}
