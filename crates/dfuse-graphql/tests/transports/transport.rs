//! `graphql-transport-ws`.

use std::{sync::Arc, time::Duration};

use dfuse_graphql::SocketOptions;
use dfuse_query::OpenAccess;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use crate::support::{Client, TestServer};

const PROTOCOL: &str = "graphql-transport-ws";

fn subscribe(id: &str, document: &str) -> Value {
    json!({"id": id, "type": "subscribe", "payload": {"query": document}})
}

fn next(id: &str, data: &Value) -> Value {
    json!({"id": id, "type": "next", "payload": {"data": data}})
}

fn complete(id: &str) -> Value {
    json!({"id": id, "type": "complete"})
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_subscriptions_are_answered() {
    let server = TestServer::open().await;
    let listening = server.listen().await;
    // Of both protocols the newer one is taken.
    let mut client = Client::connect(&listening, "graphql-ws, graphql-transport-ws").await;
    client.send(json!({"type": "ping", "payload": {"a": 1}})).await;
    assert_eq!(client.next().await, json!({"type": "pong", "payload": {"a": 1}}));
    client.send(json!({"type": "connection_init"})).await;
    assert_eq!(client.next().await, json!({"type": "connection_ack"}));
    client.send(json!({"type": "pong"})).await;
    client.send(subscribe("1", "query")).await;
    assert_eq!(client.next().await, next("1", &json!({"a": null})));
    assert_eq!(client.next().await, complete("1"));
    client.send(subscribe("1", "events 2")).await;
    assert_eq!(client.next().await, next("1", &json!({"at": 0})));
    assert_eq!(client.next().await, next("1", &json!({"at": 1})));
    assert_eq!(client.next().await, complete("1"));
    client.send(subscribe("1", "forever 10")).await;
    client.next().await;
    client.send(complete("1")).await;
    client.send(complete("unknown")).await;
    client.send(subscribe("2", "query")).await;
    while client.next().await["id"] == "1" {}
    assert_eq!(client.next().await, complete("2"));
    server.subscriptions(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told() {
    let server = TestServer::open().await;
    let listening = server.listen().await;
    let mut client = Client::admitted(&listening, PROTOCOL).await;
    let error = |code: &str, terminal: bool| {
        let extensions = json!({"code": code, "terminal": terminal});
        json!({"id": "1", "type": "error", "payload": [{"message": "no (trace_id: 0)", "extensions": extensions}]})
    };
    client.send(subscribe("1", "invalid")).await;
    assert_eq!(client.next().await, error("graphql_validation_error", false));
    client.send(subscribe("1", "fails")).await;
    assert_eq!(client.next().await, next("1", &json!({"at": 0})));
    assert_eq!(client.next().await, error("data_block_not_found_error", true));
    // What was executed is an answer, with errors.
    for document in ["failing", "ends"] {
        client.send(subscribe("1", document)).await;
        let answer = client.next().await;
        assert_eq!(answer["type"], "next");
        assert!(answer["payload"]["errors"].is_array() && answer["payload"].get("data").is_some());
        assert_eq!(client.next().await, complete("1"));
    }
    client.send(subscribe("1", "panics")).await;
    assert_eq!(client.next().await["payload"][0]["extensions"]["code"], "unexpected_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_the_protocol_is_disconnected() {
    let server = TestServer::open().await;
    let listening = server.listen().await;
    for (message, code) in [
        (subscribe("1", "query"), 4401),
        (json!({"type": "connection_init", "payload": "abc"}), 4400),
        (json!({"type": "connection_init", "payload": {"Authorization": 7}}), 4400),
        (json!({"type": "start"}), 4400),
        (json!({"type": 7}), 4400),
        (json!([]), 4400),
    ] {
        let mut client = Client::connect(&listening, PROTOCOL).await;
        client.send(message.clone()).await;
        assert_eq!(client.close().await.0, code, "{message}");
    }
    for (message, code) in [
        (json!({"type": "connection_init"}), 4429),
        (json!({"type": "subscribe", "payload": {"query": "query"}}), 4400),
        (json!({"id": "1", "type": "subscribe", "payload": {}}), 4400),
        (json!({"type": "complete"}), 4400),
        (subscribe("open", "query"), 4409),
    ] {
        let mut client = Client::admitted(&listening, PROTOCOL).await;
        client.send(subscribe("open", "forever 10")).await;
        client.send(message.clone()).await;
        let (closed, reason) = client.close().await;
        assert_eq!(closed, code, "{message}");
        assert!(code != 4409 || reason == "Subscriber for open already exists");
    }
    let mut client = Client::connect(&listening, PROTOCOL).await;
    client.send_text("not JSON").await;
    assert_eq!(client.close().await.0, 4400);
    server.subscriptions(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_connection() {
    let options =
        SocketOptions { max_subscriptions: 2, init_timeout: Duration::from_millis(50), ..SocketOptions::default() };
    let server = TestServer::new(Arc::new(OpenAccess), options).await;
    let listening = server.listen().await;
    let mut late = Client::connect(&listening, PROTOCOL).await;
    assert_eq!(late.close().await, (4408, "Connection initialisation timeout".to_owned()));
    let options = SocketOptions { max_subscriptions: 2, max_message_bytes: 1000, ..SocketOptions::default() };
    let server = TestServer::new(Arc::new(OpenAccess), options).await;
    let listening = server.listen().await;
    let mut client = Client::connect(&listening, PROTOCOL).await;
    client.send_text(&"x".repeat(1001)).await;
    assert_eq!(client.close().await.0, 1009);
    let mut client = Client::admitted(&listening, PROTOCOL).await;
    client.send(subscribe("1", "forever 10")).await;
    client.send(subscribe("2", "forever 10")).await;
    client.send(subscribe("3", "forever 10")).await;
    let refused = loop {
        let message = client.next().await;
        if message["id"] == "3" {
            break message;
        }
    };
    assert_eq!(refused["type"], "error");
    assert_eq!(refused["payload"][0]["extensions"]["code"], "ws_too_much_stream_error");
    // Queries are not subscriptions, and the place of one that ends is free.
    client.send(subscribe("4", "query")).await;
    while client.next().await["id"] != "4" {}
    client.send(complete("1")).await;
    client.send(subscribe("5", "events 1")).await;
    while client.next().await != next("5", &json!({"at": 0})) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_none_are_refused() {
    let server = TestServer::open().await;
    let listening = server.listen().await;
    match Client::try_connect(&listening, "soap", "").await {
        Err(tungstenite::Error::Http(response)) => {
            assert_eq!(response.status().as_u16(), 400);
            let body: Value = serde_json::from_slice(response.body().as_deref().unwrap()).unwrap();
            assert_eq!(body["code"], "ws_upgrade_failed_error");
        }
        other => panic!("{:?}", other.map(drop)),
    }
}
