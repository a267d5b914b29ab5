//! Limits and usage of callers, around every route that asks for access.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use bytes::Bytes;
use dfuse_query::{ApiError, Caller, ErrorCode, Standing, Usage};
use hyper::body::{Frame, SizeHint};

use crate::{Counts, shaped::Shaped};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// How many results an answer has, among its extensions. Without it, an answer is one.
#[derive(Debug, Clone, Copy)]
pub struct Documents(pub u64);

/// Says where a caller stands.
pub fn tell(standing: Standing, headers: &mut HeaderMap) {
    headers.insert(LIMIT, standing.limit.into());
    headers.insert(REMAINING, standing.remaining.into());
    headers.insert(RESET, standing.reset_seconds.into());
}

/// The same for one who was refused.
pub fn tell_refused(error: &ApiError, headers: &mut HeaderMap) {
    if error.code() != ErrorCode::RateLimited {
        return;
    }
    for (header, detail) in [(LIMIT, "limit"), (REMAINING, "remaining"), (RESET, "reset")] {
        let number = error.details().get(detail).and_then(serde_json::Value::as_u64);
        headers.insert(header, HeaderValue::from(number.unwrap_or_default()));
    }
}

/// Whose answer it is, among the extensions of an error: its bytes are counted when the request frame has written them.
#[derive(Debug, Clone)]
pub(crate) struct Billed(Caller);

impl Billed {
    /// Of an error that the caller gets.
    pub(crate) fn to(caller: &Caller) -> Self {
        Self(caller.clone())
    }

    /// Counts the body of that response.
    pub(crate) fn count(&self, response: &Response) {
        let egress_bytes = response.body().size_hint().exact().unwrap_or_default();
        self.0.record(Usage { egress_bytes, ..Usage::default() });
    }
}

/// Counts the answer and its bytes for the caller.
pub fn counted(mut response: Response, caller: &Caller, counts: Counts, ingress_bytes: u64) -> Response {
    if caller.grant.is_none() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let documents = response.extensions().get::<Documents>().map_or(1, |documents| documents.0);
    let (requests, documents) = counts.of(response.status(), documents);
    caller.record(Usage { requests, documents, ingress_bytes, ..Usage::default() });
    let is_error = response.extensions().get::<ApiError>().is_some() || response.extensions().get::<Shaped>().is_some();
    if is_error {
        response.extensions_mut().insert(Billed::to(caller));
        return response;
    }
    let caller = caller.clone();
    response.map(|body| Body::new(CountedBody { body, caller, bytes: 0 }))
}

/// A body whose bytes are counted as they are sent.
struct CountedBody {
    body: Body,
    caller: Caller,
    bytes: u64,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.caller.record(Usage { egress_bytes: self.bytes, ..Usage::default() });
    }
}
