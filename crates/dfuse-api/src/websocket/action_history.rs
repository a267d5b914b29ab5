//! Final blocks that are far back: those that have actions for a filter are found with the search index, and no others are
//! read.

use std::sync::Arc;

use dfuse_query::{
    ApiResult,
    streams::{PastReader, PastStep, Progress},
};
use metrics::counter;

use super::{action_selection::ActionSelection, blocks::Blocks};
use crate::metrics::WS_REPLAYED;

/// Sends what final blocks from that one on have, as far as the index helps. Returns the block to go on with.
pub(super) async fn send(blocks: &Blocks<Arc<ActionSelection>>, progress: &mut Progress, start: u32) -> ApiResult<u32> {
    let (context, api) = (&blocks.context, blocks.context.api());
    let mut past = PastReader::new(api, blocks.selection.actions.query(&api.chain().search), start);
    while past.ready().await? {
        let room = context.room().await;
        match past.next().await? {
            Some(PastStep::Block(block)) => {
                api.metrics().record(|| counter!(WS_REPLAYED).increment(1));
                blocks.send_final(room, block).await?;
                if progress.is_due(block.number) {
                    context.progress(block).await;
                }
            }
            Some(PastStep::Passed(numbers)) => {
                drop(room);
                let Some(number) = progress.last_due(numbers) else { continue };
                if let Some(block) = past.block_at(number).await? {
                    context.progress(block).await;
                }
            }
            None => {}
        }
    }
    Ok(past.next_block())
}
