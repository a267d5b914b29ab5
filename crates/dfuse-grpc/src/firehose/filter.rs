//! What a request wants of blocks, as transforms say it.

use dfuse_proto::{Any, dfuse::firehose::v1::SearchFilter};
use dfuse_query::{ApiError, ApiResult, ErrorCode, Service, search::InvalidQuery, shorten, streams::BlockFilter};
use prost::Message;
use serde_json::json;

/// The name of the one transform that there is, which stands behind the last slash of a type URL.
const SEARCH_FILTER: &str = "dfuse.firehose.v1.SearchFilter";
/// What errors call it.
const TRANSFORMS: &str = "transforms";

/// The filter that a request asks for.
///
/// # Errors
/// `firehose_transform_unsupported_error`, and `request_validation_error` where the filter is none.
pub(super) fn filter(transforms: &[Any], service: &Service) -> ApiResult<Option<BlockFilter>> {
    if let Some(other) = transforms.iter().find(|it| it.type_url.rsplit('/').next() != Some(SEARCH_FILTER)) {
        return Err(unsupported(&other.type_url));
    }
    let transform = match transforms {
        [] => return Ok(None),
        [transform] => transform,
        _ => return Err(ApiError::invalid_parameter(TRANSFORMS, "must be one at most")),
    };
    let SearchFilter { query, include_empty_blocks } = SearchFilter::decode(transform.value.clone())
        .map_err(|_| ApiError::invalid_parameter(TRANSFORMS, "does not hold the message that its type says"))?;
    BlockFilter::new(&query, include_empty_blocks, service).map(Some).map_err(invalid)
}

fn unsupported(type_url: &str) -> ApiError {
    let type_url = shorten(type_url);
    let message = format!("This server has no transform \"{type_url}\": ask without it, or with {SEARCH_FILTER}.");
    ApiError::new(ErrorCode::FirehoseTransformUnsupported, message).detail("type_url", type_url)
}

fn invalid(InvalidQuery { problems, position }: InvalidQuery) -> ApiError {
    let message = format!("The query of the filter {}.", problems.join("; it "));
    let error = ApiError::new(ErrorCode::RequestValidation, message).detail("errors", json!({"query": problems}));
    match position {
        Some(position) => error.detail("position", position),
        None => error,
    }
}
