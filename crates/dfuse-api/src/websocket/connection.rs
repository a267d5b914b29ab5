//! A connection, and who is connected.

use std::{net::SocketAddr, sync::Arc};

use axum::extract::ws::{Utf8Bytes, WebSocket};
use dfuse_antelope::TimePoint;
use dfuse_http::websocket::{Connection as Socket, End, SocketLimits};
use dfuse_query::{Caller, TraceId, outbox::outbox};
use tokio::sync::Semaphore;

use super::{context::ConnectionContext, session::Session, shared::Shared};
use crate::{Api, Stopping};

/// Who is connected.
pub(super) struct Connection {
    /// Its reads are charged to the client.
    pub(super) api: Api,
    pub(super) shared: Arc<Shared>,
    pub(super) caller: Caller,
    pub(super) trace_id: TraceId,
    pub(super) client: Option<SocketAddr>,
    /// Holds up the end of the server.
    pub(super) stopping: Stopping,
}

impl Connection {
    pub(super) async fn run(self, socket: WebSocket) {
        let Self { api, shared, caller, trace_id, client, stopping } = self;
        let (outbox, queue) = outbox(api.options().streams.max_pending_bytes, api.queues());
        let options = &shared.options;
        let limits = SocketLimits {
            max_message_bytes: options.max_message_bytes,
            slow_client_time: options.slow_client_time,
            keep_alive_interval: options.ping_interval,
        };
        let session = Session::new(ConnectionContext {
            api: api.clone(),
            shared: shared.clone(),
            caller: caller.clone(),
            trace_id,
            client,
            outbox,
            table_snapshots: Semaphore::new(1),
        });
        let keep_alive = || Some(ping_message(&api));
        let ends = async { End::Lost(caller.lost().await) };
        let socket_api = api.clone();
        let connection = Socket { api: socket_api, trace_id, client, stopping, limits, queue, keep_alive, ends };
        connection.run(socket, session).await;
    }
}

/// The time of the server in UTC, as long as it needs to be.
fn ping_message(api: &Api) -> Utf8Bytes {
    let now = api.chain().clock.now();
    let mut text = b"{\"type\":\"ping\",\"data\":\"".to_vec();
    TimePoint(now.as_micros() as i64).write_to(&mut text);
    // Its milliseconds are replaced by nanoseconds.
    text.truncate(text.len() - 4);
    let fraction = format!(".{:09}", now.subsec_nanos());
    text.extend_from_slice(fraction.trim_end_matches('0').trim_end_matches('.').as_bytes());
    text.extend_from_slice(b"Z\"}");
    Utf8Bytes::try_from(text).unwrap_or_else(|error| unreachable!("digits: {error}"))
}
