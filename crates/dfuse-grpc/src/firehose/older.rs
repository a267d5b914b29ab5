//! Version 1 of Firehose, by means of version 2.

use dfuse_proto::sf::firehose::{
    v1::{ForkStep, Request, Response, stream_server::Stream},
    v2,
};
use dfuse_query::{ApiError, ApiResult};
use futures::StreamExt;
use tonic::Status;

use super::{Firehose, content::Content};
use crate::call::{Call, Messages};

#[async_trait::async_trait]
impl Stream for Firehose {
    type BlocksStream = Messages<Response>;

    async fn blocks(&self, request: tonic::Request<Request>) -> Result<tonic::Response<Self::BlocksStream>, Status> {
        let call = Call::of(&request)?;
        let content = Content::of(*self, request.metadata()).map_err(|error| call.fail(error))?;
        let newer = newer(request.into_inner()).map_err(|error| call.fail(error))?;
        let answer = self.stream(call, newer, content).await?;
        Ok(answer.map(|messages| messages.map(|message| message.map(older)).boxed()))
    }
}

/// The same request of version 2.
fn newer(request: Request) -> ApiResult<v2::Request> {
    let steps: Vec<_> = request.fork_steps().collect();
    let final_blocks_only = match steps[..] {
        [ForkStep::StepIrreversible] => true,
        [ForkStep::StepNew]
        | [ForkStep::StepNew, ForkStep::StepUndo | ForkStep::StepIrreversible]
        | [ForkStep::StepUndo, ForkStep::StepNew] => false,
        _ => {
            let problem = "must be STEP_NEW, STEP_NEW and STEP_UNDO, or STEP_IRREVERSIBLE";
            return Err(ApiError::invalid_parameter("fork_steps", problem));
        }
    };
    Ok(v2::Request {
        start_block_num: request.start_block_num,
        cursor: request.start_cursor,
        stop_block_num: request.stop_block_num,
        final_blocks_only,
        transforms: request.transforms,
    })
}

/// The same response of version 1.
fn older(response: v2::Response) -> Response {
    let step = match response.step() {
        v2::ForkStep::StepUnset => ForkStep::StepUnknown,
        v2::ForkStep::StepNew => ForkStep::StepNew,
        v2::ForkStep::StepUndo => ForkStep::StepUndo,
        v2::ForkStep::StepFinal => ForkStep::StepIrreversible,
    };
    Response { block: response.block, step: step.into(), cursor: response.cursor }
}
