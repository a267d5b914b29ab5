//! The error contract on `/graphql`: each way to ask, each form of the answer, and every reason to refuse.

use std::{collections::BTreeSet, sync::Arc};

use axum::{body::Body, http::Request};
use dfuse_access::{KeyKind, NewKey, RouteClass, TierOptions};
use dfuse_graphql::SocketOptions;
use dfuse_query::{ErrorCode, OpenAccess};
use serde_json::{Value, json};

use crate::{
    access::{Guarded, token},
    support::{Answer, Client, TestServer},
};

const JSON: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";

/// A request in one of the ways.
#[derive(Debug, Clone, Copy)]
struct Way {
    is_post: bool,
    accept: &'static str,
}

const WAYS: [Way; 4] = [
    Way { is_post: true, accept: JSON },
    Way { is_post: true, accept: GRAPHQL },
    Way { is_post: false, accept: JSON },
    Way { is_post: false, accept: GRAPHQL },
];

impl Way {
    async fn ask(self, server: &TestServer, document: &str, headers: &[(&'static str, &str)]) -> Answer {
        let request =
            if self.is_post { Request::post("/graphql") } else { Request::get(format!("/graphql?query={document}")) };
        let body = if self.is_post { json!({"query": document}).to_string() } else { String::new() };
        self.send(server, request, headers, body).await
    }

    async fn send(
        self,
        server: &TestServer,
        request: axum::http::request::Builder,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Answer {
        let request = request.header("accept", self.accept);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        server.request(request.body(Body::from(body)).unwrap()).await
    }
}

/// Trace ids so far, none of which comes twice.
#[derive(Default)]
struct Contract(BTreeSet<String>);

impl Contract {
    /// Asserts that an answer is an error of this code, in the form that was asked for.
    #[track_caller]
    fn holds(&mut self, way: Way, answer: &Answer, expected: ErrorCode) {
        let row = expected.row();
        let trace_id = answer.header("x-trace-id");
        assert!(trace_id.len() == 32 && self.0.insert(trace_id.to_owned()), "{way:?}: {answer:?}");
        assert_eq!(answer.status, row.status, "{way:?}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{way:?}");
        let body = answer.json();
        let details = if way.accept == JSON {
            assert_eq!(answer.header("content-type"), "application/json", "{way:?}");
            let mut keys: BTreeSet<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
            keys.remove("details");
            assert_eq!(keys, BTreeSet::from(["code", "message", "trace_id"]), "{way:?}: {body}");
            assert_eq!((&body["code"], &body["trace_id"]), (&json!(row.code), &json!(trace_id)), "{way:?}");
            assert!(!body["message"].as_str().unwrap().is_empty());
            body["details"].clone()
        } else {
            assert!(answer.header("content-type").starts_with(GRAPHQL), "{way:?}: {answer:?}");
            assert_eq!((body.get("data"), body["errors"].as_array().unwrap().len()), (None, 1), "{way:?}: {body}");
            graphql_error(&body["errors"][0], row.code, trace_id)
        };
        for detail in row.details {
            assert!(detail.optional || details.get(detail.key).is_some(), "{way:?}: {body} lacks {}", detail.key);
        }
    }
}

/// Asserts that this is an error of GraphQL with everything that there is of ours, and returns its details.
#[track_caller]
fn graphql_error(error: &Value, code: &str, trace_id: &str) -> Value {
    let extensions = &error["extensions"];
    assert_eq!((&extensions["code"], &extensions["trace_id"]), (&json!(code), &json!(trace_id)), "{error}");
    assert!(extensions["terminal"].is_boolean() && extensions["status"].is_string(), "{error}");
    assert!(error["message"].as_str().unwrap().ends_with(&format!(" (trace_id: {trace_id})")), "{error}");
    extensions["details"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_ask_is_told_so() {
    // Wrong tokens are many here, and the tier has nothing that documents ask for.
    let options =
        dfuse_access::Options { guess_rate: "1000000/s".parse().unwrap(), ..dfuse_access::Options::default() };
    let tier = TierOptions { routes: vec![RouteClass::Chain], ..TierOptions::default() };
    let guarded = Guarded::with(tier, options).await;
    let origins = vec!["https://app.example.com".parse().unwrap()];
    let of_page = token(&guarded.gate, NewKey { origins, ..NewKey::new(KeyKind::Web, "page") });
    let of_page = format!("Bearer {of_page}");
    let of_tier = format!("Bearer {}", guarded.token);
    let mut contract = Contract::default();
    for way in WAYS {
        let server = &guarded.server;
        contract.holds(way, &way.ask(server, "query", &[]).await, ErrorCode::TokenMissing);
        let wrong = [("authorization", "Bearer a.b.c")];
        contract.holds(way, &way.ask(server, "query", &wrong).await, ErrorCode::TokenInvalid);
        let elsewhere = [("authorization", &*of_page), ("origin", "https://evil.org")];
        contract.holds(way, &way.ask(server, "query", &elsewhere).await, ErrorCode::OriginNotAllowed);
        let answer = way.ask(server, "query", &[("authorization", &of_tier)]).await;
        assert_eq!(answer.status.as_u16(), 403, "{way:?}: {answer:?}");
        assert!(answer.json().to_string().contains("auth_invalid_tier_error"), "{answer:?}");
    }
    guarded.gate.set_maintenance(true).unwrap();
    for way in WAYS {
        let answer = way.ask(&guarded.server, "query", &[]).await;
        // It is said before anybody looks at what is asked for.
        contract.holds(Way { accept: JSON, ..way }, &answer, ErrorCode::Maintenance);
        assert_eq!(answer.header("retry-after"), "60");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_much_is_told_so() {
    for way in WAYS {
        let tier = TierOptions { rate: "1/h".parse().ok(), ..TierOptions::default() };
        let guarded = Guarded::with(tier, dfuse_access::Options::default()).await;
        let authorization = format!("Bearer {}", guarded.token);
        let ask = async || way.ask(&guarded.server, "query", &[("authorization", &authorization)]).await;
        let answer = ask().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-ratelimit-remaining")), (200, "0"), "{way:?}");
        let answer = ask().await;
        assert_eq!(answer.status.as_u16(), 429, "{way:?}: {answer:?}");
        for header in ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
            assert!(answer.header(header).parse::<u32>().is_ok(), "{way:?}: {header}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_said() {
    let server = TestServer::open().await;
    let mut contract = Contract::default();
    for way in WAYS {
        if way.is_post {
            for (body, code) in [
                ("", ErrorCode::MissingBody),
                ("{", ErrorCode::InvalidJson),
                ("[]", ErrorCode::InvalidJson),
                (&*"[".repeat(100_000), ErrorCode::InvalidJson),
                ("{}", ErrorCode::RequestValidation),
                (r#"{"query": 7}"#, ErrorCode::InvalidJson),
            ] {
                let answer = way.send(&server, Request::post("/graphql"), &[], body.to_owned()).await;
                contract.holds(way, &answer, code);
            }
            let large = Request::post("/graphql").header("content-length", "99999999");
            contract.holds(way, &way.send(&server, large, &[], "x".into()).await, ErrorCode::RequestBodyTooLarge);
        } else {
            for (query, code) in [
                ("", ErrorCode::RequestValidation),
                ("?query=%zz", ErrorCode::RequestValidation),
                ("?query=query&variables=%7B", ErrorCode::InvalidJson),
            ] {
                let request = Request::get(format!("/graphql{query}"));
                contract.holds(way, &way.send(&server, request, &[], String::new()).await, code);
            }
        }
        let answer = way.ask(&server, "unready", &[]).await;
        contract.holds(way, &answer, ErrorCode::NotReady);
        assert_eq!(answer.header("retry-after"), "5", "{way:?}");
        // What is not a method is told before the form of the answer matters.
        let answer = way.send(&server, Request::delete("/graphql"), &[], String::new()).await;
        contract.holds(Way { accept: JSON, ..way }, &answer, ErrorCode::MethodNotAllowed);
        assert_eq!(answer.header("allow"), "POST, GET, HEAD, OPTIONS");
    }
}

/// A protocol over WebSocket, and its type of messages that begin an operation.
const PROTOCOLS: [(&str, &str); 2] = [("graphql-ws", "start"), ("graphql-transport-ws", "subscribe")];
const QUERIES_AND_SUBSCRIPTIONS: [&str; 2] = ["query", "events 3"];

/// What was refused on connections.
#[derive(Default)]
struct Messages {
    trace_ids: BTreeSet<String>,
    codes: BTreeSet<String>,
}

impl Messages {
    /// Asserts that what came for an operation is an error of that code, in the form of its protocol.
    #[track_caller]
    fn holds(&mut self, message: &Value, code: ErrorCode) {
        let payload = &message["payload"];
        let errors = if payload.is_array() { payload } else { &payload["errors"] };
        let error = if errors.is_array() { &errors[0] } else { payload };
        let trace_id = error["extensions"]["trace_id"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned();
        let details = graphql_error(error, code.row().code, &trace_id);
        for detail in code.row().details {
            assert!(detail.optional || details.get(detail.key).is_some(), "{message} lacks {}", detail.key);
        }
        assert!(self.trace_ids.insert(trace_id), "{message}");
        self.codes.insert(code.row().code.to_owned());
    }
}

/// The first message for an operation that says more than that it has ended.
async fn first(client: &mut Client, id: &str) -> Value {
    loop {
        let message = client.next().await;
        if message["id"] == id && message["type"] != "complete" {
            return message;
        }
    }
}

/// Both protocols, queries and subscriptions, each reason to refuse: what is refused has its code and a trace id of its own.
#[tokio::test(flavor = "multi_thread")]
async fn messages_are_refused_in_one_form() {
    let mut messages = Messages::default();
    for (protocol, start) in PROTOCOLS {
        of_operations(protocol, start, &mut messages).await;
        who_may_not_connect(protocol, &mut messages).await;
        under_maintenance(protocol, start, &mut messages).await;
        too_large(protocol).await;
    }
    let expected = ["auth_invalid_origin_error", "auth_invalid_token_error", "auth_token_missing_error"];
    let more = ["rate_limit_exceeded_error", "service_maintenance_error", "ws_too_much_stream_error"];
    assert_eq!(messages.codes, expected.into_iter().chain(more).map(str::to_owned).collect());
}

/// Operations of somebody who was admitted: too many, and too many at once.
async fn of_operations(protocol: &str, start: &str, messages: &mut Messages) {
    let tier = TierOptions { rate: "1/h".parse().ok(), ..TierOptions::default() };
    let guarded = Guarded::with(tier, dfuse_access::Options::default()).await;
    let authorization = format!("Bearer {}", guarded.token);
    let answer = WAYS[0].ask(&guarded.server, "query", &[("authorization", &authorization)]).await;
    assert_eq!(answer.status.as_u16(), 200);
    let listening = guarded.server.listen().await;
    let mut client = Client::connect(&listening, protocol).await;
    client.send(json!({"type": "connection_init", "payload": {"Authorization": guarded.token}})).await;
    while client.next().await["type"] != "connection_ack" {}
    for document in QUERIES_AND_SUBSCRIPTIONS {
        client.send(json!({"id": document, "type": start, "payload": {"query": document}})).await;
        messages.holds(&first(&mut client, document).await, ErrorCode::RateLimited);
    }
    let options = SocketOptions { max_subscriptions: 1, ..SocketOptions::default() };
    let server = TestServer::new(Arc::new(OpenAccess), options).await;
    let listening = server.listen().await;
    let mut client = Client::admitted(&listening, protocol).await;
    for id in ["1", "2"] {
        client.send(json!({"id": id, "type": start, "payload": {"query": "forever 10"}})).await;
    }
    messages.holds(&first(&mut client, "2").await, ErrorCode::WsTooManyStreams);
}

/// The older protocol says why; the newer one closes the connection with a code and a reason.
async fn who_may_not_connect(protocol: &str, messages: &mut Messages) {
    let guarded = Guarded::with(TierOptions::default(), dfuse_access::Options::default()).await;
    let origins = vec!["https://app.example.com".parse().unwrap()];
    let of_page = token(&guarded.gate, NewKey { origins, ..NewKey::new(KeyKind::Web, "page") });
    let listening = guarded.server.listen().await;
    for (payload, code) in [
        (json!({}), ErrorCode::TokenMissing),
        (json!({"Authorization": "a.b.c"}), ErrorCode::TokenInvalid),
        (json!({"Authorization": of_page}), ErrorCode::OriginNotAllowed),
    ] {
        let mut client = Client::of_page(&listening, protocol, "https://evil.org").await;
        client.send(json!({"type": "connection_init", "payload": payload})).await;
        if protocol == "graphql-ws" {
            let mut message = client.next().await;
            assert_eq!(message["type"], "connection_error", "{message}");
            // The text is one that old clients know.
            let trace_id = message["payload"]["extensions"]["trace_id"].as_str().unwrap().to_owned();
            message["payload"]["message"] = json!(format!("no (trace_id: {trace_id})"));
            messages.holds(&message, code);
        } else {
            let (close, reason) = client.close().await;
            assert!(close == 4403 && !reason.is_empty(), "{code:?}: {close} {reason}");
        }
    }
}

async fn under_maintenance(protocol: &str, start: &str, messages: &mut Messages) {
    let guarded = Guarded::with(TierOptions::default(), dfuse_access::Options::default()).await;
    let listening = guarded.server.listen().await;
    let mut client = Client::connect(&listening, protocol).await;
    client.send(json!({"type": "connection_init", "payload": {"Authorization": guarded.token}})).await;
    client.send(json!({"id": "1", "type": start, "payload": {"query": "forever 10"}})).await;
    first(&mut client, "1").await;
    guarded.gate.begin_maintenance();
    let told = loop {
        let message = first(&mut client, "1").await;
        if message["type"] == "error" {
            break message;
        }
    };
    let told = if told["payload"].is_array() { told } else { without_prefix(told) };
    messages.holds(&told, ErrorCode::Maintenance);
    assert_eq!(client.close().await.0, 1013);
}

/// The older protocol has words before its errors that clients know.
fn without_prefix(mut message: Value) -> Value {
    let text = message["payload"]["message"].as_str().and_then(|text| text.strip_prefix("graphql: "));
    let text = text.unwrap_or_else(|| panic!("{message}")).to_owned();
    message["payload"]["message"] = json!(text);
    message
}

async fn too_large(protocol: &str) {
    let options = SocketOptions { max_message_bytes: 1000, ..SocketOptions::default() };
    let server = TestServer::new(Arc::new(OpenAccess), options).await;
    let listening = server.listen().await;
    let mut client = Client::admitted(&listening, protocol).await;
    client.send_text(&"x".repeat(1001)).await;
    assert_eq!(client.close().await.0, 1009, "{protocol}");
}
