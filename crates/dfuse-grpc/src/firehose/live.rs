//! The live feed for other machines of the family: blocks as they come, and what the end of the chain is.

use dfuse_blocks::{BlockRef, EncodedBlock};
use dfuse_proto::sf::{
    bstream::v1::{Block, BlockRequest, block_stream_server::BlockStream},
    headinfo::v1::{HeadInfoRequest, HeadInfoResponse, head_info_server::HeadInfo},
};
use dfuse_query::{ApiError, ApiResult, Place, RouteClass, Service};
use futures::stream;
use tonic::{Request, Response, Status};

use super::{Firehose, message};
use crate::call::{Call, Messages};

#[async_trait::async_trait]
impl BlockStream for Firehose {
    type BlocksStream = Messages<Block>;

    async fn blocks(&self, request: Request<BlockRequest>) -> Result<Response<Self::BlocksStream>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let (place, first) = begin(&call, &request).map_err(|error| call.fail(error))?;
        let arrivals = call.service().chain().feed.arrivals(first);
        let blocks = stream::try_unfold(arrivals, async |mut arrivals| {
            let block = arrivals.next().await?;
            Ok(Some(((to_message(block.encoded())?, 1), arrivals)))
        });
        Ok(call.stream(&request, place, blocks))
    }
}

/// The newest block, and the newest one that cannot be undone.
fn ends(service: &Service) -> ApiResult<(BlockRef, BlockRef)> {
    let feed = &service.chain().feed;
    Ok((feed.head().ok_or_else(ApiError::not_ready)?, feed.lib().ok_or_else(ApiError::not_ready)?))
}

/// The first block that is wanted, within what the caller may read.
fn begin(call: &Call, request: &BlockRequest) -> ApiResult<(Place, u32)> {
    call.caller().take(RouteClass::Stream)?;
    let place = call.caller().stream()?;
    let (head, lib) = ends(call.service())?;
    let number = match request.burst {
        -1 => i64::from(lib.number),
        burst if burst < 0 => burst.saturating_neg(),
        burst => i64::from(head.number).saturating_sub(burst).max(0),
    };
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    Ok((place, number.max(call.caller().first_block(head.number))))
}

fn to_message(block: &EncodedBlock) -> ApiResult<Block> {
    Ok(Block {
        number: block.number().into(),
        id: block.id().to_string(),
        parent_id: block.previous().to_string(),
        timestamp: Some(message::timestamp(block.time())),
        lib_num: block.lib_number().into(),
        parent_num: block.number().saturating_sub(1).into(),
        payload: Some(message::any(block)?),
        ..Block::default()
    })
}

#[async_trait::async_trait]
impl HeadInfo for Firehose {
    async fn get_head_info(&self, request: Request<HeadInfoRequest>) -> Result<Response<HeadInfoResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async {
            call.caller().take(RouteClass::LookUp)?;
            head_info(call.service()).await
        };
        call.answer(&request.into_inner(), work).await
    }
}

async fn head_info(service: &Service) -> ApiResult<HeadInfoResponse> {
    let (head, lib) = ends(service)?;
    let time = service.chain().feed.block(head).await?.encoded().time();
    Ok(HeadInfoResponse {
        lib_num: lib.number.into(),
        lib_id: lib.id.to_string(),
        head_num: head.number.into(),
        head_id: head.id.to_string(),
        head_time: Some(message::timestamp(time)),
    })
}
