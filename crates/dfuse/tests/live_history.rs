//! A real node that serves state history is followed while it is restarted, and while dfuse is killed.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{
    Server, assert_sound,
    nodes::{RealChain, answers, free_port, until},
    text,
};
use tempfile::TempDir;

/// Blocks that are awaited before each kill.
const BLOCKS: u64 = 6;
const KILLS: usize = 8;

fn head(server: &mut Server) -> u64 {
    server.get("/healthz").json()["head"]["num"].as_u64().unwrap_or(0)
}

async fn reaches(server: &mut Server, number: u64) {
    until("blocks", async || (head(server) >= number).then_some(())).await;
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_doubled() {
    let Some(chain) = RealChain::new() else { return };
    let address = free_port();
    let mut node = chain.with_history("node", &address);
    answers(&node.client).await;
    let data = TempDir::new().unwrap();
    let source = format!("ship:{address}");
    let start = || Server::start(&["--source", &source, "--data-dir", text(data.path())]);
    let mut last = 0;
    for at in 0..KILLS {
        let mut server = start();
        reaches(&mut server, last + BLOCKS).await;
        if at % 3 == 1 {
            // The node goes away under it, and comes again.
            node.stop();
            node = chain.with_history("node", &address);
            let before = head(&mut server);
            reaches(&mut server, before + BLOCKS).await;
        }
        last = head(&mut server);
        server.signal("KILL");
        server.wait();
    }
    let mut server = start();
    reaches(&mut server, last + BLOCKS).await;
    for number in 2..=last {
        let expected: Value =
            node.client.call("/v1/chain/get_block_info", &json!({"block_num": number})).await.unwrap();
        let found = server.get(&format!("/v0/blocks?skip={number}&limit=1")).json();
        assert_eq!(found[0]["id"], expected["id"], "{number}");
        let transactions = server.get(&format!("/v0/blocks/{}/transactions", expected["id"].as_str().unwrap())).json();
        assert_eq!(transactions["transactions"].as_array().unwrap().len(), 1, "onblock of {number}");
    }
    server.stop();
    assert_sound(data.path());
}
