//! What was sent of blocks that lost since.

use std::sync::Arc;

use dfuse_antelope::model::Block;
use dfuse_blocks::feed::FeedHandle;
use dfuse_index::{BlockRef, ServingSnapshot};
use dfuse_search::{Error, LiveRow, LostBlocks, Match, Position, Query, Result, SearchIndex, resume};
use tokio::runtime::Handle;

use crate::{ApiResult, Reading};

/// Finds out where a cursor goes on, and the matches up to it that are to be taken back, newest first.
pub(super) fn undone(
    snapshot: &ServingSnapshot,
    index: &SearchIndex,
    query: &Query,
    cursor: Position,
    lost: &FeedLostBlocks<'_>,
) -> ApiResult<(Position, Vec<Match>)> {
    let resumed = resume(snapshot, index, query, cursor, lost)?;
    let undone = resumed.undone.into_iter().filter_map(|row| match row {
        LiveRow::Match { found, .. } => Some(found),
        LiveRow::Marker(_) => None,
    });
    Ok((resumed.position, undone.collect()))
}

/// Lost blocks from a feed, for CPU threads of the runtime.
pub(crate) struct FeedLostBlocks<'a> {
    pub(crate) feed: &'a FeedHandle,
    pub(crate) runtime: Handle,
    pub(crate) reading: &'a Reading,
}

impl LostBlocks for FeedLostBlocks<'_> {
    fn lost_block(&self, block: BlockRef) -> Result<Option<Arc<Block>>> {
        let failed = |error: dfuse_blocks::Error| Error::Index(error.into());
        if self.reading.go_on().is_err() {
            return Err(failed(dfuse_blocks::Error::Closed));
        }
        let read = async { self.feed.block(block).await?.block().await };
        match self.runtime.block_on(read) {
            Ok(block) => Ok(Some(block)),
            Err(dfuse_blocks::Error::NotFound(_)) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}
