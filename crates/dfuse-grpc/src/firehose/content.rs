//! What is in the blocks of an answer.

use std::sync::Arc;

use bytes::Bytes;
use dfuse_blocks::feed::FeedBlock;
use dfuse_proto::Any;
use dfuse_query::{
    ApiError, ApiResult, Service,
    streams::{FilteredBlock, filled_block},
    turns::Class,
};
use tonic::metadata::MetadataMap;

use super::{Firehose, message};

/// Metadata of a request that says whether the JSON of actions and rows is wanted.
const JSON: &str = "x-dfuse-json";

/// What a request wants of each block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    json: bool,
}

impl Content {
    /// What a request says, or what is usual here.
    ///
    /// # Errors
    /// `request_validation_error` where it says something else than yes or no.
    pub(super) fn of(firehose: Firehose, metadata: &MetadataMap) -> ApiResult<Self> {
        let json = match metadata.get(JSON).map(|value| value.to_str()) {
            None => firehose.json,
            Some(Ok("true")) => true,
            Some(Ok("false")) => false,
            Some(_) => return Err(ApiError::invalid_parameter(JSON, "must be \"true\" or \"false\"")),
        };
        Ok(Self { json })
    }

    /// A block as it is wanted.
    pub(super) async fn any(self, block: &Arc<FeedBlock>, class: Class, service: &Service) -> ApiResult<Any> {
        Ok(message::any_of(self.bytes(block, class, service).await?))
    }

    /// The part of a block that a filter leaves.
    pub(super) async fn part(self, found: &FilteredBlock, service: &Service) -> ApiResult<Any> {
        let whole = self.bytes(&found.block, found.class, service).await?;
        Ok(message::any_of(found.part_of(whole, service).await?))
    }

    async fn bytes(self, block: &Arc<FeedBlock>, class: Class, service: &Service) -> ApiResult<Bytes> {
        match self.json {
            true => filled_block(block, class, service).await,
            false => Ok(block.encoded().payload()?),
        }
    }
}
