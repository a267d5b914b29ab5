use std::{net::SocketAddr, sync::Arc};

use axum::extract::ws::Utf8Bytes;
use dfuse_query::{
    ApiError, GraphqlError, TraceId,
    outbox::{Outbox, PIECE_BYTES, Room},
};

use super::{Sockets, protocol::Protocol};
use crate::error;

/// What the operations of a connection share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) sockets: Arc<Sockets>,
    pub(super) protocol: Protocol,
    /// Names the connection in the log.
    pub(super) trace_id: TraceId,
    pub(super) client: Option<SocketAddr>,
    pub(super) outbox: Outbox<Utf8Bytes>,
}

impl Context {
    /// Room for messages of so many bytes.
    pub(super) async fn room(&self, bytes: usize, messages: usize) -> Room<Utf8Bytes> {
        let mut room = self.outbox.room(bytes.min(PIECE_BYTES)).await;
        while let Err(wanted) = room.fit(bytes, messages) {
            room.wait_for_large(wanted).await;
        }
        room
    }

    /// Sends a message, when there is room for it.
    pub(super) async fn send(&self, text: Utf8Bytes) {
        self.room(text.len(), 1).await.put(vec![text]);
    }

    /// An error that ends what it is about.
    pub(super) fn error(&self, error: ApiError, trace_id: TraceId) -> GraphqlError {
        let (code, connection, client) = (error.row().code, self.trace_id, self.client.map(tracing::field::display));
        let protocol = self.protocol.name();
        tracing::info!(
            target: "dfuse_graphql::websocket", %trace_id, %connection, client, protocol, code, "request refused"
        );
        error::of(error, trace_id, true)
    }
}
