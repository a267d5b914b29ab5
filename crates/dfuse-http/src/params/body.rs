//! Bodies of requests.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use dfuse_query::{ApiError, ApiResult, ErrorCode, shorten, shorten_to};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use crate::{Api, bodies::Room, peer};

const FORM: &str = "application/x-www-form-urlencoded";
/// What is taken of a body that is too large, so that its sender reads the answer.
const DRAIN: (Duration, usize) = (Duration::from_secs(1), 1 << 20);

/// The form in the body. Without a content type, and as plain text, it is one too: that is how browsers send strings. The
/// inner error is of a body of another type, which matters only if the query lacks a parameter.
pub(super) async fn form(request: Request, api: &Api) -> ApiResult<Result<(Bytes, Room), ApiError>> {
    let media_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    let media_type = String::from_utf8_lossy(media_type.unwrap_or_default()).into_owned();
    let (body, room) = read(request, api).await?;
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !body.is_empty() && !["", FORM, "text/plain"].iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        let message = format!("Send the parameters as {FORM}, in the query or in the body.");
        return Ok(Err(ApiError::new(ErrorCode::MediaTypeUnsupported, message)
            .detail("media_type", shorten(&media_type))
            .detail("supported", &[FORM][..])));
    }
    Ok(Ok((body, room)))
}

/// Why a body is not read.
enum Failure {
    TooLarge,
    Broken(axum::Error),
    NoRoom(ApiError),
}

/// The whole body, within the server's limits, and the room that it takes: to be held as long as it is.
pub async fn read(request: Request, api: &Api) -> ApiResult<(Bytes, Room)> {
    let options = api.http_options();
    let limit = options.max_body_bytes;
    let (parts, mut body) = request.into_parts();
    if body.is_end_stream() {
        return Ok((Bytes::new(), Room::default()));
    }
    let declared = declared_length(&parts.headers).or(body.size_hint().exact());
    let declared = declared.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    // Who asks before sending sends nothing then.
    let may_drain = !parts.headers.contains_key(header::EXPECT);
    let room = match declared {
        Some(length) if length > limit => Err(too_large(limit)),
        _ => api.bodies().room(peer::client(&parts.extensions), declared).await,
    };
    let mut room = match room {
        Ok(room) => room,
        Err(error) => {
            if may_drain {
                drain(body).await;
            }
            return Err(error);
        }
    };
    let mut taken = Vec::with_capacity(declared.unwrap_or_default());
    let failure = match timeout(options.body_timeout, collect(&mut body, limit, api, &mut room, &mut taken)).await {
        Ok(Ok(())) => return Ok((taken.into(), room)),
        Ok(Err(failure)) => failure,
        Err(_) => {
            let message = format!("The body did not arrive within {:?}.", options.body_timeout);
            return Err(ApiError::new(ErrorCode::RequestTimeout, message));
        }
    };
    drop(taken);
    let error = match failure {
        Failure::TooLarge => too_large(limit),
        Failure::NoRoom(error) => error,
        Failure::Broken(error) => {
            let message = format!("The body could not be read: {}.", shorten_to(&error.to_string(), 256));
            return Err(ApiError::new(ErrorCode::RequestMalformed, message));
        }
    };
    drain(body).await;
    Err(error)
}

/// Takes what comes. Who did not say how much that is gets more room when it is needed.
async fn collect(
    body: &mut Body,
    limit: usize,
    api: &Api,
    room: &mut Room,
    taken: &mut Vec<u8>,
) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Failure::Broken)?.into_data() else { continue };
        let length = taken.len() + data.len();
        if length > limit {
            return Err(Failure::TooLarge);
        }
        if length > room.bytes() {
            api.bodies().enlarge(room).await.map_err(Failure::NoRoom)?;
        }
        taken.extend_from_slice(&data);
    }
    Ok(())
}

/// What the header says of the length of a body.
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The error of a body that has more than so many bytes.
pub fn too_large(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::RequestBodyTooLarge, format!("The body has more than {limit} bytes."))
        .detail("limit", limit)
}

/// Takes some of the rest: a connection that is closed with unread bytes is reset, and the answer might be lost.
async fn drain(body: Body) {
    let mut rest = Limited::new(body, DRAIN.1);
    let _ = timeout(DRAIN.0, async { while let Some(Ok(_)) = rest.frame().await {} }).await;
}
