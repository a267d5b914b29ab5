//! Cross-origin requests: the one policy for every path. Pages of any origin may ask; credentials are tokens, not cookies.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use dfuse_query::{ApiError, ErrorCode, shorten};
use serde_json::json;

use super::method_not_allowed;
use crate::answer::HttpError;

const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "OPTIONS"];
/// In lower case. Browsers never ask for the first four.
const HEADERS: [&str; 12] = [
    "accept",
    "accept-language",
    "content-language",
    "origin",
    "authorization",
    "content-type",
    "x-requested-with",
    "x-eos-push-guarantee",
    "x-data-integrity-proof",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
];
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Trace-ID, X-Data-Integrity-Proof, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset",
);
const MAX_AGE_SECONDS: u32 = 86_400;

/// What every response says.
pub(super) fn allow(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// The answer to `OPTIONS`, on any path; other methods have none.
pub(super) fn answer(request: &Request) -> Option<Response> {
    (request.method() == Method::OPTIONS).then(|| preflight(request.headers()))
}

fn preflight(asked: &HeaderMap) -> Response {
    if !asked.contains_key(header::ORIGIN) {
        return ().into_response();
    }
    let text = |name: HeaderName| asked.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let Some(method) = text(header::ACCESS_CONTROL_REQUEST_METHOD) else {
        let error = ApiError::new(ErrorCode::RequestValidation, "This is not a preflight request.")
            .detail("errors", json!({"Access-Control-Request-Method": ["is required beside Origin"]}));
        return HttpError(error).into_response();
    };
    if !METHODS.contains(&&*method) {
        return method_not_allowed(&method, &METHODS);
    }
    let names = text(header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default().to_ascii_lowercase();
    let mut names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    if let Some(name) = names.find(|name| !HEADERS.contains(name)) {
        let message = format!("The header {} is not allowed.", shorten(name));
        let error = ApiError::new(ErrorCode::CorsHeaderNotAllowed, message)
            .detail("header", shorten(name))
            .detail("allowed", &HEADERS[..]);
        return HttpError(error).into_response();
    }
    let mut response = ().into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_SECONDS));
    for (name, list) in
        [(header::ACCESS_CONTROL_ALLOW_METHODS, &METHODS[..]), (header::ACCESS_CONTROL_ALLOW_HEADERS, &HEADERS[4..])]
    {
        headers.insert(name, HeaderValue::from_str(&list.join(", ")).expect("names of headers and methods"));
    }
    response
}
