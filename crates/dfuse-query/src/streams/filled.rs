//! Whole blocks with the JSON of what ABIs decode.

use std::sync::Arc;

use bytes::Bytes;
use dfuse_antelope::model::Message;
use dfuse_blocks::{BlockRef, feed::FeedBlock};
use dfuse_index::{ServingSnapshot, View, abi::ViewAbis};
use dfuse_render::fill_json;

use crate::{ApiError, ApiResult, Reading, Service, turns::Class};

/// The bytes of a block with the JSON of its actions and rows, by the ABIs of its own branch. It waits until the indexes have come
/// to the block. A new block is filled once for all who follow the chain.
///
/// # Errors
/// Those of reading, and `service_unavailable_error` when it takes too long.
pub async fn filled_block(block: &Arc<FeedBlock>, class: Class, service: &Service) -> ApiResult<Bytes> {
    match class {
        Class::Live => service.filled().get(block.encoded().id(), fill(block, class, service)).await,
        Class::Past => fill(block, class, service).await,
    }
}

async fn fill(block: &Arc<FeedBlock>, class: Class, service: &Service) -> ApiResult<Bytes> {
    let chain = service.chain();
    let at = BlockRef::from(block.encoded());
    let mut changes = chain.serving.changes();
    loop {
        // What changes from here on ends the waiting.
        changes.mark_unchanged();
        let left = chain.feed.is_off_chain(at);
        if left || chain.serving.snapshot().head().is_some_and(|head| head.number >= at.number) {
            let (block, own) = (block.clone(), service.clone());
            let work = move |snapshot: &ServingSnapshot, _: &Reading| {
                let view = view_for(snapshot, at, left)?;
                view.map(|view| filled(&block, &view, &own)).transpose()
            };
            if let Some(bytes) = service.at_turn(service.turns().turn(class).await, work).await? {
                return Ok(bytes);
            }
        }
        changes.changed().await.map_err(|_| ApiError::unavailable("The server is going away."))?;
    }
}

/// Where the ABIs of a block are read; absent while the indexes do not have it. The ABIs of one that the chain has left, and that
/// no index has any more, are those of the best chain.
fn view_for(snapshot: &ServingSnapshot, block: BlockRef, left: bool) -> ApiResult<Option<View>> {
    let head = || snapshot.view().clone();
    if snapshot.lib().is_some_and(|lib| block.number < lib.number) {
        return Ok(Some(head()));
    }
    Ok(snapshot.view_at(block.id)?.or_else(|| left.then(head)))
}

fn filled(block: &Arc<FeedBlock>, view: &View, service: &Service) -> ApiResult<Bytes> {
    // Its own copy: others share the one that the feed keeps.
    let mut model = block.encoded().decode()?;
    fill_json(&mut model, &ViewAbis::new(view, service.abis()))?;
    Ok(model.to_bytes())
}
