//! `graphql-ws`.

use std::time::Duration;

use dfuse_graphql::SocketOptions;
use dfuse_query::OpenAccess;
use serde_json::{Value, json};

use crate::support::{Client, TestServer};

const PROTOCOL: &str = "graphql-ws";

fn start(id: &str, document: &str) -> Value {
    json!({"id": id, "type": "start", "payload": {"query": document, "variables": {"cursor": ""}}})
}

fn data(id: &str, data: &Value) -> Value {
    json!({"id": id, "type": "data", "payload": {"data": data}})
}

fn complete(id: &str) -> Value {
    json!({"id": id, "type": "complete"})
}

/// Asserts that a message tells the client that its own is refused, in the words that old clients know, with the error's code.
#[track_caller]
fn assert_refused(mut message: Value, kind: &str, id: Option<&str>, text: &str, code: &str) {
    let extensions = message["payload"]["extensions"].take();
    assert_eq!(message["payload"], json!({"message": text, "extensions": null}));
    assert_eq!((&message["type"], message["id"].as_str()), (&json!(kind), id));
    assert_eq!((&extensions["code"], &extensions["terminal"]), (&json!(code), &json!(true)), "{extensions}");
    assert!(extensions["trace_id"].as_str().is_some_and(|it| it.len() == 32) && extensions["status"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_subscriptions_are_answered() {
    let server = TestServer::open().await;
    let listening = server.listen().await;
    let mut client = Client::admitted(&listening, PROTOCOL).await;
    client.send(start("1", "query")).await;
    assert_eq!(client.next().await, data("1", &json!({"a": null})));
    assert_eq!(client.next().await, complete("1"));
    client.send(start("2", "events 3")).await;
    for at in 0..3 {
        assert_eq!(client.next().await, data("2", &json!({"at": at})));
    }
    assert_eq!(client.next().await, complete("2"));
    // An id that has ended, in a binary frame.
    client.send_binary(start("2", "events 0").to_string().as_bytes()).await;
    assert_eq!(client.next().await, complete("2"));
    client.send(json!({"type": "pong"})).await;
    client.send(json!({"type": "connection_terminate"})).await;
    assert_eq!(client.close().await, (1000, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_as_old_clients_expect_it() {
    let server = TestServer::open().await;
    let listening = server.listen().await;
    let mut client = Client::admitted(&listening, PROTOCOL).await;
    // A document that is not valid, and a query that fails, are answers.
    for document in ["invalid", "failing"] {
        client.send(start("1", document)).await;
        let answer = client.next().await;
        assert_eq!((&answer["type"], &answer["id"]), (&json!("data"), &json!("1")));
        assert_eq!(answer["payload"]["errors"][0]["message"], "no (trace_id: 0)");
        assert_eq!(client.next().await, complete("1"));
    }
    // A terminal error ends a subscription by itself, another one with its event.
    client.send(start("1", "fails")).await;
    assert_eq!(client.next().await, data("1", &json!({"at": 0})));
    let extensions = json!({"code": "data_block_not_found_error", "terminal": true});
    let payload = json!({"message": "graphql: no (trace_id: 0)", "extensions": extensions});
    assert_eq!(client.next().await, json!({"id": "1", "type": "error", "payload": payload}));
    client.send(start("1", "ends")).await;
    let answer = client.next().await;
    assert_eq!((&answer["type"], &answer["payload"]["data"]), (&json!("data"), &json!({"at": null})));
    assert_eq!(client.next().await, complete("1"));
    client.send(start("1", "panics")).await;
    let error = client.next().await;
    assert_eq!(
        (&error["type"], &error["payload"]["extensions"]["code"]),
        (&json!("error"), &json!("unexpected_error"))
    );
    // Messages that are none.
    client.send(json!({"id": "7", "type": "subscribe"})).await;
    let text = "unknown operation message of type: subscribe";
    assert_refused(client.next().await, "error", Some("7"), text, "ws_unknown_message_error");
    client.send(json!({"type": "start", "payload": {"query": "query"}})).await;
    let text = "missing ID for start operation";
    assert_refused(client.next().await, "connection_error", None, text, "ws_message_data_validation_error");
    for payload in [json!(null), json!("query"), json!({"query": 7}), json!({"query": "query", "variables": 7})] {
        client.send(json!({"id": "7", "type": "start", "payload": payload})).await;
        let text = "invalid payload for type: start";
        assert_refused(client.next().await, "connection_error", Some("7"), text, "ws_invalid_json_message_data_error");
    }
    client.send_text("{").await;
    let text = "invalid message: EOF while parsing an object at line 1 column 1";
    assert_refused(client.next().await, "connection_error", None, text, "ws_invalid_json_message_error");
    client.send(start("1", "query")).await;
    assert_eq!(client.next().await["type"], "data");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_before_they_are_admitted() {
    let server = TestServer::open().await;
    let listening = server.listen().await;
    let mut client = Client::connect(&listening, PROTOCOL).await;
    client.send(start("1", "query")).await;
    let text = "authentication required";
    assert_refused(client.next().await, "connection_error", Some("1"), text, "auth_token_missing_error");
    for payload in [json!(null), json!([]), json!("abc")] {
        client.send(json!({"type": "connection_init", "payload": payload})).await;
        let text = "invalid payload for type: connection_init";
        assert_refused(client.next().await, "connection_error", None, text, "ws_invalid_json_message_data_error");
    }
    client.send(json!({"type": "connection_init", "payload": {"Authorization": 7}})).await;
    let text = "expected 'Authorization' to be of string type";
    assert_refused(client.next().await, "connection_error", None, text, "ws_invalid_json_message_data_error");
    // The connection is still there.
    client.send(json!({"type": "connection_init", "payload": {"Authorization": "abc"}})).await;
    assert_eq!(client.next().await["type"], "connection_ack");
}

/// After `stop` nothing comes of an operation, `complete` neither; another one of the same id ends the first.
#[tokio::test(flavor = "multi_thread")]
async fn operations_are_stopped() {
    let server = TestServer::open().await;
    let listening = server.listen().await;
    let mut client = Client::admitted(&listening, PROTOCOL).await;
    client.send(json!({"id": "none", "type": "stop"})).await;
    client.send(start("1", "forever 10")).await;
    client.next().await;
    client.send(json!({"id": "1", "type": "stop"})).await;
    client.send(start("2", "query")).await;
    server.subscriptions(0).await;
    // What was on its way comes before, and nothing after.
    while client.next().await["id"] == "1" {}
    assert_eq!(client.next().await, complete("2"));
    client.send(start("1", "forever 10")).await;
    assert_eq!(client.next().await["payload"]["data"]["filler"], "x".repeat(10));
    client.send(start("1", "events 1")).await;
    while client.next().await["payload"]["data"]["at"] != 0 {}
    assert_eq!(client.next().await, complete("1"));
    server.subscriptions(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_alive_once_somebody_is_admitted() {
    let options = SocketOptions { keep_alive_interval: Duration::from_millis(10), ..SocketOptions::default() };
    let server = TestServer::new(std::sync::Arc::new(OpenAccess), options).await;
    let listening = server.listen().await;
    let mut client = Client::connect(&listening, PROTOCOL).await;
    client.send(json!({"type": "connection_init", "payload": null})).await;
    // No message came before this one.
    assert_eq!(client.next().await["type"], "connection_error");
    client.send(json!({"type": "connection_init", "payload": {}})).await;
    assert_eq!(client.next().await["type"], "connection_ack");
    for _ in 0..3 {
        assert_eq!(client.next().await, json!({"type": "ka"}));
    }
}

/// A client that reads nothing has so much made for it, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_take_bounded_memory() {
    let options = SocketOptions { slow_client_time: Duration::from_secs(3), ..SocketOptions::default() };
    let server = TestServer::new(std::sync::Arc::new(OpenAccess), options).await;
    let listening = server.listen().await;
    let mut client = Client::admitted(&listening, PROTOCOL).await;
    let bytes = 100_000;
    client.send(start("1", &format!("forever {bytes}"))).await;
    client.next().await;
    // It reads nothing more until the server has given it up, and has stopped its subscription.
    server.subscriptions(0).await;
    let made = server.words.made.load(std::sync::atomic::Ordering::Relaxed) * bytes;
    let allowed = dfuse_query::StreamOptions::default().max_pending_bytes as u64;
    // Beside the queue there is what the sockets hold, on both sides.
    assert!(made < allowed + (16 << 20), "{made}");
    assert_eq!(server.server.api().queues().used(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so() {
    let server = TestServer::open().await;
    let listening = server.listen().await;
    let mut client = Client::admitted(&listening, PROTOCOL).await;
    client.send(start("1", "forever 10")).await;
    client.next().await;
    listening.stop.send(()).unwrap();
    assert_eq!(client.close().await.0, 1001);
    listening.task.await.unwrap();
}
