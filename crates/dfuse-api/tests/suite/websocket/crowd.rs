//! Many replays at once: what clients that read nothing make the server hold, and that nobody else is held up by them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dfuse_antelope::model::Block;
use dfuse_api::WebSocketOptions;
use dfuse_query::StreamOptions;
use dfuse_testkit::synthetic::SyntheticChain;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use super::{
    Client,
    actions::{expected, seen},
    serve_with,
};
use crate::support::{Listening, Options, TestChain};

const STREAMS: usize = 12;
const ACCOUNTS: [&str; 2] = ["eosio", "eosio.token"];

async fn grown(blocks: u32, options: Options) -> (TestChain, Listening) {
    let chain = SyntheticChain::builder().seed(41).blocks(blocks).missed_slots(0).lib_lag(20);
    let (mut chain, listening) = serve_with(chain.transactions_per_block(20..=22).build(), options).await;
    chain.grow(usize::MAX).await;
    (chain, listening)
}

/// A client whose side of the connection takes in little.
async fn narrow(listening: &Listening) -> Client<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    Client::over(socket.connect(listening.address).await.unwrap()).await
}

fn replay(at: usize, number: usize) -> Value {
    match number % 3 {
        0 => {
            json!({"type": "get_table_rows", "req_id": at.to_string(), "listen": true, "start_block": 2, "with_progress": 1,
            "data": {"code": "eosio.token", "table": "accounts", "scope": "user1", "json": true}})
        }
        other => json!({"type": "get_action_traces", "req_id": at.to_string(), "listen": true, "start_block": 2,
            "data": {"accounts": ACCOUNTS.join("|"), "with_inline_traces": other == 1, "with_dbops": true}}),
    }
}

/// The value of a metric; 0 if it was never counted.
async fn metric(chain: &TestChain, name: &str) -> u64 {
    let metrics = String::from_utf8(chain.get("/metrics").await.body.to_vec()).unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    value.unwrap_or_default() as u64
}

/// All that a stream of actions has to say.
fn all(best: &[Arc<Block>]) -> Vec<Value> {
    best.iter().flat_map(|block| expected(block, &ACCOUNTS, &ACCOUNTS, &[])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_replays_are_bounded_and_hold_up_nobody() {
    const CONNECTIONS: usize = 12;
    let streams = StreamOptions { memory_bytes: 4 << 20, ..StreamOptions::default() };
    let websocket = WebSocketOptions {
        // They are slow for as long as the test takes.
        slow_client_time: Duration::from_secs(3600),
        ..WebSocketOptions::default()
    };
    // Half of the memory is for what waits for clients; each may have made one message more than there was room for.
    let most = (streams.memory_bytes / 2 + CONNECTIONS * (64 << 10)) as u64;
    let query = dfuse_query::Options { streams, ..dfuse_query::Options::default() };
    let (chain, listening) = grown(150, Options { query, websocket, ..Options::default() }).await;
    let wanted = all(&chain.best());
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = narrow(&listening).await;
        for at in 0..STREAMS {
            client.ask(replay(at, at)).await;
        }
        clients.push(client);
    }
    let bounded = async || {
        let queued = metric(&chain, "dfuse_websocket_queued_bytes").await;
        assert!(queued <= most, "{queued} of {most}");
        queued
    };
    // What waits grows until all there is for so many connections is used.
    while bounded().await < (1 << 20) || metric(&chain, "dfuse_websocket_streams").await < 144 {
        tokio::task::yield_now().await;
    }
    // Whoever reads gets all of it, and so does a request.
    let mut reader = Client::connect(&listening).await;
    reader.ask(replay(1, 2)).await;
    reader.of("listening", "1").await;
    for (at, wanted) in wanted.iter().enumerate() {
        assert_eq!(&seen(&reader.of("action_trace", "1").await), wanted);
        if at % 100 == 0 {
            bounded().await;
        }
    }
    let id = chain.blocks[40].transaction_traces()[0].id;
    assert_eq!(chain.get(&format!("/v0/transactions/{id}")).await.status, 200);
    // One of those that did not read begins to: each of its streams is whole.
    let slow = &mut clients[0];
    let mut told: BTreeMap<usize, usize> = BTreeMap::new();
    while (0..STREAMS).any(|at| at % 3 != 0 && told.get(&at).is_none_or(|told| *told < wanted.len())) {
        let message = slow.message().await;
        if message["type"] != "action_trace" {
            assert!(
                message["type"] == "listening"
                    || message["req_id"].as_str().unwrap().parse::<usize>().unwrap() % 3 == 0
            );
            continue;
        }
        let told = told.entry(message["req_id"].as_str().unwrap().parse().unwrap()).or_default();
        assert_eq!(seen(&message["data"]), wanted[*told]);
        *told += 1;
    }
    bounded().await;
    // All that was held goes with the connections.
    drop((clients, reader));
    while metric(&chain, "dfuse_websocket_connections").await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bounded().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_made_once_for_all_replays() {
    let (chain, listening) = grown(60, Options::default()).await;
    let best = chain.best();
    let wanted = all(&best).len() * STREAMS;
    let clients = (0..6).map(async |_| {
        let mut client = Client::connect(&listening).await;
        for at in 0..STREAMS {
            client.ask(replay(at, 2)).await;
        }
        let mut told = 0;
        while told < wanted {
            let text = client.frame().await.unwrap().into_text().unwrap();
            told += usize::from(text.starts_with(r#"{"type":"action_trace""#));
        }
    });
    join_all(clients).await;
    let with_some = best.iter().filter(|block| !expected(block, &ACCOUNTS, &ACCOUNTS, &[]).is_empty()).count() as u64;
    assert_eq!(metric(&chain, "dfuse_websocket_rendered_blocks_total").await, with_some);
}
