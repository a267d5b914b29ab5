//! Streams of actions, against a filter that is written down naively.

use std::sync::Arc;

use dfuse_antelope::model::{Block, TransactionStatus};
use dfuse_api::WebSocketOptions;
use dfuse_testkit::synthetic::SyntheticChain;
use serde_json::{Value, json};

use super::{Client, serve};
use crate::support::TestChain;

fn request(data: &Value, start_block: i64) -> Value {
    json!({"type": "get_action_traces", "req_id": "a", "listen": true, "start_block": start_block, "data": data})
}

/// Block, transaction, position and name of all that the filter lets through.
pub(super) fn expected(block: &Block, accounts: &[&str], receivers: &[&str], names: &[&str]) -> Vec<Value> {
    let mut found = Vec::new();
    for trace in block.transaction_traces() {
        if trace.receipt.as_ref().is_none_or(|receipt| receipt.status != TransactionStatus::Executed) {
            continue;
        }
        for (idx, action) in trace.action_traces.iter().enumerate() {
            let (account, name) = (action.action.account.to_string(), action.action.name.to_string());
            if accounts.contains(&&*account)
                && receivers.contains(&&*action.receiver.to_string())
                && (names.is_empty() || names.contains(&&*name))
            {
                found.push(json!([block.number, block.id.to_string(), trace.id.to_string(), idx, account, name]));
            }
        }
    }
    found
}

pub(super) fn seen(data: &Value) -> Value {
    let act = &data["trace"]["act"];
    json!([data["block_num"], data["block_id"], data["trx_id"], data["idx"], act["account"], act["name"]])
}

async fn whole(seed: u64) -> (TestChain, super::Listening) {
    let chain = SyntheticChain::builder().seed(seed).blocks(60).random_forks(100, 3).lib_lag(12).build();
    serve(chain, WebSocketOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_history_to_the_head() {
    let (mut chain, listening) = whole(11).await;
    chain.grow(usize::MAX).await;
    let best = chain.best();
    let mut client = Client::connect(&listening).await;
    for (data, accounts, receivers, names) in [
        (json!({"accounts": "eosio.token"}), &["eosio.token"][..], &["eosio.token"][..], &[][..]),
        (
            json!({"accounts": "eosio.token| eosio", "action_names": "transfer|setabi"}),
            &["eosio.token", "eosio"],
            &["eosio.token", "eosio"],
            &["transfer", "setabi"],
        ),
        (
            json!({"accounts": "x", "account": "eosio", "receiver": "eosio", "action_name": "onblock"}),
            &["eosio"],
            &["eosio"],
            &["onblock"],
        ),
    ] {
        for start in [1, 30, -10] {
            let first = if start < 0 { i64::from(best.last().unwrap().number) + start } else { start };
            client.ask(request(&data, start)).await;
            assert_eq!(client.of("listening", "a").await["next_block"], first);
            let blocks = best.iter().filter(|block| i64::from(block.number) >= first);
            let wanted: Vec<_> = blocks.flat_map(|block| expected(block, accounts, receivers, names)).collect();
            for wanted in wanted {
                assert_eq!(seen(&client.of("action_trace", "a").await), wanted);
            }
            client.ask(json!({"type": "unlisten", "req_id": "a", "data": {"req_id": "a"}})).await;
            client.of("unlistened", "a").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retractions_undo_what_was_sent() {
    let (mut chain, listening) = whole(12).await;
    chain.grow(4).await;
    let mut client = Client::connect(&listening).await;
    let accounts = ["eosio", "eosio.token"];
    client.ask(request(&json!({"accounts": "eosio|eosio.token", "with_undo": true}), 1)).await;
    client.of("listening", "a").await;
    let mut other = Client::connect(&listening).await;
    other.ask(request(&json!({"accounts": "eosio|eosio.token"}), 1)).await;
    other.of("listening", "a").await;
    let (mut stack, mut undone, mut news) = (Vec::new(), 0, Vec::new());
    loop {
        let wanted: Vec<_> = chain.best().iter().flat_map(|block| expected(block, &accounts, &accounts, &[])).collect();
        while stack != wanted {
            let data = client.of("action_trace", "a").await;
            match data["step"].as_str().unwrap() {
                "new" => {
                    stack.push(seen(&data));
                    news.push(seen(&data));
                }
                "undo" => {
                    assert_eq!(stack.pop(), Some(seen(&data)), "last one first");
                    undone += 1;
                }
                step => panic!("{step}"),
            }
        }
        if chain.grow(1).await == 0 {
            break;
        }
        // Side branches are no news.
        while chain.api().chain().feed.head().unwrap().id != chain.blocks.last().unwrap().id {
            chain.grow(1).await;
        }
    }
    assert!(undone > 0);
    for wanted in news {
        let data = other.of("action_trace", "a").await;
        assert_eq!((seen(&data), data.get("step")), (wanted, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn irreversible_ones_come_once() {
    let (mut chain, listening) = whole(13).await;
    let mut client = Client::connect(&listening).await;
    let mut irreversible = request(&json!({"accounts": "eosio.token"}), 2);
    irreversible["irreversible_only"] = json!(true);
    irreversible["with_progress"] = json!(1);
    client.ask(irreversible).await;
    client.of("listening", "a").await;
    let mut done = 1;
    while chain.grow(1).await > 0 {
        let lib = chain.api().chain().feed.lib().unwrap().number;
        let best = chain.best();
        for block in best.iter().filter(|block| block.number > done && block.number <= lib) {
            for wanted in expected(block, &["eosio.token"], &["eosio.token"], &[]) {
                let mut message = client.message().await;
                while message["type"] == "progress" {
                    message = client.message().await;
                }
                assert_eq!(seen(&message["data"]), wanted);
            }
        }
        done = done.max(lib);
    }
    assert!(done > 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_rendered_once_for_each_filter() {
    let chain = SyntheticChain::builder().seed(15).blocks(40).missed_slots(0).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    chain.grow(20).await;
    let filters = [("eosio.token", false), ("eosio.token", true), ("eosio", false)];
    let mut clients = Vec::new();
    for (accounts, with_inline_traces) in filters.into_iter().cycle().take(30) {
        let mut client = Client::connect(&listening).await;
        let data = json!({"accounts": accounts, "with_inline_traces": with_inline_traces});
        // From the next block on.
        client.ask(request(&data, 22)).await;
        client.of("listening", "a").await;
        clients.push((client, accounts));
    }
    let mut rendered = 0;
    for _ in 0..10 {
        chain.grow(1).await;
        let block = chain.blocks.last().unwrap();
        for (client, accounts) in &mut clients {
            for wanted in expected(block, &[accounts], &[accounts], &[]) {
                assert_eq!(seen(&client.of("action_trace", "a").await), wanted);
            }
        }
        rendered +=
            filters.iter().filter(|(accounts, _)| !expected(block, &[accounts], &[accounts], &[]).is_empty()).count();
    }
    let metrics = String::from_utf8(chain.get("/metrics").await.body.to_vec()).unwrap();
    assert!(metrics.contains(&format!("dfuse_websocket_rendered_blocks_total {rendered}\n")), "{rendered} {metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_follows_all_of_a_block() {
    let chain = SyntheticChain::builder().seed(14).blocks(40).missed_slots(0).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    chain.grow(5).await;
    let mut client = Client::connect(&listening).await;
    let mut all = request(&json!({"accounts": "eosio"}), 0);
    all["with_progress"] = json!(-4);
    client.ask(all).await;
    assert_eq!(client.of("listening", "a").await["next_block"], 6);
    let accounts = ["eosio"];
    let next = |block: &Arc<Block>| expected(block, &accounts, &accounts, &[]);
    for wanted in next(&chain.blocks[4]) {
        assert_eq!(seen(&client.of("action_trace", "a").await), wanted);
    }
    while chain.grow(1).await > 0 {
        let block = chain.blocks.last().unwrap();
        for wanted in next(block) {
            assert_eq!(seen(&client.of("action_trace", "a").await), wanted);
        }
        // The clock goes by the chain: half a second a block.
        if block.number % 4 == 0 {
            let progress = json!({"block_num": block.number, "block_id": block.id.to_string()});
            assert_eq!(client.of("progress", "a").await, progress);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_can_be_asked_for() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    let data = json!({"accounts": "eosio|eosio.token|eosio.msig", "receivers": "eosio|eosio.token|eosio.msig", "with_inline_traces": 1, "with_dbops": true,
        "with_ramops": true, "with_dtrxops": true, "with_tableops": true});
    client.ask(request(&data, 2)).await;
    client.of("listening", "a").await;
    let accounts = ["eosio", "eosio.token", "eosio.msig"];
    let (mut nested, mut decoded) = (0, 0);
    let mut operations = [0; 4];
    for block in chain.best() {
        for wanted in expected(&block, &accounts, &accounts, &[]) {
            let data = client.of("action_trace", "a").await;
            assert_eq!(seen(&data), wanted);
            let trace =
                block.transaction_traces().iter().find(|it| json!(it.id.to_string()) == data["trx_id"]).unwrap();
            let idx = data["idx"].as_u64().unwrap() as u32;
            let counts = [
                trace.db_ops.iter().filter(|op| op.action_index == idx).count(),
                trace.ram_ops.iter().filter(|op| op.action_index == idx).count(),
                trace.dtrx_ops.iter().filter(|op| op.action_index == idx).count(),
                trace.table_ops.iter().filter(|op| op.action_index == idx).count(),
            ];
            for ((key, count), total) in
                ["dbops", "ramops", "dtrxops", "tableops"].into_iter().zip(counts).zip(&mut operations)
            {
                assert_eq!(data[key].as_array().map(Vec::len), (count > 0).then_some(count));
                *total += count;
            }
            nested += data["trace"]["inline_traces"].as_array().unwrap().len();
            decoded += usize::from(data["trace"]["act"].get("data").is_some());
        }
    }
    assert!(
        nested > 0 && decoded > 100 && operations.iter().all(|count| *count > 0),
        "{nested} {decoded} {operations:?}"
    );
}
