//! `dfuse start --snapshot`: a start in mid-chain answers as one from the first block does.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use dfuse_testkit::{compare::without_keys, recorded};
use serde_json::{Value, json};
use support::{Server, text};
use tempfile::TempDir;

const SNAPSHOT: &str = "snapshots/small-345.bin.zst";
const LOG: &str = "small/small.dmlog.zst";

/// Without what tells where state begins, and in which block a row was written that is older than that.
fn comparable(answer: Value) -> Value {
    without_keys(answer, &["state_from_block", "complete", "block", "trace_id"])
}

/// Everything that is asked of state, at a height.
fn questions(number: u32) -> Vec<String> {
    let answers = recorded::json("small/answers.json.gz").unwrap();
    let mut paths = Vec::new();
    for key in answers["raw_tables"].as_object().unwrap().keys() {
        let [code, scope, table] = key.split('/').collect::<Vec<_>>()[..] else { panic!("{key}") };
        let at = format!("block_num={number}");
        paths.push(format!("/v0/state/table?account={code}&scope={scope}&table={table}&{at}"));
        paths.push(format!("/v0/state/table?account={code}&scope={scope}&table={table}&json=true&{at}"));
        paths.push(format!("/v0/state/table_scopes?account={code}&table={table}&{at}"));
    }
    for account in answers["account"].as_object().unwrap().keys() {
        paths.push(format!("/v0/state/permission_links?account={account}&block_num={number}"));
        paths.push(format!("/v0/state/abi?account={account}&json=true&block_num={number}"));
        paths.push(format!("/v0/state/code_hash?account={account}&block_num={number}"));
    }
    paths
}

/// What is only known at the head.
fn questions_at_head() -> Vec<String> {
    let answers = recorded::json("small/answers.json.gz").unwrap();
    let accounts = answers["account"].as_object().unwrap().keys();
    let mut paths: Vec<_> = accounts.map(|account| format!("/v0/accounts/{account}/balances")).collect();
    paths.push("/v0/tokens".into());
    paths
}

#[test]
fn a_start_with_a_snapshot_answers_as_one_from_the_first_block() {
    let (Some(snapshot), Some(log)) = (recorded::find(SNAPSHOT), recorded::find(LOG)) else { return };
    let folder = TempDir::new().unwrap();
    let source = format!("deep-mind:{}", text(&log));
    let [late, whole] = ["late", "whole"].map(|name| folder.path().join(name));
    let mut servers = [
        Server::start(&["--source", &source, "--data-dir", text(&late), "--snapshot", text(&snapshot)]),
        Server::start(&["--source", &source, "--data-dir", text(&whole)]),
    ];
    servers[0].wait_for("the snapshot is loaded");
    servers.iter_mut().for_each(|server| drop(server.wait_for("the source has no more blocks, the server goes on")));
    servers.iter_mut().for_each(|server| drop(server.wait_for("ready")));
    compare(&mut servers);
    let [late_server, whole_server] = &mut servers;
    let before = late_server.get("/v0/state/table?account=eosio&scope=eosio&table=global&block_num=344");
    let error = before.json();
    assert_eq!(error["code"], "app_state_unavailable_error", "{error}");
    assert_eq!(error["details"]["first_block_num"], 345, "{error}");
    let at = late_server.get("/v0/state/table?account=eosio&scope=eosio&table=global&block_num=345").json();
    assert_eq!((&at["state_from_block"], &at["complete"]), (&345.into(), &true.into()), "{at}");
    let health = late_server.get("/healthz").json();
    assert_eq!((&health["state_from_block"], &health["complete"]), (&345.into(), &true.into()), "{health}");
    assert_eq!(late_server.get("/v0/blocks?limit=100").json().as_array().unwrap().len(), 20);
    check_coverage(late_server);
    check_deferred(late_server, whole_server);
    let id = |server: &mut Server| server.get("/healthz").json()["head"]["id"].clone();
    assert_eq!(id(late_server), id(whole_server));
    let [late_server, mut whole_server] = servers;
    late_server.stop();

    // Its indexes can be checked and made anew, with the snapshot.
    let index = |tool: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        let output = command.arg("tools").args(tool).args(["--data-dir", text(&late)]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = index(&["check", "index"]);
    assert!(code != Some(0) && said.contains("--snapshot"), "{code:?} {said}");
    let (code, said) = index(&["check", "index", "--snapshot", text(&snapshot)]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = index(&["reindex", "rows"]);
    assert!(code != Some(0) && said.contains("--snapshot"), "{code:?} {said}");
    let (code, said) = index(&["reindex", "--snapshot", text(&snapshot)]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = index(&["check", "index", "--snapshot", text(&snapshot)]);
    assert_eq!(code, Some(0), "{said}");

    // It goes on without the snapshot, and with it.
    for more in [&[][..], &["--snapshot", text(&snapshot)]] {
        let mut server = Server::start(&[&["--source", &source, "--data-dir", text(&late)], more].concat());
        server.wait_for("ready");
        let mut servers = [server, whole_server];
        compare(&mut servers);
        let [server, whole] = servers;
        whole_server = whole;
        server.stop();
    }
    whole_server.stop();

    // Without its indexes it has nothing to begin with.
    fs::remove_dir_all(late.join("index")).unwrap();
    let (code, said) = ends(&["--source", &source, "--data-dir", text(&late)]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("begin with the snapshot of block 345"), "{said}");
    let mut server = Server::start(&["--source", &source, "--data-dir", text(&late), "--snapshot", text(&snapshot)]);
    server.wait_for("ready");
    assert_eq!(server.get("/v0/state/table?account=eosio&scope=eosio&table=global&block_num=350").status, 200);
    server.stop();
}

/// What there is of the chain, and what a search says of what there is not.
fn check_coverage(server: &mut Server) {
    let holes = json!([{"from_block": 2, "to_block": 345}]);
    let coverage = server.get("/v0/coverage").json();
    assert_eq!(coverage["blocks"], json!({"from_block": 346, "to_block": 365, "holes": holes}));
    assert_eq!(coverage["state"], json!({"from_block": 345, "complete": true}));
    assert_eq!(coverage["head"]["num"], 365);
    for sort in ["asc", "desc"] {
        let path = format!("/v0/search/transactions?q=action:onblock&sort={sort}&with_reversible=true");
        assert_eq!(server.get(&path).json()["range"]["holes"], holes);
    }
    let above = server.get("/v0/search/count?q=action:onblock&start_block=350&with_reversible=true").json();
    assert_eq!(above["range"]["holes"], Value::Null);
}

/// Deferred transactions that wait in the snapshot are known, and what becomes of them later.
fn check_deferred(late: &mut Server, whole: &mut Server) {
    let file = recorded::bytes(SNAPSHOT).unwrap();
    let mut snapshot = dfuse_ship::Snapshot::open(&file[..]).unwrap();
    let mut ids = Vec::new();
    while snapshot.next_section().unwrap().is_some() {
        while let Some(row) = snapshot.next_row().unwrap() {
            if let dfuse_ship::SnapshotRow::GeneratedTransaction(row) = row {
                ids.push(row.id);
            }
        }
    }
    assert_eq!(ids.len(), 2);
    for id in ids {
        for path in [format!("/v0/transactions/{id}"), format!("/v0/transactions/{}", &id.to_string()[..20])] {
            let [late, whole] = [&mut *late, &mut *whole].map(|server| server.get(&path).json());
            assert_eq!(late["transaction_status"], whole["transaction_status"], "{late}");
            assert_eq!(late["transaction"]["actions"], whole["transaction"]["actions"], "{late}");
        }
    }
}

fn compare(servers: &mut [Server; 2]) {
    let heights = [345, 346, 355, 365].into_iter().flat_map(questions);
    let mut compared = 0;
    for path in heights.chain(questions_at_head()) {
        let [late, whole] = servers.each_mut().map(|server| server.get(&path));
        assert_eq!(late.status, whole.status, "{path}: {:?}", String::from_utf8_lossy(&late.body));
        let (mut late_answer, mut whole_answer) = (comparable(late.json()), comparable(whole.json()));
        if path.contains("/abi?") || path.contains("/code_hash?") {
            // Where the ABI or the code was set, which is the snapshot's block where that is older.
            [&mut late_answer, &mut whole_answer].into_iter().for_each(|answer| answer["block_num"] = Value::Null);
        }
        if late.status == 200 {
            assert_eq!(late_answer, whole_answer, "{path}");
        } else {
            // Messages name that block, too.
            assert_eq!(late_answer["code"], whole_answer["code"], "{path}");
        }
        compared += usize::from(late.status == 200);
    }
    assert!(compared > 500, "{compared}");
}

/// The exit code of a start that ends by itself, and what it said.
fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "127.0.0.1:0", "--exit-at-end"]).args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn written(folder: &Path, name: &str, content: &[u8]) -> String {
    let path = folder.join(name);
    fs::File::create(&path).unwrap().write_all(content).unwrap();
    text(&path).to_owned()
}

#[test]
fn what_cannot_be_loaded_is_refused() {
    let (Some(snapshot), Some(log)) = (recorded::bytes(SNAPSHOT), recorded::find(LOG)) else { return };
    let folder = TempDir::new().unwrap();
    let source = format!("deep-mind:{}", text(&log));
    let version = |version: u8| {
        // The first row of the first section.
        let mut other = snapshot.clone();
        let name = b"eosio::chain::chain_snapshot_header\0";
        let at = other.windows(name.len()).position(|bytes| bytes == name).unwrap() + name.len();
        other[at] = version;
        other
    };
    let data = folder.path().join("data");
    let start = |file: &str, more: &[&str]| {
        let _ = fs::remove_dir_all(&data);
        ends(&[&["--source", &source, "--data-dir", text(&data), "--snapshot", file], more].concat())
    };
    for (name, content, code, says) in [
        ("v7", &version(7)[..], 2, "has version 7, written by Spring 1.0.0"),
        ("v9", &version(9), 2, "has version 9, written by newer software"),
        ("foreign", b"DMLOG START_BLOCK 2", 2, "not a portable snapshot of nodeos"),
        ("empty", b"", 2, "not a portable snapshot of nodeos"),
        ("cut", &snapshot[..snapshot.len() - 20_000], 1, "the file ends at byte"),
    ] {
        let (found, said) = start(&written(folder.path(), name, content), &[]);
        assert_eq!(found, Some(code), "{name}: {said}");
        assert!(said.contains(says) && said.contains(name), "{name}: {said}");
    }
    let (code, said) = start(text(&folder.path().join("none")), &[]);
    assert!(code == Some(2) && said.contains("none"), "{said}");
    let whole = written(folder.path(), "whole", &snapshot);
    let (code, said) = start(&whole, &["--chain-id", &"ab".repeat(32)]);
    assert!(code == Some(2) && said.contains("the snapshot is of the chain"), "{said}");

    // What was refused leaves nothing that is taken for state: the right chain goes on, in the same directory.
    let with = |more: &[&str]| ends(&[&["--source", &source, "--data-dir", text(&data)], more].concat());
    let (code, said) = with(&[]);
    assert!(code != Some(0) && said.contains("345"), "{said}");
    let (code, said) = with(&["--snapshot", &whole]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cut off, and begins anew"), "{said}");
    // A history of its own is not mixed with a snapshot.
    fs::remove_dir_all(&data).unwrap();
    assert_eq!(with(&[]).0, Some(0));
    let (code, said) = with(&["--snapshot", &whole]);
    assert!(code == Some(2) && said.contains("have begun without a snapshot"), "{said}");
}

#[test]
fn a_source_that_does_not_go_on_from_the_snapshot_is_refused() {
    let (Some(snapshot), Some(log)) = (recorded::find(SNAPSHOT), recorded::find("fork/fork.dmlog.zst")) else { return };
    let folder = TempDir::new().unwrap();
    let (data, source) = (folder.path().join("data"), format!("deep-mind:{}", text(&log)));
    let (code, said) = ends(&["--source", &source, "--data-dir", text(&data), "--snapshot", text(&snapshot)]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not follow that of the snapshot"), "{said}");
    assert!(said.contains("the source has no block 346 that follows it"), "{said}");
}
