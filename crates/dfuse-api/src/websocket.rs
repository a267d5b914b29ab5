//! `/v1/stream`: requests and streams of a WebSocket connection.
//!
//! ```text
//! socket -> Session: Envelope -> Message -> a type of requests -> a task for each request
//!        <- Outbox, bounded <- Context
//! ```
//!
//! A type of requests is a [`request::Request`] with a row in [`request::TYPES`].

mod account;
mod action_history;
mod action_traces;
mod connection;
mod context;
mod head_info;
mod message;
mod price;
mod request;
mod selection;
mod session;
mod table_rows;
mod transaction_lifecycle;
mod vote_tally;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::ws::{Utf8Bytes, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    http::Extensions,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use connection::Connection;
use dfuse_antelope::Checksum256;
use dfuse_http::{AnswerForm, Charge, ConnectionPlace, Endpoint, Methods, websocket};
use dfuse_query::{ApiResult, Caller, Class, ErrorCode, RouteClass, TraceId, TraceIds, streams::Recent};
use selection::Selected;

use crate::{Api, answer::HttpError, chain_api::ChainApi, peer::peer};

/// Room for messages that wait.
type Room = dfuse_query::outbox::Room<Utf8Bytes>;

/// What is kept of the newest blocks, of each kind.
const RECENT_BYTES: usize = 8 << 20;
/// Different filters and tables for which something is kept, times blocks.
const RECENT_FILTERS: usize = 16 << 10;

/// Limits of WebSocket connections.
#[derive(Debug, Clone)]
pub struct WebSocketOptions {
    /// Most streams of a connection.
    pub max_streams: usize,
    /// Most bytes of a message from a client. A longer one ends the connection.
    pub max_message_bytes: usize,
    /// How long a client may take to read one message. The connection ends after that.
    pub slow_client_time: Duration,
    /// Time between two `ping` messages.
    pub ping_interval: Duration,
    /// Types of requests that are not offered.
    pub disabled_messages: BTreeSet<String>,
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self {
            max_streams: 12,
            max_message_bytes: 128 << 10,
            slow_client_time: Duration::from_secs(60),
            ping_interval: Duration::from_secs(10),
            disabled_messages: BTreeSet::new(),
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    api: Api,
    options: WebSocketOptions,
    /// The nodes of `/v1/chain`.
    nodes: Arc<ChainApi>,
    trace_ids: TraceIds,
    /// The `data` of `head_info` messages, by head and last irreversible block.
    head_infos: Recent<(Checksum256, Checksum256), Bytes>,
    actions: Arc<Selected<Arc<action_traces::Filter>>>,
    past_actions: Arc<Selected<Arc<action_traces::Filter>>>,
    table_deltas: Arc<Selected<table_rows::Filter>>,
    past_table_deltas: Arc<Selected<table_rows::Filter>>,
    vote_tallies: vote_tally::Tallies,
}

impl Shared {
    fn new(api: &Api, options: WebSocketOptions, nodes: Arc<ChainApi>) -> Self {
        let trace_ids = TraceIds::new(api.chain().entropy.clone(), api.chain().clock.clone());
        let memory_bytes = api.options().streams.memory_bytes;
        Self {
            api: api.clone(),
            options,
            nodes,
            trace_ids,
            head_infos: Recent::new(16, RECENT_BYTES),
            actions: Selected::live(),
            past_actions: Selected::past(memory_bytes / 16),
            table_deltas: Selected::live(),
            past_table_deltas: Selected::past(memory_bytes / 16),
            vote_tallies: Recent::new(16, RECENT_BYTES),
        }
    }
}

/// The types of requests on `/v1/stream`, by all their names.
pub fn stream_message_types() -> Vec<&'static str> {
    request::TYPES.iter().flat_map(|it| it.names).copied().collect()
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
