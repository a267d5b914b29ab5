//! Blocks that lost, for servers of ours that follow this one: streams tell only those of their own time.

use std::{collections::BTreeSet, sync::Arc};

use dfuse_antelope::Checksum256;
use dfuse_blocks::{
    Error,
    feed::{FeedBlock, FeedHandle, Losses},
};
use dfuse_proto::dfuse::blocks::v1::{LostBlock, ReadLostBlocksRequest, lost_blocks_server::LostBlocks};
use dfuse_query::{ApiResult, Place, RouteClass};
use futures::{StreamExt, stream, stream::BoxStream};
use tonic::{Request, Response, Status};

use super::{Firehose, message};
use crate::call::{Call, Messages};

/// Blocks that were sent of which it is remembered that the caller has them, those of the greatest heights.
const REMEMBERED: usize = 10_000;

/// What is kept of a range, what loses from now on if that is wanted, and what was sent.
struct Lost {
    feed: FeedHandle,
    /// Blocks below are not for the caller.
    floor: u32,
    kept: BoxStream<'static, dfuse_blocks::Result<Arc<FeedBlock>>>,
    new: Option<Losses>,
    sent: BTreeSet<Checksum256>,
}

#[async_trait::async_trait]
impl LostBlocks for Firehose {
    type ReadStream = Messages<LostBlock>;

    async fn read(&self, request: Request<ReadLostBlocksRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let (place, lost) = begin(&call, &request).await.map_err(|error| call.fail(error))?;
        Ok(call.stream(&request, place, stream::try_unfold(lost, next)))
    }
}

/// Within what the caller may read.
async fn begin(call: &Call, request: &ReadLostBlocksRequest) -> ApiResult<(Place, Lost)> {
    call.caller().take(RouteClass::Stream)?;
    let place = call.caller().stream()?;
    let feed = call.service().chain().feed.clone();
    let floor = call.caller().first_block(feed.head().map_or(0, |head| head.number));
    // First, so that none is missed between those that are kept and these.
    let new = request.follow.then(|| feed.losses());
    let kept = feed.lost_blocks(request.first.max(floor)..=request.last).await?.fuse().boxed();
    Ok((place, Lost { feed, floor, kept, new, sent: BTreeSet::new() }))
}

async fn next(mut lost: Lost) -> ApiResult<Option<((LostBlock, u64), Lost)>> {
    while let Some(block) = lost.next().await? {
        let id = block.encoded().id();
        let is_wanted = block.encoded().number() >= lost.floor && !lost.sent.contains(&id);
        if is_wanted && has_parent(&block, &lost.sent, &lost.feed).await? {
            lost.sent.insert(id);
            if lost.sent.len() > REMEMBERED {
                lost.sent.pop_first();
            }
            return Ok(Some(((LostBlock { block: Some(message::any(block.encoded())?) }, 1), lost)));
        }
    }
    Ok(None)
}

impl Lost {
    async fn next(&mut self) -> ApiResult<Option<Arc<FeedBlock>>> {
        match (self.kept.next().await.transpose()?, &mut self.new) {
            (None, Some(new)) => Ok(Some(new.next().await?)),
            (kept, _) => Ok(kept),
        }
    }
}

/// Whether the caller has the block before it, as far as it is known here.
async fn has_parent(block: &FeedBlock, sent: &BTreeSet<Checksum256>, feed: &FeedHandle) -> ApiResult<bool> {
    let parent = block.encoded().previous();
    if sent.contains(&parent) {
        return Ok(true);
    }
    match feed.canonical_block(parent.block_num()).await {
        Ok(canonical) => Ok(canonical.encoded().id() == parent),
        Err(Error::NotFound(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
