use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use dfuse_blocks::{BlockRef, Clock};
use metrics::counter;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Shared, outbox::Outbox, session::Turn};
use crate::{Api, ApiError, Credentials, TraceId, lifecycle::JsonWriter, metrics::WS_ERRORS, params::shorten};

/// A request that is being answered. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: Arc<ConnectionContext>,
    trace_id: TraceId,
    kind: String,
    /// `"req_id":"...",`, empty without one.
    req_id: Vec<u8>,
    turn: Mutex<Option<Turn>>,
}

/// What the requests of a connection share.
#[derive(Debug)]
pub(super) struct ConnectionContext {
    pub(super) shared: Arc<Shared>,
    pub(super) credentials: Credentials,
    pub(super) trace_id: TraceId,
    pub(super) outbox: Outbox,
    /// One at a time is read and waits for room.
    pub(super) table_snapshots: Semaphore,
}

impl Context {
    pub(super) fn new(connection: Arc<ConnectionContext>, trace_id: TraceId, kind: &str, req_id: &str) -> Self {
        let mut text = Vec::new();
        if !req_id.is_empty() {
            JsonWriter::new(&mut text).key("req_id").string(req_id);
            text.push(b',');
        }
        Self(Arc::new(Inner { connection, trace_id, kind: kind.to_owned(), req_id: text, turn: Mutex::default() }))
    }

    pub(super) fn trace_id(&self) -> TraceId {
        self.0.trace_id
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.connection.shared
    }

    pub(super) fn api(&self) -> &Api {
        &self.shared().api
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        self.api().chain().clock.clone()
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.0.connection.credentials
    }

    /// The connection's turn for a table snapshot: hold it until that is sent.
    pub(super) async fn table_snapshot_turn(&self) -> SemaphorePermit<'_> {
        self.0.connection.table_snapshots.acquire().await.expect("never closed")
    }

    pub(super) fn hold(&self, turn: Turn) {
        *self.0.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
    }

    /// From now on further requests of the same `req_id` may be answered.
    pub(super) fn answered(&self) {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Sends a message; `data` is JSON text. Waits until there is room for it.
    pub(super) async fn send(&self, kind: &str, data: &[u8]) {
        self.0.connection.outbox.send([self.message(kind, data)]).await;
    }

    /// Sends messages of that kind, which are written together.
    pub(super) async fn send_all(&self, kind: &str, data: &[Bytes]) {
        let messages: Vec<_> = data.iter().map(|data| self.message(kind, data)).collect();
        self.0.connection.outbox.send(messages).await;
    }

    fn message(&self, kind: &str, data: &[u8]) -> Utf8Bytes {
        let req_id = &self.0.req_id;
        let mut text = Vec::with_capacity(kind.len() + req_id.len() + data.len() + 24);
        for piece in [b"{\"type\":\"", kind.as_bytes(), b"\",", req_id, b"\"data\":", data, b"}"] {
            text.extend_from_slice(piece);
        }
        // What is on the chain may be no UTF-8, but writers of JSON see to that.
        Utf8Bytes::try_from(text)
            .unwrap_or_else(|error| unreachable!("JSON text is UTF-8, but not in a message of type {kind}: {error}"))
    }

    /// Tells that a stream has begun.
    pub(super) async fn listening(&self, next_block: u32) {
        self.send("listening", format!("{{\"next_block\":{next_block}}}").as_bytes()).await;
        self.answered();
    }

    /// Tells that all of a block was sent.
    pub(super) async fn progress(&self, block: BlockRef) {
        let data = format!("{{\"block_num\":{},\"block_id\":\"{}\"}}", block.number, block.id);
        self.send("progress", data.as_bytes()).await;
    }

    /// Tells that a stream has ended because nothing more can come.
    pub(super) async fn complete(&self) {
        self.send("complete", b"{\"success\":true}").await;
    }

    /// Tells what went wrong; the last message of a request or stream.
    pub(super) async fn fail(&self, error: ApiError) {
        let Inner { connection, trace_id, kind, .. } = &*self.0;
        let code = error.row().code;
        let (connection_id, kind) = (connection.trace_id, shorten(kind));
        tracing::info!(target: super::connection::TARGET, %trace_id, connection = %connection_id, kind, code, "request refused");
        self.api().metrics().record(|| counter!(WS_ERRORS, "code" => code).increment(1));
        let body = serde_json::to_vec(&error.into_body(*trace_id)).expect("keys are text and numbers finite");
        self.send("error", &body).await;
    }
}
