//! What is around every request, of unknown routes too: trace id, CORS, errors in their one form, log line, counts.

mod caller_slot;
mod cors;
pub(crate) mod integrity;
pub(crate) mod path;
mod record;

use std::{any::Any, net::SocketAddr, panic::AssertUnwindSafe};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
pub(crate) use caller_slot::CallerSlot;
use dfuse_query::{ApiError, ErrorCode, Surface, TraceId, TraceIds, shorten};
use futures::FutureExt;
use record::{Record, RouteSlot};
use serde_json::json;
use tower::ServiceExt;
use tower_http::{CompressionLevel, compression::CompressionLayer};
use tracing::Instrument;

use crate::{
    Api, Endpoint,
    answer::HttpError,
    documents::Documents,
    health,
    limited::Billed,
    metrics::{request_begins, request_ends},
    refused::Refused,
    request_span::RequestSpan,
    routes::{ErrorPage, Routes, Untouched},
    shaped::{Shape, Shaped},
};

/// The header with the trace id.
pub const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Answers requests, whatever comes.
#[derive(Debug)]
pub(crate) struct Frame {
    api: Api,
    routes: Router,
    /// Below which paths errors have a structure of a surface's own.
    shapes: Vec<(&'static str, Shape)>,
    endpoints: Vec<Endpoint>,
    /// Where browsers are answered that ask for `/`.
    home: Option<&'static str>,
    /// What browsers get instead of an error's JSON.
    error_page: Option<ErrorPage>,
    trace_ids: TraceIds,
}

impl Frame {
    pub(crate) fn new(api: Api, surfaces: impl IntoIterator<Item = Routes>) -> Self {
        let mut all = Routes::default();
        for surface in surfaces {
            all.router = all.router.merge(surface.router);
            all.endpoints.extend(surface.endpoints);
            all.shapes.extend(surface.shapes);
            all.addresses.extend(surface.addresses);
            all.home = all.home.or(surface.home);
            all.error_page = all.error_page.or(surface.error_page);
        }
        let documents = Documents::default();
        let of_server = [health::endpoints(all.addresses.clone()), documents.endpoints()].concat();
        let Routes { router, endpoints, shapes, home, error_page, .. } =
            all.with((&api, Surface::Rest), of_server, |routes| routes);
        documents.write(&endpoints);
        let router = router.with_state(api.clone());
        let routes =
            router.layer(CompressionLayer::new().quality(CompressionLevel::Fastest)).layer(from_fn(note_route));
        let trace_ids = TraceIds::new(api.chain().entropy.clone(), api.chain().clock.clone());
        Self { api, routes, shapes, endpoints, home, error_page, trace_ids }
    }

    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    fn shape(&self, path: &str) -> Option<Shape> {
        let is_below =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.shapes.iter().find(|(prefix, _)| is_below(prefix)).map(|(_, shape)| *shape)
    }

    fn is_told_under_maintenance(&self, path: &str) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.under_maintenance && endpoint.path == path)
    }

    pub(crate) async fn handle(&self, mut request: Request) -> Response {
        let trace_id = self.trace_ids.next();
        let record = Record::begin(&self.api, trace_id, &request);
        request.extensions_mut().insert(trace_id);
        request.extensions_mut().insert(record.route_slot());
        request.extensions_mut().insert(record.caller_slot());
        path::without_empty_segments(&mut request);
        if let Some(home) = self.home {
            path::at_home(&mut request, home);
        }
        let method = request.method().clone();
        let shape = self.shape(request.uri().path());
        let wants_page = path::is_of_browser(&request) && !path::is_of_api(request.uri().path());
        // Every line that is logged on the way says whose request it is.
        let span = tracing::error_span!("request", %trace_id, client = record.client());
        let refused = request.extensions_mut().remove::<Refused>();
        let mut answer = match refused.map(refused_answer).or_else(|| cors::answer(&request)) {
            Some(answer) => answer,
            None => {
                // Clients must not see when a handler fails by panic how far it came; state is behind locks that recover.
                let work = AssertUnwindSafe(self.answer(request)).catch_unwind();
                work.instrument(span.clone()).await.unwrap_or_else(|panic| HttpError(panicked(&*panic)).into_response())
            }
        };
        let billed = answer.extensions_mut().remove::<Billed>();
        let answer = if wants_page { self.page_of(answer, trace_id) } else { answer };
        let extensions = answer.extensions();
        let code = extensions.get::<ApiError>().map(ApiError::code).or_else(|| extensions.get::<ErrorCode>().copied());
        let mut response = span.in_scope(|| finish(answer, &method, shape, trace_id));
        if let Some(billed) = billed {
            billed.count(&response);
        }
        record.end(response.status(), code.map(|code| code.row().code));
        response.extensions_mut().insert(RequestSpan(span));
        response
    }

    /// An error as a page for a browser.
    fn page_of(&self, answer: Response, trace_id: TraceId) -> Response {
        let error = answer.extensions().get::<ApiError>().cloned();
        let (Some(page), Some(error)) = (self.error_page, error) else { return answer };
        let mut page = page(error, trace_id);
        // Where the limits stand, and when to come again. Its length is that of no body.
        for (name, value) in answer.headers().iter().filter(|(name, _)| **name != header::CONTENT_LENGTH) {
            page.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        page
    }

    async fn answer(&self, request: Request) -> Response {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        if let Some(problem) = path::problem(&path) {
            let error = ApiError::new(ErrorCode::RequestValidation, "The path of the request is malformed.");
            return HttpError(error.detail("errors", json!({"path": [problem]}))).into_response();
        }
        if let Some(error) = self.api.access().closed()
            && !health::is_below(&path)
            && !self.is_told_under_maintenance(&path)
        {
            return HttpError(error).into_response();
        }
        let Ok(response) = self.routes.clone().oneshot(request).await;
        in_one_form(response, &method, &path)
    }

    /// The whole answer to what came instead of a request.
    pub(crate) fn refuse(&self, error: ApiError, client: SocketAddr) -> Vec<u8> {
        let trace_id = self.trace_ids.next();
        let status = error.status();
        self.api.recent().refuse(error.row().code);
        tracing::debug!(
            target: record::TARGET, status = status.as_u16(), %trace_id, code = error.row().code, %client, "not a request"
        );
        request_begins(self.api.metrics());
        request_ends(self.api.metrics(), record::NO_ROUTE, record::OTHER_METHOD, status.as_u16(), 0.0);
        let body = error.into_body(trace_id).to_bytes();
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
             {TRACE_ID}: {trace_id}\r\naccess-control-allow-origin: *\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    }
}

/// The answer to a request that is not looked at. What is left of it on the connection is not, either.
fn refused_answer(Refused(error): Refused) -> Response {
    let mut response = HttpError(error).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What a client learns of a panic.
pub fn panicked(panic: &(dyn Any + Send)) -> ApiError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("not a text");
    ApiError::unexpected(format!("panic: {text}"))
}

/// Tells the log and the counts which route it is.
async fn note_route(request: Request, next: Next) -> Response {
    if let (Some(slot), Some(path)) =
        (request.extensions().get::<RouteSlot>(), request.extensions().get::<MatchedPath>())
    {
        slot.set(path);
    }
    next.run(request).await
}

/// Turns errors that the framework made into ours.
fn in_one_form(response: Response, method: &Method, path: &str) -> Response {
    let status = response.status();
    let extensions = response.extensions();
    let is_ready = extensions.get::<ApiError>().is_some()
        || extensions.get::<Shaped>().is_some()
        || extensions.get::<Untouched>().is_some();
    if is_ready || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    match status {
        StatusCode::NOT_FOUND => {
            let error = ApiError::new(ErrorCode::RouteNotFound, "There is nothing at this path.");
            HttpError(error.detail("path", shorten(path))).into_response()
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = response.headers().get(header::ALLOW).and_then(|allow| allow.to_str().ok()).unwrap_or("");
            let methods = allowed.split(',').filter(|method| !method.is_empty()).chain(["OPTIONS"]);
            method_not_allowed(method.as_str(), &methods.collect::<Vec<_>>())
        }
        StatusCode::NOT_ACCEPTABLE => {
            let message = "Accept-Encoding allows none of the encodings that there are: identity, gzip, deflate.";
            HttpError(ApiError::new(ErrorCode::EncodingNotAcceptable, message)).into_response()
        }
        _ => HttpError(ApiError::unexpected(format!("a handler answered {status} without an error"))).into_response(),
    }
}

fn method_not_allowed(method: &str, allowed: &[&str]) -> Response {
    let list = allowed.join(", ");
    let error = ApiError::new(ErrorCode::MethodNotAllowed, format!("Use one of these methods: {list}."))
        .detail("method", shorten(method))
        .detail("allowed", allowed);
    let mut response = HttpError(error).into_response();
    // Names of methods, from here or checked by the framework.
    if let Ok(list) = HeaderValue::from_str(&list) {
        response.headers_mut().insert(header::ALLOW, list);
    }
    response
}

/// Puts in what every response has.
fn finish(mut response: Response, method: &Method, shape: Option<Shape>, trace_id: TraceId) -> Response {
    let own = response.extensions_mut().remove::<ApiError>();
    let shaped = response.extensions_mut().remove::<Shaped>();
    let body = match (own, shaped, shape) {
        (_, Some(error), _) => Some(error.body(trace_id)),
        (Some(error), None, Some(shape)) => Some(shape(error).body(trace_id)),
        (Some(error), None, None) => Some(error.into_body(trace_id).to_bytes()),
        (None, None, _) => None,
    };
    if let Some(body) = body {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = if *method == Method::HEAD { Body::empty() } else { Body::from(body) };
    }
    let headers = response.headers_mut();
    cors::allow(headers);
    let trace_id = HeaderValue::from_str(&trace_id.to_string()).expect("hex digits");
    headers.insert(TRACE_ID, trace_id);
    response
}
