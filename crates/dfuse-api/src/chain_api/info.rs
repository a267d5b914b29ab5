//! `get_info`, which every client asks before every transaction.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use dfuse_blocks::Clock;
use dfuse_http::Untouched;
use dfuse_query::ApiError;
use http_body_util::{BodyExt, Limited};
use tokio::sync::OnceCell;

use super::{
    NodeApi, NodeShaped,
    proxy::{self, Payload},
};

/// Most bytes of an answer that is kept.
const MAX_BYTES: usize = 64 << 10;

/// The last answer, for all who ask within a moment: the first of them asks the node, the others wait for that. A failure is
/// told to those who wait, and not kept.
#[derive(Debug)]
pub(super) struct InfoCache {
    age: Duration,
    clock: Arc<dyn Clock>,
    last: Mutex<Option<Asked>>,
}

type Slot = Arc<OnceCell<Result<Answer, NodeShaped>>>;

#[derive(Debug)]
struct Asked {
    at: Duration,
    answer: Slot,
}

/// What the node said.
#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    media_type: Option<HeaderValue>,
    body: Bytes,
}

impl InfoCache {
    pub(super) fn new(age: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { age, clock, last: Mutex::default() }
    }

    fn last(&self) -> MutexGuard<'_, Option<Asked>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked last, unless it is too old, counted from the moment when it was asked.
    fn current(&self) -> Slot {
        let now = self.clock.elapsed();
        let mut last = self.last();
        match &*last {
            Some(asked) if now.saturating_sub(asked.at) < self.age => asked.answer.clone(),
            _ => last.insert(Asked { at: now, answer: Arc::default() }).answer.clone(),
        }
    }

    fn forget(&self, answer: &Slot) {
        drop(self.last().take_if(|asked| Arc::ptr_eq(&asked.answer, answer)));
    }
}

pub(super) async fn get_info(api: &NodeApi, request: Request) -> Result<Response, NodeShaped> {
    let plain = request.method() == Method::POST || request.method() == Method::GET;
    let (mut parts, body) = request.into_parts();
    let payload = Payload::read(api, &parts, body).await?;
    let nothing = matches!(&payload, Payload::Whole(body, _) if [&b""[..], b"{}"].contains(&body.trim_ascii()));
    if !plain || !nothing {
        return proxy::exchange(api, "get_info", &parts, payload).await;
    }
    // Not everybody who gets the answer may understand an encoding.
    parts.headers.remove(header::ACCEPT_ENCODING);
    let cache = &api.chain_api().info;
    let slot = cache.current();
    let answer = slot.get_or_init(|| ask(api, &parts, payload)).await;
    if !answer.as_ref().is_ok_and(|answer| answer.status.is_success()) {
        cache.forget(&slot);
    }
    answer.clone().map(Answer::into_response)
}

async fn ask(api: &NodeApi, parts: &Parts, payload: Payload) -> Result<Answer, NodeShaped> {
    let answer = proxy::exchange(api, "get_info", parts, payload).await?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, MAX_BYTES).collect().await;
    let body = body.map_err(|error| ApiError::unavailable("The node broke off.").with_cause(error))?;
    let media_type = parts.headers.get(header::CONTENT_TYPE).cloned();
    Ok(Answer { status: parts.status, media_type, body: body.to_bytes() })
}

impl Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        if let Some(media_type) = self.media_type {
            response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        }
        response.extensions_mut().insert(Untouched);
        response
    }
}
