//! The block that an answer about state is of.

use async_graphql::SimpleObject;
use dfuse_query::{ApiResult, state::Height};

use super::{Uint32, Uint64};

/// The height of an answer.
#[derive(SimpleObject)]
pub(crate) struct StateHeight {
    /// The block after which it was so; absent before the first one.
    pub(crate) block_ref: Option<BlockRef>,
    /// Whether that block can no longer be undone.
    pub(crate) is_irreversible: bool,
    /// The last block that can no longer be undone.
    pub(crate) irreversible_block_num: Uint32,
    /// The first block whose changes are known, if the chain had begun before it.
    pub(crate) state_from_block_num: Option<Uint32>,
    /// Whether nothing is lacking that was written before that block.
    pub(crate) is_complete: bool,
}

impl StateHeight {
    pub(crate) fn new(height: &Height, is_complete: bool) -> ApiResult<Self> {
        Ok(Self {
            block_ref: block_of(height)?,
            is_irreversible: height.reversible_block().is_none(),
            irreversible_block_num: height.last_irreversible_block().map_or(0, |lib| lib.number).into(),
            state_from_block_num: height.state_start().map(Into::into),
            is_complete,
        })
    }
}

/// A block by number and id.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct BlockRef {
    /// Its height.
    number: Uint64,
    /// Its id.
    id: String,
}

/// Which block a list is of.
fn block_of(height: &Height) -> ApiResult<Option<BlockRef>> {
    let block = height.block()?;
    Ok(block.map(|block| BlockRef { number: u64::from(block.number).into(), id: block.id.to_string() }))
}
