//! Questions that name a block which another machine had before: they wait for it, whatever they are asked with.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use dfuse_query::{ErrorCode, OpenAccess};
use dfuse_testkit::synthetic::SyntheticChain;
use serde_json::{Value, json};
use tokio::{task::yield_now, time::timeout};

use crate::{
    support::{Answer, Options, TestChain},
    websocket::{Client, GIVE_UP},
};

/// Blocks that one machine lacks.
const LACKING: usize = 3;

/// One that has all blocks, and one that lacks some, which waits for as long as it takes.
async fn machines() -> (TestChain, TestChain) {
    let chain = || SyntheticChain::builder().seed(5).blocks(40).missed_slots(0).lib_lag(12).build();
    let mut ahead = TestChain::synthetic(chain(), Arc::new(OpenAccess), Options::default()).await;
    let all = ahead.grow(usize::MAX).await;
    let query = dfuse_query::Options { ahead_wait: Duration::from_secs(3600), ..dfuse_query::Options::default() };
    let mut behind = TestChain::synthetic(chain(), Arc::new(OpenAccess), Options { query, ..Options::default() }).await;
    behind.grow(all - LACKING).await;
    (ahead, behind)
}

/// Returns when so many requests wait for a block.
async fn until_waiting(chain: &TestChain, requests: usize) {
    let metrics = chain.api().metrics();
    let line = format!("dfuse_requests_awaiting_block {requests}\n");
    let waiting = async {
        while !metrics.render().contains(&line) {
            yield_now().await;
        }
    };
    let in_time = timeout(GIVE_UP, waiting).await;
    assert!(in_time.is_ok(), "{requests} do not wait: {}", metrics.render());
}

/// Without what differs from one answer to another: a block may be answered from before it is known what is final with it.
fn content(answer: &Answer) -> (StatusCode, Value) {
    let mut json = answer.json();
    if let Some(object) = json.as_object_mut() {
        for key in ["trace_id", "last_irreversible_block_id", "last_irreversible_block_num"] {
            object.remove(key);
        }
    }
    (answer.status, json)
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_rest() {
    let (ahead, mut behind) = machines().await;
    let head = ahead.blocks.last().unwrap().clone();
    let number = head.number;
    let cursor = async |query: &str| {
        let page = ahead.get(&format!("/v0/search/transactions?{query}")).await.json();
        page["cursor"].as_str().filter(|cursor| !cursor.is_empty()).unwrap().to_owned()
    };
    let (forward, backward) =
        ("q=receiver:eosio&sort=asc&with_reversible=true", "q=receiver:eosio&sort=desc&limit=1&with_reversible=true");
    let from = format!("{forward}&start_block={}", number - 1);
    let of_final = "q=receiver:eosio&sort=desc&limit=1";
    let (after, before, final_before) = (cursor(&from).await, cursor(backward).await, cursor(of_final).await);
    let body = json!({"account": "eosio.token", "table": "accounts", "block_num": number, "hex_rows": ["00e1f5050000000004454f5300000000"]}).to_string();
    let requests = || {
        let paths = [
            format!("/v0/state/abi?account=eosio.token&block_num={number}&json=true"),
            format!("/v0/state/permission_links?account=eosio&block_num={number}"),
            format!("/v0/state/table?account=eosio.token&scope=eosio&table=accounts&block_num={number}"),
            format!("/v0/blocks/{}", head.id),
            format!("/v0/blocks/{}/transactions", head.id),
            format!("/v0/search/transactions?{forward}&start_block={number}"),
            format!("/v0/search/transactions?{forward}&cursor={after}"),
            format!("/v0/search/transactions?{backward}&cursor={before}"),
            format!("/v0/search/transactions?{of_final}&cursor={final_before}"),
        ];
        let posted = Request::post("/v0/state/abi/bin_to_json").header(header::CONTENT_TYPE, "application/json");
        let posted = posted.body(Body::from(body.clone())).unwrap();
        paths.iter().map(|path| get(path)).chain([posted]).collect::<Vec<_>>()
    };
    let mut wanted = Vec::new();
    for request in requests() {
        wanted.push((request.uri().to_string(), content(&ahead.request(request).await)));
    }
    for (uri, (status, answer)) in &wanted {
        assert_eq!(*status, StatusCode::OK, "{uri}: {answer}");
    }
    let mut asked = Vec::new();
    for request in requests() {
        let server = behind.server.clone();
        asked.push(tokio::spawn(async move { server.handle(request).await }));
    }
    until_waiting(&behind, asked.len()).await;
    behind.grow(usize::MAX).await;
    for (asked, (uri, wanted)) in asked.into_iter().zip(wanted) {
        let answer = Answer::of(asked.await.unwrap()).await;
        assert_eq!(content(&answer), wanted, "{uri}");
    }
    until_waiting(&behind, 0).await;
    // What no machine can have is told at once.
    let far = format!("/v0/state/permission_links?account=eosio&block_num={}", number + 1000);
    assert_eq!(behind.get(&far).await.error().0, ErrorCode::BlockNumAboveHead);
}

/// A block that does not come: the answer is that of one machine alone.
#[tokio::test(flavor = "multi_thread")]
async fn in_vain() {
    let (ahead, _) = machines().await;
    let chain = SyntheticChain::builder().seed(5).blocks(40).missed_slots(0).lib_lag(12).build();
    let query = dfuse_query::Options { ahead_wait: Duration::from_millis(1), ..dfuse_query::Options::default() };
    let mut behind = TestChain::synthetic(chain, Arc::new(OpenAccess), Options { query, ..Options::default() }).await;
    behind.grow(ahead.blocks.len() - LACKING).await;
    let head = ahead.blocks.last().unwrap();
    let search = "/v0/search/transactions?q=receiver:eosio&sort=asc&with_reversible=true";
    let cursor = ahead.get(&format!("{search}&start_block={}", head.number - 1)).await.json();
    let cursor = cursor["cursor"].as_str().unwrap();
    for (path, code) in [
        (format!("/v0/state/abi?account=eosio&block_num={}", head.number), ErrorCode::BlockNumAboveHead),
        (format!("/v0/blocks/{}", head.id), ErrorCode::BlockNotFound),
        (format!("{search}&cursor={cursor}"), ErrorCode::ServiceUnavailable),
    ] {
        assert_eq!(behind.get(&path).await.error().0, code, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_websocket() {
    let (ahead, mut behind) = machines().await;
    let number = ahead.blocks.last().unwrap().number;
    let data = json!({"code": "eosio.token", "scope": "eosio", "table": "accounts", "json": true});
    let rows = json!({"type": "get_table_rows", "req_id": "r", "fetch": true, "start_block": number, "data": data});
    let (of_first, of_second) = (ahead.listen().await, behind.listen().await);
    let mut first = Client::connect(&of_first).await;
    first.ask(rows.clone()).await;
    let wanted = first.of("table_snapshot", "r").await;
    let mut second = Client::connect(&of_second).await;
    second.ask(rows.clone()).await;
    until_waiting(&behind, 1).await;
    behind.grow(usize::MAX).await;
    assert_eq!(second.of("table_snapshot", "r").await, wanted);
    let mut far = rows;
    far["start_block"] = (number + 1000).into();
    assert_eq!(second.refused(far).await.0, ErrorCode::TableRowsInFuture);
}
