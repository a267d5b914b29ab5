//! `/v1/stream`: requests and streams of a WebSocket connection.
//!
//! ```text
//! socket -> Session: Envelope -> Message -> a type of requests -> a task for each request
//!        <- Outbox, bounded <- Context
//! ```
//!
//! A type of requests is a [`request::Request`] with a row in [`types::TYPES`].

mod account;
mod action_history;
mod action_selection;
mod action_traces;
mod blocks;
mod connection;
mod context;
mod head_info;
mod message;
mod options;
mod price;
mod registry;
mod request;
mod row_selection;
mod selection;
mod session;
mod shared;
mod table_rows;
mod transaction_lifecycle;
mod types;
mod vote_tally;

use std::sync::Arc;

use axum::{
    Extension,
    extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    http::Extensions,
    response::{IntoResponse, Response},
    routing::get,
};
use connection::Connection;
use dfuse_http::{AnswerForm, Charge, ConnectionPlace, Endpoint, Methods, websocket};
use dfuse_query::{ApiResult, Caller, Class, ErrorCode, RouteClass, TraceId};
pub use options::WebSocketOptions;
use shared::Shared;

use crate::{Api, answer::HttpError, chain_api::ChainApi, peer::peer};

/// The types of requests on `/v1/stream`, by all their names.
pub fn stream_message_types() -> Vec<&'static str> {
    types::TYPES.iter().flat_map(|it| it.names).copied().collect()
}

/// Reads a message of a client as a connection does: whether it is one, or with which error it is refused before anything is
/// looked up. For tests of the reader.
///
/// # Errors
/// `ws_invalid_json_message_error`, `ws_unknown_message_error`, `ws_invalid_json_message_data_error` and
/// `ws_message_data_validation_error`.
pub fn check_stream_message(text: &str) -> ApiResult<()> {
    session::check_message(&message::Envelope::parse(text)?)
}

pub(crate) fn endpoint(api: &Api, options: WebSocketOptions, nodes: Arc<ChainApi>) -> Endpoint {
    let shared = Shared::new(api, options, nodes);
    let route = get(upgrade).layer(Extension(Arc::new(shared)));
    Endpoint::raw("/v1/stream", Methods::Get, Charge::new(Class::LookUp, RouteClass::Stream), route)
        .answers("A WebSocket connection.", AnswerForm::Upgrade)
        .fails(&[ErrorCode::WsUpgradeFailed, ErrorCode::TooManyOpen])
}

async fn upgrade(
    Extension(shared): Extension<Arc<Shared>>,
    Extension(trace_id): Extension<TraceId>,
    Extension(caller): Extension<Caller>,
    place: Option<Extension<ConnectionPlace>>,
    extensions: Extensions,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let open = match caller.connection() {
        Ok(open) => open,
        Err(error) => return HttpError(error).into_response(),
    };
    let limit = shared.options.max_message_bytes;
    let api = shared.api.charged_to(caller.client);
    let client = peer(&extensions);
    let connection = Connection { stopping: api.stopping(), api, shared, caller, trace_id, client };
    websocket::upgrade(upgrade, limit, place.map(|Extension(place)| place), async move |socket| {
        connection.run(socket).await;
        drop(open);
    })
}
