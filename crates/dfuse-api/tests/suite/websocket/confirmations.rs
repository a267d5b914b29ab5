//! `confirmations`: as if the chain ended so many blocks below its head.

use dfuse_api::WebSocketOptions;
use dfuse_query::ErrorCode;
use dfuse_testkit::synthetic::SyntheticChain;
use serde_json::{Value, json};

use super::{Client, serve};
use crate::support::TestChain;

const CONFIRMATIONS: u32 = 3;

fn confirmed(mut request: Value) -> Value {
    request["confirmations"] = CONFIRMATIONS.into();
    request
}

fn head_info(fetch: bool) -> Value {
    confirmed(json!({"type": "get_head_info", "req_id": "h", "fetch": fetch, "listen": !fetch}))
}

fn head(chain: &TestChain) -> u32 {
    chain.api().chain().feed.head().unwrap().number
}

#[tokio::test(flavor = "multi_thread")]
async fn heads() {
    let chain = SyntheticChain::builder().seed(31).blocks(40).lib_lag(12).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    let mut client = Client::connect(&listening).await;
    chain.grow(CONFIRMATIONS as usize).await;
    assert_eq!(client.refused(head_info(true)).await.0, ErrorCode::HeadInfoNotReady);
    client.ask(head_info(false)).await;
    for number in 2..20 {
        chain.grow(1).await;
        assert_eq!(head(&chain), number + CONFIRMATIONS);
        assert_eq!(client.of("head_info", "h").await["head_block_num"], number);
    }
    client.ask(head_info(true)).await;
    assert_eq!(client.of("head_info", "h").await["head_block_num"], 19);
    let mut all = head_info(true);
    all["confirmations"] = u32::MAX.into();
    client.ask(all).await;
    assert_eq!(client.of("head_info", "h").await["head_block_num"], chain.api().chain().feed.lib().unwrap().number);
    for (confirmations, code) in [
        (json!(-1), ErrorCode::WsMessageDataValidation),
        (json!(1u64 << 32), ErrorCode::WsMessageDataValidation),
        (json!("3"), ErrorCode::WsInvalidJsonMessageData),
        (json!(1.5), ErrorCode::WsInvalidJsonMessageData),
    ] {
        let mut request = head_info(true);
        request["confirmations"] = confirmations;
        assert_eq!(client.refused(request).await.0, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycles() {
    let chain = SyntheticChain::builder().seed(32).blocks(60).missed_slots(0).lib_lag(12).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    chain.grow(20).await;
    let mut client = Client::connect(&listening).await;
    let block = chain.blocks.last().unwrap().clone();
    let id = block.transaction_traces()[0].id.to_string();
    let request = |fetch: bool| {
        confirmed(
            json!({"type": "get_transaction", "req_id": "t", "fetch": fetch, "listen": !fetch, "data": {"id": id}}),
        )
    };
    client.ask(request(false)).await;
    client.of("listening", "t").await;
    let mut messages = Vec::new();
    while messages.len() < 2 {
        let confirmed = head(&chain) >= block.number + CONFIRMATIONS;
        let mut other = Client::connect(&listening).await;
        if confirmed {
            other.ask(request(true)).await;
            let lifecycle = &other.of("transaction_lifecycle", "t").await["lifecycle"];
            assert_eq!(lifecycle["id"], id);
            let due = if lifecycle["execution_irreversible"] == true { 2 } else { 1 };
            while messages.len() < due {
                let message = client.of("transaction_lifecycle", "t").await;
                messages.push((head(&chain), message["lifecycle"]["execution_irreversible"].clone()));
            }
        } else {
            assert_eq!(other.refused(request(true)).await.0, ErrorCode::TransactionNotFound);
        }
        chain.grow(1).await;
    }
    assert_eq!(messages[0], (block.number + CONFIRMATIONS, json!(false)));
    assert_eq!(messages[1].1, true);
    client.of("complete", "t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_not_confirmed_are_in_the_future() {
    let chain = SyntheticChain::builder().seed(33).blocks(30).lib_lag(12).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    chain.grow(2).await;
    let mut client = Client::connect(&listening).await;
    let request = |start_block: u32| {
        confirmed(
            json!({"type": "get_table_rows", "req_id": "t", "fetch": true, "listen": true, "start_block": start_block,
            "data": {"code": "eosio", "scope": "eosio", "table": "global"}}),
        )
    };
    // There is nothing yet that is confirmed.
    client.ask(request(0)).await;
    assert_eq!(client.of("table_snapshot", "t").await, json!({"rows": []}));
    assert_eq!(client.of("listening", "t").await, json!({"next_block": 2}));
    chain.grow(20).await;
    let number = head(&chain);
    let in_future = client.refused({
        let mut request = request(number - CONFIRMATIONS + 1);
        request["req_id"] = "u".into();
        request
    });
    assert_eq!(in_future.await.0, ErrorCode::TableRowsInFuture);
}
