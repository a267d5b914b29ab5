//! `get_info`, which every client asks before every transaction.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, header},
    response::Response,
};
use bytes::Bytes;
use dfuse_blocks::Clock;
use http_body_util::BodyExt;
use tokio::sync::OnceCell;

use super::{
    NodeShaped,
    proxy::{self, Payload, Untouched},
};
use crate::{Api, ApiError};

/// Most bytes of an answer that is kept.
const MAX_BYTES: usize = 64 << 10;

/// The last answer, for all who ask within a moment: the first of them asks the node, the others wait for that.
#[derive(Debug)]
pub(super) struct InfoCache {
    age: Duration,
    clock: Arc<dyn Clock>,
    last: Mutex<Option<Asked>>,
}

#[derive(Debug, Clone)]
struct Asked {
    at: Duration,
    answer: Arc<OnceCell<Bytes>>,
}

/// Why there is no answer to share.
enum NotShared {
    /// The node's own answer, for the one who asked.
    Answer(Response),
    Error(NodeShaped),
}

impl InfoCache {
    pub(super) fn new(age: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { age, clock, last: Mutex::default() }
    }

    /// What was asked last, unless it is too old, counted from the moment when it was asked.
    fn current(&self) -> Arc<OnceCell<Bytes>> {
        let now = self.clock.elapsed();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(asked) if now.saturating_sub(asked.at) < self.age => asked.answer.clone(),
            _ => last.insert(Asked { at: now, answer: Arc::default() }).answer.clone(),
        }
    }
}

pub(super) async fn get_info(api: &Api, request: Request) -> Result<Response, NodeShaped> {
    let plain = request.method() == Method::POST || request.method() == Method::GET;
    let (parts, body) = request.into_parts();
    let payload = Payload::read(api, &parts, body).await?;
    let nothing = matches!(&payload, Payload::Whole(body) if [&b""[..], b"{}"].contains(&body.trim_ascii()));
    if !plain || !nothing {
        return proxy::exchange(api, "get_info", &parts, payload).await;
    }
    let cell = api.chain_api().info.current();
    let ask = async || {
        let answer = proxy::exchange(api, "get_info", &parts, payload).await.map_err(NotShared::Error)?;
        if !answer.status().is_success() || answer.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(NotShared::Answer(answer));
        }
        let collected = http_body_util::Limited::new(answer.into_body(), MAX_BYTES).collect().await;
        let collected = collected
            .map_err(|error| NotShared::Error(ApiError::unavailable("The node broke off.").with_cause(error).into()))?;
        Ok(collected.to_bytes())
    };
    match cell.get_or_try_init(ask).await {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes.clone()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response.extensions_mut().insert(Untouched);
            Ok(response)
        }
        Err(NotShared::Answer(answer)) => Ok(answer),
        Err(NotShared::Error(error)) => Err(error),
    }
}
