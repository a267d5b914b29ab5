//! What is around every call: a trace id, access, errors in their one form.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
};

use dfuse_query::{ApiResult, Asking, Caller, Client, ErrorCode, Service, Surface, TraceId, TraceIds, shorten};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, service::Routes};

use crate::{
    Options,
    call::{Call, panicked},
    connection::Peer,
    firehose::{Firehose, connect},
    health,
    status::{LIMIT, TRACE_ID, of_library, tell},
    web,
};

/// Services that are open to all.
const OPEN: [&str; 2] = ["/grpc.health.v1.", "/grpc.reflection."];
/// Plain HTTP, for those who look whether the server is ready.
const HEALTH: [&str; 2] = ["/", "/healthz"];

/// Answers calls, whatever comes. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Frame {
    shared: Arc<Shared>,
    routes: Routes,
}

struct Shared {
    service: Service,
    trace_ids: TraceIds,
    stopping: CancellationToken,
    max_request_bytes: usize,
    firehose: Firehose,
}

impl Frame {
    pub(crate) fn new(service: Service, routes: Routes, stopping: CancellationToken, options: &Options) -> Self {
        let firehose = Firehose { json: options.firehose_json };
        let max_request_bytes = options.max_request_bytes;
        let trace_ids = TraceIds::new(service.chain().entropy.clone(), service.chain().clock.clone());
        let shared = Arc::new(Shared { service, trace_ids, stopping, max_request_bytes, firehose });
        Self { shared, routes: routes.prepare() }
    }

    async fn handle(mut self, mut request: Request<Body>) -> Response<Body> {
        let shared = self.shared.clone();
        if request.method() == Method::GET && HEALTH.contains(&request.uri().path()) {
            return plain_health(&shared).await;
        }
        let trace_id = shared.trace_ids.next();
        let peer = request.extensions().get::<Peer>().copied();
        let path = request.uri().path().to_owned();
        let is_connect = connect::is_connect(&request);
        let admitted = shared.admit(request.headers(), peer, &path).await;
        let caller = admitted.as_ref().ok().cloned().unwrap_or_default();
        let service = shared.service.on_behalf_of(caller);
        let call = Call::begin(service, trace_id, &path, peer, shared.stopping.clone());
        if let Err(error) = admitted {
            let status = call.fail(error);
            let response = if is_connect { connect::failure(&status) } else { status.into_http() };
            return marked(response, trace_id);
        }
        request.extensions_mut().insert(call.clone());
        let response = match is_connect {
            true => connect::answer(shared.firehose, &call).await,
            false => self.route(request, &call, &path).await,
        };
        let mut response = marked(response, trace_id);
        // Those of a refusal stand there.
        if let Some(standing) = call.caller().standing()
            && !response.headers().contains_key(LIMIT)
        {
            tell(standing, response.headers_mut());
        }
        response
    }
}

impl Frame {
    /// The answer of the service that is called, or an error of ours in the place of the library's.
    async fn route(&mut self, request: Request<Body>, call: &Call, path: &str) -> Response<Body> {
        let answer = AssertUnwindSafe(tower::Service::call(&mut self.routes, request)).catch_unwind().await;
        let response = match answer {
            Ok(answer) => answer.unwrap_or_else(|never| match never {}),
            Err(panic) => call.fail(panicked(&*panic)).into_http(),
        };
        let Some(error) = of_library(response.headers()) else { return response };
        let error = match error.code() {
            ErrorCode::RouteNotFound => error.detail("path", shorten(path)),
            ErrorCode::RequestBodyTooLarge => error.detail("limit", self.shared.max_request_bytes),
            _ => error,
        };
        call.fail(error).into_http()
    }
}

impl tower::Service<Request<Body>> for Frame {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let frame = self.clone();
        let calls = tower::service_fn(move |request| {
            let frame = frame.clone();
            async move { Ok(frame.handle(request).await) }
        });
        Box::pin(async move { Ok(web::answer(calls, request).await) })
    }
}

impl Shared {
    /// Says who calls: by a token, or by an API key, which outranks none.
    async fn admit(&self, headers: &HeaderMap, peer: Option<Peer>, path: &str) -> ApiResult<Caller> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let peer = peer.map(|Peer(peer)| peer.ip());
        if OPEN.iter().any(|open| path.starts_with(open)) {
            return Ok(Caller::unrestricted(Client::at(peer)));
        }
        let token = text(header::AUTHORIZATION.as_str()).map(without_scheme).filter(|token| !token.is_empty());
        let asking = Asking {
            token,
            peer,
            forwarded_for: text("x-forwarded-for"),
            origin: text(header::ORIGIN.as_str()),
            surface: Surface::Grpc,
        };
        match text("x-api-key").map(str::trim).filter(|key| !key.is_empty() && token.is_none()) {
            Some(key) => self.service.access().admit_key(key, &asking).await,
            None => self.service.admit(&asking).await,
        }
    }
}

/// The token, which may stand there without `Bearer`.
fn without_scheme(value: &str) -> &str {
    let value = value.trim();
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => value,
    }
}

/// The answer with its trace id.
fn marked(mut response: Response<Body>, trace_id: TraceId) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(&trace_id.to_string()) {
        response.headers_mut().insert(TRACE_ID, value);
    }
    response
}

async fn plain_health(shared: &Shared) -> Response<Body> {
    let is_ready = health::is_ready(&shared.service, &shared.stopping).await;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = Response::new(Body::new(format!("{{\"is_ready\":{is_ready}}}")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
