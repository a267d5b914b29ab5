//! Bodies of requests.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;

use super::{shorten, shorten_to};
use crate::{Api, ApiError, ApiResult, ErrorCode};

const FORM: &str = "application/x-www-form-urlencoded";
/// What is taken of a body that is too large, so that its sender reads the answer.
const DRAIN: (Duration, usize) = (Duration::from_secs(1), 1 << 20);

/// A JSON body, whatever the request calls its type.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> ApiResult<Self> {
        let body = read(request, api).await?;
        if body.trim_ascii().is_empty() {
            return Err(ApiError::new(ErrorCode::MissingBody, "The request needs a JSON body."));
        }
        let wrong = |why: &str| {
            ApiError::new(ErrorCode::InvalidJson, "The body is not the JSON that is wanted.")
                .detail("errors", json!({"source": shorten_to(why, 256)}))
        };
        // Fields in their order in an array would do for the reader below.
        if body.trim_ascii_start().first() == Some(&b'[') {
            return Err(wrong("an object is wanted, and this is an array"));
        }
        serde_json::from_slice(&body).map(Self).map_err(|error| wrong(&error.to_string()))
    }
}

/// The form in the body. Without a content type, and as plain text, it is one too: that is how browsers send strings. The
/// inner error is of a body of another type, which matters only if the query lacks a parameter.
pub(super) async fn form(request: Request, api: &Api) -> ApiResult<Result<String, ApiError>> {
    let media_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    let media_type = String::from_utf8_lossy(media_type.unwrap_or_default()).into_owned();
    let body = read(request, api).await?;
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !body.is_empty() && !["", FORM, "text/plain"].iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        let message = format!("Send the parameters as {FORM}, in the query or in the body.");
        return Ok(Err(ApiError::new(ErrorCode::MediaTypeUnsupported, message)
            .detail("media_type", shorten(&media_type))
            .detail("supported", &[FORM][..])));
    }
    // Bytes that are not UTF-8 must be percent-encoded: as U+FFFD they break every rule.
    Ok(Ok(String::from_utf8_lossy(&body).into_owned()))
}

/// The whole body, within the server's limits.
pub(crate) async fn read(request: Request, api: &Api) -> ApiResult<Bytes> {
    let options = api.options();
    let limit = options.max_body_bytes;
    let (parts, mut body) = request.into_parts();
    if declared_length(&parts.headers).is_some_and(|length| length > limit as u64) {
        if !parts.headers.contains_key(header::EXPECT) {
            drain(body).await;
        }
        return Err(too_large(limit));
    }
    let collected = timeout(options.body_timeout, Limited::new(&mut body, limit).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            drain(body).await;
            Err(too_large(limit))
        }
        Ok(Err(error)) => Err(ApiError::new(
            ErrorCode::RequestMalformed,
            format!("The body could not be read: {}.", shorten_to(&error.to_string(), 256)),
        )),
        Err(_) => {
            let message = format!("The body did not arrive within {:?}.", options.body_timeout);
            Err(ApiError::new(ErrorCode::RequestTimeout, message))
        }
    }
}

pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(crate) fn too_large(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::RequestBodyTooLarge, format!("The body has more than {limit} bytes."))
        .detail("limit", limit)
}

/// Takes some of the rest: a connection that is closed with unread bytes is reset, and the answer might be lost.
async fn drain(body: Body) {
    let mut rest = Limited::new(body, DRAIN.1);
    let _ = timeout(DRAIN.0, async { while let Some(Ok(_)) = rest.frame().await {} }).await;
}
