//! A local chain of real nodes under supervision, with everything that can happen to its processes.
#![allow(clippy::unwrap_used)]

mod support;

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use support::{
    Server, assert_sound,
    chain::{Chain, Pushed, Stream, transfer},
    text,
};
use tempfile::TempDir;

/// Snapshots soon, and a node that hangs is noticed soon.
const QUICK: [(&str, &str); 2] = [("DFUSE_NODEOS__SNAPSHOT_BLOCKS", "20"), ("DFUSE_NODEOS__HANG_TIMEOUT_SECONDS", "3")];

/// The balance of bob at a block.
fn balance(server: &mut Server, block: u64) -> Value {
    let answer = server.get(&format!(
        "/v0/state/table/row?account=eosio.token&table=accounts&scope=bob&primary_key=SYS&key_type=symbol_code&json=true\
         &block_num={block}"
    ));
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    answer.json()["row"]["json"]["balance"].clone()
}

/// Waits until a block is final for dfuse, and so for every node.
fn wait_for_final(server: &mut Server, block: u64) {
    let request = serde_json::json!({"type": "get_head_info", "req_id": "1", "listen": true});
    let mut stream = Stream::open(server, &request);
    stream.next(|message| message["data"]["last_irreversible_block_num"].as_u64().is_some_and(|lib| lib >= block));
}

/// Every transfer is there, once, and the tools find no fault.
fn assert_whole(server: &mut Server, transfers: &[(Pushed, u64)]) {
    let answer = server.get(
        "/v0/search/transactions?q=receiver:eosio.token+action:transfer+data.to:bob&limit=100&sort=asc&with_reversible=true",
    );
    let json = answer.json();
    let found = json["transactions"].as_array().unwrap_or_else(|| panic!("{json}")).iter().map(|found| {
        let id = found["lifecycle"]["id"].as_str().unwrap().to_owned();
        (id, found["lifecycle"]["execution_trace"]["block_num"].as_u64().unwrap())
    });
    let found: Vec<_> = found.collect();
    let wanted: Vec<_> = transfers.iter().map(|(pushed, block)| (pushed.id.clone(), *block)).collect();
    assert_eq!(found, wanted);
    for (number, (_, block)) in transfers.iter().enumerate() {
        let sum: usize = (1..=number + 1).sum();
        assert_eq!(balance(server, *block), format!("{sum}.0000 SYS"));
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

#[test]
fn a_local_chain_survives_everything() {
    let Some(chain) = Chain::new() else { return };
    let mut transfers = Vec::new();
    let mut transfer = |server: &mut Server, stream: &mut Stream| {
        let pushed = transfer(server, &format!("{}.0000 SYS", transfers.len() + 1));
        let block = stream.block_of(&pushed);
        transfers.push((pushed, block));
        (transfers.clone(), block)
    };
    let mut server = chain.start(&QUICK);
    server.wait_for("ready");
    chain.boot(&mut server);
    let mut stream = Stream::transfers(&mut server);
    transfer(&mut server, &mut stream);
    let (done, mut last) = transfer(&mut server, &mut stream);
    assert!(done[0].1 < done[1].1);
    assert_whole(&mut server, &done);
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    for line in
        ["dfuse_node_up{node=\"producer\"} 1", "dfuse_node_up{node=\"follower\"} 1", "dfuse_node_log_queue_bytes{"]
    {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }

    // Each node is killed: its state is made anew, and the same chain goes on.
    for node in ["follower", "producer"] {
        // A node that makes blocks loses those that are not final.
        wait_for_final(&mut server, last + 25);
        server.wait_for(&format!("the node has made a snapshot node=\"{node}\""));
        server.log.clear();
        chain.signal(node, "KILL");
        server.wait_for(&format!("the node is restored from a snapshot node=\"{node}\""));
        server.wait_for("the node is up");
        last = transfer(&mut server, &mut stream).1;
    }
    // One that hangs is stopped and started again.
    server.log.clear();
    chain.signal("follower", "STOP");
    server.wait_for("the node neither answers nor logs anything");
    server.wait_for("the node is up");
    let (done, last) = transfer(&mut server, &mut stream);
    assert_whole(&mut server, &done);

    // dfuse is killed: the nodes end with it, and all goes on from where each of them stands.
    wait_for_final(&mut server, last);
    server.signal("KILL");
    drop((server, stream));
    let mut server = chain.start(&QUICK);
    server.wait_for("ready");
    let mut stream = Stream::transfers(&mut server);
    let (done, _) = transfer(&mut server, &mut stream);
    assert_whole(&mut server, &done);

    // A clean stop, and a start without repair; an old copy of dfuse's data has the node taken back.
    let log = server.stop();
    assert_eq!(log.iter().filter(|line| line.contains("the node has stopped (exit code 0)")).count(), 2, "{log:#?}");
    let (data, old) = (chain.path("dfuse-data"), TempDir::new().unwrap());
    assert_sound(&data);
    copy(&data, &old.path().join("data"));
    let mut server = chain.start(&QUICK);
    server.wait_for("ready");
    let mut stream = Stream::transfers(&mut server);
    let (_, last) = transfer(&mut server, &mut stream);
    wait_for_final(&mut server, last + 5);
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains("made anew") || line.contains("taken back")), "{log:#?}");
    fs::remove_dir_all(&data).unwrap();
    copy(&old.path().join("data"), &data);
    let mut server = chain.start(&QUICK);
    server.wait_for("the node is ahead of what was taken of its log, and is taken back");
    server.wait_for("ready");
    let mut stream = Stream::transfers(&mut server);
    let (done, _) = transfer(&mut server, &mut stream);
    assert_whole(&mut server, &done);
    server.stop();
    assert_sound(&data);

    // What belongs to another chain is refused.
    let genesis = chain.path("genesis.json");
    let other = fs::read_to_string(&genesis)
        .unwrap()
        .replace("\"min_transaction_cpu_usage\": 100", "\"min_transaction_cpu_usage\": 101");
    fs::write(&genesis, other).unwrap();
    let mut server = chain.start(&QUICK);
    assert_eq!(server.wait().code(), Some(1));
    assert!(server.log.iter().any(|line| line.contains("are of another chain")), "{:#?}", server.log);
}

#[test]
fn a_configuration_is_never_overwritten_unasked() {
    let folder = TempDir::new().unwrap();
    let init = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        let output = command.arg("init").arg(folder.path()).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(init(&["--chain", "local"]).0, Some(0));
    let config = folder.path().join("nodes/follower/config.ini");
    let written = fs::read_to_string(&config).unwrap();
    assert!(written.contains("p2p-peer-address = 127.0.0.1:8890"), "{written}");
    fs::write(&config, "mine").unwrap();
    let (code, errors) = init(&["--chain", "local"]);
    assert!(code == Some(2) && errors.contains("is there already; --force replaces it"), "{errors}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "mine");
    assert_eq!(init(&["--chain", "local", "--force"]).0, Some(0));
    assert_eq!(fs::read_to_string(&config).unwrap(), written);

    for (arguments, message) in [
        (&[][..], "--chain local or --chain follow"),
        (&["--chain", "local", "--peer", "a:1"], "are for --chain follow"),
        (&["--chain", "follow"], "name at least one peer"),
        (&["--chain", "follow", "--peer", "host"], "\"host\" is no peer"),
        (&["--chain", "follow", "--peer", "a:1"], "--genesis FILE or --snapshot FILE"),
        (&["--chain", "follow", "--peer", "a:1", "--genesis", "/no/such"], "/no/such"),
        (&["--chain", "local", "--first-port", "65533"], "four ports"),
    ] {
        let (code, errors) = init(arguments);
        assert!(code == Some(2) && errors.contains(message), "{arguments:?}: {errors}");
    }

    let snapshot = folder.path().join(format!("snapshot-{:08x}{}.bin", 1000, "0".repeat(56)));
    fs::write(&snapshot, "").unwrap();
    assert_eq!(init(&["--chain", "follow", "--peer", "a:1", "--snapshot", text(&snapshot), "--force"]).0, Some(0));
    let config = fs::read_to_string(folder.path().join("dfuse.toml")).unwrap();
    assert!(config.contains("first_block = 1001") && config.contains(text(&snapshot)), "{config}");

    // Without a node there is one line that says what to do.
    let config = folder.path().join("dfuse.toml");
    let missing = fs::read_to_string(&config).unwrap().replace("binary = \"nodeos\"", "binary = \"/no/such/nodeos\"");
    fs::write(&config, missing).unwrap();
    Server::start(&["--config", text(&config)])
        .fails(2, "node follower: there is no program /no/such/nodeos; install nodeos");
}
