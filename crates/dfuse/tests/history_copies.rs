//! Backups and copies of a server whose history began in mid-chain: they go on, and answer state as the original does.
#![allow(clippy::unwrap_used)]

#[path = "../../dfuse-node/tests/history_node/mod.rs"]
mod history_node;
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use dfuse_testkit::recorded;
use history_node::Script;
use serde_json::Value;
use support::{Server, text};
use tempfile::TempDir;

/// The block whose state history begins with, and the head when copies are made.
const BEGIN: u32 = 200;
const COPIED_AT: usize = 300;

fn dfuse(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dfuse")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A server on a node of that address, from a copy of indexes if there is a place of them.
fn serve(address: &str, data: &Path, copy: Option<&Path>) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "127.0.0.1:0", "--source", address, "--data-dir", text(data)]);
    command.envs(copy.map(|place| ("DFUSE_INDEX__COPY", place)));
    Server::spawn(command.stdin(Stdio::null()))
}

fn wait_for_block(server: &mut Server, number: u32) {
    server.wait_until("/healthz", |answer| answer.json()["head"]["num"] == number);
}

/// All tables, scopes and accounts at some heights.
fn state(server: &mut Server, last: u32) -> Vec<(String, u16, Value)> {
    let recorded = recorded::json("small/answers.json.gz").unwrap();
    let mut paths = vec![];
    for number in [BEGIN, 250, last] {
        for key in recorded["raw_tables"].as_object().unwrap().keys() {
            let [code, scope, table] = key.split('/').collect::<Vec<_>>()[..] else { panic!("{key}") };
            let at = format!("json=true&block_num={number}");
            paths.push(format!("/v0/state/table?account={code}&scope={scope}&table={table}&{at}"));
        }
    }
    let accounts = recorded["account"].as_object().unwrap().keys();
    paths.extend(accounts.map(|account| format!("/v0/accounts/{account}/balances")));
    let answer = |path: String| {
        let answer = server.get(&path);
        let mut json = answer.json();
        json.as_object_mut().map(|members| members.remove("trace_id"));
        (path, answer.status, json)
    };
    paths.into_iter().map(answer).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn copies_go_on_as_the_original_does() {
    let Some(chain) = history_node::chain("small") else { return };
    let Some(chain_id) = history_node::chain_id("small") else { return };
    let blocks = history_node::mid_chain(&chain, BEGIN);
    let node = |blocks: &[history_node::Sent]| Script { begin: BEGIN + 1, chain_id, ..Script::new(blocks.to_vec()) };
    let (first, _requests) = node(&blocks[..=COPIED_AT - BEGIN as usize]).serve();
    let (second, _requests) = node(&blocks).serve();
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let original = place("original");
    let mut server = serve(&first, &original, None);
    wait_for_block(&mut server, COPIED_AT as u32);

    // Of a server that runs, into a directory and to where an object store could be, and of one that does not.
    let (running, archive, restored, stopped) =
        (place("running"), place("archive"), place("restored"), place("stopped"));
    let archive = format!("file://{}", archive.display());
    let backup = |to: &str| dfuse(&["tools", "backup", to, "--data-dir", text(&original)]);
    assert!(backup(text(&running)).contains(" rows of state history, "));
    assert!(backup(&archive).contains(" rows of state history, "));
    dfuse(&["tools", "restore", &archive, text(&restored)]);
    let copies = [place("copies of running"), place("copies of stopped")];
    let copy_indexes = |to: &PathBuf| dfuse(&["tools", "index", "copy", text(to), "--data-dir", text(&original)]);
    copy_indexes(&copies[0]);
    server.stop();
    assert!(backup(text(&stopped)).contains(" rows of state history, "));
    copy_indexes(&copies[1]);
    // A machine that takes its indexes from a copy has the blocks in a store.
    let machines = [place("machine"), place("another machine")];
    machines.iter().for_each(|machine| copy_folder(&original.join("blocks"), &machine.join("blocks")));

    let last = blocks.last().unwrap().id.block_num();
    let mut expected = None;
    let without = [&original, &running, &restored, &stopped].map(|data| (data, None));
    let with = machines.iter().zip(copies.iter().map(|copy| Some(copy.as_path())));
    for (data, copy) in without.into_iter().chain(with) {
        let mut server = serve(&second, data, copy);
        if copy.is_some() {
            server.wait_for("the indexes begin with a copy");
        }
        server.wait_for("state history goes on from the rows that are kept");
        wait_for_block(&mut server, last);
        let found = state(&mut server, last);
        let health = server.get("/healthz").json();
        assert_eq!((&health["state_from_block"], &health["complete"]), (&BEGIN.into(), &true.into()), "{health}");
        server.stop();
        let expected = expected.get_or_insert_with(|| found.clone());
        assert!(expected.iter().filter(|(_, status, _)| *status == 200).count() > 100);
        for (found, expected) in found.iter().zip(&*expected) {
            assert_eq!(found, expected, "{}", data.display());
        }
        // What belongs beside the indexes is not among their files.
        assert!(!data.join("index/state-history").exists() && data.join("snapshot.json").exists());
    }
}
