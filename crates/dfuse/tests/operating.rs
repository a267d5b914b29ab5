//! What operators do with data between the first start and the thousandth day: see what it takes, rewrite it, check and repair it. And
//! what goes wrong with the disk beneath it.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a test that waits gives up by the time of the machine")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use dfuse_testkit::{SmallDisk, synthetic::SyntheticChain};
use serde_json::Value;
use support::{Server, assert_sound, deadline, text};
use tempfile::TempDir;

fn tool(data: &Path, arguments: &[&str]) -> Output {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    dfuse.arg("tools").args(arguments).args(["--data-dir", text(data)]).output().unwrap()
}

fn log(folder: &Path) -> String {
    let mut log = vec![];
    SyntheticChain::builder().seed(4).blocks(350).build().write_log(&mut log).unwrap();
    let path = folder.join("node.dmlog");
    fs::write(&path, log).unwrap();
    format!("deep-mind:{}", path.display())
}

/// A data directory with a chain.
fn data_dir(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    let mut server = Server::start(&["--data-dir", text(&data), "--source", &log(folder)]);
    server.wait_for("ready");
    server.stop();
    data
}

#[track_caller]
fn stats(data: &Path) -> Value {
    let output = tool(data, &["stats", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(members) => members.values().map(sum).sum(),
        number => number.as_u64().unwrap(),
    }
}

#[test]
fn what_data_take_is_told_and_less_after_compaction() {
    let folder = TempDir::new().unwrap();
    let data = data_dir(folder.path());
    let told = stats(&data);
    let blocks: u64 = told["block_files"].as_object().unwrap().values().map(|it| it["bytes"].as_u64().unwrap()).sum();
    let parts = [&told["indexes"], &told["other_families"], &told["journal"], &told["access"]].map(sum);
    assert_eq!(told["total"].as_u64().unwrap(), parts.iter().sum::<u64>() + blocks, "{told}");
    for (index, family) in [("rows", "row-history"), ("search", "posting-segment"), ("transactions", "transaction")] {
        assert!(told["indexes"][index][family].as_u64().unwrap() > 0, "{told}");
    }
    assert_eq!(told["block_files"]["merged-blocks"]["files"], 3);
    let shown = tool(&data, &["stats"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("row-history") && shown.contains("merged-blocks (3 files)") && shown.contains("total"),
        "{shown}"
    );

    // Beside a server, too.
    let mut server = Server::start(&["--data-dir", text(&data), "--source", &log(folder.path())]);
    server.wait_for("ready");
    assert_eq!(stats(&data)["block_files"]["merged-blocks"], told["block_files"]["merged-blocks"]);
    let compacted = tool(&data, &["compact"]);
    assert!(compacted.status.success(), "{}", String::from_utf8_lossy(&compacted.stderr));
    let blocks = server.get("/v0/blocks?limit=3");
    assert_eq!(blocks.status, 200);
    server.stop();
    assert!(tool(&data, &["compact"]).status.success());
    assert_sound(&data);

    let empty = TempDir::new().unwrap();
    let refused = tool(empty.path(), &["stats"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not a data directory of dfuse"));
}

/// The largest file of the indexes' tables.
fn largest_table(data: &Path) -> PathBuf {
    let mut folders = vec![data.join("index/fjall")];
    let mut largest = (0, PathBuf::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, metadata) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else if path.parent().unwrap().ends_with("tables") {
                largest = largest.max((metadata.len(), path));
            }
        }
    }
    assert!(largest.0 > 0);
    largest.1
}

#[test]
fn everything_is_checked_and_indexes_are_repaired() {
    let folder = TempDir::new().unwrap();
    let data = data_dir(folder.path());
    let check = |arguments: &[&str]| {
        let output = tool(&data, &[&["check", "all"], arguments].concat());
        let told = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), told, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told, error) = check(&["--entries"]);
    assert_eq!(code, Some(0), "{told} {error}");
    for part in ["API keys and key of cursors: sound", "block files: sound", "indexes: sound"] {
        assert!(told.contains(part), "{told}");
    }
    // Another length of the key of cursors.
    let key = data.join("cursor.key");
    let sound = fs::read(&key).unwrap();
    fs::write(&key, "x").unwrap();
    let (code, told, _) = check(&[]);
    assert!(code == Some(1) && told.contains("key of cursors: ") && told.contains("cursor.key"), "{told}");
    fs::write(&key, sound).unwrap();

    let table = largest_table(&data);
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&table, bytes).unwrap();
    let (code, told, error) = check(&[]);
    assert!(code == Some(1) && error.contains("not sound: indexes;"), "{told} {error}");
    assert!(told.contains("reindex"), "what to do: {told}");
    let (code, told, error) = check(&["--repair"]);
    assert!(code == Some(0) && told.contains("indexes: sound"), "{told} {error}");
    assert_sound(&data);

    let bundle = data.join("blocks/merged-blocks/0000000100.dbin.zst");
    fs::remove_file(bundle).unwrap();
    let (code, told, _) = check(&["--repair"]);
    assert!(code == Some(1) && told.contains("--mend"), "{told}");
}

#[test]
fn contracts_are_taken_home() {
    let folder = TempDir::new().unwrap();
    let data = data_dir(folder.path());
    let export = |name: &str, arguments: &[&str]| {
        let directory = folder.path().join(name);
        let output = tool(&data, &[&["export", text(&directory)], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&fs::read(directory.join("export.json")).unwrap()).unwrap();
        (directory, told, String::from_utf8(output.stdout).unwrap())
    };
    let (directory, told, shown) = export("home", &["--accounts", "eosio.token,app", "--block", "300"]);
    assert_eq!(told["block_num"], 300);
    // Scopes are written as names, whatever they are to the contract.
    let (scope, count) = told["accounts"]["eosio.token"]["rows"]["stat"].as_object().unwrap().iter().next().unwrap();
    let lines = fs::read_to_string(directory.join("accounts/eosio.token/tables/stat.jsonl")).unwrap();
    let rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut stat: Vec<_> = rows.filter(|row| row["scope"] == *scope).collect();
    assert_eq!(*count, stat.len());
    stat.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("scope")));
    assert!(shown.contains("eosio.token: "), "{shown}");
    // The same rows as the API has at that height, without a server and with one.
    let mut server = Server::start(&["--data-dir", text(&data), "--source", &log(folder.path())]);
    server.wait_for("ready");
    let rows = format!("/v0/state/table?account=eosio.token&table=stat&scope={scope}&block_num=300&key_type=uint64");
    let asked = server.get(&rows);
    assert_eq!(asked.json()["rows"], Value::from(stat));
    let (again, told_again, _) = export("again", &["--accounts", "app,eosio.token", "--block", "300"]);
    assert_eq!(told_again, told);
    let file = |directory: &Path| fs::read_to_string(directory.join("bootseq.yaml")).unwrap();
    assert_eq!(file(&again), file(&directory));
    for part in ["new_account: \"eosio.token\"", "new_account: \"app\"", "data_dir: accounts/eosio.token,"] {
        assert!(file(&directory).contains(part), "{}", file(&directory));
    }
    // Without a height, at the last irreversible block.
    let (_, told, _) = export("now", &["--accounts", "app"]);
    let lib = server.get("/healthz").json()["lib"]["num"].clone();
    assert_eq!(told["block_num"], lib);
    server.stop();

    let refused = tool(&data, &["export", text(&directory), "--accounts", "app"]);
    assert!(refused.status.code() == Some(2), "nothing is overwritten");
    let refused = tool(&data, &["export", text(&folder.path().join("x")), "--accounts", "APP"]);
    assert!(refused.status.code() == Some(2) && String::from_utf8_lossy(&refused.stderr).contains("is not a name"));
    let above = tool(&data, &["export", text(&folder.path().join("x")), "--accounts", "app", "--block", "100000"]);
    assert!(String::from_utf8_lossy(&above.stderr).contains("above the head"), "{above:?}");
}

#[test]
fn requests_are_spans_with_the_trace_ids_of_answers() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", collector.local_addr().unwrap());
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    dfuse.args(["start", "--listen", "127.0.0.1:0"]).env("DFUSE_TRACES__COLLECTOR", url);
    let mut server = Server::spawn(&mut dfuse);
    server.wait_for("ready");
    let answer = server.get("/v0/nothing?token=secret");
    let trace_id = answer.json()["trace_id"].as_str().unwrap().to_owned();
    // A request to the collector: its head, and so many bytes.
    let (stream, _) = collector.accept().unwrap();
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0);
        assert!(!line.starts_with("POST") || line.starts_with("POST /v1/traces "), "{line}");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    reader
        .get_mut()
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        .unwrap();
    let told: Value = serde_json::from_slice(&body).unwrap();
    let spans = told["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert!(spans.iter().any(|span| span["traceId"] == trace_id.as_str()), "{told}");
    assert!(!told.to_string().contains("secret"), "{told}");
    server.stop();
}

/// Waits until a condition of that name is told, or no longer.
#[track_caller]
fn wait_for_condition(server: &mut Server, name: &str, failing: bool) -> Value {
    let until = deadline();
    loop {
        let health = server.get("/healthz").json();
        let told = health["details"]["conditions"].get(name).cloned();
        if told.is_some() == failing {
            return told.unwrap_or_default();
        }
        assert!(std::time::Instant::now() < until, "{health}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_disk_that_is_full_or_read_only_has_a_name() {
    SmallDisk::run("a_disk_that_is_full_or_read_only_has_a_name", 160, full_and_read_only);
}

fn full_and_read_only(disk: &SmallDisk) {
    let data = disk.path().join("data");
    let mut server = Server::start_with(&["--source", "deep-mind:-", "--data-dir", text(&data)], Stdio::piped());
    let stdin = server.stdin();
    server.wait_for("REST at");
    disk.fill_but(0).unwrap();
    let told = wait_for_condition(&mut server, "disk_full", true);
    assert!(told.as_str().unwrap().contains("free some space"), "{told}");
    disk.free().unwrap();
    wait_for_condition(&mut server, "disk_full", false);
    server.wait_for("the disk of the data directory can be written to again");
    let remount = |mode: &str| {
        let options = format!("remount,{mode}");
        Command::new("mount").args(["-o", &options, text(disk.path())]).output().unwrap().status.success()
    };
    // Files that are open for writing may keep it writable.
    if remount("ro") {
        let told = wait_for_condition(&mut server, "disk_read_only", true);
        assert!(told.as_str().unwrap().contains("mount it for writing"), "{told}");
        assert!(remount("rw"));
        wait_for_condition(&mut server, "disk_read_only", false);
    }
    server.stop();
    drop(stdin);
}
