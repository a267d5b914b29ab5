//! Streams of heads; how many streams there may be, and how they end.

use dfuse_api::WebSocketOptions;
use dfuse_query::ErrorCode;
use dfuse_testkit::synthetic::{Fork, SyntheticChain};
use serde_json::{Value, json};

use super::{Client, serve};
use crate::support::TestChain;

fn head_info(req_id: &str, fetch: bool, listen: bool) -> Value {
    json!({"type": "get_head_info", "req_id": req_id, "fetch": fetch, "listen": listen, "start_block": 5, "with_progress": 1})
}

fn unlisten(req_id: &str) -> Value {
    json!({"type": "unlisten", "req_id": req_id, "data": {"req_id": req_id}})
}

/// What the feed says, by other means.
fn expected(chain: &TestChain, at: usize) -> Value {
    let block = &chain.blocks[at];
    let lib = chain.blocks.iter().find(|it| it.number == block.lib_num());
    let lib_id = lib.map_or_else(|| chain.blocks[0].header.previous, |lib| lib.id);
    let time = block.header.timestamp.to_string();
    json!({
        "last_irreversible_block_num": lib_id.block_num(),
        "last_irreversible_block_id": lib_id.to_string(),
        "head_block_num": block.number,
        "head_block_id": block.id.to_string(),
        "head_block_time": format!("{}Z", time.strip_suffix(".000").unwrap_or(time.trim_end_matches('0'))),
        "head_block_producer": block.header.producer.to_string(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_a_growing_chain() {
    let chain = SyntheticChain::builder().seed(5).blocks(20).lib_lag(4).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    let mut clients = [Client::connect(&listening).await, Client::connect(&listening).await];
    let [client, other] = &mut clients;
    assert_eq!(client.refused(head_info("f", true, false)).await.0, ErrorCode::HeadInfoNotReady);
    client.ask(head_info("before", true, true)).await;
    chain.grow(1).await;
    assert_eq!(client.of("head_info", "before").await, expected(&chain, 0));
    chain.grow(2).await;
    for at in 1..3 {
        assert_eq!(client.of("head_info", "before").await, expected(&chain, at));
    }
    other.ask(head_info("", false, true)).await;
    assert_eq!(other.of("head_info", "").await, expected(&chain, 2));
    while chain.grow(1).await > 0 {
        let now = expected(&chain, chain.blocks.len() - 1);
        assert_eq!(client.of("head_info", "before").await, now);
        assert_eq!(other.of("head_info", "").await, now);
    }
    client.ask(head_info("f", true, false)).await;
    assert_eq!(client.of("head_info", "f").await, expected(&chain, chain.blocks.len() - 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_after_a_fork() {
    let chain = SyntheticChain::builder().seed(6).blocks(20).lib_lag(8).fork(Fork::new(10, 2, 3)).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    chain.grow(3).await;
    let mut client = Client::connect(&listening).await;
    client.ask(head_info("h", false, true)).await;
    let mut heads = Vec::new();
    loop {
        heads.push(client.of("head_info", "h").await["head_block_id"].as_str().unwrap().to_owned());
        let best = chain.blocks.last().unwrap().id.to_string();
        // A losing branch's blocks are heads until a longer one is there.
        let on_side = chain.api().chain().feed.head().unwrap().id.to_string() != best;
        if (on_side || heads.last() == Some(&best)) && chain.grow(1).await == 0 {
            break;
        }
        while chain.api().chain().feed.head().unwrap().id != chain.blocks.last().unwrap().id {
            assert_eq!(chain.grow(1).await, 1);
        }
    }
    // All blocks, the winning branch's after the losing one's.
    let all: Vec<_> = chain.blocks[2..].iter().map(|block| block.id.to_string()).collect();
    assert_eq!(heads, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_counted_exactly() {
    let chain = SyntheticChain::builder().seed(7).blocks(5).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    chain.grow(usize::MAX).await;
    let mut client = Client::connect(&listening).await;
    let name = |at: usize| format!("s{at}");
    for at in 0..12 {
        client.ask(head_info(&name(at), false, true)).await;
        client.of("head_info", &name(at)).await;
    }
    let too_many = json!({"actual_listener_count": 12, "maximum_listener_count": 12});
    assert_eq!(client.refused(head_info("x", false, true)).await, (ErrorCode::WsTooManyStreams, too_many.clone()));
    let twice = client.refused(head_info("s3", false, true)).await;
    assert_eq!(twice, (ErrorCode::WsStreamAlreadyExists, json!({"request_id": "s3"})));
    // What is only fetched needs no place, and may have the name of a stream.
    client.ask(head_info("s3", true, false)).await;
    client.of("head_info", "s3").await;
    // Another connection has its own.
    let mut other = Client::connect(&listening).await;
    other.ask(head_info("s3", false, true)).await;
    other.of("head_info", "s3").await;
    for _ in 0..3 {
        client.ask(unlisten("s3")).await;
        assert_eq!(client.of("unlistened", "s3").await, json!({"success": true}));
        let gone = client.refused(unlisten("s3")).await;
        assert_eq!(gone, (ErrorCode::WsStreamNotFound, json!({"request_id": "s3"})));
        client.ask(head_info("s3", false, true)).await;
        client.of("head_info", "s3").await;
        assert_eq!(client.refused(head_info("x", false, true)).await.1, too_many);
    }
    let (code, _) = client.refused(json!({"type": "unlisten", "data": {"req_id": "x"}})).await;
    assert_eq!(code, ErrorCode::WsStreamNotFound);
    // Requests that fail take no place.
    client.ask(unlisten("s0")).await;
    client.of("unlistened", "s0").await;
    for _ in 0..20 {
        let below = json!({"type": "get_action_traces", "req_id": "y", "listen": true, "start_block": 1i64 << 40,
            "data": {"accounts": "eosio"}});
        assert_eq!(client.refused(below).await.0, ErrorCode::RequestValidation);
    }
    client.ask(head_info("s0", false, true)).await;
    client.of("head_info", "s0").await;
    let metrics = String::from_utf8(chain.get("/metrics").await.body.to_vec()).unwrap();
    for line in ["dfuse_websocket_connections 2\n", "dfuse_websocket_streams 13\n"] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

/// Nothing of a stream comes after `unlistened`, however much was on its way.
#[tokio::test(flavor = "multi_thread")]
async fn unlisten_is_the_last_word() {
    let chain = SyntheticChain::builder().seed(8).blocks(60).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    chain.grow(usize::MAX).await;
    let mut client = Client::connect(&listening).await;
    for _ in 0..20 {
        let all = json!({"type": "get_action_traces", "req_id": "a", "listen": true, "start_block": 1,
            "data": {"accounts": "eosio|eosio.token", "with_inline_traces": true}});
        client.ask(all).await;
        client.ask(unlisten("a")).await;
        let mut kinds = Vec::new();
        while kinds.last().is_none_or(|kind| kind != "unlistened") {
            kinds.push(client.message().await["type"].as_str().unwrap().to_owned());
        }
        client.ask(head_info("a", true, false)).await;
        client.of("head_info", "a").await;
    }
}
