//! What is there of the chain: which blocks, and state from which of them on.

use std::ops::RangeInclusive;

use dfuse_index::{
    BlockRef,
    block_filters::{self, AppliedFilter},
    blocks,
};

use crate::{
    ApiResult, ReadContext,
    search::{heads, missing_below},
};

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Blocks with their transactions, that searches and lifecycles answer from.
    pub blocks: RangeInclusive<u32>,
    /// Of those, the last one that is final.
    pub lib: Option<BlockRef>,
    /// The newest block.
    pub head: Option<BlockRef>,
    /// Blocks of the chain up to the newest that are not there, ascending.
    pub holes: Vec<RangeInclusive<u32>>,
    /// The first and the last block that were made of state history, if any was: there may be others between them.
    pub of_state_history: Option<RangeInclusive<u32>>,
    /// The first block at which state is answered.
    pub state_from: u32,
    /// Whether what was written before that block is known, too.
    pub state_is_complete: bool,
    /// The filters that blocks went through, each from its first block on; none if the chain is not filtered.
    pub filters: Vec<AppliedFilter>,
}

/// What is there of the chain.
///
/// # Errors
/// `service_unavailable_error` without any block, and those of reading.
pub fn coverage(read: &ReadContext<'_>) -> ApiResult<Coverage> {
    let (snapshot, heads) = (read.snapshot(), heads(read)?);
    let filters = block_filters::all(snapshot.view())?;
    Ok(Coverage {
        blocks: heads.lowest..=heads.head,
        lib: snapshot.lib(),
        head: snapshot.head(),
        holes: missing_below(heads.lowest, 0).into_iter().collect(),
        of_state_history: blocks::of_state_history(read.view(), heads.lowest..=heads.head)?,
        state_from: snapshot.state_start().unwrap_or(heads.lowest),
        state_is_complete: !snapshot.lacks_older_state() && !filters.iter().any(|filter| filter.lacks_state),
        filters,
    })
}
