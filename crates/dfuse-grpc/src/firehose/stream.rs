//! Streams of blocks.

use dfuse_blocks::Step;
use dfuse_proto::sf::firehose::v2::{ForkStep, Request, Response, stream_server::Stream};
use dfuse_query::{
    ApiError, ApiResult, ErrorCode, Place, RouteClass, shorten,
    streams::{BlockSteps, BlocksAsked, BlocksStart},
};
use futures::stream;
use tonic::Status;

use super::{Firehose, content::Content, cursor::position, message};
use crate::call::{Call, Messages};

#[async_trait::async_trait]
impl Stream for Firehose {
    type BlocksStream = Messages<Response>;

    async fn blocks(&self, request: tonic::Request<Request>) -> Result<tonic::Response<Self::BlocksStream>, Status> {
        let call = Call::of(&request)?;
        let content = Content::of(*self, request.metadata()).map_err(|error| call.fail(error))?;
        self.stream(call, request.into_inner(), content).await
    }
}

impl Firehose {
    /// The stream that a request asks for.
    pub(super) async fn stream(
        self,
        call: Call,
        request: Request,
        content: Content,
    ) -> Result<tonic::Response<Messages<Response>>, Status> {
        let (place, steps) = begin(&call, &request).await.map_err(|error| call.fail(error))?;
        let responses = {
            let call = call.clone();
            stream::try_unfold(steps, move |steps| {
                let call = call.clone();
                async move { next(steps, content, &call).await }
            })
        };
        Ok(call.stream(&request, place, responses))
    }
}

async fn begin(call: &Call, request: &Request) -> ApiResult<(Place, BlockSteps)> {
    call.caller().take(RouteClass::Stream)?;
    let place = call.caller().stream()?;
    if let Some(transform) = request.transforms.first() {
        let type_url = shorten(&transform.type_url);
        let message = format!("This server has no transform \"{type_url}\": ask without transforms.");
        return Err(ApiError::new(ErrorCode::FirehoseTransformUnsupported, message).detail("type_url", type_url));
    }
    let start = match &*request.cursor {
        "" => BlocksStart::Number(request.start_block_num),
        text => BlocksStart::Cursor(position(text, call.service()).await?),
    };
    let stop_block = Some(request.stop_block_num).filter(|stop| *stop > 0);
    let asked = BlocksAsked { start, stop_block, final_only: request.final_blocks_only };
    Ok((place, BlockSteps::begin(&asked, call.service()).await?))
}

async fn next(
    mut steps: BlockSteps,
    content: Content,
    call: &Call,
) -> ApiResult<Option<((Response, u64), BlockSteps)>> {
    let Some((step, block)) = steps.next().await? else { return Ok(None) };
    let fork_step = match step.step {
        Step::New => ForkStep::StepNew,
        Step::Undo => ForkStep::StepUndo,
        Step::Irreversible => ForkStep::StepFinal,
    };
    let response = Response {
        block: Some(content.any(&block, steps.class(&step), call.service()).await?),
        step: fork_step.into(),
        cursor: call.service().chain().feed.seal(&step.cursor),
        metadata: Some(message::metadata(block.encoded())),
    };
    Ok(Some(((response, 1), steps)))
}
