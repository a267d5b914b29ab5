//! Tokens for API keys, and the keys that they are verified with.

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use dfuse_query::{ApiError, ApiResult, Class, ErrorCode, IssuedToken};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers;
use dfuse_http::{AnswerForm, Api, Charge, Endpoint, Json, JsonBody, Params, answer::HttpError, sender};

/// Seconds for which others may keep the public keys: a new one signs at once, and whoever does not find it asks again.
const KEYS_AGE: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// Nothing between us and the caller keeps a token.
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");

/// Open to all: whoever asks here has no token yet.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let issue = Endpoint::post_json("/v1/auth/issue", Charge::open(Class::LookUp), issue)
        .answers("A token for the API key in the body, `api_key`, and until when it lives: `token`, and `expires_at` in seconds since 1970.", AnswerForm::Json(answers::ISSUED));
    // Others verify tokens with them, and ask nothing else here.
    let keys = Endpoint::get("/.well-known/jwks.json", Charge::open(Class::LookUp), public_keys)
        .answers(
            "The public keys that tokens of this server are verified with: a JSON Web Key Set.",
            AnswerForm::Json(answers::KEY_SET),
        )
        .under_maintenance();
    vec![issue, keys]
}

/// Who asks, and with which key.
struct IssueRequest {
    parts: Parts,
    api_key: Option<String>,
}

impl FromRequest<Api> for IssueRequest {
    type Rejection = HttpError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, HttpError> {
        let (parts, body) = request.into_parts();
        let asked = JsonBody::<Asked>::from_request(Request::from_parts(parts.clone(), body), api).await?;
        Ok(Self { parts, api_key: asked.value.api_key })
    }
}

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    api_key: Option<String>,
}

async fn issue(api: Api, asked: IssueRequest) -> ApiResult<Response> {
    let IssuedToken { token, expires_at } = sender::issue(&api, &asked.parts, &required(asked.api_key)?).await?;
    let mut response = Json(json!({"token": token, "expires_at": expires_at})).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, NOT_KEPT);
    Ok(response)
}

fn required(api_key: Option<String>) -> ApiResult<String> {
    api_key.filter(|key| !key.trim().is_empty()).ok_or_else(|| {
        ApiError::new(ErrorCode::RequestValidation, "The body must have the API key, as {\"api_key\":\"server_...\"}.")
            .detail("errors", json!({"api_key": ["is required"]}))
    })
}

async fn public_keys(api: Api, _: Params) -> ApiResult<Response> {
    let keys: Value = api.access().public_keys();
    let mut response = Json(keys).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, KEYS_AGE);
    Ok(response)
}
