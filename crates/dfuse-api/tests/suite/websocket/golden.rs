//! Every kind of message, as text: the order of keys counts, too.

use std::collections::BTreeMap;

use dfuse_api::WebSocketOptions;
use dfuse_testkit::{
    pretty,
    synthetic::{Fork, SyntheticChain},
};
use serde_json::{Value, json};

use super::{Client, serve};
use crate::support::{Listening, TestChain};

/// Two branches, of which the first loses.
async fn forked() -> (TestChain, Listening) {
    let chain = SyntheticChain::builder().seed(3).blocks(40).missed_slots(0).lib_lag(12).fork(Fork::new(36, 2, 3));
    serve(chain.build(), WebSocketOptions::default()).await
}

/// The next message as it comes, its trace id left out.
async fn text(client: &mut Client) -> String {
    let text = client.frame().await.unwrap().into_text().unwrap().to_string();
    match text.split_once("\"trace_id\":\"") {
        Some((before, after)) => format!("{before}\"trace_id\":\"...{}", &after[32..]),
        None => text,
    }
}

/// The text of the first message that `wanted` holds for.
async fn first(client: &mut Client, wanted: impl Fn(&Value) -> bool) -> String {
    loop {
        let text = text(client).await;
        if wanted(&serde_json::from_str(&text).unwrap()) {
            return text;
        }
    }
}

fn is(kind: &str) -> impl Fn(&Value) -> bool {
    move |message| message["type"] == kind
}

#[tokio::test(flavor = "multi_thread")]
async fn actions() {
    let (mut chain, listening) = forked().await;
    chain.grow(37).await;
    let mut client = Client::connect(&listening).await;
    let data = json!({"accounts": "eosio|eosio.token|app", "receivers": "eosio|eosio.token|app", "with_inline_traces": true, "with_dbops": true,
        "with_ramops": true, "with_dtrxops": true, "with_tableops": true, "with_undo": true});
    client.ask(json!({"type": "get_actions", "req_id": "a", "listen": true, "start_block": 1, "data": data})).await;
    let mut wanted = BTreeMap::from([
        ("dbops", "/data/dbops/0"),
        ("ramops", "/data/ramops/0"),
        ("tableops", "/data/tableops/0"),
        ("inline", "/data/trace/inline_traces/0"),
    ]);
    // What a branch has that comes and goes before the stream reads it is not sent: the stream must have come to the block that
    // is going to be undone.
    let head = chain.blocks.last().unwrap().id.to_string();
    let (mut kinds, mut has_head) = (0, false);
    while !wanted.is_empty() || !has_head {
        let text = text(&mut client).await;
        let message: Value = serde_json::from_str(&text).unwrap();
        has_head |= message["data"]["block_id"] == *head;
        let found: Vec<_> =
            wanted.iter().filter(|(_, path)| message.pointer(path).is_some()).map(|(name, _)| *name).collect();
        for name in found {
            insta::assert_snapshot!(format!("action_trace_{name}"), pretty(&text));
            wanted.remove(name);
            kinds += 1;
        }
    }
    assert_eq!(kinds, 4);
    while chain.grow(1).await > 0 {}
    let undo = first(&mut client, |message| message["data"]["step"] == "undo").await;
    insta::assert_snapshot!("action_trace_undo", pretty(&undo));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows() {
    let (mut whole, _) = forked().await;
    whole.grow(usize::MAX).await;
    // The last block that loses writes to it.
    let op = whole.blocks[36].transaction_traces().iter().flat_map(|trace| &trace.db_ops).next().unwrap();
    let (mut chain, listening) = forked().await;
    chain.grow(36).await;
    let mut client = Client::connect(&listening).await;
    let table = |req_id: &str, json: bool| {
        json!({"type": "get_table_rows", "req_id": req_id, "fetch": true, "listen": true,
            "data": {"code": op.code.to_string(), "scope": op.scope.to_string(), "table": op.table_name.to_string(), "json": json}})
    };
    for (req_id, json) in [("json", true), ("hex", false)] {
        client.ask(table(req_id, json)).await;
        first(&mut client, is("listening")).await;
    }
    // A row that has been there for long.
    for json in [true, false] {
        client.ask(json!({"type": "get_table_rows", "req_id": "row", "fetch": true,
            "data": {"code": "eosio.token", "scope": "........ehgp3", "table": "stat", "json": json, "with_block_num": json}})).await;
        let name = format!("table_snapshot_{}", if json { "json" } else { "hex" });
        insta::assert_snapshot!(name, pretty(&first(&mut client, is("table_snapshot")).await));
    }
    let mut texts = BTreeMap::new();
    // Both streams must have come to the block that is going to be undone.
    chain.grow(1).await;
    for mut wanted in [vec![("json", "new"), ("hex", "new")], vec![("json", "undo")]] {
        while !wanted.is_empty() {
            let text = text(&mut client).await;
            let message: Value = serde_json::from_str(&text).unwrap();
            let of = |(req_id, step): &(&str, &str)| message["req_id"] == *req_id && message["data"]["step"] == *step;
            if let Some(at) = wanted.iter().position(of) {
                texts.insert(wanted.remove(at), text);
            }
        }
        while chain.grow(1).await > 0 {}
    }
    for ((req_id, step), text) in texts {
        insta::assert_snapshot!(format!("table_delta_{req_id}_{step}"), pretty(&text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_others() {
    let (mut chain, listening) = forked().await;
    let mut client = Client::connect(&listening).await;
    let mut told = String::new();
    let mut tell = |text: String| {
        told += &text;
        told.push('\n');
    };
    let ask = async |client: &mut Client, request: Value| {
        client.ask(request).await;
        text(client).await
    };
    tell(ask(&mut client, json!({"type": "get_head_info", "req_id": "h", "fetch": true})).await);
    chain.grow(30).await;
    tell(ask(&mut client, json!({"type": "get_head_info", "req_id": "h", "fetch": true})).await);
    let actions = |data: Value| json!({"type": "get_action_traces", "req_id": "a", "listen": true, "with_progress": 32, "data": data});
    tell(ask(&mut client, actions(json!({"accounts": "nobody"}))).await);
    chain.grow(1).await;
    tell(text(&mut client).await);
    tell(ask(&mut client, actions(json!({"accounts": "nobody"}))).await);
    tell(ask(&mut client, actions(json!({}))).await);
    tell(ask(&mut client, json!({"type": "unlisten", "req_id": "u", "data": {"req_id": "a"}})).await);
    tell(ask(&mut client, json!({"type": "unlisten", "data": {"req_id": "a"}})).await);
    tell(ask(&mut client, json!({"type": "get_price", "req_id": "p", "fetch": true})).await);
    tell(ask(&mut client, json!({"type": "get_head_inf"})).await);
    client.text("{").await;
    tell(text(&mut client).await);
    tell(ask(&mut client, json!({"type": "get_head_info", "fetch": "yes"})).await);
    let id = "ab".repeat(32);
    let transaction = |id: &str| json!({"type": "get_transaction", "req_id": "t", "listen": true, "data": {"id": id}});
    tell(ask(&mut client, json!({"type": "get_transaction", "fetch": true, "data": {"id": id}})).await);
    insta::assert_snapshot!("others", told);
    // Settled long ago.
    let settled = chain.blocks[5].transaction_traces()[0].id.to_string();
    insta::assert_snapshot!("transaction_lifecycle", pretty(&ask(&mut client, transaction(&settled)).await));
    insta::assert_snapshot!("end_of_a_lifecycle", [text(&mut client).await, text(&mut client).await].join("\n"));
}
