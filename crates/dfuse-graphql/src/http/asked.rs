use axum::extract::{FromRequest, Request};
use dfuse_http::{Api, JsonBody, Kind, Parameter, Params, Room, answer::HttpError, params::rules};
use dfuse_query::{ApiError, ApiResult, ErrorCode, GraphqlRequest, TraceId, shorten_to};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::media::Media;

/// What stands in the query of a `GET`.
pub(super) const BY_QUERY: &[Parameter] = &[
    Parameter::required("query", Kind::Text, "the document, which must be a query"),
    Parameter::optional("operationName", Kind::Text, "which of its operations, if it has several"),
    Parameter::optional("variables", Kind::Text, "the values of its variables: a JSON object"),
];

/// A request, and how it is to be answered.
pub(super) struct Asked {
    pub(super) request: GraphqlRequest,
    pub(super) media: Media,
    pub(super) trace_id: TraceId,
    /// That of the body.
    pub(super) room: Room,
}

/// One that was posted.
pub(super) struct Posted(pub(super) Asked);

/// One that stands in the query.
pub(super) struct Queried(pub(super) Asked);

/// The JSON object that is posted; what else it has is ignored.
#[derive(Debug, Deserialize)]
struct Document {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<Map<String, Value>>,
}

impl FromRequest<Api> for Posted {
    type Rejection = HttpError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, HttpError> {
        let (media, trace_id) = around(&request)?;
        let JsonBody { value, room, .. } = JsonBody::<Document>::from_request(request, api).await?;
        let Document { query, operation_name, variables } = value;
        let query = query.ok_or_else(|| ApiError::invalid_parameter("query", "is required"))?;
        let request = GraphqlRequest { query, operation_name, variables: variables.unwrap_or_default() };
        Ok(Self(Asked { request, media, trace_id, room }))
    }
}

impl FromRequest<Api> for Queried {
    type Rejection = HttpError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, HttpError> {
        let (media, trace_id) = around(&request)?;
        let mut params = Params::from_request(request, api).await?;
        let query = params.required("query", rules::text);
        let operation_name = params.optional("operationName", rules::text);
        let variables = params.optional("variables", rules::text);
        let (query, operation_name, variables) = params.finish((query, operation_name, variables))?;
        let variables = variables.map(|text| object(&text)).transpose()?.unwrap_or_default();
        let request = GraphqlRequest { query, operation_name, variables };
        Ok(Self(Asked { request, media, trace_id, room: Room::default() }))
    }
}

/// What is known before anything is read.
fn around(request: &Request) -> ApiResult<(Media, TraceId)> {
    let trace_id = request.extensions().get::<TraceId>().copied();
    let trace_id = trace_id.ok_or_else(|| ApiError::unexpected("a request without a trace id"))?;
    Ok((Media::wanted(request.headers()), trace_id))
}

fn object(text: &str) -> ApiResult<Map<String, Value>> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    let read = serde_json::from_str::<Option<Map<String, Value>>>(text);
    read.map(Option::unwrap_or_default).map_err(|error| {
        ApiError::new(ErrorCode::InvalidJson, "The variables are not a JSON object.")
            .detail("errors", json!({"source": shorten_to(&error.to_string(), 256)}))
    })
}
