//! What pages of browsers ask: gRPC-Web, which has the trailers of a call in its body, and whether they may ask from another origin.

use std::{convert::Infallible, time::Duration};

use http::{HeaderName, Method, Request, Response, header};
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::status::{ERROR_CODE, TRACE_ID};

/// What the library takes: messages as bytes, or all of it in base64.
const GRPC_WEB: [&[u8]; 4] = [
    b"application/grpc-web",
    b"application/grpc-web+proto",
    b"application/grpc-web-text",
    b"application/grpc-web-text+proto",
];
/// Metadata of answers that a page of another origin may read.
const EXPOSED: [&str; 5] = [TRACE_ID, ERROR_CODE, "grpc-status", "grpc-message", "grpc-status-details-bin"];
/// How long a browser keeps an answer to its question, as over HTTP.
const MAX_AGE: Duration = Duration::from_secs(86_400);

/// Answers a call, or a browser's question before one. `calls` answers those of gRPC, and all else.
pub(crate) async fn answer<S>(calls: S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let is_of_page = request.method() == Method::OPTIONS || request.headers().contains_key(header::ORIGIN);
    let calls = service_fn(move |request| translated(calls.clone(), request));
    let answer = if is_of_page { cors().layer(calls).oneshot(request).await } else { calls.oneshot(request).await };
    answer.unwrap_or_else(|never| match never {})
}

/// Pages of any origin may ask. Access is by tokens, not by cookies.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::OPTIONS])
        // Not `*`, which does not stand for `authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(MAX_AGE)
}

async fn translated<S>(calls: S, request: Request<Body>) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Send + 'static,
{
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    if GRPC_WEB.contains(&content_type) && request.method() == Method::POST {
        return GrpcWebLayer::new().layer(calls).oneshot(request).await;
    }
    calls.oneshot(request).await
}
