//! `/graphql` over HTTP: a document is posted, or stands in the query.

mod asked;
mod media;

use std::sync::Arc;

use asked::{Asked, BY_QUERY, Posted, Queried};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use dfuse_http::{AnswerForm, Api, Charge, Endpoint, Field, Schema, Untouched, limited::Documents};
use dfuse_query::{
    ApiError, ApiResult, Class, ErrorCode, GraphqlExecutor, GraphqlOperation, GraphqlRequest, GraphqlResponse,
    RouteClass, TraceId,
};
use futures::StreamExt;
pub(crate) use media::Media;

use crate::{
    answer, error,
    metrics::{Transport, count_request},
};

/// Where documents are taken.
pub(crate) const PATH: &str = "/graphql";
/// Beside those of all endpoints. Requests for a WebSocket connection come to the same path.
const ERRORS: &[ErrorCode] = &[ErrorCode::WsUpgradeFailed, ErrorCode::InvalidJson];

const CHARGE: Charge = Charge::new(Class::Search, RouteClass::Search);
const ANSWER: AnswerForm = AnswerForm::Json(Schema::Object(&[&[
    Field::maybe("data", Schema::Nullable(&Schema::Map(&Schema::Anything))),
    Field::maybe("errors", Schema::List(&Schema::Map(&Schema::Anything))),
]]));

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
    Ok(answered(&response, media))
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
    let code = response.errors.first().and_then(|error| error.extensions.get("code"));
    let code = ErrorCode::ALL.iter().find(|known| code.is_some_and(|code| code == known.row().code));
    code.map_or(StatusCode::BAD_REQUEST, |code| code.row().status)
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
