//! JSON bodies of requests.

use axum::extract::{FromRequest, Request};
use dfuse_query::{ApiError, ApiResult, ErrorCode, shorten_to};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{Api, Params, answer::HttpError, bodies::Room, params::body::read, peer};

/// A JSON body, whatever the request calls its type.
#[derive(Debug)]
pub struct JsonBody<T> {
    /// What it says.
    pub value: T,
    /// To be held as long as what is large in the value.
    pub room: Room,
    /// Without values yet, for the endpoint's rules: what is inserted there is checked as all parameters are.
    pub params: Params,
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<Api> for JsonBody<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, HttpError> {
        let api = api.charged_to(peer::client(request.extensions()));
        let params = Params::of(request.extensions());
        let (body, room) = read(request, &api).await?;
        let value = api.parse(body.len(), move || json(&body)).await?;
        Ok(Self { value, room, params })
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    if body.trim_ascii().is_empty() {
        return Err(ApiError::new(ErrorCode::MissingBody, "The request needs a JSON body."));
    }
    let wrong = |why: &str| {
        ApiError::new(ErrorCode::InvalidJson, "The body is not the JSON that is wanted.")
            .detail("errors", json!({"source": shorten_to(why, 256)}))
    };
    // Fields in their order in an array would do for the reader below.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(wrong("an object is wanted, and this is an array"));
    }
    // Reading bytes would pass over what is no text in fields that nobody asks for.
    let text = std::str::from_utf8(body).map_err(|error| wrong(&error.to_string()))?;
    serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))
}
