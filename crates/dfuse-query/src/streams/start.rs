use dfuse_blocks::{
    Error,
    feed::{FeedHandle, Request, Start},
};
use dfuse_index::Part;
use serde_json::json;

use super::follow::Steps;
use crate::{ApiError, ApiResult, Caller, ErrorCode, Service, kept::must_be_kept};

/// The block that a stream begins with: 0 the head, above 0 that height, below 0 so many blocks below the head, but not below
/// the first block. With confirmations the head is the newest block that has them.
///
/// # Errors
/// `auth_invalid_streaming_start_block_error`, and `request_validation_error` for a height that no chain has.
pub fn start_block(asked: i64, confirmations: u32, feed: &FeedHandle, caller: &Caller) -> ApiResult<u32> {
    let floor = caller.first_block(feed.head().map_or(0, |head| head.number));
    allowed(asked, feed.confirmed(confirmations).unwrap_or(0), feed.first_block().unwrap_or(0), floor)
}

/// A stream that begins with that block.
///
/// # Errors
/// `data_not_kept_error` if the block is kept no longer; `request_validation_error` if it is below the first one that can be read, where the chain has such blocks.
pub async fn steps_from(request: Request, service: &Service) -> ApiResult<Steps> {
    let feed = &service.chain().feed;
    let too_low = |first: u32| wrong(&format!("must be {first} or above: earlier blocks are not known"));
    // The feed takes what is below the first block of a chain for that one.
    if let Start::Block(number) = request.start {
        must_be_kept(&service.chain().serving.snapshot(), Part::BlockFiles, number)?;
    }
    if let Start::Block(number) = request.start
        && let Some(first) = service.chain().serving.snapshot().history_start().filter(|first| number < *first)
    {
        return Err(too_low(first));
    }
    Steps::from(request, feed).await.map_err(|error| match error {
        Error::NotFound(_) => too_low(feed.first_block().unwrap_or(0)),
        error => error.into(),
    })
}

fn allowed(asked: i64, head: u32, first: u32, floor: u32) -> ApiResult<u32> {
    if asked == 0 {
        return Ok(head.max(first));
    }
    let start = if asked > 0 { asked } else { i64::from(head).saturating_add(asked).max(first.into()) };
    let start = u32::try_from(start).map_err(|_| wrong("must be below 4294967296"))?;
    if start < floor {
        let message = format!("Streams may begin at block {floor} or later: block {start} is too far back.");
        return Err(ApiError::new(ErrorCode::StreamStartNotAllowed, message));
    }
    Ok(start)
}

fn wrong(problem: &str) -> ApiError {
    ApiError::new(ErrorCode::RequestValidation, "The stream cannot begin there.")
        .detail("errors", json!({"start_block": [problem]}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_streams_begin() {
        for (permitted, asked, start) in [
            (None, 0, Some(10_000)),
            (None, 1, Some(1)),
            (None, 20_000, Some(20_000)),
            (None, -1, Some(9999)),
            (None, -10_000, Some(2)),
            (None, i64::MIN, Some(2)),
            (None, 4_294_967_295, Some(u32::MAX)),
            (None, 4_294_967_296, None),
            (Some(-1000), 0, Some(10_000)),
            (Some(20_000), 0, Some(10_000)),
            (Some(-1000), -1000, Some(9000)),
            (Some(-1000), -1001, None),
            (Some(-1000), 9000, Some(9000)),
            (Some(-1000), 8999, None),
            (Some(9000), 9000, Some(9000)),
            (Some(9000), 8999, None),
            (Some(9000), -1000, Some(9000)),
            (Some(9000), -1001, None),
        ] {
            let floor = Caller { start_block: permitted, ..Caller::default() }.first_block(10_000);
            assert_eq!(allowed(asked, 10_000, 2, floor).ok(), start, "{permitted:?} {asked}");
        }
    }
}
