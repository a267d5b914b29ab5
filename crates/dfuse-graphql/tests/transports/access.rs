//! Who is let in, on every transport, and what is charged.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use dfuse_access::{Gate, KeyKind, KvAccessStore, Mode, NewKey, Rate, TierOptions, Usage};
use dfuse_blocks::{SystemClock, SystemEntropy};
use dfuse_graphql::SocketOptions;
use dfuse_kv::MemoryStore;
use dfuse_query::GateAccess;
use serde_json::{Value, json};

use crate::support::{Client, TestServer};

pub(crate) struct Guarded {
    pub(crate) server: TestServer,
    pub(crate) gate: Arc<Gate>,
    /// Of a key of the tier that is tested.
    pub(crate) token: String,
}

impl Guarded {
    /// Where everybody needs a token; there is one of that tier.
    async fn new(tier: TierOptions) -> Self {
        Self::with(tier, dfuse_access::Options::default()).await
    }

    /// The same with further options.
    pub(crate) async fn with(tier: TierOptions, options: dfuse_access::Options) -> Self {
        let store = KvAccessStore::over(Arc::new(MemoryStore::new(&KvAccessStore::KEYSPACES))).unwrap();
        let tiers = vec![TierOptions { name: "tested".into(), ..tier }];
        let options = dfuse_access::Options { mode: Mode::Required, tiers, ..options };
        let clock = Arc::new(SystemClock::new());
        let gate = Arc::new(Gate::open(Arc::new(store), clock, Arc::new(SystemEntropy), options).unwrap());
        let token = token(&gate, NewKey { tier: Some("tested".into()), ..NewKey::new(KeyKind::Server, "test") });
        let server = TestServer::new(Arc::new(GateAccess(gate.clone())), SocketOptions::default()).await;
        Self { server, gate, token }
    }

    fn init(&self) -> Value {
        json!({"type": "connection_init", "payload": {"Authorization": self.token}})
    }
}

/// A token for a new key.
pub(crate) fn token(gate: &Gate, new: NewKey) -> String {
    let (key, _) = gate.create_key(new).unwrap();
    gate.issue(key.reveal(), None, None).unwrap().unwrap().token
}

fn subscribe(id: &str, kind: &str, document: &str) -> Value {
    json!({"id": id, "type": kind, "payload": {"query": document}})
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_wanted_over_http() {
    let guarded = Guarded::new(TierOptions::default()).await;
    let body = json!({"query": "query"}).to_string();
    let answer = guarded.server.post("application/json", &body).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (401, &json!("auth_token_missing_error")));
    let answer = guarded.server.post("application/graphql-response+json", &body).await;
    assert_eq!(answer.status.as_u16(), 401);
    let extensions = &answer.json()["errors"][0]["extensions"];
    assert_eq!((&extensions["status"], &extensions["terminal"]), (&json!("Unauthenticated"), &json!(true)));
    let answer = guarded.server.get("/graphql?query=query&token=abc").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (401, &json!("auth_invalid_token_error")));
    let request = Request::post("/graphql").header("authorization", format!("Bearer {}", guarded.token));
    assert_eq!(guarded.server.request(request.body(Body::from(body)).unwrap()).await.status.as_u16(), 200);
    let answer = guarded.server.get(&format!("/graphql?query=query&token={}", guarded.token)).await;
    assert_eq!(answer.status.as_u16(), 200);
    // The page is open to all: whoever uses it has a token to put in.
    assert_eq!(guarded.server.get("/graphiql/").await.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_wanted_on_connections() {
    let guarded = Guarded::new(TierOptions::default()).await;
    let listening = guarded.server.listen().await;
    let mut client = Client::connect(&listening, "graphql-ws").await;
    client.send(json!({"type": "connection_init", "payload": {}})).await;
    let refused = client.next().await;
    assert_eq!(refused["type"], "connection_error");
    assert_eq!(refused["payload"]["message"], "missing 'Authorization' from 'connection_init' payload");
    client.send(json!({"type": "connection_init", "payload": {"Authorization": "abc"}})).await;
    assert_eq!(client.next().await["payload"]["extensions"]["code"], "auth_invalid_token_error");
    client.send(guarded.init()).await;
    assert_eq!(client.next().await["type"], "connection_ack");
    // In the request for the connection it does as well.
    for protocol in ["graphql-ws", "graphql-transport-ws"] {
        let query = format!("?token={}", guarded.token);
        let mut client = Client::try_connect(&listening, protocol, &query).await.unwrap();
        client.send(json!({"type": "connection_init", "payload": {}})).await;
        assert_eq!(client.next().await["type"], "connection_ack");
    }
    let mut client = Client::connect(&listening, "graphql-transport-ws").await;
    client.send(json!({"type": "connection_init"})).await;
    assert_eq!(client.close().await.0, 4403);
}

/// Maintenance ends what is open, and lets nobody in.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_client_may_not_ask_any_more() {
    let guarded = Guarded::new(TierOptions::default()).await;
    let listening = guarded.server.listen().await;
    let mut clients = Vec::new();
    for (protocol, kind) in [("graphql-ws", "start"), ("graphql-transport-ws", "subscribe")] {
        let mut client = Client::connect(&listening, protocol).await;
        client.send(guarded.init()).await;
        client.send(subscribe("1", kind, "forever 10")).await;
        while client.next().await["id"] != "1" {}
        clients.push(client);
    }
    let mut waiting = Client::connect(&listening, "graphql-transport-ws").await;
    guarded.gate.begin_maintenance();
    for client in &mut clients {
        let last = loop {
            let message = client.next().await;
            if message["type"] == "error" {
                break message;
            }
        };
        let error = if last["payload"].is_array() { &last["payload"][0] } else { &last["payload"] };
        assert_eq!(error["extensions"]["code"], "service_maintenance_error", "{last}");
        assert_eq!(client.close().await.0, 1013);
    }
    waiting.send(guarded.init()).await;
    assert_eq!(waiting.close().await.0, 1013);
    guarded.server.subscriptions(0).await;
}

/// Whatever is wrong with them: nobody gets errors without end.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_refused_are_limited() {
    let guarded = Guarded::new(TierOptions { rate: "2/h".parse().ok(), ..TierOptions::default() }).await;
    let listening = guarded.server.listen().await;
    let mut client = Client::connect(&listening, "graphql-ws").await;
    client.send(guarded.init()).await;
    assert_eq!(client.next().await["type"], "connection_ack");
    let mut codes = Vec::new();
    for message in [json!({"type": "none"}), json!({"type": "start"}), json!({"type": "none"})] {
        client.send(message).await;
        let refused = loop {
            let message = client.next().await;
            if message["type"] != "ka" {
                break message;
            }
        };
        codes.push(refused["payload"]["extensions"]["code"].clone());
    }
    assert_eq!(codes, ["ws_unknown_message_error", "ws_message_data_validation_error", "rate_limit_exceeded_error"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_usage_is_counted() {
    let rate: Rate = "3/h".parse().unwrap();
    let tier = TierOptions { rate: Some(rate), max_connections: Some(1), ..TierOptions::default() };
    let guarded = Guarded::new(tier).await;
    let over_http = Guarded::new(TierOptions { rate: Some(rate), ..TierOptions::default() }).await;
    for remaining in ["2", "1", "0"] {
        let answer = over_http.server.get(&format!("/graphql?query=query&token={}", over_http.token)).await;
        let told = (answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining"));
        assert_eq!((answer.status.as_u16(), told), (200, ("3", remaining)));
        assert!(answer.header("x-ratelimit-reset").parse::<u32>().unwrap() > 0);
    }
    let listening = guarded.server.listen().await;
    let mut client = Client::connect(&listening, "graphql-transport-ws").await;
    client.send(guarded.init()).await;
    client.next().await;
    let mut second = Client::connect(&listening, "graphql-ws").await;
    second.send(guarded.init()).await;
    assert_eq!(second.next().await["payload"]["extensions"]["code"], "auth_too_many_open_error");
    for id in ["1", "2", "3"] {
        client.send(subscribe(id, "subscribe", "query")).await;
        assert_eq!(client.next().await["type"], "next");
        assert_eq!(client.next().await["type"], "complete");
    }
    guarded.gate.flush_usage().unwrap();
    let rows = guarded.gate.store().usage(0..=u32::MAX).unwrap();
    let mut used = Usage::default();
    rows.into_iter().for_each(|row| used += row.usage);
    assert_eq!((used.requests, used.documents), (3, 3));
    assert!(used.ingress_bytes > 100 && used.egress_bytes > 100, "{used:?}");
    client.send(subscribe("4", "subscribe", "query")).await;
    let refused = client.next().await;
    assert_eq!(refused["payload"]["errors"][0]["extensions"]["code"], "rate_limit_exceeded_error");
    // The same limit, over HTTP.
    let uri = format!("/graphql?query=query&token={}", guarded.token);
    let answer = guarded.server.get(&uri).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-ratelimit-remaining")), (429, "0"));
    assert_eq!(answer.header("retry-after"), answer.header("x-ratelimit-reset"));
    let body = answer.json();
    assert_eq!((&body["code"], &body["message"]), (&json!("rate_limit_exceeded_error"), &json!("no")));
    let request = Request::get(uri).header("accept", "application/graphql-response+json");
    let answer = guarded.server.request(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status.as_u16(), 429);
    assert!(answer.json()["errors"][0]["extensions"]["details"]["reset"].is_number());
}
