//! Errors in the form of GraphQL.

use async_graphql::{PathSegment, ServerError};
use dfuse_query::{ApiError, Awaited, ErrorCode, GraphqlError, GraphqlLocation, GraphqlResponse, TraceId};
use serde_json::{Map, json};

/// Longest text of what is wrong with a document.
const MAX_SYNTAX_ERROR: usize = 1000;

/// An answer that has nothing but an error.
pub(crate) fn refusal(error: ApiError, trace_id: TraceId, is_terminal: bool) -> GraphqlResponse {
    GraphqlResponse { data: None, errors: vec![of(error, trace_id, is_terminal)], documents: 0 }
}

/// An error of a use case. Its cause goes to the log.
pub(crate) fn of(error: ApiError, trace_id: TraceId, is_terminal: bool) -> GraphqlError {
    let status = error.row().grpc.name();
    let body = serde_json::to_value(error.into_body(trace_id)).unwrap_or_default();
    let text = body["message"].as_str().unwrap_or_default();
    let message = format!("{text} (trace_id: {trace_id})");
    let mut extensions = Map::new();
    extensions.insert("code".to_owned(), body["code"].clone());
    extensions.insert("status".to_owned(), status.into());
    extensions.insert("trace_id".to_owned(), body["trace_id"].clone());
    extensions.insert("terminal".to_owned(), is_terminal.into());
    if let Some(details) = body.get("details") {
        extensions.insert("details".to_owned(), details.clone());
    }
    GraphqlError { message, locations: Vec::new(), path: Vec::new(), extensions }
}

/// An error of the library: one that a resolver returned, or else something that is wrong with the document.
pub(crate) fn of_server(error: &ServerError, trace_id: TraceId, is_terminal: bool) -> GraphqlError {
    let api_error = match error.source::<ApiError>() {
        Some(error) => error.clone(),
        None => ApiError::new(ErrorCode::GraphqlInvalid, error.message.clone()),
    };
    let locations = error.locations.iter();
    let locations = locations.map(|at| GraphqlLocation { line: number(at.line), column: number(at.column) });
    let path = error.path.iter().map(|segment| match segment {
        PathSegment::Field(name) => json!(name),
        PathSegment::Index(index) => json!(index),
    });
    GraphqlError { locations: locations.collect(), path: path.collect(), ..of(api_error, trace_id, is_terminal) }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// What a document is refused for when it is parsed.
pub(crate) fn of_parser(error: &async_graphql::parser::Error) -> ApiError {
    let at = error.positions().next().unwrap_or_default();
    let position = json!({"line": at.line, "column": at.column});
    // It shows the line of the document, which may be all of it.
    let message = dfuse_query::shorten_to(&error.to_string(), MAX_SYNTAX_ERROR);
    ApiError::new(ErrorCode::GraphqlSyntax, message).detail("position", position)
}

/// The highest block that resolvers await.
pub(crate) fn awaited(response: &async_graphql::Response) -> Option<Awaited> {
    response.errors.iter().filter_map(|error| error.source::<ApiError>()?.awaits()).max()
}

/// The answer, as transports take it. What a use case says ends a subscription.
pub(crate) fn respond(
    response: &async_graphql::Response,
    documents: u64,
    trace_id: TraceId,
    is_subscription: bool,
) -> GraphqlResponse {
    let is_terminal = |error: &ServerError| is_subscription && error.source::<ApiError>().is_some();
    let errors = response.errors.iter().map(|error| of_server(error, trace_id, is_terminal(error))).collect();
    // An error with a path is of a field: the document was executed.
    let of_field = response.errors.iter().any(|error| !error.path.is_empty());
    let has_no_event = is_subscription && response.data == async_graphql::Value::Null;
    let is_executed = response.errors.is_empty() || of_field && !has_no_event;
    let data = is_executed.then(|| serde_json::to_string(&response.data).ok()).flatten();
    GraphqlResponse { data, errors, documents }
}
