//! Streams of blocks.

use dfuse_blocks::Step;
use dfuse_proto::sf::firehose::v2::{ForkStep, Request, Response, stream_server::Stream};
use dfuse_query::{
    ApiResult, Place, RouteClass,
    streams::{BlockSteps, BlocksAsked, BlocksStart, FilteredSteps},
};
use futures::stream;
use tonic::Status;

use super::{Firehose, content::Content, cursor::position, filter::filter, message};
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
        let (place, blocks) = begin(&call, &request).await.map_err(|error| call.fail(error))?;
        let responses = {
            let call = call.clone();
            stream::try_unfold(blocks, move |blocks| {
                let call = call.clone();
                async move { next(blocks, content, &call).await }
            })
        };
        Ok(call.stream(&request, place, responses))
    }
}

/// What a stream sends.
enum Blocks {
    /// Every block.
    Whole(Box<BlockSteps>),
    /// What a filter finds.
    Filtered(Box<FilteredSteps>),
}

async fn begin(call: &Call, request: &Request) -> ApiResult<(Place, Blocks)> {
    let service = call.service();
    call.caller().take(RouteClass::Stream)?;
    let place = call.caller().stream()?;
    let filter = filter(&request.transforms, service)?;
    let start = match &*request.cursor {
        "" => BlocksStart::Number(request.start_block_num),
        text => BlocksStart::Cursor(position(text, service).await?),
    };
    let stop_block = Some(request.stop_block_num).filter(|stop| *stop > 0);
    let asked = BlocksAsked { start, stop_block, final_only: request.final_blocks_only };
    let blocks = match filter {
        Some(filter) => Blocks::Filtered(Box::new(FilteredSteps::begin(&asked, filter, service).await?)),
        None => Blocks::Whole(Box::new(BlockSteps::begin(&asked, service).await?)),
    };
    Ok((place, blocks))
}

async fn next(mut blocks: Blocks, content: Content, call: &Call) -> ApiResult<Option<((Response, u64), Blocks)>> {
    let service = call.service();
    let (step, metadata, block) = match &mut blocks {
        Blocks::Whole(steps) => {
            let Some((step, block)) = steps.next().await? else { return Ok(None) };
            let any = content.any(&block, steps.class(&step), service).await?;
            (step, message::metadata(block.encoded()), any)
        }
        Blocks::Filtered(steps) => {
            let Some(found) = steps.next().await? else { return Ok(None) };
            let any = content.part(&found, service).await?;
            (found.step, message::metadata(found.block.encoded()), any)
        }
    };
    let fork_step = match step.step {
        Step::New => ForkStep::StepNew,
        Step::Undo => ForkStep::StepUndo,
        Step::Irreversible => ForkStep::StepFinal,
    };
    let response = Response {
        block: Some(block),
        step: fork_step.into(),
        cursor: service.chain().feed.seal(&step.cursor),
        metadata: Some(metadata),
    };
    Ok(Some(((response, 1), blocks)))
}
