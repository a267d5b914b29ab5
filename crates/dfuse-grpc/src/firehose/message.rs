//! Blocks as messages.

use bytes::Bytes;
use dfuse_antelope::{BlockTimestamp, model::bstream::ANTELOPE_BLOCK_TYPE_URL};
use dfuse_blocks::EncodedBlock;
use dfuse_proto::{Any, sf::firehose::v2::BlockMetadata};
use dfuse_query::{ApiError, ApiResult};
use prost_types::Timestamp;

/// A block and its type.
pub(super) fn any(block: &EncodedBlock) -> ApiResult<Any> {
    block.payload().map(any_of).map_err(ApiError::unexpected)
}

/// The bytes of a block and its type.
pub(super) fn any_of(value: Bytes) -> Any {
    Any { type_url: ANTELOPE_BLOCK_TYPE_URL.to_owned(), value }
}

/// What a block is, for clients that do not decode it.
pub(super) fn metadata(block: &EncodedBlock) -> BlockMetadata {
    BlockMetadata {
        num: block.number().into(),
        id: block.id().to_string(),
        parent_num: block.number().saturating_sub(1).into(),
        parent_id: block.previous().to_string(),
        lib_num: block.lib_number().into(),
        time: Some(timestamp(block.time())),
    }
}

/// A time as protobuf has it.
pub(super) fn timestamp(time: BlockTimestamp) -> Timestamp {
    let milliseconds = time.to_unix_ms();
    let nanos = milliseconds.rem_euclid(1000) as i32 * 1_000_000;
    Timestamp { seconds: milliseconds.div_euclid(1000), nanos }
}
