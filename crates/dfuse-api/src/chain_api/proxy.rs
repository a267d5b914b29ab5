//! Requests that are passed on to a node.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use dfuse_http::{Room, TRACE_ID, Untouched};
use dfuse_node::rpc::{BoxError, NodeBody, NodeError, RequestBody, RpcError, full_body};
use dfuse_query::ApiResult;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::{NodeApi, NodeShaped, PREFIX, upstreams::Upstream};
use crate::params::body as bodies;

/// Longer bodies of requests are passed on as they come, so that they cannot be sent a second time.
const WHOLE_BYTES: u64 = 256 << 10;
/// Most bytes of an error that is looked into.
const MAX_ERROR_BYTES: usize = 1 << 20;

/// Headers of one connection only (RFC 9110, section 7.6.1), and such as stand before a connection becomes another one.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a node, or what stands before it, says to a browser or of its own address. Clients talk to us, and have nothing to
/// remember of it.
const OF_THE_NODE: [HeaderName; 5] = [
    header::SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    header::ALT_SVC,
    header::STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("clear-site-data"),
];

/// What is between a client and us.
const OURS: [HeaderName; 8] = [
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
    header::EXPECT,
    super::GUARANTEE,
];

/// The body of a request.
pub(super) enum Payload {
    /// With the room that it takes.
    Whole(Bytes, #[expect(dead_code, reason = "is held")] Room),
    /// Can be sent once.
    Stream(Option<Upload>),
}

/// A body on its way.
pub(super) struct Upload {
    body: RequestBody,
    length: Option<HeaderValue>,
    /// Set when it was longer than allowed.
    too_long: Arc<AtomicBool>,
    limit: usize,
}

impl Payload {
    /// # Errors
    /// Those of bodies that are too large or too slow.
    pub(super) async fn read(api: &NodeApi, parts: &Parts, body: Body) -> ApiResult<Self> {
        let limit = api.http_options().max_body_bytes;
        let declared = bodies::declared_length(&parts.headers).or(body.size_hint().exact());
        if body.is_end_stream() {
            return Ok(Self::Whole(Bytes::new(), Room::default()));
        }
        if declared.is_some_and(|length| length <= WHOLE_BYTES || length > limit as u64) {
            let request = Request::from_parts(parts.clone(), body);
            return bodies::read(request, api).await.map(|(body, room)| Self::Whole(body, room));
        }
        let too_long = Arc::new(AtomicBool::new(false));
        let flag = too_long.clone();
        let note = move |error: BoxError| {
            flag.fetch_or(error.is::<LengthLimitError>(), Ordering::Relaxed);
            error
        };
        let body = Limited::new(body, limit).map_err(note).boxed_unsync();
        let length = parts.headers.get(header::CONTENT_LENGTH).cloned();
        Ok(Self::Stream(Some(Upload { body, length, too_long, limit })))
    }
}

/// Passes a request on, and the answer back.
pub(super) async fn forward(api: &NodeApi, call: &str, request: Request) -> Result<Response, NodeShaped> {
    let (parts, body) = request.into_parts();
    let payload = Payload::read(api, &parts, body).await?;
    exchange(api, call, &parts, payload).await
}

/// Sends a request to one node after the other until there is an answer. What may change the chain is sent again only if no
/// node can have got it.
pub(super) async fn exchange(
    api: &NodeApi,
    call: &str,
    parts: &Parts,
    mut payload: Payload,
) -> Result<Response, NodeShaped> {
    let options = &api.node_options();
    let upstreams = api.chain_api().upstreams();
    let candidates = upstreams.candidates();
    let changes_chain = changes_chain(call);
    let mut last = NodeShaped::unavailable("The node cannot be reached.");
    for attempt in 0..=options.retries {
        let tried = attempt as usize;
        if tried >= candidates.len() {
            sleep(options.retry_pause * attempt).await;
        }
        let Some(node) = candidates.get(tried % candidates.len().max(1)) else { break };
        let is_last = attempt == options.retries || matches!(payload, Payload::Stream(_));
        let (body, length, too_long) = match &mut payload {
            Payload::Whole(body, _) => (full_body(body.clone()), None, None),
            Payload::Stream(upload) => match upload.take() {
                Some(Upload { body, length, too_long, limit }) => (body, length, Some((too_long, limit))),
                None => break,
            },
        };
        let request = request(parts, body, length);
        match node.client().forward(&format!("{PREFIX}{call}"), request, options.timeout).await {
            Ok(response) if response.status().is_informational() => {
                // The connection would become one of another protocol, which no client has asked for here.
                let (url, path, status) =
                    (node.client().url().to_owned(), format!("{PREFIX}{call}"), response.status());
                let reason = "it switches protocols unasked".to_owned();
                let error = RpcError::Answer { node: url, path, status: status.as_u16(), reason };
                upstreams.failed(node, &error);
                last = error.into();
                if changes_chain {
                    break;
                }
            }
            Ok(response) if !response.status().is_server_error() => {
                upstreams.succeeded(node);
                return Ok(pass(response.map(|body| Body::new(Patient::new(body, options.timeout)))));
            }
            Ok(response) => match refusal(node, call, response).await {
                Refusal::Final(answer) => return Ok(answer),
                Refusal::Passing(answer) if is_last || changes_chain => return Ok(answer),
                Refusal::Passing(_) => {}
                Refusal::NotOfNode(error) => {
                    upstreams.failed(node, &error);
                    last = error.into();
                    if changes_chain {
                        break;
                    }
                }
            },
            Err(_) if too_long.as_ref().is_some_and(|(too_long, _)| too_long.load(Ordering::Relaxed)) => {
                return Err(bodies::too_large(too_long.map_or(0, |(_, limit)| limit)).into());
            }
            Err(error) => {
                // Of a body that is passed on, the client may be the one who is slow or gone.
                if too_long.is_none() {
                    upstreams.failed(node, &error);
                }
                let was_sent = !matches!(error, RpcError::Connect { .. } | RpcError::Busy { .. });
                let is_busy = matches!(error, RpcError::Busy { .. });
                last = error.into();
                // Who has waited for a turn in vain does not wait for another.
                if changes_chain && was_sent || is_busy {
                    break;
                }
            }
        }
    }
    Err(last)
}

/// All that is no push only reads.
fn changes_chain(call: &str) -> bool {
    ["push_", "send_"].iter().any(|verb| call.starts_with(verb))
}

/// The same request, for a node.
fn request(parts: &Parts, body: RequestBody, length: Option<HeaderValue>) -> hyper::Request<RequestBody> {
    let mut request = hyper::Request::new(body);
    *request.method_mut() = parts.method.clone();
    let mut headers = without_hops(&parts.headers);
    for name in OURS {
        headers.remove(name);
    }
    headers.remove(header::CONTENT_LENGTH);
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    *request.headers_mut() = headers;
    request
}

fn without_hops(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    for name in named.flat_map(|list| list.split(',')) {
        kept.remove(name.trim());
    }
    for name in HOP_BY_HOP {
        kept.remove(name);
    }
    kept
}

/// The node's answer, for the client.
fn pass(response: Response<Body>) -> Response {
    let (mut parts, body) = response.into_parts();
    let mut headers = without_hops(&parts.headers);
    headers.remove(TRACE_ID);
    for name in OF_THE_NODE {
        headers.remove(name);
    }
    // Whose pages may ask is for us to say.
    let policy: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in policy {
        headers.remove(name);
    }
    parts.headers = headers;
    parts.extensions.insert(Untouched);
    Response::from_parts(parts, body)
}

/// An answer with a status from 500 on.
enum Refusal {
    /// The node says no.
    Final(Response),
    /// The node was too busy, or the call takes too long.
    Passing(Response),
    /// Something between us and the node.
    NotOfNode(RpcError),
}

async fn refusal(node: &Upstream, call: &str, response: hyper::Response<NodeBody>) -> Refusal {
    let (parts, body) = response.into_parts();
    let wrong = |reason: String| {
        let (node, path, status) = (node.client().url().to_owned(), format!("{PREFIX}{call}"), parts.status.as_u16());
        Refusal::NotOfNode(RpcError::Answer { node, path, status, reason })
    };
    let body = match Limited::new(body, MAX_ERROR_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return wrong(error.to_string()),
    };
    match NodeError::from_json(&body) {
        Some(error) => {
            let answer = pass(Response::from_parts(parts, Body::from(body)));
            if error.is_retryable() { Refusal::Passing(answer) } else { Refusal::Final(answer) }
        }
        None => wrong("the body is not an error of a node".to_owned()),
    }
}

/// The body of an answer, which breaks off when nothing comes for too long.
struct Patient {
    body: NodeBody,
    patience: Duration,
    limit: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(body: NodeBody, patience: Duration) -> Self {
        Self { body, patience, limit: None }
    }
}

impl HttpBody for Patient {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.limit = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let patience = self.patience;
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(limit.as_mut().poll(context));
        tracing::warn!("the node does not go on with its answer, which is broken off");
        Poll::Ready(Some(Err("the node does not go on with its answer".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
