use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use dfuse_query::ApiError;
use serde::Serialize;

use crate::{answer::HttpError, limited::Documents};

/// A JSON answer.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => JsonText(text).into_response(),
            Err(error) => {
                HttpError(ApiError::unexpected(format!("an answer has no JSON form: {error}"))).into_response()
            }
        }
    }
}

/// A JSON answer that is text already.
#[derive(Debug)]
pub struct JsonText(pub Vec<u8>);

/// The same for a list, with the number of its items.
#[derive(Debug)]
pub struct JsonList {
    /// The text.
    pub text: Vec<u8>,
    /// How many items there are.
    pub items: usize,
}

impl IntoResponse for JsonList {
    fn into_response(self) -> Response {
        let mut response = JsonText(self.text).into_response();
        response.extensions_mut().insert(Documents(self.items as u64));
        response
    }
}

impl IntoResponse for JsonText {
    fn into_response(self) -> Response {
        let mut text = self.0;
        text.push(b'\n');
        let mut response = Response::new(Body::from(text));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
