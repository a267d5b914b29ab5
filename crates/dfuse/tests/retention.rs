//! What is kept of the past: below it, requests are told so; above it, all is as it was; and its space is given back.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a test that waits gives up by the time of the machine")]

mod support;

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use dfuse_testkit::synthetic::SyntheticChain;
use serde_json::Value;
use support::{Server, assert_sound, deadline, text};
use tempfile::TempDir;

const BLOCKS: u32 = 1200;
const KEPT: &str = "400 blocks";

fn log(folder: &Path) -> PathBuf {
    let path = folder.join("node.dmlog");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let chain = SyntheticChain::builder().seed(11).blocks(BLOCKS).transactions_per_block(1..=4).random_forks(60, 3);
    chain.build().write_log(&mut file).unwrap();
    file.flush().unwrap();
    path
}

fn start(data: &Path, log: &Path, settings: &[(&str, &str)]) -> Server {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    dfuse.args(["start", "--listen", "127.0.0.1:0", "--data-dir", text(data), "--source"]);
    dfuse.arg(format!("deep-mind:{}", log.display()));
    dfuse.envs(settings.iter().map(|(name, value)| (format!("DFUSE_RETENTION__{name}"), *value)));
    let mut server = Server::spawn(&mut dfuse);
    server.wait_for("ready");
    server
}

fn tool(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    let output = dfuse.arg("tools").args(arguments).args(["--data-dir", text(data)]).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Cursors are sealed anew for each answer, and where the indexes begin is not what is compared.
fn comparable(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(members) => {
            for key in ["cursor", "state_from_block", "complete"] {
                members.remove(key);
            }
            members.values_mut().for_each(|value| *value = comparable(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = comparable(item.take())),
        _ => {}
    }
    answer
}

/// What both are asked and must answer alike.
#[track_caller]
fn assert_same(kept: &mut Server, all: &mut Server, target: &str) {
    let (kept, all) = (kept.get(target), all.get(target));
    assert_eq!((kept.status, all.status), (200, 200), "{target}: {:?}", kept.json());
    assert_eq!(comparable(kept.json()), comparable(all.json()), "{target}");
}

/// Asks for what is kept no longer; returns the lowest block that is.
#[track_caller]
fn refused(server: &mut Server, part: &str, target: &str) -> u32 {
    let answer = server.get(target);
    let error = answer.json();
    assert_eq!((answer.status, error["code"].as_str()), (410, Some("data_not_kept_error")), "{target}: {error}");
    assert_eq!(error["details"]["part"], part, "{target}");
    u32::try_from(error["details"]["lowest_block_num"].as_u64().unwrap()).unwrap()
}

/// Waits until all blocks are there, and floors have risen as far as they do.
#[track_caller]
fn wait_for_floors(server: &mut Server) {
    server.wait_for("the source has no more blocks");
    let until = deadline();
    loop {
        let health = server.get("/healthz").json();
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        // An eighth more than is wanted, and blocks since it was looked last.
        if number(&health["lib"]["num"]) < number(&health["lowest_blocks"]["state"]) + 400 + 50 + 25 {
            return;
        }
        assert!(Instant::now() < until, "{health}");
        sleep(Duration::from_millis(50));
    }
}

fn head(server: &mut Server) -> u32 {
    u32::try_from(server.get("/healthz").json()["head"]["num"].as_u64().unwrap()).unwrap()
}

/// Whose balances are asked for.
fn holders(server: &mut Server) -> Vec<String> {
    let scopes = server.get("/v0/state/table_scopes?account=eosio.token&table=accounts").json()["scopes"].clone();
    let scopes = scopes.as_array().unwrap().iter().step_by(5);
    scopes.map(|scope| scope.as_str().unwrap().to_owned()).collect()
}

fn questions_of_state(height: u32, holders: &[String]) -> Vec<String> {
    let balances = holders.iter().map(|holder| {
        format!(
            "/v0/state/table?account=eosio.token&table=accounts&scope={holder}&key_type=symbol_code&block_num={height}"
        )
    });
    let others = [
        format!("{ROWS}&block_num={height}"),
        format!("/v0/state/table_scopes?account=eosio.token&table=accounts&block_num={height}"),
        format!("/v0/state/table_scopes?account=app&table=items&block_num={height}"),
        format!("/v0/state/permission_links?account=app&block_num={height}"),
    ];
    balances.chain(others).collect()
}

const ROWS: &str = "/v0/state/table?account=eosio.token&table=stat&scope=SYS&key_type=symbol_code";
const SEARCH: &str = "/v0/search/transactions?q=account:eosio.token&limit=20&with_reversible=true";
const HISTORY: &str = "/v0/state/table/row/history?account=eosio.token&table=stat&scope=SYS&primary_key=SYS&key_type=symbol_code&limit=50";

#[test]
fn what_is_kept_is_as_it_was() {
    let (folder, whole, data) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let log = log(folder.path());
    let settings = [("STATE", KEPT), ("SEARCH", KEPT), ("TRANSACTIONS", KEPT)];
    let mut all = start(whole.path(), &log, &[]);
    let holders = holders(&mut all);
    let mut server = start(data.path(), &log, &settings);
    let removed = server.wait_for("removed what is kept no longer");
    assert!(!removed.contains(" entries=0 "), "{removed}");
    wait_for_floors(&mut server);
    for restarted in [false, true] {
        if restarted {
            server.stop();
            assert_sound(data.path());
            server = start(data.path(), &log, &settings);
            wait_for_floors(&mut server);
        }
        let floor = refused(&mut server, "state", &format!("{ROWS}&block_num=2"));
        let head = head(&mut server);
        assert!(floor > 2 && floor <= head - 400, "{floor} of {head}");
        assert_eq!(refused(&mut server, "state", &format!("{ROWS}&block_num={}", floor - 1)), floor);
        for height in [floor, floor + 1, (floor + head) / 2, head - 20, head] {
            let questions = questions_of_state(height, &holders);
            questions.iter().for_each(|target| assert_same(&mut server, &mut all, target));
        }
        // What a row was before a change of the lowest height is gone.
        assert_eq!(refused(&mut server, "state", &format!("{HISTORY}&from_block={floor}")), floor + 1);
        assert_same(&mut server, &mut all, &format!("{HISTORY}&from_block={}", floor + 1));

        let lowest = refused(&mut server, "search", &format!("{SEARCH}&start_block=3"));
        assert_eq!(refused(&mut server, "search", &format!("{SEARCH}&start_block={}", lowest - 1)), lowest);
        for start in [lowest, head - 50] {
            assert_same(&mut server, &mut all, &format!("{SEARCH}&start_block={start}"));
            assert_same(
                &mut server,
                &mut all,
                &format!("{SEARCH}&sort=desc&start_block={head}&block_count={}", head - start),
            );
        }
        // Without a first block, a search begins with the lowest.
        let first =
            server.get(SEARCH).json()["transactions"][0]["lifecycle"]["execution_block_header"]["block_num"].clone();
        assert!(first.is_null() || first.as_u64() >= Some(lowest.into()), "{first}");

        let old = &all.get(&format!("{SEARCH}&limit=1")).json()["transactions"][0]["lifecycle"]["id"];
        let answer = server.get(&format!("/v0/transactions/{}", old.as_str().unwrap()));
        assert_eq!(answer.status, 404);
        assert!(answer.json()["details"]["lowest_block_num"].as_u64().is_some(), "{:?}", answer.json());
        // Blocks are all there.
        assert_same(&mut server, &mut all, "/v0/blocks?skip=3&limit=5");
        let health = server.get("/healthz").json();
        assert_eq!(health["lowest_blocks"]["state"], floor, "{health}");
        assert!(health["lowest_blocks"].get("block_files").is_none());
    }
    server.stop();
    all.stop();
}

#[test]
fn block_files_go_too() {
    let (folder, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let log = log(folder.path());
    let mut whole = start(data.path(), &log, &[]);
    let first = whole.get("/v0/blocks?skip=2&limit=1").json()[0]["id"].as_str().unwrap().to_owned();
    let questions = questions_of_state(60, &holders(&mut whole));
    let rows: Vec<_> = questions.iter().map(|target| comparable(whole.get(target).json())).collect();
    assert!(rows.iter().all(|rows| rows.get("code").is_none()), "{rows:?}");
    whole.stop();
    let files = || std::fs::read_dir(data.path().join("blocks/merged-blocks")).unwrap().count();
    let before = files();

    let settings = [("BLOCK_FILES", "300 blocks")];
    let mut server = start(data.path(), &log, &settings);
    server.wait_for("removed what is kept no longer");
    assert!(files() < before, "{} of {before}", files());
    for restarted in [false, true] {
        if restarted {
            server.stop();
            server = start(data.path(), &log, &settings);
        }
        let head = head(&mut server);
        let floor = refused(&mut server, "search", &format!("{SEARCH}&start_block=3"));
        assert!(floor.is_multiple_of(100) && floor <= head - 300, "{floor}");
        assert_eq!(refused(&mut server, "block_files", &format!("/v0/blocks/{first}")), floor);
        assert_eq!(refused(&mut server, "transactions", &format!("/v0/blocks/{first}/transactions")), floor);
        // State is kept for itself.
        for (target, answer) in questions.iter().zip(&rows) {
            assert_eq!(comparable(server.get(target).json()), *answer, "{target}");
        }
        let found = server.get(&format!("{SEARCH}&start_block={floor}"));
        assert_eq!(found.status, 200);
    }
    let lowest = refused(&mut server, "search", &format!("{SEARCH}&start_block=3"));
    let found = comparable(server.get(&format!("{SEARCH}&start_block={lowest}")).json());
    server.stop();
    let (code, error) = tool(data.path(), &["check", "index"]);
    assert!(code == Some(1) && error.contains("not kept any more"), "{error}");
    let (code, error) = tool(data.path(), &["reindex", "rows"]);
    assert!(code == Some(1) && error.contains("not kept any more"), "{error}");
    // What is found in block files is indexed from the first one that is there.
    for index in ["search", "transactions"] {
        let (code, error) = tool(data.path(), &["reindex", index]);
        assert_eq!(code, Some(0), "{error}");
    }
    let mut server = start(data.path(), &log, &settings);
    assert_eq!(comparable(server.get(&format!("{SEARCH}&start_block={lowest}")).json()), found);
    server.stop();
}

#[test]
fn settings_that_say_nothing_are_refused() {
    let data = TempDir::new().unwrap();
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    dfuse.args(["start", "--listen", "127.0.0.1:0", "--data-dir", text(data.path())]);
    dfuse.env("DFUSE_RETENTION__STATE", "90");
    Server::spawn(&mut dfuse).fails(2, "retention.state");
}
