//! Messages of `/v1/stream`: each kind, and every reason to refuse it.

use dfuse_access::{RouteClass, TierOptions};
use dfuse_query::ErrorCode;
use serde_json::{Value, json};

use crate::{
    access::{Guarded, connect},
    support::{Options, TestChain},
    websocket::Client,
};

/// Data that each kind of request takes.
fn data(kind: &str) -> Value {
    match kind {
        "get_account" => json!({"name": "eosio"}),
        "get_action_traces" | "get_actions" => json!({"accounts": "eosio.token"}),
        "get_table_rows" => json!({"code": "eosio.token", "scope": "eosio", "table": "accounts"}),
        "get_transaction_lifecycle" | "get_transaction" => json!({"id": "00".repeat(32)}),
        _ => json!({}),
    }
}

/// A good request of each kind, in the first way that the kind offers.
fn requests() -> Vec<Value> {
    let kinds = dfuse_api::stream_message_types().into_iter().filter(|kind| kind.starts_with("get_"));
    let request = |(number, kind): (usize, &str)| {
        let is_fetched = ["get_account", "get_vote_tally", "get_price", "get_head_info"].contains(&kind);
        let way = if is_fetched { "fetch" } else { "listen" };
        json!({"type": kind, "req_id": format!("r{number}"), way: true, "data": data(kind)})
    };
    kinds.enumerate().map(request).collect()
}

/// With that in it, and another name.
fn with(request: &Value, name: &str, field: &str, value: Value) -> Value {
    let mut request = request.clone();
    request["req_id"] = json!(format!("{}{name}", request["req_id"].as_str().unwrap()));
    request[field] = value;
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_refused_in_one_form() {
    let slow = TierOptions { routes: vec![RouteClass::Stream], history: Some(5), ..TierOptions::default() };
    let guarded = Guarded::required(slow).await;
    let listening = guarded.chain.listen().await;
    let mut client = connect(&listening, &guarded.slow_token()).await.unwrap();
    let mut refused = 0;
    for request in requests() {
        let data = |text: &str| with(&request, text, "data", json!(7));
        let mut neither = with(&request, "n", "data", json!({}));
        for way in ["fetch", "listen"] {
            neither.as_object_mut().unwrap().remove(way);
        }
        let expected = [ErrorCode::WsInvalidJsonMessageData, ErrorCode::WsMessageDataValidation];
        for request in [data("d"), neither] {
            // That it has the one form, and a trace id of its own, is asserted there.
            let (code, details) = client.refused(request.clone()).await;
            assert!(expected.contains(&code), "{request}: {code:?} {details}");
            refused += 1;
        }
        for (field, value) in [("fetch", json!("yes")), ("start_block", json!("x")), ("req_id", json!([1]))] {
            let mut request = request.clone();
            request[field] = value;
            client.ask(request.clone()).await;
            let message = client.message().await;
            assert_eq!(message["type"], "error", "{request}: {message}");
            assert_eq!(message["data"]["trace_id"].as_str().map(str::len), Some(32), "{message}");
            refused += 1;
        }
        // Of what there is only now, a beginning says nothing.
        let has_start = !["get_head_info", "get_price", "get_vote_tally"].contains(&request["type"].as_str().unwrap());
        if has_start {
            let (code, details) = client.refused(with(&request, "h", "start_block", json!(2))).await;
            let ways = [ErrorCode::StreamStartNotAllowed, ErrorCode::WsMessageDataValidation];
            assert!(ways.contains(&code), "{request}: {code:?} {details}");
            refused += 1;
        }
    }
    assert!(refused > 40, "{refused}");
    let data = json!({"accounts": "eosio.token"});
    let from_afar = json!({"type": "get_action_traces", "req_id": "h", "listen": true, "start_block": 2, "data": data});
    assert_eq!(client.refused(from_afar).await.0, ErrorCode::StreamStartNotAllowed);
    for (text, code) in [
        ("{", ErrorCode::WsInvalidJsonMessage),
        ("7", ErrorCode::WsInvalidJsonMessage),
        ("{\"type\": \"get_nothing\"}", ErrorCode::WsUnknownMessage),
        ("{\"type\": \"unlisten\", \"data\": {\"req_id\": \"none\"}}", ErrorCode::WsStreamNotFound),
    ] {
        client.text(text).await;
        assert_eq!(client.error("").await.0, code, "{text}");
    }
    // One that is too large ends the connection.
    client.text("x".repeat(1 << 20)).await;
    assert_eq!(u16::from(client.closed().await.unwrap().code), 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_limited() {
    let slow = TierOptions { rate: "1/h".parse().ok(), ..TierOptions::default() };
    let guarded = Guarded::required(slow).await;
    let listening = guarded.chain.listen().await;
    // The connection was the one request.
    let mut client = connect(&listening, &guarded.slow_token()).await.unwrap();
    for request in requests() {
        let (code, details) = client.refused(request.clone()).await;
        assert_eq!((code, &details["limit"]), (ErrorCode::RateLimited, &json!(1)), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_ends_a_stream_of_every_kind() {
    for request in requests() {
        let guarded = Guarded::new(dfuse_access::Options::default()).await;
        let listening = guarded.chain.listen().await;
        let mut client = Client::connect(&listening).await;
        client.ask(request.clone()).await;
        client.message().await;
        guarded.gate.set_maintenance(true).unwrap();
        loop {
            let message = client.message().await;
            if message["type"] == "error" {
                assert_eq!(message["data"]["code"], "service_maintenance_error", "{request}: {message}");
                break;
            }
        }
        assert_eq!(u16::from(client.closed().await.unwrap().code), 1013, "{request}");
    }
}

/// A request of each kind for what there is now.
fn fetches() -> impl Iterator<Item = Value> {
    let is_stream = |kind: &str| ["get_action_traces", "get_actions"].contains(&kind);
    let requests = requests().into_iter().filter(move |it| !is_stream(it["type"].as_str().unwrap()));
    requests.map(|mut request| {
        request.as_object_mut().unwrap().remove("listen");
        with(&request, "f", "fetch", json!(true))
    })
}

/// What is said where a value is not known yet.
fn unready(request: &Value) -> ErrorCode {
    match request["type"].as_str().unwrap() {
        "get_head_info" => ErrorCode::HeadInfoNotReady,
        "get_price" => ErrorCode::PriceNotReady,
        "get_vote_tally" => ErrorCode::VoteTallyNotReady,
        _ => ErrorCode::NotReady,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_block_every_message_says_so() {
    let chain = TestChain::made(Options::default()).await;
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    for request in fetches() {
        assert_eq!(client.refused(request.clone()).await.0, unready(&request), "{request}");
    }
    let rows = json!({"type": "get_table_rows", "req_id": "r", "fetch": true, "listen": true, "start_block": 7,
        "data": data("get_table_rows")});
    assert_eq!(client.refused(rows).await.0, ErrorCode::NotReady);
    // Streams wait for the first block.
    for request in requests() {
        let kind = request["type"].as_str().unwrap();
        let stream = json!({"type": kind, "req_id": kind, "listen": true, "data": data(kind)});
        match kind {
            "get_account" => {}
            // These have nothing to begin with, and say nothing.
            "get_head_info" | "get_price" | "get_vote_tally" => {
                client.ask(stream).await;
                assert_eq!(client.refused(with(&request, "s", "fetch", json!(true))).await.0, unready(&request));
            }
            _ => {
                client.ask(stream).await;
                client.of("listening", kind).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_every_message_says_so() {
    let guarded = Guarded::new(dfuse_access::Options::default()).await;
    let listening = guarded.chain.listen().await;
    let mut client = Client::connect(&listening).await;
    guarded.chain.store.set_away(true);
    for request in fetches() {
        match request["type"].as_str().unwrap() {
            // It is in memory.
            "get_head_info" => {
                client.ask(request.clone()).await;
                client.of("head_info", request["req_id"].as_str().unwrap()).await;
            }
            "get_price" => assert_eq!(client.refused(request).await.0, ErrorCode::PriceNotReady),
            _ => assert_eq!(client.refused(request.clone()).await.0, ErrorCode::ServiceUnavailable, "{request}"),
        }
    }
}
