//! Single blocks.

use dfuse_antelope::Checksum256;
use dfuse_blocks::BlockRef;
use dfuse_proto::sf::firehose::v2::{
    SingleBlockRequest, SingleBlockResponse,
    fetch_server::Fetch,
    single_block_request::{BlockHashAndNumber, BlockNumber, Cursor, Reference},
};
use dfuse_query::{
    ApiError, ApiResult, RouteClass,
    streams::{BlockName, whole_block},
    turns::Class,
};
use tonic::{Request, Response, Status};

use super::{Firehose, content::Content, cursor::position, message};
use crate::call::Call;

#[async_trait::async_trait]
impl Fetch for Firehose {
    async fn block(&self, request: Request<SingleBlockRequest>) -> Result<Response<SingleBlockResponse>, Status> {
        let call = Call::of(&request)?;
        let content = Content::of(*self, request.metadata());
        let request = request.into_inner();
        call.answer(&request, async { fetch(&call, &request, content?).await }).await
    }
}

async fn fetch(call: &Call, request: &SingleBlockRequest, content: Content) -> ApiResult<SingleBlockResponse> {
    call.caller().take(RouteClass::LookUp)?;
    let name = match &request.reference {
        Some(Reference::BlockNumber(BlockNumber { num })) => BlockName::Number(*num),
        Some(Reference::BlockHashAndNumber(BlockHashAndNumber { num, hash })) => named(*num, hash)?,
        Some(Reference::Cursor(Cursor { cursor })) => BlockName::Block(position(cursor, call.service()).await?.block),
        None => {
            let problem = "is missing: name a number, a number and an id, or a cursor";
            return Err(ApiError::invalid_parameter("reference", problem));
        }
    };
    let block = whole_block(name, call.service()).await?;
    let metadata = Some(message::metadata(block.encoded()));
    let block = content.any(&block, Class::Past, call.service()).await?;
    Ok(SingleBlockResponse { block: Some(block), metadata })
}

/// Without an id the number alone counts.
fn named(number: u64, hash: &str) -> ApiResult<BlockName> {
    if hash.is_empty() {
        return Ok(BlockName::Number(number));
    }
    let id: Checksum256 =
        hash.parse().map_err(|_| ApiError::invalid_parameter("hash", "must be 64 hexadecimal digits"))?;
    if u64::from(id.block_num()) != number {
        return Err(ApiError::invalid_parameter("hash", "is not of a block of that number"));
    }
    Ok(BlockName::Block(BlockRef { number: id.block_num(), id }))
}
