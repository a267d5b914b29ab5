use std::{
    collections::BTreeSet,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use dfuse_blocks::{BlockRef, Clock};
use dfuse_query::{
    ApiError, ApiResult, Caller, Class, TraceId, Untold, Usage,
    outbox::{Outbox, PIECE_BYTES},
    shorten,
    streams::start_block,
    within,
};
use metrics::counter;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{registry::Turn, shared::Shared};
use crate::{Api, metrics::WS_ERRORS, untold::write_details};
use dfuse_render::JsonWriter;

const TARGET: &str = "dfuse_api::websocket";

/// Messages that say nothing of the chain.
const NO_DOCUMENTS: [&str; 5] = ["listening", "progress", "complete", "unlistened", "error"];

/// Room for messages that wait.
pub(super) type Room = dfuse_query::outbox::Room<Utf8Bytes>;

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
    /// Its reads are charged to the client.
    pub(super) api: Api,
    pub(super) shared: Arc<Shared>,
    pub(super) caller: Caller,
    pub(super) trace_id: TraceId,
    pub(super) client: Option<SocketAddr>,
    pub(super) outbox: Outbox<Utf8Bytes>,
    /// One at a time is read and waits for room.
    pub(super) table_snapshots: Semaphore,
}

impl Context {
    pub(super) fn new(connection: Arc<ConnectionContext>, trace_id: TraceId, kind: &str, req_id: &str) -> Self {
        let mut text = Vec::new();
        if !req_id.is_empty() {
            JsonWriter::new(&mut text).key("req_id").string(&dfuse_query::secrets::masked(req_id));
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
        &self.0.connection.api
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        self.api().chain().clock.clone()
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.0.connection.caller
    }

    /// The block that a stream begins with: see [`start_block`].
    ///
    /// # Errors
    /// The caller may not begin there, or no chain has such a block.
    pub(super) fn start_block(&self, asked: i64, confirmations: u32) -> ApiResult<u32> {
        start_block(asked, confirmations, &self.api().chain().feed, self.caller())
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

    /// Room for a piece of what this request is answered with. Ask for it before anything is made.
    pub(super) async fn room(&self) -> Room {
        self.0.connection.outbox.room(PIECE_BYTES).await
    }

    /// Sends a message; `data` is JSON text that is short or held by others anyway. Waits until there is room for it.
    pub(super) async fn send(&self, kind: &str, data: &[u8]) {
        let mut room = self.0.connection.outbox.room(data.len().min(PIECE_BYTES)).await;
        while let Err(bytes) = room.fit(data.len(), 1) {
            room.wait_for_large(bytes).await;
        }
        room.put(vec![self.message(kind, data)]);
    }

    /// Makes a message, if there is one to be made, and sends it; returns what came with it. If it is so long that there is no
    /// memory for it, it waits, as long as a request may, and is made again.
    ///
    /// # Errors
    /// Those of `make`, and `service_unavailable_error`.
    pub(super) async fn send_made<T, F>(&self, kind: &str, make: impl Fn() -> F) -> ApiResult<T>
    where
        F: Future<Output = ApiResult<(Option<Vec<u8>>, T)>>,
    {
        let mut room = self.room().await;
        loop {
            let (data, rest) = make().await?;
            let Some(data) = data else { return Ok(rest) };
            let Err(bytes) = room.fit(data.len(), 1) else {
                room.put(vec![self.message(kind, &data)]);
                return Ok(rest);
            };
            drop(data);
            let waiting = async {
                room.wait_for_large(bytes).await;
                Ok(())
            };
            let why = "Too much waits for other clients to read: ask again, or read it in parts over HTTP.";
            within(self.api().options().read_timeout, why, waiting).await?;
        }
    }

    /// Puts messages of that kind where there is room, which are written together. If they are too long for the memory that is
    /// left, gives the room back, and how much it takes.
    pub(super) fn put(&self, mut room: Room, kind: &str, data: &[Bytes]) -> Result<(), (Room, usize)> {
        let bytes = data.iter().map(Bytes::len).sum();
        if let Err(bytes) = room.fit(bytes, data.len()) {
            return Err((room, bytes));
        }
        room.put(data.iter().map(|data| self.message(kind, data)).collect());
        Ok(())
    }

    fn message(&self, kind: &str, data: &[u8]) -> Utf8Bytes {
        let req_id = &self.0.req_id;
        let mut text = Vec::with_capacity(kind.len() + req_id.len() + data.len() + 24);
        for piece in [b"{\"type\":\"", kind.as_bytes(), b"\",", req_id, b"\"data\":", data, b"}"] {
            text.extend_from_slice(piece);
        }
        let documents = u64::from(!NO_DOCUMENTS.contains(&kind));
        self.caller().record(Usage { documents, egress_bytes: text.len() as u64, ..Usage::default() });
        // What is on the chain may be no UTF-8, but writers of JSON see to that.
        Utf8Bytes::try_from(text)
            .unwrap_or_else(|error| unreachable!("JSON text is UTF-8, but not in a message of type {kind}: {error}"))
    }

    /// Tells that a stream has begun, and what of these fields its messages may lack.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn listening(&self, next_block: u32, fields: &[&str]) -> ApiResult<()> {
        let untold = self.untold(next_block, fields).await?;
        let mut text = Vec::new();
        let mut json = JsonWriter::new(&mut text);
        json.begin_object();
        json.key("next_block").unsigned(next_block);
        write_details(&mut json, untold.as_ref());
        json.end_object();
        self.send("listening", &text).await;
        self.answered();
        Ok(())
    }

    /// What blocks from that one on do not tell; those that are still to come are as the newest one is.
    async fn untold(&self, first: u32, fields: &[&str]) -> ApiResult<Option<Untold>> {
        let fields: BTreeSet<_> = fields.iter().map(|field| (*field).to_owned()).collect();
        if fields.is_empty() {
            return Ok(None);
        }
        let api = self.api().reading(Class::LookUp);
        let read = api.read(move |snapshot, _| {
            let Some(head) = snapshot.head() else { return Ok(None) };
            Untold::of(snapshot.view(), fields.clone(), &(first.min(head.number)..=head.number))
        });
        read.await
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
        let body = self.error_body(error);
        self.send("error", &body).await;
    }

    /// The same as a message that is not sent yet.
    pub(super) fn error_message(&self, error: ApiError) -> Utf8Bytes {
        let body = self.error_body(error);
        self.message("error", &body)
    }

    fn error_body(&self, error: ApiError) -> Vec<u8> {
        let Inner { connection, trace_id, kind, .. } = &*self.0;
        let code = error.row().code;
        let (connection_id, kind) = (connection.trace_id, shorten(kind));
        let client = connection.client.map(tracing::field::display);
        tracing::info!(
            target: TARGET, %trace_id, connection = %connection_id, client, kind, code, "request refused"
        );
        self.api().metrics().record(|| counter!(WS_ERRORS, "code" => code).increment(1));
        serde_json::to_vec(&error.into_body(*trace_id)).expect("keys are text and numbers finite")
    }
}
