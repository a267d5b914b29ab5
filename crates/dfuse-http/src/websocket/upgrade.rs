use std::future::Future;

use axum::{
    extract::ws::{WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use dfuse_query::{ApiError, ErrorCode};

use crate::{ConnectionPlace, answer::HttpError};

/// Bytes of a connection's buffers: there may be many connections.
const READ_BUFFER: usize = 4 << 10;
const WRITE_BUFFER: usize = 16 << 10;

/// Whether a request asks for a WebSocket connection.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Makes a connection of a request, on which `talk` goes on in a task of its own. A request that is not one for a connection gets
/// an error.
pub fn upgrade<W: Future<Output = ()> + Send + 'static>(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    max_message_bytes: usize,
    place: Option<ConnectionPlace>,
    talk: impl FnOnce(WebSocket) -> W + Send + 'static,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return refused(&rejection.body_text()),
    };
    // A WebSocket is at work as long as it is open.
    let work = place.map(|place| place.work());
    upgrade
        .max_message_size(max_message_bytes)
        .max_frame_size(max_message_bytes)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .on_upgrade(async move |socket| {
            talk(socket).await;
            drop(work);
        })
}

/// The answer to a request that is not one for a connection.
fn refused(reason: &str) -> Response {
    let message = "The request for a WebSocket connection is not one.";
    let error = ApiError::new(ErrorCode::WsUpgradeFailed, message).detail("reason", reason);
    let mut response = HttpError(error).into_response();
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}
