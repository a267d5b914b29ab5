//! Killed again and again while it takes blocks, the process answers in the end as if nothing had happened.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a moment to kill at is a time, not an event")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use serde_json::Value;
use support::{Server, assert_sound, text};
use tempfile::TempDir;

/// How often the process is killed.
const KILLS: u32 = 50;

/// The recorded chain with forks.
const LOG: &str = "fork/fork.dmlog.zst";

/// Heights, and ids of blocks and transactions of all branches.
#[derive(Default)]
struct Chain {
    ids: Vec<String>,
    transactions: BTreeSet<String>,
    times: BTreeSet<String>,
}

impl Chain {
    fn read() -> Option<Self> {
        let mut reader = Reader::new(recorded::open(LOG)?);
        let mut chain = Self::default();
        while let Some(event) = reader.next_event().unwrap() {
            if let Event::Block(block) = event {
                chain.ids.push(block.id.to_string());
                chain.times.insert(block.header.timestamp.to_string());
                chain.transactions.extend(block.transactions().iter().map(|receipt| receipt.id.to_string()));
                chain.transactions.extend(block.transaction_traces().iter().map(|trace| trace.id.to_string()));
            }
        }
        Some(chain)
    }

    /// Every answer that there is, without what differs from request to request.
    fn answers(&self, server: &mut Server) -> Vec<(String, u16, Value)> {
        let blocks = self.ids.iter().map(|id| format!("/v0/blocks/{id}"));
        let inside = self.ids.iter().map(|id| format!("/v0/blocks/{id}/transactions?limit=100"));
        let transactions = self.transactions.iter().map(|id| format!("/v0/transactions/{id}"));
        let by_time = ["eq", "gt", "lte"];
        let times = self.times.iter().flat_map(|time| {
            by_time.iter().map(move |comparator| format!("/v0/block_id/by_time?time={time}Z&comparator={comparator}"))
        });
        let queries = ["action:onblock", "-action:onblock", "data.to:*%20notif:true", "auth:eosio*", "data.memo:*"];
        let searches = queries.iter().flat_map(|query| {
            let pages = [(0, "asc"), (0, "desc"), (60, "asc"), (40, "desc")];
            let page = move |(start, sort)| format!("transactions?q={query}&start_block={start}&sort={sort}&limit=50");
            let asked = pages.into_iter().map(page).chain([format!("count?q={query}")]);
            asked.map(|asked| format!("/v0/search/{asked}&with_reversible=true"))
        });
        let paths: Vec<String> = blocks.chain(inside).chain(transactions).chain(times).chain(searches).collect();
        let answer = |path: String| {
            let answer = server.get(&path);
            let mut json = answer.json();
            if let Some(object) = json.as_object_mut() {
                object.remove("trace_id");
            }
            (path, answer.status, json)
        };
        paths.into_iter().map(answer).collect()
    }
}

/// A data directory with the cursors' key that all of them have.
fn data_dir(folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("cursor.key"), [7; 32]).unwrap();
    path
}

/// Numbers that look random, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn serve_from_file(log: &Path, data: &Path) -> Server {
    Server::start(&["--source", &format!("deep-mind:{}", text(log)), "--data-dir", text(data)])
}

/// From a pipe: what the process has taken is not sent to it again by a node, so every block is durable at once.
fn serve_from_pipe(log: &Path, data: &Path) -> Server {
    let mut server = Server::start_with(&["--source", "deep-mind:-", "--data-dir", text(data)], Stdio::piped());
    let (mut stdin, content) = (server.stdin(), fs::read(log).unwrap());
    // It breaks when the process is killed.
    thread::spawn(move || drop(stdin.write_all(&content)));
    server
}

#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let Some(chain) = Chain::read() else { return };
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    fs::write(&log, recorded::bytes(LOG).unwrap()).unwrap();

    let whole = data_dir(&folder, "whole");
    let mut server = serve_from_file(&log, &whole);
    server.wait_for("the source has no more blocks");
    server.wait_for("ready");
    let wanted = chain.answers(&mut server);
    assert!(wanted.len() > 3000 && wanted.iter().filter(|(_, status, _)| *status == 200).count() > 2500);
    server.stop();

    for (name, serve) in [("file", serve_from_file as fn(&Path, &Path) -> Server), ("pipe", serve_from_pipe)] {
        let data = data_dir(&folder, name);
        let mut random = Random(11);
        for _ in 0..KILLS / 2 {
            let server = serve(&log, &data);
            // From before it has opened anything until after it has taken all.
            thread::sleep(Duration::from_millis(random.below(2000)));
            server.signal("KILL");
        }
        let mut server = serve(&log, &data);
        server.wait_for("the source has no more blocks");
        server.wait_for("ready");
        for (found, wanted) in chain.answers(&mut server).iter().zip(&wanted) {
            assert_eq!(found, wanted, "{name}");
        }
        server.stop();
        assert_sound(&data);
    }
}
