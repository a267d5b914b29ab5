//! A connection from its upgrade to its end.

use std::{error::Error as _, future::Future, net::SocketAddr, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use dfuse_query::{ApiError, Retry, TraceId, outbox::Outgoing};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use metrics::{counter, gauge};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_tungstenite::tungstenite::{Error, error::ProtocolError};

use super::conversation::{Conversation, End, close_code};
use crate::{
    Api, Stopping,
    metrics::{WS_CLOSED, WS_CONNECTIONS, WS_MESSAGES},
};

const TARGET: &str = "dfuse_api::websocket";
/// How long a client may take to learn why its connection ends, and to answer that.
const FAREWELL: Duration = Duration::from_secs(5);
/// Messages, or those of one stream and block, that are written at once.
const BATCH: usize = 64;
/// Most bytes of the reason for a close.
const MAX_REASON: usize = 123;

/// Limits of a connection.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    /// Most bytes of a message from the client. A longer one ends the connection.
    pub max_message_bytes: usize,
    /// How long a client may take to read one message. The connection ends after that.
    pub slow_client_time: Duration,
    /// Time between two messages that keep the connection alive.
    pub keep_alive_interval: Duration,
}

/// A connection, and what is around its conversation.
#[derive(Debug)]
pub struct Connection<K, L> {
    /// Its reads are charged to the client.
    pub api: Api,
    /// Names the connection in the log.
    pub trace_id: TraceId,
    /// Who is connected.
    pub client: Option<SocketAddr>,
    /// Holds up the end of the server.
    pub stopping: Stopping,
    /// Its limits.
    pub limits: SocketLimits,
    /// What is to be sent.
    pub queue: mpsc::UnboundedReceiver<Outgoing<Utf8Bytes>>,
    /// Makes the messages that keep the connection alive; at times there may be none.
    pub keep_alive: K,
    /// Returns when the connection must end, for a reason that neither the client nor the conversation gives.
    pub ends: L,
}

impl<K, L> Connection<K, L>
where
    K: Fn() -> Option<Utf8Bytes> + Send,
    L: Future<Output = End> + Send,
{
    /// Goes on until the client leaves or has to.
    pub async fn run(self, socket: WebSocket, mut conversation: impl Conversation) {
        let Self { api, trace_id, client, mut stopping, limits, mut queue, keep_alive, ends } = self;
        let _count = ConnectionCount::begin(&api);
        let (mut sink, mut stream) = socket.split();
        let end = tokio::select! {
            end = read(&mut stream, &mut conversation, &limits) => end,
            end = write(&mut sink, &mut queue, &api, &limits, keep_alive) => end,
            () = stopping.begun() => End::Close(close_code::GOING_AWAY, "The server is going away.".into()),
            end = ends => end,
        };
        drop(queue);
        let told = match &end {
            End::Lost(error) => conversation.last_words(error),
            End::Left | End::Close(..) => Vec::new(),
        };
        conversation.end().await;
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

async fn read(stream: &mut SplitStream<WebSocket>, conversation: &mut impl Conversation, limits: &SocketLimits) -> End {
    loop {
        let end = match stream.next().await {
            None | Some(Ok(Message::Close(_))) => Some(End::Left),
            Some(Ok(Message::Text(text))) => conversation.take(&text).await,
            Some(Ok(Message::Binary(bytes))) => conversation.take_binary(&bytes).await,
            // Pings are answered below.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
            Some(Err(error)) => Some(after(&error, limits)),
        };
        if let Some(end) = end {
            return end;
        }
    }
}

/// What follows from a frame that cannot be read: the protocol does not let the connection go on.
fn after(error: &axum::Error, limits: &SocketLimits) -> End {
    match error.source().and_then(|error| error.downcast_ref()) {
        Some(Error::Capacity(_)) => {
            let limit = limits.max_message_bytes;
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
    limits: &SocketLimits,
    keep_alive: impl Fn() -> Option<Utf8Bytes>,
) -> End {
    let &SocketLimits { keep_alive_interval, slow_client_time, .. } = limits;
    // An interval of nothing is none.
    let interval = keep_alive_interval.max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(BATCH);
    let slow = || End::Close(close_code::POLICY, format!("Messages were not read within {slow_client_time:?}.").into());
    loop {
        let mut kept = None;
        tokio::select! {
            _ = ticks.tick() => kept = keep_alive(),
            _ = queue.recv_many(&mut batch, BATCH) => {}
        }
        let mut count = 0;
        let kept = kept.map(|text| (vec![text], None));
        let queued = batch.drain(..).map(|Outgoing { texts, room }| (texts, Some(room)));
        // Room is free when what was in it is written: at the latest when there is a next message, or no more.
        let mut _written = None;
        for (texts, room) in kept.into_iter().chain(queued) {
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
