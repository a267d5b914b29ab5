//! The tools that read Firehose endpoints, and what they make of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use dfuse_testkit::{recorded, synthetic::SyntheticChain};
use serde_json::Value;
use support::{Server, text};
use tempfile::TempDir;

/// The recorded chain with forks, and its last block.
const LOG: &str = "fork/fork.dmlog.zst";
const HEAD: u32 = 414;

fn dfuse(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dfuse")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn lines(arguments: &[&str]) -> Vec<String> {
    let output = dfuse(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What it prints before it ends with that code, with a message on standard error.
#[track_caller]
fn fails(arguments: &[&str], code: i32, message: &str) -> String {
    let output = dfuse(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    assert!(errors.contains(message), "{arguments:?}: {errors} lacks {message:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server of the recorded chain, and a folder with its log.
fn serve() -> Option<(Server, String, TempDir)> {
    let log = recorded::bytes(LOG)?;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, log).unwrap();
    let data = folder.path().join("data");
    let source = format!("deep-mind:{}", path.display());
    let arguments = ["--source", &source, "--data-dir", text(&data), "--grpc-listen", "127.0.0.1:0"];
    let mut server = Server::start_with(&arguments, Stdio::null());
    server.wait_for("ready");
    let address = server.grpc_address();
    Some((server, address, folder))
}

fn write_store(folder: &Path, name: &str, log: &Path) -> String {
    let store = folder.join(name).display().to_string();
    lines(&["tools", "merge", text(log), &store]);
    store
}

#[test]
fn an_endpoint_is_printed_saved_and_compared() {
    let Some((server, address, folder)) = serve() else { return };
    let client = |more: &[&str]| lines(&[&["tools", "firehose-client", &address], more].concat());
    let number = |line: &String| line.split_whitespace().nth(1).unwrap().parse::<u32>().unwrap();
    let printed = client(&["5:60"]);
    assert_eq!(printed.iter().map(number).collect::<Vec<_>>(), (5..=60).collect::<Vec<_>>());
    assert!(printed.iter().all(|line| line.starts_with("new ")));
    assert_eq!(client(&["0:60", "--format", "count"]), ["59"]);
    let end = format!("-3:{HEAD}");
    assert_eq!(client(&[&end, "--format", "count"]), ["4"]);
    let finals = client(&["350:360", "--final-blocks-only"]);
    assert!(finals.len() == 11 && finals.iter().all(|line| line.starts_with("final ")), "{finals:?}");
    // On behind a cursor.
    let cursors = client(&["5:60", "--format", "cursor"]);
    let rest = client(&["0:60", "--cursor", &cursors[50]]);
    assert_eq!(rest.iter().map(number).collect::<Vec<_>>(), [56, 57, 58, 59, 60]);
    // With JSON, and with what a query finds alone.
    let json: Vec<Value> =
        client(&["90:120", "--format", "json"]).iter().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert!(json.iter().any(|it| it["block"].to_string().contains(r#""jsonData":"{\"from\":"#)), "{json:?}");
    let filter = ["2:414", "--filter", "receiver:eosio action:newaccount", "--format", "json"];
    let found: Vec<Value> = client(&filter).iter().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert!(!found.is_empty() && found.len() < 100 && found.iter().all(|it| it["block"]["filteringApplied"] == true));

    // Whoever reads no further than the first block has no failure, and the endpoint is not to blame.
    let mut piped = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    piped.args(["tools", "firehose-client", &address, "0:", "--format", "json"]);
    let mut piped = piped.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(piped.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ended = piped.wait_with_output().unwrap();
    assert!(first.starts_with('{') && ended.status.success() && ended.stderr.is_empty(), "{ended:?}");

    // Saved, and the same as what the log gives.
    let saved = folder.path().join("saved").display().to_string();
    let range = format!("0:{HEAD}");
    for _ in 0..2 {
        assert!(client(&[&range, "--save", &saved]).is_empty());
    }
    lines(&["tools", "check", "blocks", &saved, "--decode"]);
    let merged = write_store(folder.path(), "merged", &folder.path().join("log"));
    let endpoint = format!("firehose:{address}");
    for places in [[&*saved, &merged], [&merged, &endpoint], [&endpoint, &saved]] {
        let compared = lines(&[&["tools", "compare-blocks"], &places[..]].concat());
        assert_eq!(compared, ["blocks that both have: 413, 2 to 414"], "{places:?}");
    }
    // A key for a provider is not sent to one's own endpoint without TLS: this address is not known to be of this machine.
    let mut keyed = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    keyed.args(["tools", "compare-blocks", &merged, &endpoint.replace("127.0.0.1", "0.0.0.0")]);
    let keyed = keyed.env("FIREHOSE_API_KEY", "of a provider").output().unwrap();
    let errors = String::from_utf8_lossy(&keyed.stderr);
    assert!(keyed.status.success() && errors.contains("is asked without the token or API key"), "{errors}");
    // One that ends earlier is the same as far as it goes.
    let short = folder.path().join("short").display().to_string();
    client(&["0:300", "--save", &short]);
    let compared = lines(&["tools", "compare-blocks", &short, &merged]);
    assert_eq!(compared, ["blocks that both have: 299, 2 to 300", "blocks after these in B: 301 to 414"]);
    // One without a bundle is not.
    fs::remove_file(Path::new(&saved).join("merged-blocks/0000000100.dbin.zst")).unwrap();
    let told = fails(&["tools", "compare-blocks", &saved, &merged, "--limit", "3"], 1, "100 blocks differ");
    assert!(told.starts_with("       100 only B has this block\n") && told.lines().count() == 4, "{told}");
    server.stop();
}

#[test]
fn differences_are_told_by_field() {
    let folder = TempDir::new().unwrap();
    let store = |name: &str, transactions: u32| {
        let log = folder.path().join(format!("{name}.log"));
        let chain = SyntheticChain::builder().seed(1).blocks(120).transactions_per_block(transactions..=transactions);
        chain.build().write_log(&mut fs::File::create(&log).unwrap()).unwrap();
        write_store(folder.path(), name, &log)
    };
    let (one, other) = (store("one", 1), store("other", 2));
    let told =
        fails(&["tools", "compare-blocks", &one, &other, "--limit", "1000", "--stop-block", "9"], 1, "blocks differ");
    assert!(told.contains(" id of the envelope: "), "{told}");
    assert!(told.contains("unfilteredTransactionTraces: ") && told.contains("elements in A"), "{told}");
    assert_eq!(lines(&["tools", "compare-blocks", &one, &one, "--start-block", "90"]).len(), 1);
}

#[test]
fn what_cannot_be_is_said() {
    let folder = TempDir::new().unwrap();
    let nothing = text(folder.path());
    for (arguments, code, message) in [
        (&["firehose-client", "host", "1:2"][..], 2, "the port is missing"),
        (&["firehose-client", "127.0.0.1:1", "5"], 2, "is not a range"),
        (&["firehose-client", "127.0.0.1:1", "5:4"], 2, "is before the first"),
        (&["firehose-client", "firehose:127.0.0.1:1,127.0.0.1:2", "1:2"], 2, "more than one"),
        (&["firehose-client", "127.0.0.1:1", "1:2"], 1, "127.0.0.1:1"),
        (&["compare-blocks", "firehose:127.0.0.1:1", nothing], 1, "127.0.0.1:1"),
        (&["compare-blocks", nothing, nothing], 2, "is empty"),
        (&["compare-blocks", "/no/such/place", nothing], 2, "cannot open"),
        (&["compare-blocks", nothing, nothing, "--start-block", "5", "--stop-block", "4"], 2, "before --start-block"),
    ] {
        fails(&[&["tools"], arguments].concat(), code, message);
    }
}
