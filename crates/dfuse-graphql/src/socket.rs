//! `/graphql` over WebSocket, in both protocols that clients speak.
//!
//! ```text
//! socket -> Session: Envelope -> connection_init: a caller; start or subscribe: an Operation in a task of its own
//!        <- Outbox, bounded <- Operation <- GraphqlExecutor
//! ```

mod context;
mod operations;
mod protocol;
mod run;
mod session;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::ws::{WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use context::Context;
use dfuse_http::{
    Api, ConnectionPlace,
    answer::HttpError,
    peer::peer,
    sender::Sender,
    websocket::{Connection, End, SocketLimits, upgrade},
};
use dfuse_query::{ApiError, Caller, ErrorCode, GraphqlExecutor, GraphqlRequest, TraceId, TraceIds, outbox::outbox};
use protocol::Protocol;
use serde_json::Value;
use session::Session;
use tokio::{sync::watch, time::timeout};

/// Reads a message of a client as a connection does, in either protocol: the document that it asks to execute, if it asks for one.
/// For tests of the reader.
///
/// # Errors
/// What is wrong with it.
pub fn read_socket_message(text: &str) -> Result<Option<GraphqlRequest>, String> {
    let mut envelope = protocol::Envelope::parse(text)?;
    if let Some(Value::Object(payload)) = &envelope.payload {
        protocol::token(payload)?;
    }
    Ok(envelope.request())
}

/// Limits of WebSocket connections.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    /// Most subscriptions of a connection.
    pub max_subscriptions: usize,
    /// Most bytes of a message from a client. A longer one ends the connection.
    pub max_message_bytes: usize,
    /// How long a client may take to read one message. The connection ends after that.
    pub slow_client_time: Duration,
    /// How long a client may take until it is admitted. The connection ends after that.
    pub init_timeout: Duration,
    /// Time between two messages that keep the connection alive.
    pub keep_alive_interval: Duration,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            max_subscriptions: 100,
            max_message_bytes: 1 << 20,
            slow_client_time: Duration::from_secs(60),
            init_timeout: Duration::from_secs(30),
            keep_alive_interval: Duration::from_secs(15),
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Sockets {
    api: Api,
    executor: Arc<dyn GraphqlExecutor>,
    options: SocketOptions,
    trace_ids: TraceIds,
}

impl Sockets {
    pub(crate) fn new(api: &Api, executor: Arc<dyn GraphqlExecutor>, options: SocketOptions) -> Self {
        let trace_ids = TraceIds::new(api.chain().entropy.clone(), api.chain().clock.clone());
        Self { api: api.clone(), executor, options, trace_ids }
    }
}

/// Answers a request for a connection.
pub(crate) fn open(
    sockets: Arc<Sockets>,
    parts: &Parts,
    trace_id: TraceId,
    asked: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let asked = asked.map(|asked| asked.protocols(Protocol::NAMES));
    let protocol = match &asked {
        Ok(asked) => match asked.selected_protocol().and_then(|name| Protocol::named(name.as_bytes())) {
            Some(protocol) => protocol,
            None => return unknown_protocol(),
        },
        // It is refused below.
        Err(_) => Protocol::Transport,
    };
    let limit = sockets.options.max_message_bytes;
    let place = parts.extensions.get::<ConnectionPlace>().cloned();
    let (sender, client) = (Sender::of(parts), peer(&parts.extensions));
    upgrade(asked, limit, place, async move |socket: WebSocket| {
        let options = sockets.options.clone();
        let api = sockets.api.clone();
        let stopping = api.stopping();
        let (outbox, queue) = outbox(api.options().streams.max_pending_bytes, api.queues());
        let (admitted, callers) = watch::channel(None);
        let context = Arc::new(Context { sockets, protocol, trace_id, client, outbox });
        let session = Session::new(context, sender, admitted);
        let limits = SocketLimits {
            max_message_bytes: limit,
            slow_client_time: options.slow_client_time,
            keep_alive_interval: options.keep_alive_interval,
        };
        let is_admitted = callers.clone();
        let keep_alive = move || is_admitted.borrow().is_some().then(|| protocol.keep_alive());
        let ends = ends(callers, options.init_timeout);
        Connection { api, trace_id, client, stopping, limits, queue, keep_alive, ends }.run(socket, session).await;
    })
}

fn unknown_protocol() -> Response {
    let message = "The request for a WebSocket connection names no protocol that there is.";
    let reason = format!("Sec-WebSocket-Protocol must have one of: {}", Protocol::NAMES.join(", "));
    HttpError(ApiError::new(ErrorCode::WsUpgradeFailed, message).detail("reason", reason)).into_response()
}

/// Returns when nobody was admitted in time, or who was may not ask any more.
async fn ends(mut callers: watch::Receiver<Option<Caller>>, init_timeout: Duration) -> End {
    let admitted = timeout(init_timeout, callers.wait_for(Option::is_some)).await.map(|admitted| admitted.is_ok());
    match admitted {
        Ok(true) => {}
        // The session is gone, and the connection with it.
        Ok(false) => return std::future::pending().await,
        Err(_) => return End::Close(protocol::INIT_TIMEOUT, "Connection initialisation timeout".into()),
    }
    loop {
        let caller = callers.borrow_and_update().clone().unwrap_or_default();
        tokio::select! {
            error = caller.lost() => return End::Lost(error),
            changed = callers.changed() => if changed.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
