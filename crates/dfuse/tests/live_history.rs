//! A real node that serves state history is followed while it is restarted, killed, and splits and removes its logs, and while dfuse
//! is killed. `DFUSE_TEST_KILLS` says how often it is, if not a few times.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{
    Server, assert_sound,
    nodes::{RealChain, RealNode, answers, free_port, until},
    text,
};
use tempfile::TempDir;

/// Blocks that are awaited before each kill.
const BLOCKS: u64 = 2;
const KILLS: usize = 30;

fn head(server: &mut Server) -> u64 {
    server.get("/healthz").json()["head"]["num"].as_u64().unwrap_or(0)
}

async fn reaches(server: &mut Server, number: u64) {
    until("blocks", async || (head(server) >= number).then_some(())).await;
}

/// Ids of the blocks of the best chain from the second to that one.
fn ids(server: &mut Server, last: u64) -> Vec<Value> {
    let mut block = |number| server.get(&format!("/v0/blocks?skip={number}&limit=1")).json()[0]["id"].take();
    (2..=last).map(&mut block).collect()
}

/// Asserts that the server has each block up to that one once, as the node has it, with what happened in it.
async fn assert_same(server: &mut Server, node: &RealNode, last: u64) {
    let found = ids(server, last);
    for (number, found) in (2..=last).zip(&found) {
        let expected: Value =
            node.client.call("/v1/chain/get_block_info", &json!({"block_num": number})).await.unwrap();
        assert_eq!(*found, expected["id"], "{number}");
        let transactions = server.get(&format!("/v0/blocks/{}/transactions", found.as_str().unwrap())).json();
        assert_eq!(transactions["transactions"].as_array().unwrap().len(), 1, "onblock of {number}");
    }
}

fn start(source: &str, data: &Path) -> Server {
    Server::start(&["--source", source, "--data-dir", text(data)])
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_doubled() {
    let Some(chain) = RealChain::new() else { return };
    let kills = std::env::var("DFUSE_TEST_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let address = free_port();
    let mut node = chain.with_history("node", &address, &[]);
    answers(&node.client).await;
    let data = TempDir::new().unwrap();
    let source = format!("ship:{address}");
    let mut last = 0;
    for at in 0..kills {
        let mut server = start(&source, data.path());
        reaches(&mut server, last + BLOCKS).await;
        if at % 6 == 3 {
            // The node goes away under it, and comes again: stopped, or killed, when its last block gives way to another.
            if at % 12 == 3 {
                node.stop();
                node = chain.with_history("node", &address, &[]);
            } else {
                drop(node);
                node = chain.killed_with_history("node", &address);
            }
            let before = head(&mut server);
            reaches(&mut server, before + BLOCKS).await;
        }
        last = head(&mut server);
        server.signal("KILL");
        server.wait();
    }
    let mut server = start(&source, data.path());
    reaches(&mut server, last + BLOCKS).await;
    assert_same(&mut server, &node, last).await;
    server.stop();
    assert_sound(data.path());
}

/// Logs are split every few blocks, and old parts are put elsewhere.
const SPLIT: [&str; 4] = [
    "state-history-stride = 5",
    "max-retained-history-files = 2",
    "blocks-log-stride = 5",
    "max-retained-block-files = 2",
];

#[tokio::test]
async fn logs_that_are_split_and_moved_are_followed() {
    let Some(chain) = RealChain::new() else { return };
    let address = free_port();
    let node = chain.with_history("node", &address, &SPLIT);
    answers(&node.client).await;
    let folder = TempDir::new().unwrap();
    let (of_logs, of_node) = (folder.path().join("logs"), folder.path().join("node"));
    let logs = format!("ship-log:{}", chain.data("node").display());
    let source = format!("ship:{address}");
    let (mut reading, mut asking) = (start(&logs, &of_logs), start(&source, &of_node));
    for end in [12, 24, 36] {
        reaches(&mut reading, end).await;
        reading.signal("KILL");
        reading.wait();
        reading = start(&logs, &of_logs);
    }
    reaches(&mut reading, 45).await;
    reaches(&mut asking, 45).await;
    let archive = chain.data("node").join("state-history/archive");
    assert!(std::fs::read_dir(&archive).unwrap().count() > 10, "old parts are there");
    // The node itself does not look into its archive; ids of blocks say which ones are before them.
    let info = node.client.get_info().await.unwrap();
    let (number, id) = (info.last_irreversible_block_num, info.last_irreversible_block_id.to_string());
    for server in [&mut reading, &mut asking] {
        reaches(server, number.into()).await;
        let found = ids(server, number.into());
        assert_eq!(found.last().unwrap(), &id);
        assert!(found.iter().all(Value::is_string), "{found:?}");
    }

    // What is gone is told, and not taken for nothing.
    reading.stop();
    asking.stop();
    // The node needs the folder itself.
    for part in std::fs::read_dir(&archive).unwrap() {
        std::fs::remove_file(part.unwrap().path()).unwrap();
    }
    start(&logs, &of_logs).fails(1, "has no entry of block");
    let mut asking = start(&source, &of_node);
    let unready = until("what is wrong", async || {
        let answer = asking.get("/healthz").json();
        answer["details"]["conditions"]["source_connection"].as_str().map(str::to_owned)
    });
    let unready = unready.await;
    assert!(unready.contains("has traces from block") && unready.contains("is wanted"), "{unready}");
    // It goes on serving what it has.
    let found = asking.get("/v0/blocks?skip=40&limit=1").json();
    assert_eq!(found[0]["block_num"], 40, "{found}");
    asking.stop();
}
