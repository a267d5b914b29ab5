//! `/graphql` over HTTP: a document is posted, or stands in the query.

mod asked;
mod media;

use std::{collections::BTreeMap, sync::Arc};

use asked::{Asked, BY_QUERY, Posted, Queried};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use dfuse_http::{AnswerForm, Api, COMMON_ERRORS, Charge, Endpoint, Field, Schema, Untouched, limited::Documents};
use dfuse_query::{
    ApiError, ApiResult, Class, ErrorCode, GraphqlError, GraphqlExecutor, GraphqlOperation, GraphqlRequest,
    GraphqlResponse, RouteClass, TraceId,
};
use futures::StreamExt;
pub(crate) use media::Media;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{
    answer, error,
    metrics::{Transport, count_request},
};

/// Where documents are taken.
pub(crate) const PATH: &str = "/graphql";
/// Beside those of all endpoints. Requests for a WebSocket connection come to the same path.
const ERRORS: &[ErrorCode] = &[ErrorCode::WsUpgradeFailed, ErrorCode::InvalidJson];

/// The fields of a document are of several classes: the executor takes a request of each.
const CHARGE: Charge = Charge::new(Class::Search, RouteClass::Search).taken_by_answer();
const ANSWER: AnswerForm = AnswerForm::Json(Schema::Object(&[&[
    Field::maybe("data", Schema::Nullable(&Schema::Map(&Schema::Anything))),
    Field::maybe("errors", Schema::List(&Schema::Map(&Schema::Anything))),
]]));
/// Statuses of requests that are refused as a whole.
const REFUSALS: [StatusCode; 4] =
    [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];

/// Both ways of asking.
pub(crate) fn endpoints(executor: &Arc<dyn GraphqlExecutor>) -> Vec<Endpoint> {
    let (by_post, by_query) = (executor.clone(), executor.clone());
    let answer = "What the GraphQL document asks for.";
    vec![
        Endpoint::post_json(PATH, CHARGE, move |api, Posted(asked)| execute(by_post.clone(), api, asked))
            .answers(answer, ANSWER)
            .fails(ERRORS),
        Endpoint::get(PATH, CHARGE, move |api, Queried(asked)| execute(by_query.clone(), api, asked))
            .takes(BY_QUERY)
            .answers(answer, ANSWER)
            .fails(ERRORS),
    ]
}

async fn execute(executor: Arc<dyn GraphqlExecutor>, api: Api, asked: Asked) -> ApiResult<Response> {
    let Asked { request, media, trace_id, room } = asked;
    let (operation, request) = operation(&executor, &api, request).await?;
    count_request(api.metrics(), Transport::Http, operation);
    let response = if operation == Some(GraphqlOperation::Subscription) {
        let error = ApiError::new(ErrorCode::GraphqlNeedsWebSocket, "graphql-ws protocol header is missing");
        error::refusal(error, trace_id, true)
    } else {
        let answer = executor.execute(request, api.caller().clone(), trace_id).next().await;
        answer.ok_or_else(|| ApiError::unexpected("the executor gave no answer"))?
    };
    drop(room);
    match refusal(&response) {
        Some(error) => Err(error),
        None => Ok(answered(&response, media)),
    }
}

/// The error of a request that was refused as a whole, for want of access, within limits or for the moment. It has a status in
/// either form.
fn refusal(response: &GraphqlResponse) -> Option<ApiError> {
    let error = response.errors.first()?;
    let code = code(error)?;
    if !response.errors.iter().all(is_refusal) || !is_empty(response.data.as_deref()) {
        return None;
    }
    let message = error.message.split(" (trace_id: ").next().unwrap_or_default().to_owned();
    let details = error.extensions.get("details").and_then(Value::as_object);
    let details = code.row().details.iter().filter_map(|detail| Some((detail.key, details?.get(detail.key)?.clone())));
    let refused = details.fold(ApiError::new(code, message), |error, (key, value)| error.detail(key, value));
    let seconds = refused.details().get("reset").and_then(Value::as_u64);
    Some(match seconds.and_then(|seconds| u32::try_from(seconds).ok()) {
        Some(seconds) => refused.retry_after(seconds),
        None => refused,
    })
}

fn is_refusal(error: &GraphqlError) -> bool {
    code(error).is_some_and(|code| COMMON_ERRORS.contains(&code) && REFUSALS.contains(&code.row().status))
}

/// Whether nothing was answered: there is no data, or no field of it has a value.
fn is_empty(data: Option<&str>) -> bool {
    type Fields = Option<BTreeMap<String, Option<IgnoredAny>>>;
    let Some(data) = data else { return true };
    serde_json::from_str::<Fields>(data).is_ok_and(|fields| fields.is_none_or(|it| it.values().all(Option::is_none)))
}

/// The code of an error.
fn code(error: &GraphqlError) -> Option<ErrorCode> {
    let code = error.extensions.get("code")?;
    ErrorCode::ALL.iter().copied().find(|known| code == known.row().code)
}

/// What the document does; nothing if it is not valid, which its answer will say.
pub(crate) async fn operation(
    executor: &Arc<dyn GraphqlExecutor>,
    api: &Api,
    request: GraphqlRequest,
) -> ApiResult<(Option<GraphqlOperation>, GraphqlRequest)> {
    let executor = executor.clone();
    api.parse(request.query.len(), move || Ok((executor.operation(&request).ok(), request))).await
}

fn answered(response: &GraphqlResponse, media: Media) -> Response {
    let mut http = Response::new(Body::from(answer::body(response)));
    *http.status_mut() = match media {
        Media::Json => StatusCode::OK,
        Media::GraphqlResponse => status(response),
    };
    http.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    http.extensions_mut().insert(Documents(response.documents));
    http.extensions_mut().insert(Untouched);
    http
}

/// The status that the specification of GraphQL over HTTP wants: a request of which nothing was executed has failed.
fn status(response: &GraphqlResponse) -> StatusCode {
    if response.data.is_some() {
        return StatusCode::OK;
    }
    response.errors.first().and_then(code).map_or(StatusCode::BAD_REQUEST, |code| code.row().status)
}

/// Gives an error that came instead of an answer the form of GraphQL, if the client asks for that form.
pub(crate) fn in_form(mut response: Response, media: Media, trace_id: TraceId) -> Response {
    if media == Media::Json {
        return response;
    }
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    *response.body_mut() = Body::from(answer::body(&error::refusal(error, trace_id, true)));
    let content_type = HeaderValue::from_static(media.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response.extensions_mut().insert(Untouched);
    response
}
