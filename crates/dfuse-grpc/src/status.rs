//! Errors as gRPC has them: a status, with the code of the one table and the trace id in the metadata behind it and in its
//! details.

use std::time::Duration;

use dfuse_query::{ApiError, ErrorCode, Standing, TraceId};
use http::HeaderMap;
use serde_json::Value;
use tonic::{
    Code, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
};
use tonic_types::{ErrorDetails, StatusExt};

/// Metadata with the code.
pub(crate) const ERROR_CODE: &str = "x-error-code";
/// Metadata with the trace id, of answers too.
pub(crate) const TRACE_ID: &str = "x-trace-id";
/// Metadata that says where a caller stands within a limit, as the headers of HTTP do.
pub(crate) const LIMIT: &str = "x-ratelimit-limit";
const REMAINING: &str = "x-ratelimit-remaining";
const RESET: &str = "x-ratelimit-reset";
/// What `google.rpc.ErrorInfo` names as the place of its reasons.
const DOMAIN: &str = "dfuse";

/// The status of an error. Call it once, when it is sent: the cause goes to the log.
pub(crate) fn status(error: ApiError, trace_id: TraceId) -> Status {
    let body = error.into_body(trace_id);
    let error = body.error();
    let row = error.row();
    let mut details = ErrorDetails::new();
    let texts = error.details().iter().map(|(key, value)| (key.clone(), text(value)));
    details.set_error_info(
        row.code,
        DOMAIN,
        texts.chain([("trace_id".to_owned(), trace_id.to_string())]).collect::<std::collections::HashMap<_, _, _>>(),
    );
    if let Some(seconds) = error.retry_after_seconds() {
        details.set_retry_info(Some(Duration::from_secs(seconds.into())));
    }
    let mut metadata = MetadataMap::new();
    metadata.insert(ERROR_CODE, AsciiMetadataValue::from_static(row.code));
    metadata.insert(TRACE_ID, trace_id_value(trace_id));
    if error.code() == ErrorCode::RateLimited {
        for (name, detail) in [(LIMIT, "limit"), (REMAINING, "remaining"), (RESET, "reset")] {
            let number = error.details().get(detail).and_then(Value::as_u64);
            metadata.insert(name, number.unwrap_or_default().into());
        }
    }
    Status::with_error_details_and_metadata(Code::from(row.grpc as i32), error.message(), details, metadata)
}

/// Says where a caller stands.
pub(crate) fn tell(standing: Standing, headers: &mut HeaderMap) {
    headers.insert(LIMIT, standing.limit.into());
    headers.insert(REMAINING, standing.remaining.into());
    headers.insert(RESET, standing.reset_seconds.into());
}

/// The trace id as metadata.
pub(crate) fn trace_id_value(trace_id: TraceId) -> AsciiMetadataValue {
    trace_id.to_string().parse().unwrap_or_else(|_| unreachable!("hexadecimal digits"))
}

/// A detail as text: as it is, or as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What a status says that the library made, in whose place one with a code is sent. Absent for those of ours.
pub(crate) fn of_library(headers: &HeaderMap) -> Option<ApiError> {
    if headers.contains_key(ERROR_CODE) {
        return None;
    }
    let status = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)?;
    let message = status.message().to_owned();
    Some(match status.code() {
        Code::Unimplemented if message.is_empty() => {
            ApiError::new(ErrorCode::RouteNotFound, "There is no such method; reflection names those that there are.")
                .detail("path", "")
        }
        // A compression that is not known, a message that is not one.
        Code::Unimplemented | Code::Internal | Code::InvalidArgument | Code::Unknown => {
            ApiError::new(ErrorCode::RequestMalformed, format!("The request cannot be read: {message}"))
        }
        Code::OutOfRange | Code::ResourceExhausted => {
            ApiError::new(ErrorCode::RequestBodyTooLarge, format!("The request is too large: {message}"))
                .detail("limit", 0)
        }
        Code::Cancelled | Code::DeadlineExceeded => {
            ApiError::new(ErrorCode::RequestTimeout, format!("The call was given up: {message}"))
        }
        code => ApiError::unexpected(format!("{code:?}: {message}")),
    })
}
