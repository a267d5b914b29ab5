//! Keys, tokens, tiers, limits and maintenance, as clients meet them.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Method, Request, StatusCode},
};
use dfuse_access::{Gate, KeyKind, KvAccessStore, Mode, NewKey, RouteClass, TierOptions, Usage};
use dfuse_api::ChainApiOptions;
use dfuse_blocks::{SystemClock, SystemEntropy};
use dfuse_kv::MemoryStore;
use dfuse_query::{ErrorCode, GateAccess};
use dfuse_testkit::synthetic::SyntheticChain;
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite};

use crate::{
    support::{Answer, Listening, Options, TestChain},
    websocket::Client,
};

const CLIENT: &str = "192.0.2.1:1";

pub(crate) struct Guarded {
    pub(crate) chain: TestChain,
    pub(crate) gate: Arc<Gate>,
}

impl Guarded {
    pub(crate) async fn new(access: dfuse_access::Options) -> Self {
        Self::with(access, Options::default()).await
    }

    pub(crate) async fn with(access: dfuse_access::Options, options: Options) -> Self {
        Self::grown(access, options, usize::MAX).await
    }

    /// The same with so many blocks.
    pub(crate) async fn grown(access: dfuse_access::Options, options: Options, blocks: usize) -> Self {
        let store = KvAccessStore::over(Arc::new(MemoryStore::new(&KvAccessStore::KEYSPACES))).unwrap();
        let clock = Arc::new(SystemClock::new());
        let gate = Arc::new(Gate::open(Arc::new(store), clock, Arc::new(SystemEntropy), access).unwrap());
        let synthetic = SyntheticChain::builder().seed(1).blocks(30).build();
        let mut chain = TestChain::synthetic(synthetic, Arc::new(GateAccess(gate.clone())), options).await;
        chain.grow(blocks).await;
        Self { chain, gate }
    }

    /// Where everybody needs a token, and there is a tier "slow".
    pub(crate) async fn required(slow: TierOptions) -> Self {
        let tiers = vec![
            TierOptions { name: "slow".into(), ..slow },
            TierOptions { name: "eosq-v1".into(), ..TierOptions::default() },
        ];
        Self::new(dfuse_access::Options { mode: Mode::Required, tiers, ..dfuse_access::Options::default() }).await
    }

    pub(crate) fn key(&self, new: NewKey) -> (String, String) {
        let (text, key) = self.gate.create_key(new).unwrap();
        (text.reveal().to_owned(), key.id.to_string())
    }

    pub(crate) fn token(&self) -> String {
        self.token_of(NewKey::new(KeyKind::Server, "test"))
    }

    pub(crate) fn token_of(&self, new: NewKey) -> String {
        self.gate.issue(&self.key(new).0, None, None).unwrap().unwrap().token
    }

    pub(crate) fn slow_token(&self) -> String {
        self.token_of(NewKey { tier: Some("slow".into()), ..NewKey::new(KeyKind::Server, "slow") })
    }

    pub(crate) async fn ask(&self, method: Method, uri: &str, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_str(value).unwrap());
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(ConnectInfo(CLIENT.parse::<SocketAddr>().unwrap()));
        self.chain.request(request).await
    }

    async fn get(&self, uri: &str, headers: &[(&'static str, &str)]) -> Answer {
        self.ask(Method::GET, uri, headers, "").await
    }

    async fn with_token(&self, uri: &str, token: &str) -> Answer {
        self.get(uri, &[("authorization", &format!("Bearer {token}"))]).await
    }

    pub(crate) async fn issue(&self, headers: &[(&'static str, &str)], body: &str) -> Answer {
        self.ask(Method::POST, "/v1/auth/issue", headers, body).await
    }
}

pub(crate) async fn connect(listening: &Listening, token: &str) -> Result<Client, tungstenite::Error> {
    let uri = format!("ws://{}/v1/stream?token={token}", listening.address);
    connect_async(uri).await.map(|(socket, _)| Client::new(socket))
}

/// Status of a refused upgrade, and its body.
async fn refused(listening: &Listening, token: &str) -> (u16, Value) {
    match connect(listening, token).await {
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            (response.status().as_u16(), serde_json::from_slice(body).unwrap())
        }
        other => panic!("{:?}", other.map(drop)),
    }
}

/// A stream of a table's changes.
fn listen(req_id: &str) -> Value {
    let data = json!({"code": "eosio.token", "scope": "eosio", "table": "accounts"});
    json!({"type": "get_table_rows", "req_id": req_id, "listen": true, "data": data})
}

const BLOCKS: &str = "/v0/state/table_scopes?account=eosio.token&table=accounts";

#[tokio::test(flavor = "multi_thread")]
async fn in_open_mode_no_token_makes_a_request_fail() {
    let guarded = Guarded::new(dfuse_access::Options::default()).await;
    for authorization in ["", "Bearer ", "Bearer garbage", "Bearer a.b.c", "Basic x"] {
        let answer = guarded.get(BLOCKS, &[("authorization", authorization)]).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("x-ratelimit-limit"), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_token_is_required() {
    let guarded = Guarded::required(TierOptions::default()).await;
    let token = guarded.token();
    assert_eq!(guarded.with_token(BLOCKS, &token).await.status, StatusCode::OK);
    assert_eq!(guarded.get(&format!("{BLOCKS}&token={token}"), &[]).await.status, StatusCode::OK);
    assert_eq!(guarded.get(BLOCKS, &[]).await.error().0, ErrorCode::TokenMissing);
    assert_eq!(guarded.with_token(BLOCKS, "").await.error().0, ErrorCode::TokenMissing);
    let (code, error) = guarded.with_token(BLOCKS, "a.b.c").await.error();
    assert_eq!((code, &error["details"]["token"]), (ErrorCode::TokenInvalid, &json!("")));
    // What needs no token needs none.
    for open in ["/", "/healthz", "/.well-known/jwks.json"] {
        assert_eq!(guarded.get(open, &[]).await.status, StatusCode::OK, "{open}");
    }
    assert_eq!(guarded.get("/nowhere", &[]).await.error().0, ErrorCode::RouteNotFound);
    let preflight = [("origin", "https://a.b"), ("access-control-request-method", "GET")];
    assert_eq!(guarded.ask(Method::OPTIONS, BLOCKS, &preflight, "").await.status, StatusCode::OK);
    let listening = guarded.chain.listen().await;
    assert_eq!(refused(&listening, "").await.0, 401);
    assert_eq!(refused(&listening, "a.b.c").await.1["code"], "auth_invalid_token_error");
    let mut client = connect(&listening, &token).await.unwrap();
    client.ask(json!({"type": "get_head_info", "req_id": "a", "fetch": true})).await;
    client.of("head_info", "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_callers_have_lower_limits() {
    let access = dfuse_access::Options { mode: Mode::Optional, ..dfuse_access::Options::default() };
    let guarded = Guarded::new(access).await;
    let answer = guarded.get(BLOCKS, &[]).await;
    assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (StatusCode::OK, "10"));
    let mut limited = None;
    // A header that the client writes itself makes it no other.
    for number in 0..100 {
        let answer = guarded.get(BLOCKS, &[("x-forwarded-for", &format!("203.0.113.{number}"))]).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("a hundred requests at once are too many");
    let (code, error) = limited.error();
    assert_eq!((code, &error["details"]), (ErrorCode::RateLimited, &json!({"limit": 10, "remaining": 0, "reset": 1})));
    for (header, value) in
        [("x-ratelimit-limit", "10"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1"), ("retry-after", "1")]
    {
        assert_eq!(limited.header(header), value, "{header}");
    }
    assert!(limited.header("access-control-expose-headers").contains("X-RateLimit-Reset"));
    assert_eq!(guarded.with_token(BLOCKS, &guarded.token()).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_issued() {
    let guarded = Guarded::required(TierOptions::default()).await;
    let (key, _) = guarded.key(NewKey::new(KeyKind::Server, "a"));
    let body = json!({"api_key": key}).to_string();
    for content_type in
        ["application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "image/png"]
    {
        let answer = guarded.issue(&[("content-type", content_type)], &body).await;
        assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"), "{content_type}");
        let issued = answer.json();
        assert!(issued["expires_at"].is_u64(), "{issued}");
        let token = issued["token"].as_str().unwrap();
        assert_eq!(guarded.with_token(BLOCKS, token).await.status, StatusCode::OK);
    }
    assert_eq!(guarded.issue(&[], &body).await.status, StatusCode::OK);
    for (body, code) in [
        ("", ErrorCode::MissingBody),
        ("{", ErrorCode::InvalidJson),
        ("[]", ErrorCode::InvalidJson),
        (r#"{"api_key": 7}"#, ErrorCode::InvalidJson),
        ("{}", ErrorCode::RequestValidation),
        (r#"{"api_key": " "}"#, ErrorCode::RequestValidation),
        (r#"{"api_key": "server_0123"}"#, ErrorCode::ApiKeyInvalid),
    ] {
        let answer = guarded.issue(&[], body).await;
        assert_eq!(answer.error().0, code, "{body}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("server_0123"));
    }
    let wrong_method = guarded.get("/v1/auth/issue", &[]).await;
    assert_eq!((wrong_method.error().0, wrong_method.header("allow")), (ErrorCode::MethodNotAllowed, "POST, OPTIONS"));
    let keys = guarded.get("/.well-known/jwks.json", &[]).await.json();
    assert_eq!(keys["keys"][0]["alg"], "ES256");
}

#[tokio::test(flavor = "multi_thread")]
async fn web_keys_are_for_pages_of_their_origins() {
    let guarded = Guarded::required(TierOptions::default()).await;
    let origins = vec!["https://app.example.com".parse().unwrap()];
    let (key, _) = guarded.key(NewKey { origins, ..NewKey::new(KeyKind::Web, "a") });
    let body = json!({"api_key": key}).to_string();
    let (good, evil) = (("origin", "https://app.example.com"), ("origin", "https://evil.org"));
    let (code, error) = guarded.issue(&[evil], &body).await.error();
    assert_eq!((code, &error["details"]["origin"]), (ErrorCode::OriginNotAllowed, &json!("https://evil.org")));
    let token = guarded.issue(&[good], &body).await.json()["token"].as_str().unwrap().to_owned();
    let authorization = format!("Bearer {token}");
    let ask = async |origin| guarded.get(BLOCKS, &[origin, ("authorization", &authorization)]).await;
    assert_eq!(ask(good).await.status, StatusCode::OK);
    assert_eq!(ask(evil).await.error().0, ErrorCode::OriginNotAllowed);
    let upgrade = [
        evil,
        ("authorization", &*authorization),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(guarded.get("/v1/stream", &upgrade).await.error().0, ErrorCode::OriginNotAllowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn tiers_and_their_limits() {
    let guarded = Guarded::required(TierOptions {
        routes: vec![RouteClass::List, RouteClass::Stream],
        rate: Some("2/h".parse().unwrap()),
        ..TierOptions::default()
    })
    .await;
    let token = guarded.slow_token();
    let (code, error) = guarded.with_token("/v0/blocks?limit=1", &token).await.error();
    assert_eq!(
        (code, &error["details"]),
        (ErrorCode::TierNotAllowed, &json!({"tier": "slow", "required_tier": "eosq-v1"}))
    );
    let first = guarded.with_token(BLOCKS, &token).await;
    assert_eq!((first.status, first.header("x-ratelimit-remaining")), (StatusCode::OK, "1"));
    guarded.with_token(BLOCKS, &token).await;
    let limited = guarded.with_token(BLOCKS, &token).await;
    assert_eq!(limited.error().0, ErrorCode::RateLimited);
    assert_eq!(limited.header("retry-after"), limited.header("x-ratelimit-reset"));
    // A request within a connection is one, too; the connection itself was one.
    let listening = guarded.chain.listen().await;
    let mut client = connect(&listening, &token).await.unwrap();
    let request = |req_id: &str| json!({"type": "get_head_info", "req_id": req_id, "fetch": true});
    client.ask(request("a")).await;
    client.of("head_info", "a").await;
    assert_eq!(client.refused(request("b")).await.0, ErrorCode::RateLimited);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_connections_and_streams() {
    let guarded =
        Guarded::required(TierOptions { max_connections: Some(1), max_streams: Some(1), ..TierOptions::default() })
            .await;
    let token = guarded.slow_token();
    let listening = guarded.chain.listen().await;
    let mut client = connect(&listening, &token).await.unwrap();
    let (status, error) = refused(&listening, &token).await;
    assert_eq!((status, &error["code"]), (429, &json!("auth_too_many_open_error")));
    assert_eq!(error["details"], json!({"kind": "connections", "limit": 1}));
    client.ask(listen("a")).await;
    client.of("listening", "a").await;
    assert_eq!(client.refused(listen("b")).await.0, ErrorCode::TooManyOpen);
    client.ask(json!({"type": "unlisten", "data": {"req_id": "a"}})).await;
    while client.message().await["type"] != "unlistened" {}
    client.ask(listen("b")).await;
    client.of("listening", "b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_its_streams() {
    let guarded = Guarded::required(TierOptions::default()).await;
    let (key, id) = guarded.key(NewKey::new(KeyKind::Server, "a"));
    let token = guarded.gate.issue(&key, None, None).unwrap().unwrap().token;
    let listening = guarded.chain.listen().await;
    let (mut client, mut other) =
        (connect(&listening, &token).await.unwrap(), connect(&listening, &guarded.token()).await.unwrap());
    for client in [&mut client, &mut other] {
        client.ask(listen("a")).await;
        client.of("listening", "a").await;
    }
    guarded.gate.revoke_key(&id).unwrap();
    assert_eq!(client.error("a").await.0, ErrorCode::ApiKeyRevoked);
    assert_eq!(u16::from(client.closed().await.unwrap().code), 1008);
    assert_eq!(refused(&listening, &token).await.1["code"], "auth_api_key_revoked_error");
    assert_eq!(guarded.with_token(BLOCKS, &token).await.error().0, ErrorCode::ApiKeyRevoked);
    // Nobody else's.
    other.ask(json!({"type": "get_head_info", "req_id": "b", "fetch": true})).await;
    other.of("head_info", "b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_is_told_to_everybody() {
    let guarded = Guarded::new(dfuse_access::Options::default()).await;
    let listening = guarded.chain.listen().await;
    let mut client = Client::connect(&listening).await;
    client.ask(listen("a")).await;
    client.of("listening", "a").await;
    guarded.gate.set_maintenance(true).unwrap();
    assert_eq!(client.error("a").await.0, ErrorCode::Maintenance);
    assert_eq!(u16::from(client.closed().await.unwrap().code), 1013);
    for uri in [BLOCKS, "/v0/blocks", "/nowhere", "/v1/stream", "/v1/auth/issue"] {
        let answer = guarded.get(uri, &[]).await;
        assert_eq!((answer.error().0, answer.header("retry-after")), (ErrorCode::Maintenance, "60"), "{uri}");
    }
    let node_shaped = guarded.get("/v1/chain/get_info", &[]).await;
    assert_eq!((node_shaped.status.as_u16(), node_shaped.header("retry-after")), (503, "60"));
    assert_eq!(node_shaped.json()["error"]["code"], 3_990_001);
    assert!(guarded.get("/healthz", &[]).await.json()["warnings"]["maintenance"].is_string());
    // Others verify tokens with the public keys, and ask nothing else here.
    for uri in ["/", "/healthz", "/metrics", "/.well-known/jwks.json"] {
        assert_eq!(guarded.get(uri, &[]).await.status, StatusCode::OK, "{uri}");
    }
    guarded.gate.set_maintenance(false).unwrap();
    assert_eq!(guarded.get(BLOCKS, &[]).await.status, StatusCode::OK);
    Client::connect(&listening).await;
}

/// The counts name every key: in the modes that ask for tokens, they are for operators.
#[tokio::test(flavor = "multi_thread")]
async fn the_counts_are_for_operators() {
    let free = TierOptions { name: "free".into(), ..TierOptions::default() };
    for mode in [Mode::Open, Mode::Optional, Mode::Required] {
        let access = dfuse_access::Options { mode, tiers: vec![free.clone()], ..dfuse_access::Options::default() };
        let guarded = Guarded::new(access).await;
        let free = guarded.token_of(NewKey { tier: Some("free".into()), ..NewKey::new(KeyKind::Server, "a") });
        let operator = guarded.token();
        if mode == Mode::Open {
            assert_eq!(guarded.get("/metrics", &[]).await.status, StatusCode::OK);
            continue;
        }
        for maintenance in [false, true] {
            guarded.gate.set_maintenance(maintenance).unwrap();
            assert_eq!(guarded.get("/metrics", &[]).await.error().0, ErrorCode::TokenMissing);
            // Nobody becomes somebody else by a header.
            for address in ["127.0.0.1", "10.0.0.1"] {
                let answer = guarded.get("/metrics", &[("x-forwarded-for", address)]).await;
                assert_eq!(answer.error().0, ErrorCode::TokenMissing);
            }
            assert_eq!(guarded.with_token("/metrics", "a.b.c").await.error().0, ErrorCode::TokenInvalid);
            let (code, error) = guarded.with_token("/metrics", &free).await.error();
            let details = json!({"tier": "free", "required_tier": "unlimited"});
            assert_eq!((code, &error["details"]), (ErrorCode::TierNotAllowed, &details));
            for uri in ["/metrics".to_owned(), format!("/metrics?token={operator}")] {
                let authorization = format!("Bearer {operator}");
                let header = [("authorization", &*authorization)];
                let headers = if uri.contains('?') { &[][..] } else { &header };
                assert_eq!(guarded.get(&uri, headers).await.status, StatusCode::OK, "{mode:?} {uri}");
            }
        }
    }
    let networks = vec!["192.0.2.0/24".parse().unwrap()];
    let access =
        dfuse_access::Options { mode: Mode::Required, operator_networks: networks, ..dfuse_access::Options::default() };
    let guarded = Guarded::new(access).await;
    assert_eq!(guarded.get("/metrics", &[]).await.status, StatusCode::OK);
    assert_eq!(guarded.get(BLOCKS, &[]).await.error().0, ErrorCode::TokenMissing);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_s_api_says_it_in_the_node_s_words() {
    let chain_api = ChainApiOptions { authenticate: true, ..ChainApiOptions::default() };
    let tiers = vec![TierOptions { name: "slow".into(), rate: Some("1/h".parse().unwrap()), ..TierOptions::default() }];
    let access = dfuse_access::Options { mode: Mode::Required, tiers, ..dfuse_access::Options::default() };
    let guarded = Guarded::with(access, Options { chain_api, ..Options::default() }).await;
    let missing = guarded.get("/v1/chain/get_info", &[]).await;
    assert_eq!((missing.status.as_u16(), &missing.json()["error"]["code"]), (401, &json!(3_990_001)));
    let token = guarded.slow_token();
    // There is no node.
    assert_eq!(guarded.with_token("/v1/chain/get_info", &token).await.status.as_u16(), 503);
    let limited = guarded.with_token("/v1/chain/get_info", &token).await;
    assert_eq!((limited.status.as_u16(), limited.header("x-ratelimit-limit")), (429, "1"));
    assert_eq!(limited.json()["trace_id"], limited.trace_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_counted() {
    let guarded = Guarded::required(TierOptions::default()).await;
    let (key, id) = guarded.key(NewKey::new(KeyKind::Server, "a"));
    let token = guarded.gate.issue(&key, None, None).unwrap().unwrap().token;
    let usage = |gate: &Gate| {
        gate.flush_usage().unwrap();
        let rows = gate.store().usage(0..=u32::MAX).unwrap();
        let mut sum = Usage::default();
        rows.into_iter().filter(|row| row.subject == id).for_each(|row| sum += row.usage);
        sum
    };
    let answer = guarded.with_token(BLOCKS, &token).await;
    let first = Usage { requests: 1, documents: 1, egress_bytes: answer.body.len() as u64, ..Usage::default() };
    assert_eq!(usage(&guarded.gate), first);
    // Before compression.
    let authorization = format!("Bearer {token}");
    let packed = guarded.get(BLOCKS, &[("authorization", &authorization), ("accept-encoding", "gzip")]).await;
    assert!(packed.header("content-encoding") == "gzip" && packed.body.len() != answer.body.len());
    assert_eq!(usage(&guarded.gate).egress_bytes, 2 * first.egress_bytes);
    let body = "account=eosio.token&table=accounts";
    let posted = guarded
        .ask(
            Method::POST,
            "/v0/state/table_scopes",
            &[("authorization", &authorization), ("content-length", &body.len().to_string())],
            body,
        )
        .await;
    assert_eq!(posted.status, StatusCode::OK);
    assert_eq!(usage(&guarded.gate).ingress_bytes, body.len() as u64);
    // An error has bytes, too.
    let before = usage(&guarded.gate);
    let refused = guarded.with_token("/v0/blocks?limit=x", &token).await;
    let after = usage(&guarded.gate);
    assert_eq!(after.egress_bytes - before.egress_bytes, refused.body.len() as u64);
    assert!(refused.status == StatusCode::BAD_REQUEST && !refused.body.is_empty());
    // Completions are free, and so are connections.
    guarded.with_token("/v0/search/completion?prefix=rec", &token).await;
    let listening = guarded.chain.listen().await;
    let mut client = connect(&listening, &token).await.unwrap();
    let before = usage(&guarded.gate);
    assert_eq!((before.requests, before.documents), (4, 4));
    let request = json!({"type": "get_head_info", "req_id": "a", "fetch": true}).to_string();
    client.text(request.clone()).await;
    client.of("head_info", "a").await;
    let after = usage(&guarded.gate);
    assert_eq!((after.requests, after.documents), (5, 5));
    assert_eq!(after.ingress_bytes - before.ingress_bytes, request.len() as u64);
    assert!(after.egress_bytes > before.egress_bytes);
    // In the counts for operators, too, by the id of the key.
    let metrics = guarded.with_token("/metrics", &token).await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    for (name, count) in [("requests", 5), ("documents", 5), ("rate_limited", 0), ("egress_bytes", after.egress_bytes)]
    {
        let line = format!("dfuse_usage_{name}_total{{key=\"{id}\"}} {count}");
        assert!(metrics.lines().any(|it| it == line), "{line}: {metrics}");
    }
    assert!(metrics.contains("dfuse_usage_unwritten_requests 0"), "{metrics}");
    assert!(!metrics.contains(&key["server_".len()..]) && !metrics.contains(&token), "no secrets");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_ends_where_it_says() {
    let guarded = Guarded::required(TierOptions { history: Some(10), ..TierOptions::default() }).await;
    let (token, free) = (guarded.slow_token(), guarded.token());
    let head = guarded.chain.blocks.last().unwrap().number;
    let (first, before) = (head - 10, head - 11);
    let table = "/v0/state/table?account=eosio.token&scope=eosio.token&table=accounts";
    let search = "/v0/search/transactions?q=receiver:eosio.token&with_reversible=true";
    let of_rows = "/v0/state/table/diff?account=eosio.token&scope=eosio.token&table=accounts";
    for refused in [
        format!("{table}&block_num={before}"),
        format!("/v0/blocks?limit=1&skip={before}"),
        format!("{search}&start_block={before}"),
        format!("{search}&start_block={before}&sort=desc"),
        format!("/v0/search/count?q=receiver:eosio.token&with_reversible=true&start_block={before}"),
        format!("/v0/accounts/eosio.token/actions?start_block={before}"),
        format!("{of_rows}&from_block={before}&to_block={head}"),
        format!("/v0/state/abi?account=eosio.token&block_num={before}"),
    ] {
        let (code, error) = guarded.with_token(&refused, &token).await.error();
        let details = json!({"request_block_num": before, "first_block_num": first});
        assert_eq!((code, &error["details"]), (ErrorCode::HistoryNotAllowed, &details), "{refused}");
        assert_ne!(guarded.with_token(&refused, &free).await.status, StatusCode::FORBIDDEN, "{refused}");
    }
    // What names no beginning begins where it may.
    for sort in ["asc", "desc"] {
        let answer = guarded.with_token(&format!("{search}&sort={sort}"), &token).await.json();
        assert_eq!(answer["range"], json!({"from_block": first, "to_block": head, "complete": true}), "{sort}");
        let all = guarded.with_token(&format!("{search}&sort={sort}"), &free).await.json();
        assert!(all["range"]["from_block"].as_u64().unwrap() < first.into());
    }
    for allowed in [table.to_owned(), format!("{table}&block_num={first}"), format!("{search}&start_block={first}")] {
        assert_ne!(guarded.with_token(&allowed, &token).await.status, StatusCode::FORBIDDEN, "{allowed}");
    }
    // Lists end where it ends.
    let blocks = guarded.with_token("/v0/blocks?limit=100", &token).await.json();
    let last = blocks.as_array().unwrap().last().unwrap()["id"].as_str().unwrap();
    assert_eq!(u32::from_str_radix(&last[..8], 16).unwrap(), first);
    let listed = guarded.with_token("/v0/transactions?limit=100", &token).await.json();
    let numbers: Vec<_> = listed["transactions"].as_array().unwrap().iter().map(|it| &it["execution_trace"]).collect();
    assert!(
        !numbers.is_empty() && numbers.iter().all(|it| it["block_num"].as_u64() >= Some(first.into())),
        "{numbers:?}"
    );
    assert_eq!(listed["cursor"], "", "that was all");
    let all = guarded.with_token("/v0/transactions?limit=100", &free).await.json();
    assert!(all["transactions"].as_array().unwrap().len() > numbers.len());
    // A cursor is no way around.
    let older = format!("/v0/transactions?limit=100&cursor={}", all["cursor"].as_str().unwrap());
    if all["cursor"] != "" {
        assert_eq!(guarded.with_token(&older, &token).await.error().0, ErrorCode::HistoryNotAllowed);
    }
    let page = guarded.with_token(&format!("{search}&limit=1&start_block=2"), &free).await.json();
    let cursor = page["cursor"].as_str().unwrap();
    let answer = guarded.with_token(&format!("{search}&cursor={cursor}"), &token).await;
    assert_eq!(answer.error().0, ErrorCode::HistoryNotAllowed);
    cursor_of_a_row(&guarded, &token, &free, first).await;
    let listening = guarded.chain.listen().await;
    let mut client = connect(&listening, &token).await.unwrap();
    let mut request = listen("a");
    request["start_block"] = json!(before);
    assert_eq!(client.refused(request.clone()).await.0, ErrorCode::StreamStartNotAllowed);
    request["start_block"] = json!(first);
    client.ask(request).await;
    client.of("listening", "a").await;
}

/// The cursor of a row's history that somebody was given who may read further back.
async fn cursor_of_a_row(guarded: &Guarded, token: &str, free: &str, first: u32) {
    let scopes = guarded.with_token(BLOCKS, free).await.json();
    let scopes = scopes["scopes"].as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned);
    let mut refused = 0;
    for scope in scopes.collect::<Vec<_>>() {
        let table = format!("account=eosio.token&table=accounts&scope={scope}&key_type=symbol_code");
        let rows = guarded.with_token(&format!("/v0/state/table?{table}"), free).await.json();
        let Some(key) = rows["rows"][0]["key"].as_str() else { continue };
        let history = format!("/v0/state/table/row/history?{table}&primary_key={key}");
        for sort in ["asc", "desc"] {
            let history = format!("{history}&sort={sort}&limit=1");
            let page = guarded.with_token(&history, free).await.json();
            let (block, cursor) = (page["changes"][0]["block_num"].as_u64().unwrap(), page["cursor"].as_str().unwrap());
            if cursor.is_empty() {
                continue;
            }
            let answer = guarded.with_token(&format!("{history}&cursor={cursor}"), token).await;
            if block >= first.into() {
                assert_eq!(answer.status, StatusCode::OK, "{history}: {block}");
                continue;
            }
            let (code, error) = answer.error();
            let details = json!({"request_block_num": block, "first_block_num": first});
            assert_eq!((code, &error["details"]), (ErrorCode::HistoryNotAllowed, &details), "{history}");
            refused += 1;
        }
    }
    assert!(refused > 0, "no row was written before {first} and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_what_is_counted() {
    let guarded = Guarded::required(TierOptions::default()).await;
    let (key, id) = guarded.key(NewKey::new(KeyKind::Server, "a"));
    let token = guarded.gate.issue(&key, None, None).unwrap().unwrap().token;
    let search =
        guarded.with_token("/v0/search/transactions?q=receiver:eosio.token&with_reversible=true&limit=3", &token).await;
    assert_eq!(search.json()["transactions"].as_array().unwrap().len(), 3);
    guarded.with_token("/v0/search/transactions?q=receiver:nobody1&with_reversible=true", &token).await;
    guarded.with_token("/v0/search/transactions?q=(", &token).await;
    guarded.with_token("/v0/blocks?limit=7", &token).await;
    guarded.with_token(&format!("/v0/transactions/{}", "00".repeat(32)), &token).await;
    guarded.gate.flush_usage().unwrap();
    let rows = guarded.gate.store().usage(0..=u32::MAX).unwrap();
    let used = rows.iter().find(|row| row.subject == id).unwrap().usage;
    assert_eq!((used.requests, used.documents), (3, 10));
}
