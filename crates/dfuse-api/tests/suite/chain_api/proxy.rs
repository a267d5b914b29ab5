//! Requests that are passed on.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode},
    response::IntoResponse,
};
use dfuse_api::ChainApiOptions;
use dfuse_node::rpc::{NodeClient, NodeOptions};
use dfuse_query::{ErrorCode, OpenAccess};
use futures::{StreamExt, future::join_all, stream};
use http_body_util::{BodyExt, BodyStream};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};

use super::{
    Guarded, chain, chain_with,
    fake::{FakeNode, nobody, refusal, reply},
    node_shaped, options, post,
};
use crate::support::{Options, TestChain};

#[tokio::test]
async fn what_is_passed_on_and_what_is_not() {
    let node = FakeNode::start(|_, _| {
        let mut answer = reply(202, &json!({"rows": [1]}));
        for (name, value) in [
            ("x-trace-id", "of-the-node"),
            ("keep-alive", "timeout=5"),
            ("access-control-allow-credentials", "true"),
            ("set-cookie", "session=secret"),
            ("set-cookie2", "session=secret"),
            ("alt-svc", "h3=\":443\""),
            ("strict-transport-security", "max-age=1"),
            ("clear-site-data", "\"*\""),
            ("upgrade", "h2c"),
            ("x-other", "kept"),
        ] {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        Some(answer)
    })
    .await;
    let chain = chain([node.client()]).await;
    let headers = [
        ("authorization", "Bearer secret"),
        ("proxy-authorization", "Basic secret"),
        ("cookie", "secret"),
        ("origin", "https://example.com"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("user-agent", "eosjs"),
        ("content-type", "application/json"),
        ("x-kept", "1"),
    ];
    let answer = chain.request(post("get_table_rows?token=secret", &headers, "{\"code\":\"eosio\"}")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::ACCEPTED, &b"{\"rows\":[1]}"[..]));
    assert_ne!(answer.trace_id(), "of-the-node");
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("x-other")), ("*", "kept"));
    let names: Vec<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
    for kept_back in [
        "keep-alive",
        "access-control-allow-credentials",
        "set-cookie",
        "set-cookie2",
        "alt-svc",
        "strict-transport-security",
        "clear-site-data",
        "upgrade",
    ] {
        assert!(!names.iter().any(|name| name == kept_back), "{kept_back} of {names:?}");
    }
    let got = &node.got()[0];
    assert_eq!((got.method.as_str(), got.target.as_str()), ("POST", "/v1/chain/get_table_rows"));
    assert_eq!(got.body, "{\"code\":\"eosio\"}");
    let mut names: Vec<_> = got.headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "content-type", "host", "user-agent", "x-kept"]);
    assert_eq!(got.headers["host"], node.url.trim_start_matches("http://"));
    // Other methods, and paths of more parts.
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let request = Request::builder().method(method).uri("/v1/chain/a/b_c").body(Body::empty()).unwrap();
        assert_eq!(chain.request(request).await.status, StatusCode::ACCEPTED);
        let got = node.got().pop().unwrap();
        assert_eq!((got.method.as_str(), got.target.as_str()), (method, "/v1/chain/a/b_c"));
    }
}

#[tokio::test]
async fn a_node_cannot_switch_protocols() {
    for protocol in ["websocket", "h2c", "anything"] {
        let node = FakeNode::start(move |_, got| {
            // A node that switches, whatever it was asked.
            if got.target.ends_with("get_info") {
                return Some(reply(200, &json!({})));
            }
            let mut answer = StatusCode::SWITCHING_PROTOCOLS.into_response();
            answer.headers_mut().insert("upgrade", protocol.parse().unwrap());
            answer.headers_mut().insert("connection", "upgrade".parse().unwrap());
            Some(answer)
        })
        .await;
        let chain = chain([node.client()]).await;
        let listening = chain.listen().await;
        for call in ["get_block", "push_transaction"] {
            let headers = [("connection", "upgrade"), ("upgrade", protocol)];
            node_shaped(&chain.request(post(call, &headers, "{}")).await, 503, 3_990_001);
            let got = node.got().into_iter().rfind(|got| got.target.ends_with(call)).unwrap();
            assert!(!got.headers.contains_key("upgrade") && !got.headers.contains_key("connection"), "{got:?}");
            // Over a connection that could become another one.
            let mut stream = tokio::net::TcpStream::connect(listening.address).await.unwrap();
            let request = format!(
                "POST /v1/chain/{call} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\
                 content-length: 2\r\n\r\n{{}}"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut head = vec![0; 12];
            stream.read_exact(&mut head).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&head), "HTTP/1.1 503");
        }
    }
}

#[tokio::test]
async fn requests_to_nodes_take_turns() {
    let (release, released) = tokio::sync::watch::channel(false);
    let node = FakeNode::start(move |_, _| {
        let mut released = released.clone();
        let body = stream::once(async move {
            released.wait_for(|released| *released).await.unwrap();
            Ok::<_, std::io::Error>("done")
        });
        Some(Body::from_stream(body).into_response())
    })
    .await;
    let client = NodeClient::new(
        &node.url,
        NodeOptions { at_work: Some(Arc::new(Semaphore::new(2))), ..NodeOptions::default() },
    );
    let options = ChainApiOptions { timeout: Duration::from_secs(3600), ..options([client.unwrap()]) };
    let chain = chain_with(options, Arc::new(OpenAccess)).await;
    // Two are answered as far as the node is; their answers go on.
    let first = chain.server.handle(post("get_block", &[], "{}")).await;
    let second = chain.server.handle(post("get_block", &[], "{}")).await;
    let third = chain.server.handle(post("get_block", &[], "{}"));
    let mut third = std::pin::pin!(third);
    assert!(futures::poll!(&mut third).is_pending());
    assert_eq!(node.got().len(), 2, "the third one is not with the node");
    // A client that leaves gives its turn away, and so does an answer that is read.
    drop(first);
    let third = third.await;
    assert_eq!(node.got().len(), 3);
    release.send(true).unwrap();
    for answer in [second, third] {
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "done");
    }
    let client = NodeClient::new(
        &node.url,
        NodeOptions { at_work: Some(Arc::new(Semaphore::new(0))), ..NodeOptions::default() },
    );
    let short = ChainApiOptions { timeout: Duration::from_millis(20), ..super::options([client.unwrap()]) };
    let chain = chain_with(short, Arc::new(OpenAccess)).await;
    let refused = chain.request(post("get_block", &[], "{}")).await;
    let error = node_shaped(&refused, 503, 3_990_001);
    assert_eq!(error["message"], "Too many requests are with the nodes at the moment.");
}

#[tokio::test]
async fn the_prefix_is_exact() {
    let node = FakeNode::always(200, json!({})).await;
    let chain = chain([node.client()]).await;
    for path in ["/v1/chainX", "/v1/chain_x/get_info", "/v1/history/get_actions"] {
        let (code, _) = chain.get(path).await.error();
        assert_eq!(code, ErrorCode::RouteNotFound, "{path}");
    }
    for path in
        ["/v1/chain", "/v1/chain/", "//v1//chain//", "/v1/chain/../producer/pause", "/v1/chain/%2e%2e/producer/pause"]
    {
        node_shaped(&chain.get(path).await, 404, 3_990_001);
    }
    node_shaped(&chain.get("/v1/chain/%zz").await, 400, 3_990_001);
    assert!(node.got().is_empty());
    // Empty segments are as if they were not there.
    for (path, target) in [
        ("/v1/chain//get_abi/", "/v1/chain/get_abi"),
        ("//v1/chain/a//b?x=//", "/v1/chain/a/b"),
        ("/v1//chain/get_table_rows//", "/v1/chain/get_table_rows"),
    ] {
        assert_eq!(chain.get(path).await.status, StatusCode::OK, "{path}");
        assert_eq!(node.got().pop().unwrap().target, target);
    }
}

#[tokio::test]
async fn without_a_node() {
    let chain = chain([]).await;
    let error = node_shaped(&chain.request(post("get_info", &[], "")).await, 503, 3_990_001);
    assert!(error["message"].as_str().unwrap().contains("No node is configured"), "{error}");
    let push = post("push_transaction", &[("x-eos-push-guarantee", "in-block")], "{}");
    node_shaped(&chain.request(push).await, 503, 3_990_001);
    // What is wrong with a request is told whether there is a node or not.
    for guarantee in ["in-blok", "handoff:4", "\u{e4}"] {
        let push = post("send_transaction", &[("x-eos-push-guarantee", guarantee)], "{}");
        let answer = chain.request(push).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{guarantee}");
        assert!(answer.json()["message"].as_str().unwrap().contains("is no guarantee"), "{guarantee}");
    }
}

#[tokio::test]
async fn nodes_that_fail() {
    // Nobody there, silence, a gateway's page.
    let silent = FakeNode::start(|_, _| None).await;
    let gateway = FakeNode::start(|_, _| Some((StatusCode::BAD_GATEWAY, "<html>").into_response())).await;
    for (client, message, requests) in [
        (nobody().await, "The node cannot be reached.", None),
        (silent.client(), "The node did not answer in time.", Some(&silent)),
        (gateway.client(), "What answered is not a node, or cannot reach it.", Some(&gateway)),
    ] {
        let options = ChainApiOptions { timeout: Duration::from_millis(20), ..options([client.clone()]) };
        let chain = chain_with(options, Arc::new(OpenAccess)).await;
        let answer = chain.request(post("get_account", &[], "{}")).await;
        let error = node_shaped(&answer, 503, 3_990_001);
        assert_eq!((error["message"].as_str().unwrap(), answer.header("retry-after")), (message, "5"));
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
        if let Some(node) = requests {
            assert_eq!(node.got().len(), 3, "two retries");
        }
        // A push that may have come through is not sent again.
        node_shaped(&chain.request(post("push_transaction", &[], "{}")).await, 503, 3_990_001);
        if let Some(node) = requests {
            assert_eq!(node.got().len(), 4);
        }
    }
}

#[tokio::test]
async fn what_the_node_says_passes_through() {
    for (status, body, call, requests) in [
        (500, refusal(3_060_002, "account_query_exception"), "get_account", 1),
        (
            404,
            json!({"code": 404, "message": "Not Found", "error": {"code": 0, "name": "", "what": "", "details": []}}),
            "nothing",
            1,
        ),
        (400, json!("not in the usual form"), "get_block", 1),
        // Too long for the moment.
        (500, refusal(3_080_006, "deadline_exception"), "get_table_rows", 3),
        (500, refusal(3_080_001, "ram_usage_exceeded"), "get_table_rows", 1),
        (500, refusal(3_080_004, "tx_cpu_usage_exceeded"), "push_transaction", 1),
        (500, refusal(3_080_004, "tx_cpu_usage_exceeded"), "send_transaction2", 1),
        (500, refusal(3_040_008, "tx_duplicate"), "push_transactions", 1),
        (202, json!({"transaction_id": "x"}), "push_transaction", 1),
    ] {
        let node = FakeNode::always(status, body.clone()).await;
        let answer = chain([node.client()]).await.request(post(call, &[], "{}")).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (status, body), "{call}");
        assert_eq!(node.got().len(), requests, "{call}");
        answer.trace_id();
    }
}

#[tokio::test]
async fn another_node_takes_over() {
    let good = FakeNode::always(200, json!({"ok": true})).await;
    let chain = chain([nobody().await, good.client()]).await;
    for request in 1..=6 {
        for (call, so_far) in [("get_account", 0), ("push_transaction", 1)] {
            assert_eq!(chain.request(post(call, &[], "{}")).await.status, StatusCode::OK);
            assert_eq!(good.got().len(), 2 * request - 1 + so_far);
        }
    }
    // One that is over a limit is not the only one.
    let busy = FakeNode::always(500, refusal(3_080_006, "deadline_exception")).await;
    let chain = super::chain([busy.client(), good.client()]).await;
    for _ in 0..4 {
        assert_eq!(chain.request(post("get_account", &[], "{}")).await.status, StatusCode::OK);
    }
    assert!(!busy.got().is_empty());
}

#[tokio::test]
async fn nodes_are_looked_at() {
    let info = |chain_id: &str, head: u32| {
        json!({"chain_id": chain_id.repeat(32), "head_block_num": head, "head_block_id": "00".repeat(32),
            "head_block_time": "2026-11-22T10:05:00.500", "head_block_producer": "eosio",
            "last_irreversible_block_num": 1, "last_irreversible_block_id": "00".repeat(32)})
    };
    let good = FakeNode::always(200, info("ab", 1000)).await;
    let behind = FakeNode::always(200, info("ab", 100)).await;
    let options =
        ChainApiOptions { health_interval: Duration::from_millis(5), ..options([behind.client(), good.client()]) };
    let chain = chain_with(options, Arc::new(OpenAccess)).await;
    let listening = chain.listen().await;
    // The second look begins when the first has been judged.
    behind.has_got(2).await;
    good.has_got(2).await;
    for _ in 0..4 {
        chain.request(post("get_account", &[], "{}")).await;
    }
    assert!(behind.got().iter().all(|got| got.target == "/v1/chain/get_info"));
    assert_eq!(good.got().iter().filter(|got| got.target == "/v1/chain/get_account").count(), 4);
    let metrics = String::from_utf8(chain.get("/metrics").await.body.to_vec()).unwrap();
    for (node, up) in [(&good, 1), (&behind, 0)] {
        assert!(metrics.contains(&format!("dfuse_chain_api_node_up{{node=\"{}\"}} {up}", node.url)), "{metrics}");
    }
    listening.stop.send(()).unwrap();
    listening.task.await.unwrap();
}

#[tokio::test]
async fn get_info_is_asked_once_for_all() {
    let node = FakeNode::start(|position, _| {
        Some(if position == 1 {
            reply(500, &refusal(3_100_000, "misc_exception"))
        } else {
            reply(200, &json!({"n": position}))
        })
    })
    .await;
    let chain = chain([node.client()]).await;
    let ask = async |body: &'static str| chain.request(post("get_info", &[], body)).await;
    let answers = join_all((0..20).map(|number| ask(if number % 2 == 0 { "" } else { "{}" }))).await;
    assert!(answers.iter().all(|answer| answer.json() == json!({"n": 0})));
    assert_eq!(chain.get("/v1/chain/get_info").await.json(), json!({"n": 0}));
    assert_eq!(node.got().len(), 1);
    // Half a second later it is another one; a failure is not kept.
    chain.clock.advance(Duration::from_millis(500));
    assert_eq!(ask("{}").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ask("{}").await.json(), json!({"n": 2}));
    chain.clock.advance(Duration::from_millis(499));
    assert_eq!(ask("{}").await.json(), json!({"n": 2}));
    // Who waits for one that fails is told so.
    let away = FakeNode::start(|_, _| Some((StatusCode::BAD_GATEWAY, "<html>").into_response())).await;
    let others = super::chain([away.client()]).await;
    let answers = join_all((0..20).map(|_| others.request(post("get_info", &[], "{}")))).await;
    answers.iter().for_each(|answer| drop(node_shaped(answer, 503, 3_990_001)));
    assert_eq!(away.got().len(), 3, "one request and its retries");
    // What the node would refuse, it refuses itself.
    assert_eq!(ask("{\"x\":1}").await.json(), json!({"n": 3}));
    assert_eq!(node.got()[3].body, "{\"x\":1}");
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let node = FakeNode::always(200, json!({})).await;
    let http = dfuse_http::Options { max_body_bytes: 1 << 20, ..Default::default() };
    let options = Options { http, chain_api: options([node.client()]), ..Options::default() };
    let chain = TestChain::made(options).await;
    let large = vec![b'x'; (1 << 20) + 1];
    node_shaped(
        &chain.request(post("get_block", &[("content-length", "1048577")], large.clone())).await,
        413,
        3_990_001,
    );
    assert!(node.got().is_empty());
    let pieces = large.chunks(1000).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
    let unsized_body = Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()));
    node_shaped(&chain.request(post("get_block", &[], unsized_body)).await, 413, 3_990_001);
    // The largest goes through, as it comes.
    let largest = &large[1..];
    for headers in [&[("content-length", "1048576")][..], &[]] {
        let body = Body::from_stream(stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(largest))]));
        assert_eq!(chain.request(post("get_block", headers, body)).await.status, StatusCode::OK);
        let got = node.got().pop().unwrap();
        assert_eq!(got.body.len(), 1 << 20);
        assert_eq!(got.headers.contains_key("content-length"), !headers.is_empty());
    }
    let push = post("push_transaction", &[("x-eos-push-guarantee", "in-block"), ("content-length", "1048577")], large);
    node_shaped(&chain.request(push).await, 413, 3_990_001);
}

#[tokio::test]
async fn answers_are_passed_on_as_they_come() {
    let (sender, parts) = futures::channel::mpsc::unbounded::<&str>();
    let parts = std::sync::Mutex::new(Some(parts));
    let node = FakeNode::start(move |_, _| {
        let parts = parts.lock().unwrap().take().unwrap().map(Ok::<_, std::io::Error>);
        Some(Body::from_stream(parts).into_response())
    })
    .await;
    let chain = chain([node.client()]).await;
    sender.unbounded_send("first").unwrap();
    let response = chain.server.handle(post("get_block", &[], "{}")).await;
    let mut body = BodyStream::new(response.into_body());
    let mut next = async || body.next().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(next().await, "first");
    sender.unbounded_send("second").unwrap();
    assert_eq!(next().await, "second");
}

#[tokio::test]
async fn a_node_that_stops_in_the_middle() {
    let node = FakeNode::start(|_, _| {
        let parts = stream::iter([Ok::<_, std::io::Error>("begun")]).chain(stream::pending());
        Some(Body::from_stream(parts).into_response())
    })
    .await;
    let options = ChainApiOptions { timeout: Duration::from_millis(50), ..options([node.client()]) };
    let chain = chain_with(options, Arc::new(OpenAccess)).await;
    let response = chain.server.handle(post("get_block", &[], "{}")).await;
    assert!(response.into_body().collect().await.is_err(), "an answer that ends is whole");
}

#[tokio::test]
async fn who_may_ask() {
    let node = FakeNode::always(200, json!({})).await;
    let guarantee = ("x-eos-push-guarantee", "in-block");
    let chain = chain_with(options([node.client()]), Arc::new(Guarded)).await;
    // As the node's own API, open unless told otherwise; but not the guarantee.
    assert_eq!(chain.request(post("get_account", &[], "{}")).await.status, StatusCode::OK);
    let refused = chain.request(post("push_transaction", &[guarantee], "{}")).await;
    node_shaped(&refused, 403, 3_990_001);
    assert_eq!(refused.header("retry-after"), "7");
    let options = ChainApiOptions { authenticate: true, ..options([node.client()]) };
    let chain = chain_with(options, Arc::new(Guarded)).await;
    node_shaped(&chain.request(post("get_account", &[], "{}")).await, 403, 3_990_001);
    let answer = chain.request(post("get_account", &[("authorization", "Bearer good")], "{}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    // Elsewhere errors have their usual form.
    assert_eq!(chain.get("/v0/nothing").await.error().0, ErrorCode::RouteNotFound);
}
