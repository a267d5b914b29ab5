//! How connections end: by slow clients, by what is not the protocol, with the server.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use dfuse_api::WebSocketOptions;
use dfuse_query::StreamOptions;
use dfuse_testkit::synthetic::SyntheticChain;
use futures::SinkExt;
use proptest::prelude::*;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    runtime::Runtime,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{Client, serve, serve_with};
use crate::support::{Listening, Options, TestChain};

fn chain() -> SyntheticChain {
    SyntheticChain::builder().seed(9).blocks(10).build()
}

async fn alive(client: &mut Client) {
    client.ask(json!({"type": "get_head_info", "req_id": "alive", "fetch": true})).await;
    client.of("head_info", "alive").await;
}

async fn metric(chain: &TestChain, line: &str) -> bool {
    String::from_utf8(chain.get("/metrics").await.body.to_vec()).unwrap().contains(line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_left_and_others_go_on() {
    let streams = StreamOptions { max_pending_bytes: 64 << 10, ..StreamOptions::default() };
    let query = dfuse_query::Options { streams, ..dfuse_query::Options::default() };
    let websocket = WebSocketOptions { slow_client_time: Duration::from_millis(200), ..WebSocketOptions::default() };
    let options = Options { query, websocket, ..Options::default() };
    let (mut chain, listening) = serve_with(chain(), options).await;
    chain.grow(5).await;
    let mut other = Client::connect(&listening).await;
    other.ask(json!({"type": "get_head_info", "req_id": "h", "listen": true})).await;
    other.of("head_info", "h").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut slow = Client::over(socket.connect(listening.address).await.unwrap()).await;
    // Every message is answered with as many bytes.
    let message = json!({"type": "no such type", "req_id": "x".repeat(100_000)}).to_string();
    let mut sent = 0;
    while !metric(&chain, "dfuse_websocket_closed_total{code=\"1008\"} 1\n").await {
        // The server reads no more either when nobody reads its answers.
        let sending = tokio::time::timeout(Duration::from_millis(20), slow.socket.send(Message::text(message.clone())));
        sent += u32::from(matches!(sending.await, Ok(Ok(()))));
        alive(&mut other).await;
    }
    assert!(sent > 0);
    let reason = slow.closed().await.unwrap();
    assert_eq!(reason.code, CloseCode::Policy);
    assert_eq!(reason.reason, "Messages were not read within 200ms.");
    // Nobody else was held up.
    chain.grow(1).await;
    other.of("head_info", "h").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_goodbye() {
    let (mut chain, listening) = serve(chain(), WebSocketOptions::default()).await;
    chain.grow(5).await;
    let mut clients = [Client::connect(&listening).await, Client::connect(&listening).await];
    clients[0].ask(json!({"type": "get_head_info", "req_id": "h", "listen": true})).await;
    clients[0].of("head_info", "h").await;
    alive(&mut clients[1]).await;
    listening.stop.send(()).unwrap();
    for client in &mut clients {
        let CloseFrame { code, reason } = client.closed().await.unwrap();
        assert_eq!((code, &*reason), (CloseCode::Away, "The server is going away."));
    }
    listening.task.await.unwrap();
    assert!(metric(&chain, "dfuse_websocket_connections 0\n").await);
    assert!(metric(&chain, "dfuse_websocket_streams 0\n").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_goodbye_is_answered() {
    let (_chain, listening) = serve(chain(), WebSocketOptions::default()).await;
    let mut client = Client::connect(&listening).await;
    let goodbye = CloseFrame { code: CloseCode::Library(4001), reason: "enough".into() };
    client.socket.close(Some(goodbye.clone())).await.unwrap();
    assert_eq!(client.closed().await, Some(goodbye));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_have_places() {
    let http = dfuse_http::Options { max_connections: 1, ..Default::default() };
    let options = Options { http, ..Options::default() };
    let chain = TestChain::synthetic(chain(), std::sync::Arc::new(dfuse_query::OpenAccess), options).await;
    let listening = chain.listen().await;
    let mut first = Client::connect(&listening).await;
    let second = async {
        let mut second = TcpStream::connect(listening.address).await.unwrap();
        second.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        second.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let mut second = std::pin::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut second).await;
    assert!(early.is_err(), "the place is taken");
    first.socket.close(None).await.unwrap();
    first.closed().await;
    assert!(second.await.starts_with("HTTP/1.1 200 "));
}

/// A connection over which bytes are sent as they are.
pub(super) async fn raw(listening: &Listening) -> TcpStream {
    let mut stream = TcpStream::connect(listening.address).await.unwrap();
    let request = "GET /v1/stream HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// A frame of a client, under the mask 0.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_protocol_ends_the_connection() {
    let (_chain, listening) = serve(chain(), WebSocketOptions { max_message_bytes: 1000, ..Default::default() }).await;
    let half = frame(0x01, &[b' '; 600]);
    let rest = frame(0x80, &[b' '; 600]);
    for (bytes, code) in [
        (frame(0x81, &[b' '; 1001]), 1009),
        ([half, rest].concat(), 1009),
        (frame(0x81, b"\xff\xfe"), 1007),
        (frame(0xf1, b"{}"), 1002),
        (frame(0x83, b"{}"), 1002),
        (frame(0x80, b"{}"), 1002),
        (frame(0x09, b"ping in parts"), 1002),
        (b"\x81\x02{}".to_vec(), 1002),
    ] {
        let mut stream = raw(&listening).await;
        stream.write_all(&bytes).await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!((answer[0], u16::from_be_bytes([answer[2], answer[3]])), (0x88, code), "{bytes:?}");
        // The answer to a close.
        stream.write_all(&frame(0x88, &code.to_be_bytes())).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    }
    let mut stream = raw(&listening).await;
    let pieces = [frame(0x01, b"{\"type\":\"get_"), frame(0x89, b"p"), frame(0x80, b"price\"}")];
    stream.write_all(&pieces.concat()).await.unwrap();
    let mut pong = [0; 3];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\x8a\x01p");
    assert_eq!(stream.read_u8().await.unwrap(), 0x81, "a message may come in pieces");
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// One server for all cases, and its chain.
fn world() -> (Runtime, TestChain, Listening) {
    let runtime = Runtime::new().unwrap();
    let (chain, listening) = runtime.block_on(async {
        let options = WebSocketOptions { max_message_bytes: 1000, ..Default::default() };
        let (mut chain, listening) = serve(chain(), options).await;
        chain.grow(usize::MAX).await;
        (chain, listening)
    });
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS
            .fetch_add(usize::from(info.location().is_some_and(|at| !at.file().contains("tests"))), Ordering::Relaxed);
        before(info);
    }));
    (runtime, chain, listening)
}

fn json_text() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        (-3i64..70).prop_map(|number| number.to_string()),
        Just("1e400".to_owned()),
        "\"(eosio|a|[a-f0-9]{8}|[a-f0-9]{64}|\\|)\"",
        Just("{}".to_owned()),
        Just(r#"{"accounts":"eosio|eosio.token","with_undo":true}"#.to_owned()),
        "\\{\"id\":\"[a-f0-9]{0,70}\"\\}",
        Just(r#"{"req_id":"a"}"#.to_owned()),
        Just("[[[]]]".to_owned()),
    ];
    let kind = prop_oneof![
        "(get_head_info|get_transaction|get_action_traces|get_price|unlisten|pong|x)"
            .prop_map(|kind| format!("\"{kind}\"")),
        value.clone(),
    ];
    let key = "(req_id|listen|fetch|start_block|with_progress|irreversible_only|data|DATA|x)";
    let fields = prop::collection::vec((key, value), 0..6);
    (kind, fields).prop_map(|(kind, fields)| {
        let fields: String = fields.iter().map(|(key, value)| format!(",\"{key}\":{value}")).collect();
        format!("{{\"type\":{kind}{fields}}}")
    })
}

#[test]
fn any_bytes_do_no_harm() {
    let (runtime, chain, listening) = world();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..Default::default()
    });
    let frames = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)), 0..10)
            .prop_map(|frames| frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()),
        prop::collection::vec(json_text(), 1..20)
            .prop_map(|texts| texts.iter().flat_map(|text| frame(0x81, text.as_bytes())).collect()),
    ];
    let result = runner.run(&frames, |bytes| {
        runtime.block_on(async {
            let mut stream = raw(&listening).await;
            // The server may have closed before all is sent.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let mut answers = Vec::new();
            let _ = stream.read_to_end(&mut answers).await;
            let text = String::from_utf8_lossy(&answers);
            prop_assert!(!text.contains("unexpected_error"), "{}", text);
            prop_assert_eq!(PANICS.load(Ordering::Relaxed), 0);
            alive(&mut Client::connect(&listening).await).await;
            Ok(())
        })
    });
    result.unwrap();
    runtime.block_on(async {
        listening.stop.send(()).unwrap();
        listening.task.await.unwrap();
        assert!(metric(&chain, "dfuse_websocket_connections 0\n").await);
        let none_was_open = !metric(&chain, "\ndfuse_websocket_streams ").await;
        assert!(none_was_open || metric(&chain, "dfuse_websocket_streams 0\n").await);
    });
}
