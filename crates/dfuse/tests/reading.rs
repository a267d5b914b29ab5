//! `dfuse tools block|trx|rows|search` print what the API answers, and `backup` copies what is answered from, with a running server and
//! without one.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use support::{Server, assert_sound, text};
use tempfile::TempDir;

fn tool(data: &Path, arguments: &[&str]) -> Output {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    dfuse.arg("tools").args(arguments).args(["--data-dir", text(data)]).output().unwrap()
}

#[track_caller]
fn printed(data: &Path, arguments: &[&str]) -> Value {
    let output = tool(data, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.ends_with(b"\n"), "one line");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn fails(data: &Path, arguments: &[&str], code: i32, message: &str) {
    let output = tool(data, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && error.contains(message), "{:?} {error}", output.status);
    assert!(output.stdout.is_empty());
}

/// A block, a transaction, rows, a row and a page of transactions, each as a command and as a request.
fn questions(trx: &str) -> Vec<(Vec<&str>, String)> {
    vec![
        (vec!["block", "300"], "/v0/blocks?skip=300&limit=1".to_owned()),
        (vec!["trx", trx], format!("/v0/transactions/{trx}")),
        (
            vec!["rows", "eosio.token", "accounts", "--scope", "alice", "--key-type", "symbol_code", "--block", "900"],
            "/v0/state/table?account=eosio.token&table=accounts&scope=alice&json=true&key_type=symbol_code&block_num=900"
                .to_owned(),
        ),
        (
            vec!["rows", "eosio.token", "stat", "--scope", "SYS", "--key", "SYS", "--key-type", "symbol_code", "--hex"],
            "/v0/state/table/row?account=eosio.token&table=stat&scope=SYS&primary_key=SYS&key_type=symbol_code".to_owned(),
        ),
        (
            vec!["search", "account:eosio.token action:transfer", "--limit", "3", "--sort", "desc", "--start-block", "2000"],
            "/v0/search/transactions?q=account:eosio.token+action:transfer&limit=3&sort=desc&start_block=2000&with_reversible=true"
                .to_owned(),
        ),
    ]
}

/// Cursors are sealed anew for each answer.
fn without_cursors(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(members) => {
            members.remove("cursor");
            members.values_mut().for_each(|value| *value = without_cursors(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_cursors(item.take())),
        _ => {}
    }
    answer
}

/// Without what says how far the chain is: blocks come between two answers, and a copy is of an earlier moment than the original.
fn at_any_head(mut answer: Value) -> Value {
    if let Value::Object(members) = &mut answer {
        for key in ["up_to_block", "last_irreversible_block"] {
            members.remove(&format!("{key}_id"));
            members.remove(&format!("{key}_num"));
        }
    }
    without_cursors(answer)
}

#[test]
fn tools_print_what_the_api_answers() {
    let data = TempDir::new().unwrap();
    let mut server = Server::start(&["--data-dir", text(data.path()), "--source", "demo"]);
    server.wait_for("ready");
    let page = server.get("/v0/search/transactions?q=account:eosio.token&limit=1").json();
    let trx = page["transactions"][0]["lifecycle"]["id"].as_str().unwrap().to_owned();
    let mut answers = Vec::new();
    for (command, target) in questions(&trx) {
        let (told, answered) = (printed(data.path(), &command), server.get(&target).json());
        assert_eq!(at_any_head(told.clone()), at_any_head(answered), "{target}");
        answers.push(at_any_head(told));
    }
    fails(data.path(), &["trx", &"0".repeat(64)], 1, "data_trx_not_found_error");
    fails(data.path(), &["search", "account:"], 2, "request_validation_error");
    server.stop();

    for ((command, target), answered) in questions(&trx).into_iter().zip(answers) {
        // Irreversible or not, the search is of blocks below the last irreversible one.
        assert_eq!(at_any_head(printed(data.path(), &command)), answered, "{target} without a server");
    }
    fails(data.path(), &["trx", &"0".repeat(64)], 1, "data_trx_not_found_error");
    fails(data.path(), &["search", "account:"], 2, "request_validation_error");
    let empty = TempDir::new().unwrap();
    fails(empty.path(), &["block", "2"], 1, "is not a data directory of dfuse");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_backup_answers_what_the_original_did() {
    let (folder, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut server = Server::start(&["--data-dir", text(data.path()), "--source", "demo"]);
    server.wait_for("ready");
    let key = ["keys", "create", "--kind", "server", "--name", "kept", "--data-dir", text(data.path())];
    assert!(Command::new(env!("CARGO_BIN_EXE_dfuse")).args(key).status().unwrap().success());
    let (running, stopped) = (folder.path().join("running"), folder.path().join("stopped"));
    // Blocks come all the time.
    let output = tool(data.path(), &["backup", text(&running)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fails(data.path(), &["backup", text(&running)], 2, "there is something at");
    // To a place that could be in an object store, and back.
    let (place, restored) = (folder.path().join("place"), folder.path().join("restored"));
    let url = format!("file://{}", place.display());
    let output = tool(data.path(), &["backup", &url]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fails(data.path(), &["backup", &url], 2, "there is a backup at");
    let page = server.get("/v0/search/transactions?q=account:eosio.token&limit=1").json();
    let trx = page["transactions"][0]["lifecycle"]["id"].as_str().unwrap().to_owned();
    let answer = |(_, target): (Vec<&str>, String)| at_any_head(server.get(&target).json());
    let answers: Vec<_> = questions(&trx).into_iter().map(answer).collect();
    server.stop();
    let output = tool(data.path(), &["backup", text(&stopped)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let restore = |place: &str, to: &Path| {
        let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        dfuse.args(["tools", "restore", place, text(to)]).output().unwrap()
    };
    let output = restore(&url, &restored);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(restore(&url, &restored).status.code(), Some(2), "nothing is overwritten");
    assert_eq!(restore(text(&running), &folder.path().join("x")).status.code(), Some(2), "it is a data directory");

    for copy in [&running, &stopped, &restored] {
        assert_sound(copy);
        for ((command, target), answered) in questions(&trx).into_iter().zip(&answers) {
            assert_eq!(at_any_head(printed(copy, &command)), *answered, "{target} of {}", copy.display());
        }
        let mut list = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        let output = list.args(["keys", "list", "--data-dir", text(copy)]).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("kept"), "{output:?}");
        // Clients go on with the cursors that they have.
        assert_eq!(
            std::fs::read(copy.join("cursor.key")).unwrap(),
            std::fs::read(data.path().join("cursor.key")).unwrap()
        );
        let mut server = Server::start(&["--data-dir", text(copy), "--source", "demo"]);
        server.wait_for("ready");
        server.stop();
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}
