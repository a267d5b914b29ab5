//! From a block in the node's log to a WebSocket client: the time from the last byte of the block's log to the first message of
//! the block, and to the last one.
//!
//! `cargo bench -p dfuse --bench latency`; the client, which asks for all transfers, shares the cores with the server.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use dfuse_antelope::Name;
use dfuse_testkit::synthetic::{ExpectedAction, Mix, SyntheticChain};
use serde_json::json;
use support::{Server, chain::Stream};

/// Between two blocks.
const PACE: Duration = Duration::from_millis(100);
/// Blocks before the client comes.
const BEFORE: usize = 150;
/// Blocks that are measured.
const BLOCKS: usize = 300;

const TOKEN: Name = Name::literal("eosio.token");
const TRANSFER: Name = Name::literal("transfer");

fn main() {
    println!(
        "| actions a block | log a block | first message p50 | p99 | last message p50 | p99 |\n|---|---|---|---|---|---|"
    );
    // A transaction makes some 10 action traces.
    for transactions in [1, 100] {
        measure(transactions);
    }
}

fn measure(transactions: u32) {
    let chain = SyntheticChain::builder().seed(3).mix(Mix::transfers()).users(200).lib_lag(30);
    let mut chain = chain.transactions_per_block(transactions..=transactions).blocks((BEFORE + BLOCKS) as u32).build();
    let folder = tempfile::tempdir().unwrap();
    let (mut server, mut node) = Server::piped(folder.path());
    node.write_all(chain.prelude()).unwrap();
    for block in chain.by_ref().take(BEFORE) {
        node.write_all(&block.lines).unwrap();
    }
    server.wait_for("ready");
    let data = json!({"accounts": "eosio.token", "action_names": "transfer"});
    let request = json!({"type": "get_action_traces", "req_id": "1", "listen": true, "data": data});
    let mut stream = Stream::open(&mut server, &request);
    stream.next(|message| message["type"] == "listening");
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let (mut actions, mut bytes) = (0, 0);
    for block in chain {
        let executed = block.facts.transactions.iter().filter(|transaction| !transaction.reverted);
        let executed: Vec<_> = executed.flat_map(|transaction| &transaction.actions).collect();
        actions += executed.len();
        bytes += block.lines.len();
        let is_told = |action: &&&ExpectedAction| action.receiver == TOKEN && action.action.name == TRANSFER;
        let told = executed.iter().filter(is_told).count();
        node.write_all(&block.lines).unwrap();
        let written = Instant::now();
        for message in 0..told {
            stream.next(|message| message["data"]["block_num"] == block.number);
            if message == 0 {
                first.push(written.elapsed());
            }
        }
        if told > 0 {
            last.push(written.elapsed());
        }
        thread::sleep(PACE.saturating_sub(written.elapsed()));
    }
    let mut at = |part: f64| {
        let of = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e3
        };
        (of(&mut first), of(&mut last))
    };
    let (p50, p99) = (at(0.5), at(0.99));
    println!(
        "| {} | {:.0} kB | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms |",
        actions / BLOCKS,
        bytes as f64 / BLOCKS as f64 / 1e3,
        p50.0,
        p99.0,
        p50.1,
        p99.1
    );
    drop(node);
    server.stop();
}
