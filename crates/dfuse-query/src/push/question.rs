use dfuse_antelope::{Checksum256, TimePointSec};

use super::guarantee::Guarantee;

/// A transaction to be pushed, and what must have happened to it when the push returns.
#[derive(Debug, Clone, Copy)]
pub struct PushQuestion {
    /// The transaction.
    pub id: Checksum256,
    /// When it expires.
    pub expiration: TimePointSec,
    /// What must have happened.
    pub guarantee: Guarantee,
}
