//! A connection from its upgrade to its end.

use std::{borrow::Cow, error::Error as _, net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use dfuse_antelope::TimePoint;
use dfuse_query::{
    ApiError, Caller, Retry, TraceId,
    outbox::{Outgoing, outbox},
};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use metrics::{counter, gauge};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_tungstenite::tungstenite::{Error, error::ProtocolError};

use super::{Shared, WebSocketOptions, context::ConnectionContext, session::Session};
use crate::{
    Api, Stopping,
    metrics::{WS_CLOSED, WS_CONNECTIONS, WS_MESSAGES},
};

pub(super) const TARGET: &str = "dfuse_api::websocket";
/// How long a client may take to learn why its connection ends, and to answer that.
const FAREWELL: Duration = Duration::from_secs(5);
/// Messages, or those of one stream and block, that are written at once.
const BATCH: usize = 64;
/// Most bytes of the reason for a close.
const MAX_REASON: usize = 123;

/// Codes of RFC 6455.
mod close_code {
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const PROTOCOL: u16 = 1002;
    pub(super) const NOT_UTF8: u16 = 1007;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const TOO_BIG: u16 = 1009;
    pub(super) const TRY_AGAIN_LATER: u16 = 1013;
}

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

/// Why a connection ends.
enum End {
    /// The client said so, or is gone.
    Left,
    /// We end it.
    Close(u16, Cow<'static, str>),
    /// The client may not ask any more.
    Lost(ApiError),
}

impl Connection {
    pub(super) async fn run(self, socket: WebSocket) {
        let Self { api, shared, caller, trace_id, client, mut stopping } = self;
        let _count = ConnectionCount::begin(&api);
        let (outbox, mut queue) = outbox(api.options().streams.max_pending_bytes, api.queues());
        let table_snapshots = Semaphore::new(1);
        let mut session = Session::new(ConnectionContext {
            api: api.clone(),
            shared: shared.clone(),
            caller: caller.clone(),
            trace_id,
            client,
            outbox,
            table_snapshots,
        });
        let (mut sink, mut stream) = socket.split();
        let end = tokio::select! {
            end = read(&mut stream, &mut session, &shared.options) => end,
            end = write(&mut sink, &mut queue, &api, &shared.options) => end,
            () = stopping.begun() => End::Close(close_code::GOING_AWAY, "The server is going away.".into()),
            error = caller.lost() => End::Lost(error),
        };
        drop(queue);
        let told = match &end {
            End::Lost(error) => session.last_words(error),
            End::Left | End::Close(..) => Vec::new(),
        };
        session.end().await;
        let end = match end {
            End::Lost(error) => End::Close(code_after(&error), error.message().to_owned().into()),
            end => end,
        };
        let (code, reason) = match &end {
            End::Close(code, reason) => (*code, &**reason),
            End::Left | End::Lost(_) => (0, "the client left"),
        };
        let client = client.map(tracing::field::display);
        tracing::info!(target: TARGET, connection = %trace_id, client, code, reason, "connection ends");
        api.metrics().record(|| counter!(WS_CLOSED, "code" => code.to_string()).increment(1));
        let farewell = async {
            for text in told {
                if sink.feed(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            if let End::Close(code, reason) = end {
                let reason = Utf8Bytes::from(cut(&reason));
                if sink.send(Message::Close(Some(CloseFrame { code, reason }))).await.is_err() {
                    return;
                }
            }
            // Sends the answer to the client's own close, or waits for its answer.
            while let Some(Ok(_)) = stream.next().await {}
        };
        // A client that does not take part is gone.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

/// Clients that may come back are told so.
fn code_after(error: &ApiError) -> u16 {
    if error.row().retry == Retry::Later { close_code::TRY_AGAIN_LATER } else { close_code::POLICY }
}

fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(MAX_REASON)]
}

async fn read(stream: &mut SplitStream<WebSocket>, session: &mut Session, options: &WebSocketOptions) -> End {
    loop {
        match stream.next().await {
            None | Some(Ok(Message::Close(_))) => return End::Left,
            Some(Ok(Message::Text(text))) => session.take(&text).await,
            Some(Ok(Message::Binary(_))) => session.refuse_binary().await,
            // Pings are answered below.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Err(error)) => return after(&error, options),
        }
    }
}

/// What follows from a frame that cannot be read: the protocol does not let the connection go on.
fn after(error: &axum::Error, options: &WebSocketOptions) -> End {
    match error.source().and_then(|error| error.downcast_ref()) {
        Some(Error::Capacity(_)) => {
            let limit = options.max_message_bytes;
            End::Close(close_code::TOO_BIG, format!("Messages may have {limit} bytes at most.").into())
        }
        Some(Error::Utf8(_)) => End::Close(close_code::NOT_UTF8, "Text must be UTF-8.".into()),
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => End::Left,
        Some(Error::Protocol(error)) => End::Close(close_code::PROTOCOL, format!("Not WebSocket: {error}").into()),
        _ => End::Left,
    }
}

async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    queue: &mut mpsc::UnboundedReceiver<Outgoing<Utf8Bytes>>,
    api: &Api,
    options: &WebSocketOptions,
) -> End {
    let &WebSocketOptions { ping_interval, slow_client_time, .. } = options;
    // An interval of nothing is none.
    let ping_interval = ping_interval.max(Duration::from_millis(1));
    let mut pings = interval_at(Instant::now() + ping_interval, ping_interval);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(BATCH);
    let slow = || End::Close(close_code::POLICY, format!("Messages were not read within {slow_client_time:?}.").into());
    loop {
        let mut ping = None;
        tokio::select! {
            _ = pings.tick() => ping = Some(ping_message(api)),
            _ = queue.recv_many(&mut batch, BATCH) => {}
        }
        let mut count = 0;
        let ping = ping.map(|ping| (vec![ping], None));
        let queued = batch.drain(..).map(|Outgoing { texts, room }| (texts, Some(room)));
        // Room is free when what was in it is written: at the latest when there is a next message, or no more.
        let mut _written = None;
        for (texts, room) in ping.into_iter().chain(queued) {
            for text in texts {
                count += 1;
                match timeout(slow_client_time, sink.feed(Message::Text(text))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return End::Left,
                    Err(_) => return slow(),
                }
            }
            _written = room;
        }
        match timeout(slow_client_time, sink.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Left,
            Err(_) => return slow(),
        }
        api.metrics().record(|| counter!(WS_MESSAGES).increment(count));
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

/// Counts an open connection.
struct ConnectionCount<'a>(&'a Api);

impl<'a> ConnectionCount<'a> {
    fn begin(api: &'a Api) -> Self {
        api.metrics().record(|| gauge!(WS_CONNECTIONS).increment(1.0));
        Self(api)
    }
}

impl Drop for ConnectionCount<'_> {
    fn drop(&mut self) {
        self.0.metrics().record(|| gauge!(WS_CONNECTIONS).decrement(1.0));
    }
}
