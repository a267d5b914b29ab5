use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::ApiError;

/// A JSON answer.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                let mut response = Response::new(Body::from(bytes));
                let media_type = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, media_type);
                response
            }
            Err(error) => ApiError::unexpected(format!("an answer has no JSON form: {error}")).into_response(),
        }
    }
}
