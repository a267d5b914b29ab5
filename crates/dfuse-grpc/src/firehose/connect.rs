//! What an endpoint serves, for those who ask by plain HTTP in the manner of Connect: `POST` with JSON, answered with JSON.

use dfuse_proto::sf::firehose::v2::{InfoRequest, InfoResponse, endpoint_info_server::EndpointInfo};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::{Code, Status, body::Body};

use super::Firehose;
use crate::call::Call;

const PATH: &str = "/sf.firehose.v2.EndpointInfo/Info";
const JSON: &str = "application/json";

/// Whether a request is of this kind. The message that it carries has no fields.
pub(crate) fn is_connect<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|it| it.split(';').next()).unwrap_or_default();
    request.method() == Method::POST && request.uri().path() == PATH && media_type.trim().eq_ignore_ascii_case(JSON)
}

/// Answers such a request.
pub(crate) async fn answer(firehose: Firehose, call: &Call) -> Response<Body> {
    let mut request = tonic::Request::new(InfoRequest {});
    request.extensions_mut().insert(call.clone());
    match firehose.info(request).await {
        Ok(info) => response(StatusCode::OK, &to_json(info.get_ref())),
        Err(status) => failure(&status),
    }
}

/// In the JSON of protobuf, which leaves out what is empty and writes numbers of 64 bits as text.
fn to_json(info: &InfoResponse) -> Value {
    let encoding = info.block_id_encoding().as_str_name();
    let fields = [
        ("chainName", json!(info.chain_name)),
        ("chainNameAliases", json!(info.chain_name_aliases)),
        ("firstStreamableBlockNum", json!(info.first_streamable_block_num.to_string())),
        ("firstStreamableBlockId", json!(info.first_streamable_block_id)),
        ("blockIdEncoding", json!(encoding)),
        ("blockFeatures", json!(info.block_features)),
    ];
    let is_empty = |value: &Value| *value == json!("") || *value == json!([]) || *value == json!("0");
    let fields = fields.into_iter().filter(|(_, value)| !is_empty(value));
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// An error of a call in this form.
pub(crate) fn failure(status: &Status) -> Response<Body> {
    let (code, http) = match status.code() {
        Code::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
        Code::PermissionDenied => ("permission_denied", StatusCode::FORBIDDEN),
        Code::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
        Code::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        Code::NotFound => ("not_found", StatusCode::NOT_FOUND),
        Code::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
        Code::DeadlineExceeded => ("deadline_exceeded", StatusCode::GATEWAY_TIMEOUT),
        _ => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
    };
    let mut response = response(http, &json!({"code": code, "message": status.message()}));
    let metadata = status.metadata().clone().into_headers();
    response.headers_mut().extend(metadata);
    response
}

fn response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::new(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}
