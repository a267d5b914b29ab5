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
    let (own_block, own) = (block.clone(), service.clone());
    at_block(block.encoded().into(), class, service, move |view| filled(&own_block, view, &own)).await
}

/// Reads in the view that has the ABIs of a block, on its own branch. It waits until the indexes have come to the block.
///
/// # Errors
/// Those of reading, and `service_unavailable_error` when it takes too long.
pub(super) async fn at_block<T: Send + 'static>(
    block: BlockRef,
    class: Class,
    service: &Service,
    read: impl Fn(&View) -> ApiResult<T> + Clone + Send + 'static,
) -> ApiResult<T> {
    let chain = service.chain();
    let mut changes = chain.serving.changes();
    loop {
        // What changes from here on ends the waiting.
        changes.mark_unchanged();
        let left = chain.feed.is_off_chain(block);
        if left || chain.serving.snapshot().head().is_some_and(|head| head.number >= block.number) {
            let read = read.clone();
            let work = move |snapshot: &ServingSnapshot, _: &Reading| {
                view_for(snapshot, block, left)?.map(|view| read(&view)).transpose()
            };
            if let Some(found) = service.at_turn(service.turns().turn(class).await, work).await? {
                return Ok(found);
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
