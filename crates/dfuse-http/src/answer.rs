//! Errors as HTTP answers.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dfuse_query::ApiError;

use crate::limited::tell_refused;

/// An error as a response: it has a status only. The request frame puts the body in, since it knows the trace id.
#[derive(Debug)]
pub struct HttpError(pub ApiError);

impl From<ApiError> for HttpError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut limits = HeaderMap::new();
        tell_refused(&self.0, &mut limits);
        let mut response = without_body(self.0.status(), self.0.retry_after_seconds(), self.0);
        response.headers_mut().extend(limits);
        response
    }
}

/// The response of an error, whose body the request frame writes from the error among its extensions.
pub fn without_body(
    status: StatusCode,
    retry_after: Option<u32>,
    error: impl Clone + Send + Sync + 'static,
) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response.extensions_mut().insert(error);
    response
}
