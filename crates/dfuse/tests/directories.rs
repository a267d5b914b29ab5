//! Data directories that earlier versions have written: this one opens them, and answers as they did. CONTRIBUTING.md says when to add one:
//!
//! ```sh
//! DFUSE_MAKE_DIRECTORY=NAME cargo test -p dfuse --test directories
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Output},
};

use dfuse_testkit::{compare::without_keys, synthetic::SyntheticChain};
use serde_json::{Value, json};
use support::{Server, assert_sound, issue, text};
use tempfile::TempDir;

/// Blocks of the chain: a bundle, and some that are not in one.
const BLOCKS: u32 = 130;
const SEARCH: &str = "/v0/search/transactions?q=receiver:eosio.token&limit=5&sort=asc";
/// What is asked of every index.
const TARGETS: [&str; 11] = [
    "/v0/blocks?limit=5",
    SEARCH,
    "/v0/search/count?q=account:eosio.token+action:transfer",
    "/v0/state/table?account=eosio.token&table=accounts&scope=alice&json=true&block_num=90",
    "/v0/state/table_scopes?account=eosio.token&table=accounts",
    "/v0/state/table_scopes?account=eosio.token&table=accounts&block_num=60",
    "/v0/state/abi?account=eosio.token&json=true",
    "/v0/state/permission_links?account=alice",
    "/v0/tokens?limit=5",
    "/v0/block_id/by_time?time=2030-01-01T00:00:00Z&comparator=lte",
    "/v0/accounts/alice/balances",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/directories")
}

fn dfuse(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dfuse")).args(arguments).output().unwrap()
}

/// The answer, without what is another each time.
fn comparable(answer: Value) -> Value {
    without_keys(answer, &["cursor", "trace_id"])
}

/// Makes an archive of a data directory as this version writes it, with its answers.
fn make(name: &str) {
    let work = TempDir::new().unwrap();
    let (log, data) = (work.path().join("log"), work.path().join("data"));
    SyntheticChain::builder()
        .seed(4)
        .blocks(BLOCKS)
        .transactions_per_block(0..=1)
        .build()
        .write_log(&mut File::create(&log).unwrap())
        .unwrap();
    let mut server = Server::start(&["--source", &format!("deep-mind:{}", log.display()), "--data-dir", text(&data)]);
    server.wait_for("ready");
    let created =
        ["keys", "create", "--kind", "server", "--name", "kept", "--format", "json", "--data-dir", text(&data)];
    let key: Value = serde_json::from_slice(&dfuse(&created).stdout).unwrap();
    assert_eq!(issue(&mut server, key["key"].as_str().unwrap()).0, 200);
    let mut answers = Vec::new();
    let mut ask = |server: &mut Server, target: String| -> Value {
        let answer = server.get(&target);
        assert_eq!(answer.status, 200, "{target}: {}", String::from_utf8_lossy(&answer.body));
        let answer = answer.json();
        writeln!(answers, "{}", json!({"target": target, "answer": comparable(answer.clone())})).unwrap();
        answer
    };
    for target in TARGETS {
        ask(&mut server, target.to_owned());
    }
    let page = server.get(SEARCH).json();
    // The next page, by a cursor that this version has sealed.
    ask(&mut server, format!("{SEARCH}&cursor={}", page["cursor"].as_str().unwrap()));
    let id = page["transactions"][0]["lifecycle"]["id"].as_str().unwrap();
    ask(&mut server, format!("/v0/transactions/{id}"));
    server.stop();
    fs::create_dir_all(folder()).unwrap();
    let archive = folder().join(format!("{name}.tar.zst"));
    let packed = zstd::Encoder::new(File::create(&archive).unwrap(), 19).unwrap().auto_finish();
    let mut packed = tar::Builder::new(packed);
    packed.append_dir_all("data", &data).unwrap();
    for (file, content) in [("answers.jsonl", answers), ("key.json", key.to_string().into_bytes())] {
        fs::write(work.path().join(file), content).unwrap();
        packed.append_path_with_name(work.path().join(file), file).unwrap();
    }
    packed.finish().unwrap();
    println!("made {}", archive.display());
}

/// A server on the directory, and a node that says nothing. Indexes of another schema are built anew first, as the refusal says.
fn open(data: &Path) -> (Server, ChildStdin) {
    let (mut server, node) = Server::piped(data);
    if server.reaches("ready") {
        return (server, node);
    }
    let refusal = server.log.iter().find(|line| line.contains("dfuse tools reindex"));
    assert!(refusal.is_some(), "a refusal that says what to do: {:#?}", server.log);
    let rebuilt = dfuse(&["tools", "reindex", "--data-dir", text(data)]);
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let (mut server, node) = Server::piped(data);
    server.wait_for("ready");
    (server, node)
}

#[test]
fn data_directories_of_earlier_versions_are_opened() {
    if let Some(name) = std::env::var_os("DFUSE_MAKE_DIRECTORY") {
        make(name.to_str().unwrap());
    }
    let mut archives: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    archives.sort();
    assert!(!archives.is_empty());
    for archive in archives {
        println!("{}", archive.display());
        let work = TempDir::new().unwrap();
        let unpacked = zstd::Decoder::new(File::open(&archive).unwrap()).unwrap();
        tar::Archive::new(unpacked).unpack(work.path()).unwrap();
        let data = work.path().join("data");
        let (mut server, node) = open(&data);
        let mut answers = String::new();
        File::open(work.path().join("answers.jsonl")).unwrap().read_to_string(&mut answers).unwrap();
        for recorded in answers.lines() {
            let recorded: Value = serde_json::from_str(recorded).unwrap();
            let target = recorded["target"].as_str().unwrap();
            let answer = server.get(target);
            assert_eq!(comparable(answer.json()), recorded["answer"], "{target}");
        }
        // Keys, and what they have used.
        let key: Value = serde_json::from_slice(&fs::read(work.path().join("key.json")).unwrap()).unwrap();
        assert_eq!(issue(&mut server, key["key"].as_str().unwrap()).0, 200);
        let usage = dfuse(&["keys", "usage", "--days", "100000", "--format", "json", "--data-dir", text(&data)]);
        assert!(usage.status.success(), "{}", String::from_utf8_lossy(&usage.stderr));
        server.stop();
        drop(node);
        assert_sound(&data);
    }
}
