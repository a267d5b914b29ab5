//! `/v1/stream`.

mod accounts;
mod actions;
mod confirmations;
mod connections;
mod crowd;
mod forks;
mod golden;
mod history;
mod lifecycles;
mod messages;
mod protocol;
mod streams;
mod tables;

use std::{collections::BTreeSet, time::Duration};

use dfuse_query::ErrorCode;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use crate::support::{Listening, TestChain};

/// When a test gives up: a message is missing.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(60);

/// A client that checks the form of whatever comes.
pub(crate) struct Client<S = MaybeTlsStream<TcpStream>> {
    pub(crate) socket: WebSocketStream<S>,
    trace_ids: BTreeSet<String>,
}

impl Client {
    pub(crate) async fn connect(listening: &Listening) -> Self {
        let (socket, response) = connect_async(format!("ws://{}/v1/stream", listening.address)).await.unwrap();
        assert_eq!(response.headers()["x-trace-id"].len(), 32);
        Self::new(socket)
    }
}

impl Client<TcpStream> {
    /// Over a socket that was connected otherwise.
    pub(crate) async fn over(stream: TcpStream) -> Self {
        let uri = format!("ws://{}/v1/stream", stream.peer_addr().unwrap());
        Self::new(client_async(uri, stream).await.unwrap().0)
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(socket: WebSocketStream<S>) -> Self {
        Self { socket, trace_ids: BTreeSet::new() }
    }

    pub(crate) async fn text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, request: Value) {
        self.text(request.to_string()).await;
    }

    /// The next frame that is not a `ping` message.
    pub(crate) async fn frame(&mut self) -> Option<Message> {
        let is_ping = |frame: &Message| frame.to_text().is_ok_and(|text| text.starts_with("{\"type\":\"ping\""));
        let next = async {
            loop {
                let frame = self.socket.next().await?.ok()?;
                if !is_ping(&frame) {
                    return Some(frame);
                }
            }
        };
        timeout(GIVE_UP, next).await.expect("a frame in time")
    }

    pub(crate) async fn message(&mut self) -> Value {
        match self.frame().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// The next message, of that type and request.
    pub(crate) async fn of(&mut self, kind: &str, req_id: &str) -> Value {
        let mut message = self.message().await;
        assert_eq!((&message["type"], message["req_id"].as_str().unwrap_or("")), (&json!(kind), req_id), "{message}");
        message["data"].take()
    }

    /// The next message, an error in its one form.
    pub(crate) async fn error(&mut self, req_id: &str) -> (ErrorCode, Value) {
        let data = self.of("error", req_id).await;
        let mut keys: Vec<_> = data.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert!(
            ["code", "details", "message", "trace_id"].into_iter().filter(|key| keys.contains(key)).eq(keys.clone())
        );
        let code = *ErrorCode::ALL.iter().find(|code| code.row().code == data["code"]).unwrap();
        for detail in code.row().details {
            assert!(detail.optional || data["details"].get(detail.key).is_some(), "{data} lacks {}", detail.key);
        }
        assert!(!data["message"].as_str().unwrap().is_empty());
        let trace_id = data["trace_id"].as_str().unwrap().to_owned();
        assert!(trace_id.len() == 32 && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(self.trace_ids.insert(trace_id), "{data} has a trace id that came before");
        (code, data["details"].clone())
    }

    /// Asks and returns the error.
    pub(crate) async fn refused(&mut self, request: Value) -> (ErrorCode, Value) {
        let req_id = request["req_id"].as_str().unwrap_or("").to_owned();
        self.ask(request).await;
        self.error(&req_id).await
    }

    /// How the server closed; messages before are passed over. `None` if the connection ended without.
    pub(crate) async fn closed(&mut self) -> Option<CloseFrame> {
        while let Some(frame) = self.frame().await {
            if let Message::Close(reason) = frame {
                return reason;
            }
        }
        None
    }
}

/// A chain without blocks yet, and its server.
async fn serve(
    chain: dfuse_testkit::synthetic::SyntheticChain,
    options: dfuse_api::WebSocketOptions,
) -> (TestChain, Listening) {
    serve_with(chain, crate::support::Options { websocket: options, ..crate::support::Options::default() }).await
}

/// The same with further limits.
async fn serve_with(
    chain: dfuse_testkit::synthetic::SyntheticChain,
    options: crate::support::Options,
) -> (TestChain, Listening) {
    let chain = TestChain::synthetic(chain, std::sync::Arc::new(dfuse_query::OpenAccess), options).await;
    let listening = chain.listen().await;
    (chain, listening)
}
