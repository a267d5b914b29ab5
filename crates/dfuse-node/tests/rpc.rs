//! The client of nodeos' API, against a server that answers as nodes do, and as none does.
#![allow(clippy::unwrap_used)]

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use dfuse_antelope::model::PackedTransaction;
use dfuse_node::rpc::{NodeClient, NodeOptions, RpcError, full_body};
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::{Request, body::Frame};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const ID: &str = "0000000267f3e2284b482f3afc2e724be1d6cbc1804532ec62d4e7af47c30693";

struct Json(Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        self.0.to_string().into_response()
    }
}

fn parsed(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap()
}

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}")
}

fn client(url: &str) -> NodeClient {
    let options = NodeOptions { max_answer_bytes: 1000, ..NodeOptions::default() };
    NodeClient::new(url, options).unwrap()
}

fn refusal() -> Value {
    json!({"code": 500, "message": "Internal Service Error", "error": {
        "code": 3080004, "name": "tx_cpu_usage_exceeded", "what": "Transaction exceeded the current CPU usage limit",
        "details": [{"message": "billed too long", "file": "x.cpp", "line_number": 7, "method": "verify"}]}})
}

#[tokio::test]
async fn answers_are_typed() {
    let info = json!({
        "server_version": "7dd5b2b3", "chain_id": "ab".repeat(32), "head_block_num": 2,
        "last_irreversible_block_num": 1, "last_irreversible_block_id": ID, "head_block_id": ID,
        "head_block_time": "2026-11-22T10:05:00.500", "head_block_producer": "eosio", "virtual_block_cpu_limit": 400_400,
        "server_version_string": "v4.1.0-dev"
    });
    let features = json!([{"feature_digest": "cd".repeat(32), "subjective_restrictions": {"enabled": true},
        "description_digest": "ef".repeat(32), "dependencies": ["01".repeat(32)], "protocol_feature_type": "builtin",
        "specification": [{"name": "builtin_feature_codename", "value": "PREACTIVATE_FEATURE"}]}]);
    let echo =
        |body: Bytes| async move { Json(json!({"account_name": parsed(&body)["account_name"], "ram_usage": 7})) };
    let push = |body: Bytes| async move {
        assert_eq!(
            parsed(&body),
            json!({"signatures": [], "compression": "zlib", "packed_context_free_data": "", "packed_trx": "0102"})
        );
        (StatusCode::ACCEPTED, Json(json!({"transaction_id": "ab".repeat(32), "processed": {"id": "x"}})))
    };
    let activate = |body: Bytes| async move {
        assert_eq!(parsed(&body), json!({"protocol_features_to_activate": ["cd".repeat(32)]}));
        (StatusCode::CREATED, Json(json!({"result": "ok"})))
    };
    let snapshot = json!({"head_block_id": ID, "head_block_num": 2, "snapshot_name": "/s/snapshot.bin"});
    // Under a path, as behind a gateway.
    let routes = Router::new()
        .route("/node/v1/chain/get_info", post(async || Json(info)))
        .route("/node/v1/chain/get_account", post(echo))
        // With too much padding, as nodes write it.
        .route("/node/v1/chain/get_raw_abi", post(async || Json(json!({"account_name": "a", "abi": "DmVvc2lv===="}))))
        .route("/node/v1/chain/push_transaction", post(push))
        .route("/node/v1/producer/get_supported_protocol_features", post(async || Json(features)))
        .route("/node/v1/producer/schedule_protocol_feature_activations", post(activate))
        .route("/node/v1/producer/create_snapshot", post(async || (StatusCode::CREATED, Json(snapshot))));
    let url = serve(routes).await;
    let node = client(&format!("{url}/node/"));
    assert_eq!(node.url(), format!("{url}/node"));
    let info = node.get_info().await.unwrap();
    assert_eq!((info.head_block_num, info.head_block_id.to_string().as_str()), (2, ID));
    assert_eq!(
        (info.head_block_time.0, info.server_version_string.as_deref()),
        (1_795_341_900_500_000, Some("v4.1.0-dev"))
    );
    let account = node.get_account("alice".parse().unwrap()).await.unwrap();
    assert_eq!((&account["account_name"], &account["ram_usage"]), (&json!("alice"), &json!(7)));
    assert_eq!(node.get_raw_abi("alice".parse().unwrap()).await.unwrap(), b"\x0eeosio");
    let packed = PackedTransaction {
        compression: 1,
        packed_transaction: Bytes::from_static(&[1, 2]),
        ..PackedTransaction::default()
    };
    assert_eq!(node.push_transaction(&packed).await.unwrap().processed["id"], "x");
    let features = node.get_supported_protocol_features().await.unwrap();
    assert_eq!((features[0].name(), features[0].dependencies.len()), (Some("PREACTIVATE_FEATURE"), 1));
    node.schedule_protocol_feature_activations(&[features[0].feature_digest]).await.unwrap();
    let snapshot = node.create_snapshot(Duration::from_secs(60)).await.unwrap();
    assert_eq!((snapshot.snapshot_name.as_str(), snapshot.head_block_id.block_num()), ("/s/snapshot.bin", 2));
}

#[tokio::test]
async fn every_kind_of_failure_is_told() {
    let routes = Router::new()
        .route("/refuses", post(async || (StatusCode::INTERNAL_SERVER_ERROR, Json(refusal()))))
        .route("/page", post(async || (StatusCode::BAD_GATEWAY, "<html>\nnginx")))
        .route("/text", post(async || "not JSON"))
        .route("/long", post(async || "x".repeat(1001)))
        .route("/silent", post(async || pending::<()>().await))
        .route(
            "/torn",
            post(async || {
                let parts = stream::iter([Ok("{\"a\":"), Err(std::io::Error::other("torn"))]);
                Body::from_stream(parts).into_response()
            }),
        );
    let url = serve(routes).await;
    let node = client(&url);
    let fails = async |path: &str| node.call::<Value>(path, &json!({})).await.unwrap_err();
    let refused = fails("/refuses").await;
    let error = refused.refusal().unwrap();
    assert_eq!((error.code, error.error.code, error.error.details[0].line_number), (500, 3_080_004, 7));
    assert!(error.is_retryable() && !error.is_duplicate() && !error.is_expired());
    assert_eq!(
        refused.to_string(),
        format!(
            "the node at {url} refuses /refuses: Transaction exceeded the current CPU usage limit (tx_cpu_usage_exceeded, \
             3080004): billed too long"
        )
    );
    assert_eq!(serde_json::to_value(error).unwrap(), refusal());
    for (path, status, reason) in [
        ("/page", 502, "\"<html> nginx\""),
        ("/text", 200, "\"not JSON\""),
        ("/long", 200, "more than 1000 bytes"),
        ("/none", 404, "nothing"),
    ] {
        match fails(path).await {
            RpcError::Answer { status: found, reason: why, .. } => {
                assert!(found == status && why.contains(reason), "{path}: {found} {why}");
            }
            other => panic!("{path}: {other}"),
        }
    }
    let late = node.call_within::<Value>("/silent", &json!({}), Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(late, RpcError::Timeout { .. }), "{late}");
    assert!(matches!(fails("/torn").await, RpcError::Broken { .. }));
    let nobody = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let error = client(&nobody).get_info().await.unwrap_err();
    assert!(matches!(error, RpcError::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&nobody), "{error}");
}

#[tokio::test]
async fn bodies_are_streams_both_ways() {
    let echo = |body: Body| async move { Body::new(body) };
    let node = client(&serve(Router::new().route("/echo", post(echo))).await);
    let (sender, parts) = futures::channel::mpsc::unbounded::<Bytes>();
    let body = StreamBody::new(parts.map(|part| Ok::<_, dfuse_node::rpc::BoxError>(Frame::data(part)))).boxed_unsync();
    sender.unbounded_send(Bytes::from_static(b"first")).unwrap();
    let request = Request::post("/").body(body).unwrap();
    let response = node.forward("/echo?a=b", request, Duration::from_secs(60)).await.unwrap();
    let mut answer = BodyStream::new(response.into_body());
    let mut next = async || answer.next().await.unwrap().unwrap().into_data().unwrap();
    // The second part is sent when the first has come back.
    assert_eq!(next().await, "first");
    sender.unbounded_send(Bytes::from_static(b"second")).unwrap();
    assert_eq!(next().await, "second");
}

#[tokio::test]
async fn connections_are_used_again() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/", post(async |body: Bytes| body));
    let counted = accepted.clone();
    let listener = axum::serve::ListenerExt::tap_io(listener, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let node = client(&url);
    for _ in 0..5 {
        let response =
            node.forward("/", Request::post("/").body(full_body("x")).unwrap(), Duration::from_secs(60)).await;
        assert_eq!(response.unwrap().into_body().collect().await.unwrap().to_bytes(), "x");
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_no_address_is_refused() {
    for (url, shown, reason) in [
        ("127.0.0.1:8888", "127.0.0.1:8888", "relative URL without a base"),
        ("ftp://host", "ftp://host", "begin with http:// or https://"),
        ("http://user:secret@host", "http://***@host", "no user and no password"),
        ("http://host/?token=x", "http://host/?token=x", "no query"),
        ("", "", "relative URL"),
    ] {
        let error = NodeClient::new(url, NodeOptions::default()).unwrap_err().to_string();
        assert!(error.contains(&format!("\"{shown}\"")) && error.contains(reason), "{error}");
        assert!(!error.contains("secret"));
    }
    // Certificates are those of the system, if it has any.
    match NodeClient::new("https://host", NodeOptions::default()) {
        Ok(node) => assert_eq!(node.url(), "https://host"),
        Err(error) => assert!(error.to_string().contains("certificates"), "{error}"),
    }
}
