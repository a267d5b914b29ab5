//! What is wrong with messages, and what is said of it.

use std::sync::Arc;

use async_trait::async_trait;
use dfuse_api::WebSocketOptions;
use dfuse_query::{Access, ApiError, ApiResult, Asking, Caller, ErrorCode};
use dfuse_testkit::synthetic::SyntheticChain;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{Client, serve};
use crate::support::{Listening, TestChain};

fn chain() -> SyntheticChain {
    SyntheticChain::builder().seed(3).blocks(20).lib_lag(5).build()
}

/// Tokens say where streams may begin; without one nobody comes in.
#[derive(Debug)]
struct Tokens;

#[async_trait]
impl Access for Tokens {
    async fn admit(&self, asking: &Asking<'_>) -> ApiResult<Caller> {
        let start_block = asking.token.and_then(|token| token.parse().ok());
        // The code is of no matter here: the table has none for tokens yet.
        let missing = || ApiError::new(ErrorCode::StreamStartNotAllowed, "No token.");
        Ok(Caller { start_block: Some(start_block.ok_or_else(missing)?), ..Caller::default() })
    }
}

async fn refusal(request: tungstenite::handshake::client::Request) -> Value {
    let tungstenite::Error::Http(response) = connect_async(request).await.unwrap_err() else { panic!("an answer") };
    let error: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
    assert_eq!(error["trace_id"], response.headers()["x-trace-id"].to_str().unwrap());
    json!([response.status().as_u16(), error["code"], error["details"]])
}

fn request(listening: &Listening, query: &str) -> tungstenite::handshake::client::Request {
    format!("ws://{}/v1/stream{query}", listening.address).into_client_request().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_connect() {
    let mut chain = TestChain::synthetic(chain(), Arc::new(Tokens), crate::support::Options::default()).await;
    chain.grow(usize::MAX).await;
    let listening = chain.listen().await;
    let refused = refusal(request(&listening, "")).await;
    assert_eq!(refused, json!([403, "auth_invalid_streaming_start_block_error", null]), "before anything else");
    let (mut socket, response) = connect_async(request(&listening, "?token=18")).await.unwrap();
    assert_eq!(response.headers().get("sec-websocket-extensions"), None);
    socket.close(None).await.unwrap();

    let mut with_header = request(&listening, "");
    with_header.headers_mut().insert("authorization", HeaderValue::from_static("Bearer -5"));
    with_header.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-ws"));
    // This client insists on one of the protocols that it asks for: that it complains shows that there is none.
    let error = connect_async(with_header).await.unwrap_err();
    assert!(error.to_string().contains("SubProtocol"), "{error}");

    let (socket, _) = connect_async(request(&listening, "?token=-5")).await.unwrap();
    let mut client = Client::new(socket);
    let actions = |start: i64| json!({"type": "get_action_traces", "req_id": "a", "listen": true, "start_block": start, "data": {"accounts": "eosio"}});
    let head = 21;
    for start in [head - 6, -6, 1] {
        let (code, _) = client.refused(actions(start)).await;
        assert_eq!(code, ErrorCode::StreamStartNotAllowed);
    }
    client.ask(actions(-5)).await;
    assert_eq!(client.of("listening", "a").await, json!({"next_block": head - 5}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_an_upgrade() {
    let (chain, listening) = serve(chain(), WebSocketOptions::default()).await;
    for (header, value, reason) in [
        ("connection", "close", "Connection header did not include 'upgrade'"),
        ("upgrade", "h2c", "`Upgrade` header did not include 'websocket'"),
        ("sec-websocket-version", "12", "`Sec-WebSocket-Version` header did not include '13'"),
    ] {
        let mut request = axum::http::Request::get("/v1/stream")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        request.headers_mut().unwrap().insert(header, HeaderValue::from_static(value));
        let answer = chain.request(request.body(axum::body::Body::empty()).unwrap()).await;
        let (code, error) = answer.error();
        assert_eq!((code, &error["details"]["reason"]), (ErrorCode::WsUpgradeFailed, &json!(reason)));
        assert_eq!(answer.header("sec-websocket-version"), "13");
    }
    let post = axum::http::Request::post("/v1/stream").body(axum::body::Body::empty()).unwrap();
    let answer = chain.request(post).await;
    assert_eq!((answer.error().0, answer.header("allow")), (ErrorCode::MethodNotAllowed, "GET, HEAD, OPTIONS"));
    drop(listening);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_keys_are_not_repeated() {
    const KEY: &str = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3";
    let (_chain, listening) = serve(chain(), WebSocketOptions::default()).await;
    let mut client = Client::connect(&listening).await;
    let told = |details: &Value| details.to_string().contains("***") && !details.to_string().contains(&KEY[10..40]);
    for (request, code) in [
        (json!({"type": KEY}), ErrorCode::WsUnknownMessage),
        (
            json!({"type": "get_action_traces", "listen": true, "data": {"accounts": KEY}}),
            ErrorCode::WsMessageDataValidation,
        ),
        (json!({"type": "unlisten", "data": {"req_id": KEY}}), ErrorCode::WsStreamNotFound),
    ] {
        let (found, details) = client.refused(request.clone()).await;
        assert!(found == code && told(&details), "{request}: {details}");
    }
    // As the id of a request it is one like others, but is not told.
    let stream = json!({"type": "get_head_info", "req_id": KEY, "listen": true});
    client.ask(stream.clone()).await;
    client.ask(stream).await;
    assert_eq!(client.error("***").await.0, ErrorCode::WsStreamAlreadyExists);
    client.ask(json!({"type": "unlisten", "req_id": format!("my {KEY}"), "data": {"req_id": KEY}})).await;
    client.of("unlistened", "my ***").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_prices() {
    let (_chain, listening) = serve(chain(), WebSocketOptions::default()).await;
    let mut client = Client::connect(&listening).await;
    let price = |fetch, listen| json!({"type": "get_price", "req_id": "p", "fetch": fetch, "listen": listen});
    assert_eq!(client.refused(price(true, false)).await.0, ErrorCode::PriceNotReady);
    assert_eq!(client.refused(price(false, false)).await.0, ErrorCode::WsMessageDataValidation);
    // A stream of them is silent, and a stream like others.
    for fetch in [false, true] {
        client.ask(price(fetch, true)).await;
        assert_eq!(client.refused(price(fetch, true)).await.0, ErrorCode::WsStreamAlreadyExists);
        assert_eq!(client.refused(price(true, false)).await.0, ErrorCode::PriceNotReady);
        client.ask(json!({"type": "unlisten", "req_id": "p", "data": {"req_id": "p"}})).await;
        client.of("unlistened", "p").await;
    }
}

/// Answers of one `req_id` come in the order of the requests, errors among them.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_in_order() {
    let (mut chain, listening) = serve(chain(), WebSocketOptions::default()).await;
    chain.grow(usize::MAX).await;
    let receipts = chain.blocks.iter().flat_map(|block| block.transactions()).map(|receipt| receipt.id.to_string());
    let ids: Vec<_> = receipts.take(30).collect();
    let mut client = Client::connect(&listening).await;
    for id in &ids {
        client.ask(json!({"type": "get_transaction", "req_id": "same", "fetch": true, "data": {"id": id}})).await;
        client.ask(json!({"type": "no such type", "req_id": "same"})).await;
    }
    for id in &ids {
        assert_eq!(client.of("transaction_lifecycle", "same").await["lifecycle"]["id"], *id);
        assert_eq!(client.error("same").await.0, ErrorCode::WsUnknownMessage);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_request_ids_come_back_exactly() {
    let (_chain, listening) = serve(chain(), WebSocketOptions::default()).await;
    let mut client = Client::connect(&listening).await;
    for req_id in ["", " ", "\"\\\n\u{0}", "<&>\u{2028}", "日本", &"long".repeat(10_000)] {
        client.ask(json!({"type": "get_price", "req_id": req_id, "fetch": true})).await;
        assert_eq!(client.error(req_id).await.0, ErrorCode::PriceNotReady);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_of_both_kinds() {
    let ping_interval = std::time::Duration::from_millis(5);
    let (mut chain, listening) = serve(chain(), WebSocketOptions { ping_interval, ..Default::default() }).await;
    let mut client = Client::connect(&listening).await;
    let frame = client.socket.next().await.unwrap().unwrap();
    assert_eq!(frame.to_text().unwrap(), r#"{"type":"ping","data":"1970-01-01T00:00:00Z"}"#);
    chain.grow(4).await;
    let time = chain.blocks[3].header.timestamp;
    let wanted = format!("{}Z", time.to_string().trim_end_matches('0').trim_end_matches('.'));
    while let Some(Ok(Message::Text(text))) = client.socket.next().await {
        let ping: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(ping["type"], "ping");
        if ping["data"] == wanted {
            break;
        }
    }
    client.socket.send(Message::Ping(b"are you there".to_vec().into())).await.unwrap();
    let pong = client.frame().await.unwrap();
    assert_eq!(pong, Message::Pong(b"are you there".to_vec().into()));
}
