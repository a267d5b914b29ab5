//! What is around every request.

use std::{
    cell::RefCell,
    io::{Read, Write},
    net::SocketAddr,
    sync::{Arc, Once},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode},
};
use dfuse_http::IntegritySecret;
use dfuse_query::{Access, ApiError, ApiResult, Asking, Caller, ErrorCode, OpenAccess};
use dfuse_testkit::synthetic::SyntheticChain;
use serde_json::json;
use shake::{
    Shake256,
    digest::{ExtendableOutput, Update, XofReader},
};

use crate::support::{Answer, Options, TestChain};

fn synthetic() -> SyntheticChain {
    SyntheticChain::builder().seed(1).blocks(20).lib_lag(3).build()
}

async fn ask(chain: &TestChain, method: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method(method).uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    chain.request(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn preflights() {
    let chain = TestChain::small().await;
    let origin = ("origin", "https://example.com");
    for (path, asked) in [
        ("/v0/blocks", "authorization"),
        ("/v1/chain/push_transaction", "Content-Type, X-Eos-Push-Guarantee"),
        ("/nowhere", "authorization,content-type,x-requested-with,traceparent"),
        ("/healthz", ""),
    ] {
        let headers = [origin, ("access-control-request-method", "POST"), ("access-control-request-headers", asked)];
        let answer = ask(&chain, "OPTIONS", path, &headers).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
        assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, POST, OPTIONS");
        assert_eq!(answer.header("access-control-max-age"), "86400");
        let allowed = answer.header("access-control-allow-headers");
        for name in asked.to_ascii_lowercase().split(',').map(str::trim) {
            assert!(allowed.contains(name), "{name}");
        }
    }
    let (code, error) = ask(&chain, "OPTIONS", "/", &[origin]).await.error();
    assert_eq!(code, ErrorCode::RequestValidation);
    assert!(error["details"]["errors"]["Access-Control-Request-Method"].is_array());
    let answer = ask(&chain, "OPTIONS", "/", &[origin, ("access-control-request-method", "PUT")]).await;
    assert_eq!(answer.error().0, ErrorCode::MethodNotAllowed);
    assert_eq!(answer.header("allow"), "GET, HEAD, POST, OPTIONS");
    let headers =
        [origin, ("access-control-request-method", "GET"), ("access-control-request-headers", "accept, x-evil")];
    let (code, error) = ask(&chain, "OPTIONS", "/", &headers).await.error();
    assert_eq!((code, &error["details"]["header"]), (ErrorCode::CorsHeaderNotAllowed, &json!("x-evil")));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compressed_when_wanted() {
    let chain = TestChain::small().await;
    let uri = "/v0/blocks?limit=10";
    let plain = chain.get(uri).await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"));
    for (accept, encoding) in [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("br, gzip;q=0.1", "gzip"),
        ("*", "gzip"),
        ("br", ""),
        ("identity", ""),
        ("gzip;q=0", ""),
        ("gzip;q=0.2, identity;q=0.9", ""),
    ] {
        let answer = ask(&chain, "GET", uri, &[("accept-encoding", accept)]).await;
        assert_eq!((answer.status, answer.header("content-encoding")), (StatusCode::OK, encoding), "{accept}");
        assert_eq!(answer.header("vary"), "accept-encoding");
        let mut body = Vec::new();
        match encoding {
            "gzip" => flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut body).unwrap(),
            "deflate" => flate2::read::ZlibDecoder::new(&*answer.body).read_to_end(&mut body).unwrap(),
            _ => body.write(&answer.body).unwrap(),
        };
        assert!(body == plain.body, "{accept}");
    }
    let answer = ask(&chain, "GET", uri, &[("accept-encoding", "identity;q=0")]).await;
    assert_eq!(answer.error().0, ErrorCode::EncodingNotAcceptable);
    let answer = ask(&chain, "GET", "/v0/blocks", &[("accept-encoding", "gzip")]).await;
    assert_eq!(answer.error().0, ErrorCode::RequestValidation);
}

/// Lets in who has the token "good"; "bug" is one.
#[derive(Debug)]
struct Guard;

#[async_trait]
impl Access for Guard {
    async fn admit(&self, asking: &Asking<'_>) -> ApiResult<Caller> {
        match asking.token.unwrap_or_default() {
            "good" => Ok(Caller { start_block: Some(-3600), ..Caller::default() }),
            "bug" => panic!("a bug of token {asking:?}"),
            _ => Err(ApiError::unavailable("nobody is let in")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn access_is_checked_and_panics_are_answers() {
    let mut chain = TestChain::synthetic(synthetic(), Arc::new(Guard), Options::default()).await;
    chain.grow(usize::MAX).await;
    assert_eq!(chain.get("/v0/blocks?limit=1&token=good").await.status, StatusCode::OK);
    assert_eq!(chain.get("/v0/blocks?limit=1").await.error().0, ErrorCode::ServiceUnavailable);
    assert_eq!(chain.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(chain.get("/nowhere").await.error().0, ErrorCode::RouteNotFound);
    assert_eq!(ask(&chain, "DELETE", "/v0/blocks?token=good", &[]).await.error().0, ErrorCode::MethodNotAllowed);
    let (code, error) = chain.get("/v0/blocks?limit=1&token=bug").await.error();
    assert_eq!((code, &error["message"]), (ErrorCode::Unexpected, &json!("An unexpected error occurred.")));
    assert_eq!(error.get("details"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_a_list_of_conditions() {
    let max_head_age = Some(Duration::from_secs(60));
    let query = dfuse_query::Options { max_head_age, ..dfuse_query::Options::default() };
    let options = Options { query, ..Options::default() };
    let mut chain = TestChain::synthetic(synthetic(), Arc::new(OpenAccess), options).await;
    let answer = chain.get("/healthz").await;
    let (code, error) = answer.error();
    assert_eq!(code, ErrorCode::ServiceUnavailable);
    assert_eq!(error["details"]["conditions"], json!({"head_block": "no block yet"}));
    let readiness = &error["details"]["readiness"];
    assert_eq!(readiness["feed"], json!({"ready": false, "why": "no block yet"}));
    assert_eq!((&readiness["keys"], &readiness["schema"]["ready"]), (&json!({"ready": true}), &json!(true)));
    assert_eq!(error["details"].as_object().unwrap().len(), 2);
    assert_eq!(answer.header("retry-after"), "5");

    chain.grow(usize::MAX).await;
    let last = chain.blocks.last().unwrap().clone();
    let health = chain.get("/healthz").await.json();
    assert_eq!((&health["head"]["num"], &health["head"]["id"]), (&json!(last.number), &json!(last.id)));
    assert_eq!(health["head"]["age_seconds"], 0.0);
    assert_eq!(health["lib"]["num"], last.lib_num());
    let conditions = [
        "head_age",
        "head_block",
        "index_abi",
        "index_account-state",
        "index_accounts",
        "index_blocks",
        "index_code-hashes",
        "index_key-accounts",
        "index_permission-links",
        "index_rows",
        "index_scopes",
        "index_search",
        "index_store",
        "index_tokens",
        "index_transactions",
        "running",
    ];
    assert_eq!(health["conditions"], json!(conditions));

    // Everybody may ask, and learns nothing of where things are.
    assert_eq!(health.get("warnings"), None);
    chain.api().readiness().warn("open_files", "of /srv/dfuse there are few".to_owned());
    assert_eq!(chain.get("/healthz").await.json()["warnings"], json!({"open_files": "of ... there are few"}));
    let why = "blocks/one-blocks/7.zst: No space left on device, at /srv/dfuse/data (s3://bucket/x)";
    chain.api().readiness().set("block_store", Err(why.to_owned()));
    let (_, error) = chain.get("/healthz").await.error();
    let shown = "...: No space left on device, at ... (...)";
    assert_eq!(error["details"]["conditions"], json!({"block_store": shown}));
    chain.api().readiness().set("block_store", Ok(()));

    chain.api().readiness().set("node", Err("it does not answer".to_owned()));
    chain.clock.set(dfuse_antelope::BlockTimestamp(last.header.timestamp.0 + 122));
    let (_, error) = chain.get("/healthz").await.error();
    let conditions = json!({"node": "it does not answer", "head_age": "the head block is 61 seconds old"});
    assert_eq!(error["details"]["conditions"], conditions);
    // What is not ready still answers.
    assert_eq!(chain.get("/v0/blocks?limit=1").await.status, StatusCode::OK);
    chain.api().readiness().set("node", Ok(()));
    chain.clock.set(last.header.timestamp);
    assert_eq!(chain.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_requests_by_route() {
    let chain = TestChain::small().await;
    for uri in ["/v0/blocks?limit=1", "/v0/blocks?limit=2", "/v0/blocks", "/v0/blocks/00", "/secret/path", "/other"] {
        chain.get(uri).await;
    }
    ask(&chain, "BREW", "/v0/blocks", &[]).await;
    chain.get("/metrics").await;
    let answer = chain.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let head = chain.blocks.last().unwrap().number;
    for line in [
        "dfuse_http_requests_total{route=\"/v0/blocks\",method=\"GET\",status=\"200\"} 2",
        "dfuse_http_requests_total{route=\"/v0/blocks\",method=\"GET\",status=\"400\"} 1",
        "dfuse_http_requests_total{route=\"/v0/blocks\",method=\"other\",status=\"405\"} 1",
        "dfuse_http_requests_total{route=\"/v0/blocks/{id}\",method=\"GET\",status=\"400\"} 1",
        "dfuse_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 2",
        "dfuse_http_request_duration_seconds_count{route=\"none\"} 2",
        "dfuse_http_requests_in_flight 1",
        &format!("dfuse_head_block_number {head}"),
        "dfuse_index_live{index=\"blocks\"} 1",
        "dfuse_index_stalled 0",
        "dfuse_ready 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("secret"));
}

#[tokio::test]
async fn answers_are_proven_when_wanted() {
    let integrity_secret = Some(IntegritySecret::new("boo"));
    let http = dfuse_http::Options { integrity_secret, ..Default::default() };
    let options = Options { http, ..Options::default() };
    let mut chain = TestChain::synthetic(synthetic(), Arc::new(OpenAccess), options).await;
    chain.grow(usize::MAX).await;
    let wanted = ("x-data-integrity-proof", "true");
    let uri = "/v0/blocks?limit=20";
    let plain = ask(&chain, "GET", uri, &[]).await;
    let proven = ask(&chain, "GET", uri, &[wanted]).await;
    let packed = ask(&chain, "GET", uri, &[wanted, ("accept-encoding", "gzip")]).await;
    assert_eq!((plain.status, &plain.body), (StatusCode::OK, &proven.body));
    let mut hash = Shake256::default();
    hash.update(b"boo");
    hash.update(&plain.body);
    let mut proof = [0; 32];
    hash.finalize_xof().read(&mut proof);
    // It is of what the client has once it has unpacked the answer.
    for answer in [&proven, &packed] {
        assert_eq!(answer.header("x-data-integrity-proof"), const_hex::encode(proof));
    }
    assert_eq!(packed.header("content-encoding"), "gzip");
    let without = [
        ask(&chain, "GET", uri, &[("x-data-integrity-proof", "1")]).await,
        ask(&chain, "GET", "/v0/state/table", &[wanted]).await,
        ask(&TestChain::small().await, "GET", "/v0/blocks?limit=1", &[wanted]).await,
        plain,
    ];
    assert!(without.iter().all(|answer| !answer.headers.contains_key("x-data-integrity-proof")));
}

#[tokio::test]
async fn empty_segments_of_paths() {
    let chain = TestChain::small().await;
    let plain = chain.get("/v0/blocks?limit=2").await.body;
    for path in ["/v0/blocks/?limit=2", "//v0/blocks?limit=2", "/v0//blocks//?limit=2", "/v0/blocks///?limit=2"] {
        assert_eq!(chain.get(path).await.body, plain, "{path}");
    }
    let id = chain.blocks[5].id;
    assert_eq!(chain.get(&format!("/v0/blocks//{id}/")).await.json()["id"], json!(id));
    assert_eq!(chain.get("//healthz/").await.status, StatusCode::OK);
    let (code, error) = chain.get("//nowhere//else/").await.error();
    assert_eq!((code, &error["details"]["path"]), (ErrorCode::RouteNotFound, &json!("/nowhere/else")));
}

/// A body that nobody reads is no reason to refuse a request whose query says all.
#[tokio::test]
async fn bodies_beside_queries_that_are_complete() {
    let chain = TestChain::small().await;
    let post = async |uri: &str, media_type: &str, body: &str| {
        let request = Request::post(uri).header("content-type", media_type).body(Body::from(body.to_owned()));
        chain.request(request.unwrap()).await
    };
    let table = "/v0/state/table?account=eosio&table=global&scope=eosio";
    for (uri, media_type, body) in [
        ("/v0/blocks?limit=2", "application/json", "{\"limit\":3}"),
        (table, "application/json; charset=utf-8", "{}"),
        ("/v0/search/transactions?q=action:onblock&limit=1", "text/xml", "<a/>"),
        ("/v0/block_id/by_time?time=1000000000&comparator=gt", "multipart/form-data; boundary=x", "--x--"),
    ] {
        let answer = post(uri, media_type, body).await;
        assert_eq!((answer.status, &answer.body), (StatusCode::OK, &chain.get(uri).await.body), "{uri}");
    }
    // What is wrong with the query is told as ever; what it lacks may stand in the body.
    let (code, error) = post("/v0/blocks?limit=x", "application/json", "{}").await.error();
    assert_eq!((code, error["details"]["errors"]["limit"].is_array()), (ErrorCode::RequestValidation, true));
    let (code, error) = post("/v0/state/table?account=eosio", "application/json", "{}").await.error();
    assert_eq!((code, &error["details"]["media_type"]), (ErrorCode::MediaTypeUnsupported, &json!("application/json")));
}

/// A key of local chains, which everybody knows, in both forms.
const PRIVATE_KEYS: [&str; 2] = [
    "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3",
    "PVT_K1_2bfGi9rYsXQSXXTvJbDAPhHLQUojjaNLomdm3cEJ1XTzMqUt3V",
];

#[tokio::test]
async fn private_keys_are_not_repeated() {
    collect_log();
    let chain = TestChain::synthetic(synthetic(), Arc::new(OpenAccess), Options::default()).await;
    let mut answers = Vec::new();
    for key in PRIVATE_KEYS {
        let encoded = format!("%{:X}{}", key.as_bytes()[0], &key[1..]);
        let (code, error) = chain.get(&format!("/v0/state/key_accounts?public_key={key}")).await.error();
        let problem = error["details"]["errors"]["public_key"][0].as_str().unwrap();
        assert!(code == ErrorCode::RequestValidation && problem.contains("looks like a private key"), "{error}");
        for path in [
            format!("/v0/state/key_accounts?public_key={encoded}&block_num={key}"),
            format!("/v1/history/get_key_accounts?public_key={key}"),
            format!("/v0/state/abi?account={key}"),
            format!("/v0/state/table?account=a&table=t&scope={key}{key}&key_type={key}"),
            format!("/v0/simple_search?q={key}"),
            format!("/v0/search/transactions?q={key}:x"),
            format!("/v0/search/transactions?q=(data.memo:{key}"),
            format!("/v0/search/completion?prefix=data.memo:{key}"),
            format!("/v0/transactions/{key}"),
            format!("/v0/{encoded}"),
            format!("/{key}/x?{key}"),
            format!("/v1/chain/{key}/%"),
        ] {
            answers.push(chain.get(&path).await.body);
        }
        let form = Request::post("/v0/state/key_accounts").body(Body::from(format!("public_key={key}"))).unwrap();
        answers.push(chain.request(form).await.body);
        let body = json!({"account": key, "table": "t", "hex_rows": [key], key: 1}).to_string();
        let json = Request::post("/v0/state/abi/bin_to_json").body(Body::from(body)).unwrap();
        answers.push(chain.request(json).await.body);
    }
    let log = String::from_utf8(LOG.take().unwrap()).unwrap();
    assert!(log.lines().count() > 20);
    for text in answers.iter().map(|answer| String::from_utf8_lossy(answer)).chain([log.into()]) {
        for key in PRIVATE_KEYS {
            assert!(!text.contains(&key[1..]) && !text.contains(&key[8..40]), "{text}");
        }
    }
}

thread_local! {
    /// What a test on this thread wants to know of the log.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Writes the log of a thread where it is wanted.
struct ThreadLog;

impl Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| {
            if let Some(log) = log {
                log.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Collects the log of this thread from here on. The subscriber is that of the whole process: one of a single thread would be
/// asked by other threads, which have none, whether anybody wants a line.
fn collect_log() {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| {
        tracing_subscriber::fmt().json().with_max_level(tracing::Level::DEBUG).with_writer(|| ThreadLog).init();
    });
    LOG.set(Some(vec![]));
}

#[tokio::test]
async fn one_line_of_log_for_each_request() {
    collect_log();
    let query = dfuse_query::Options { readers: 0, ..dfuse_query::Options::default() };
    let options = Options { query, ..Options::default() };
    let chain = TestChain::synthetic(synthetic(), Arc::new(OpenAccess), options).await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let first = ask(&chain, "GET", "/nowhere?a=1&token=geheim", &[("traceparent", traceparent)]).await;
    let second = ask(&chain, "POST", "/", &[("traceparent", "x\tgeheim")]).await;
    // Whoever is connected, and for whom, if that can be true.
    for (forwarded, logged) in [("10.1.2.3, ::1", json!("10.1.2.3, ::1")), ("\"x\" 1", json!(null))] {
        let mut request =
            Request::get("/?token=geheim").header("x-forwarded-for", forwarded).body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4242))));
        chain.request(request).await;
        let log = LOG.with_borrow(|log| String::from_utf8(log.clone().unwrap()).unwrap());
        let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        assert_eq!((&line["fields"]["client"], &line["fields"]["forwarded_for"]), (&json!("192.0.2.7:4242"), &logged));
    }
    // There is no place to read, so this client waits, and leaves.
    tokio::select! {
        biased;
        _ = chain.get("/v0/blocks?limit=1") => {}
        () = std::future::ready(()) => {}
    }
    let log = String::from_utf8(LOG.take().unwrap()).unwrap();
    assert!(!log.contains("geheim"), "{log}");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<_> =
        lines.iter().filter(|line| line["target"] == "dfuse_api::request").map(|line| &line["fields"]).collect();
    assert_eq!(lines.len(), 5, "{log}");
    assert_eq!(
        *lines[0],
        json!({
            "message": "answered", "method": "GET", "path": "/nowhere?a=1&token=***", "status": 404, "micros": 0,
            "trace_id": first.trace_id(), "traceparent": traceparent,
        })
    );
    let expected = json!({
        "message": "answered", "method": "POST", "path": "/", "status": 405, "micros": 0, "trace_id": second.trace_id(),
    });
    assert_eq!(*lines[1], expected);
    assert_eq!((&lines[4]["message"], &lines[4]["status"]), (&json!("the client left"), &json!(0)));
    // What clients should not have asked is counted; lines are there for who looks for them.
    let mut requests = log.lines().filter(|line| line.contains("dfuse_api::request"));
    assert!(requests.all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["level"] == "DEBUG"));
}
