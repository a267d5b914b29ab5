//! Errors as HTTP answers, and handlers that may fail.

use std::future::Future;

use axum::{
    Extension,
    body::Body,
    extract::FromRequest,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{self, MethodFilter, MethodRouter},
};
use dfuse_query::{ApiError, ApiResult, Class};

use crate::Api;

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
        without_body(self.0.status(), self.0.retry_after_seconds(), self.0)
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

/// What answers a request with reads of that class.
pub fn on<A, R, F, W>(methods: MethodFilter, class: Class, endpoint: F) -> MethodRouter<Api>
where
    F: Fn(Api, A) -> W + Clone + Send + Sync + 'static,
    A: FromRequest<Api> + Send + 'static,
    R: IntoResponse + 'static,
    W: Future<Output = ApiResult<R>> + Send + 'static,
{
    let handler = move |api: Api, asked: A| {
        let answer = endpoint(api, asked);
        async move { answer.await.map_err(HttpError) }
    };
    routing::on(methods, handler).route_layer(Extension(class))
}

/// The same for `GET` and `POST`.
pub fn both<A, R, F, W>(class: Class, endpoint: F) -> MethodRouter<Api>
where
    F: Fn(Api, A) -> W + Clone + Send + Sync + 'static,
    A: FromRequest<Api> + Send + 'static,
    R: IntoResponse + 'static,
    W: Future<Output = ApiResult<R>> + Send + 'static,
{
    on(MethodFilter::GET.or(MethodFilter::POST), class, endpoint)
}
