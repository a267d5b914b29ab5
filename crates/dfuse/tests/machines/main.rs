//! Several machines that serve one chain over one block store, and lose each other.
//!
//! Each line of the table "What fails" in docs/many-machines.md is a test, and `alike` has a course of several of them:
//!
//! | fault | test |
//! |---|---|
//! | an `api` machine dies | `faults::an_api_machine_dies`; for pushes `push` |
//! | an `api` machine hangs | `faults::an_api_machine_hangs` |
//! | one `ingest` machine or its node dies, hangs or cannot be reached | `faults::an_ingest_machine_dies`, `_hangs`, `_cannot_be_reached` |
//! | one dies between writing a block and sending it, or the other way round | `faults::a_block_is_written_and_its_machine_dies_before_it_sends_it`, `faults::a_machine_dies_between_a_block_that_it_has_sent_and_its_file` |
//! | machines without the store | `faults::machines_without_the_store` |
//! | both `ingest` machines die, or none can be reached | `faults::both_ingest_machines_die`, `alike` |
//! | the store is slow, throttles, loses connections | in the tests `s3`: `machines`, `servers` |
//! | the store takes no notice of conditional writes | in the tests `s3`: `machines::a_store_that_does_not_keep_writers_apart_is_refused` |
//! | connections between machines are slow or cut | `faults::connections_are_cut_and_slow` |
//! | two machines have one name | `names` |
//! | another cursor key | `faults::a_machine_with_another_cursor_key` |
//! | a file in the store is damaged | `damage`; a record of a key `keys_are_common_to_all_machines` |
//! | clocks differ | `clocks` |
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "tests that wait give up by the time of the machine")]

mod alike;
mod client;
mod clocks;
mod damage;
mod faults;
mod fleet;
mod losses;
mod names;
mod push;
#[path = "../support/mod.rs"]
mod support;

use std::{path::Path, process::Command, thread, time::Duration};

use dfuse_testkit::Random;
use serde_json::Value;
use support::{
    Server,
    forks::{Forks, answer},
    machines::Machine,
    text,
};
use tempfile::TempDir;

#[track_caller]
fn assert_sound_indexes(data: &Path, blocks: &Path) {
    succeeds(&["tools", "check", "index", "--data-dir", text(data), "--blocks", text(blocks)]);
}

#[track_caller]
fn assert_sound_blocks(blocks: &Path) {
    succeeds(&["tools", "check", "blocks", text(blocks)]);
}

#[track_caller]
fn succeeds(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_dfuse")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = TempDir::new().unwrap();
    let machine = |roles| Machine::new(folder.path(), "x", roles, &[]);
    for (machine, message) in [
        (machine("apis"), "\"apis\" is not a role (did you mean api?)"),
        (machine("api"), "name all of them in machines.ingests"),
        (machine("ingest").with("DFUSE_MACHINES__NAME", "a-b"), "letters, digits"),
        (machine("index,ingest,api").with("DFUSE_ACCESS__SIGNING_KEYS", "[]"), "set access.signing_keys"),
        (machine("ingest,api").with("DFUSE_CURSOR_KEYS", "[]"), "set cursor_keys"),
        (machine("ingest,api").with("DFUSE_ACCESS__SIGNING_KEYS", "[\"AA==\"]"), "number 1 of the keys"),
        (machine("index").with("DFUSE_SOURCE", "nodeos"), "leave source (\"nodeos\") out"),
    ] {
        Server::spawn(machine.command().stdin(std::process::Stdio::null())).fails(2, message);
    }
}

/// How a command to a machine ends, and what it prints.
fn dfuse(machine: &Machine, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    let output = dfuse.args(arguments).args(["--format", "json", "--data-dir", text(&machine.data)]).output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// One machine takes blocks, two answer.
fn one_and_two(folder: &TempDir, log: &[u8], variables: &[(&str, &str)]) -> [Machine; 3] {
    let a = Machine::new(folder.path(), "a", "ingest", &[]);
    let [c, d] = ["c", "d"].map(|name| {
        let machine = Machine::new(folder.path(), name, "api", &[&a]);
        variables.iter().fold(machine, |machine, (name, value)| machine.with(name, value))
    });
    let mut machines = [a, c, d];
    machines[0].start(log);
    machines[1..].iter_mut().for_each(|machine| machine.start(&[]));
    machines
}

#[test]
fn what_another_machine_had_before_is_waited_for() {
    let Some(chain) = Forks::read() else { return };
    let folder = TempDir::new().unwrap();
    let (first, half) = (&chain.pieces[0], &chain.pieces[1]);
    let [mut a, mut c, mut d] = one_and_two(&folder, &chain.log[..first.0], &[("DFUSE_AHEAD_WAIT_MS", "60000")]);
    for machine in [&mut c, &mut d] {
        machine.server().wait_until_it_has(&format!("/v0/blocks/{}", first.1));
        machine.server().wait_for("ready");
    }
    // It does nothing while the other one goes on.
    d.server().signal("STOP");
    a.feed(&chain.log[first.0..half.0]);
    c.server().wait_until_it_has(&format!("/v0/blocks/{}", half.1));
    let head = c.server().get("/healthz").json()["head"]["num"].as_u64().unwrap();
    let state = format!("/v0/state/permission_links?account=eosio&block_num={head}");
    let wanted = answer(c.server(), &state);
    assert_eq!(wanted.0, 200, "{wanted:?}");
    d.server().signal("CONT");
    assert_eq!(answer(d.server(), &state), wanted);
    // What nobody can have is told at once, with its own code.
    let above = state.replace(&format!("block_num={head}"), &format!("block_num={}", head + 1000));
    assert_eq!(answer(d.server(), &above).1["code"], "app_block_num_higher_than_head_block_error");
    for machine in [&mut d, &mut c, &mut a] {
        machine.stop();
    }
}

#[test]
fn keys_are_common_to_all_machines() {
    let Some(chain) = Forks::read() else { return };
    let folder = TempDir::new().unwrap();
    let required = [("DFUSE_ACCESS__MODE", "required")];
    let [mut a, mut c, mut d] = one_and_two(&folder, &chain.log[..chain.pieces[0].0], &required);
    for machine in [&mut c, &mut d] {
        machine.server().wait_for("ready");
    }
    let (_, made) = dfuse(&c, &["keys", "create", "--kind", "server", "--name", "x"]);
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let token = support::issued(d.server(), key);
    let path = format!("/v0/block_id/by_time?time=2100-01-01T00:00:00Z&comparator=lt&token={token}");
    assert_eq!(c.server().get(&path).status, 200, "a token of one machine counts at the other");
    assert_eq!(dfuse(&d, &["keys", "revoke", id]).0, Some(0));
    assert_eq!(d.server().get(&path).status, 401);
    let until = support::deadline();
    while c.server().get(&path).status != 401 {
        assert!(std::time::Instant::now() < until);
        thread::sleep(Duration::from_millis(50));
    }
    for machine in [&mut d, &mut c, &mut a] {
        machine.stop();
    }
    // A damaged object is told until it is mended, and holds nothing up.
    let keys = folder.path().join("store/access/keys");
    std::fs::write(keys.join("0000000000"), "{").unwrap();
    c.start(&[]);
    c.server().wait_until("/healthz", |answer| {
        let told = answer.json()["details"]["conditions"]["keys"].to_string();
        answer.status == 503 && told.contains("0000000000")
    });
    assert_eq!(c.server().get(&path).status, 401);
    std::fs::copy(keys.join("0000000001"), keys.join("0000000000")).unwrap();
    c.server().wait_for("ready");
    // What was used on both is told by each. Without a server, commands would miss what the others have.
    let (_, usage) = dfuse(&c, &["keys", "usage", id]);
    let requests: u64 = usage.as_array().unwrap().iter().map(|row| row["requests"].as_u64().unwrap()).sum();
    assert!(requests >= 1, "{usage}");
    assert_eq!(dfuse(&d, &["keys", "list"]).0, Some(2));
    c.stop();
}

#[test]
fn a_new_machine_begins_with_a_copy() {
    let Some(chain) = Forks::read() else { return };
    let folder = TempDir::new().unwrap();
    let (half, whole) = (&chain.pieces[15], &chain.pieces[29]);
    let [mut a, mut c, mut d] = one_and_two(&folder, &chain.log[..half.0], &[]);
    c.server().wait_until_it_has(&format!("/v0/blocks/{}", half.1));
    let place = folder.path().join("copies");
    let copy = |machine: &Machine| {
        let mut dfuse = std::process::Command::new(env!("CARGO_BIN_EXE_dfuse"));
        let output =
            dfuse.args(["tools", "index", "copy", text(&place), "--data-dir", text(&machine.data)]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    copy(&c);
    a.feed(&chain.log[half.0..whole.0]);
    // One beside a server that takes blocks, one without a server.
    copy(&c);
    d.stop();
    copy(&d);
    let mut e = Machine::new(folder.path(), "e", "api", &[&a]).with("DFUSE_INDEX__COPY", text(&place));
    e.start(&[]);
    e.server().wait_for("the indexes begin with a copy");
    for machine in [&mut c, &mut e] {
        machine.server().wait_until_it_has(&format!("/v0/blocks/{}", whole.1));
    }
    let mut random = Random::new(3);
    for _ in 0..100 {
        let path = chain.request(&mut random);
        assert_eq!(answer(e.server(), &path), answer(c.server(), &path), "{path}");
    }
    // One that only builds indexes ends when it has them all.
    let index = Machine::new(folder.path(), "f", "index", &[]).with("DFUSE_EXIT_AT_END", "true");
    let mut server = Server::spawn(index.command().stdin(std::process::Stdio::null()));
    server.wait_for("all blocks are indexed");
    assert_eq!(server.ends(), Some(0));
    for machine in [&mut e, &mut c, &mut a] {
        machine.stop();
    }
    for data in [&e.data, &index.data] {
        assert_sound_indexes(data, &folder.path().join("store"));
    }
}

#[test]
fn a_machine_that_leaves_says_so_first() {
    let Some(chain) = Forks::read() else { return };
    let folder = TempDir::new().unwrap();
    let [mut a, mut c, mut d] =
        one_and_two(&folder, &chain.log[..chain.pieces[0].0], &[("DFUSE_HTTP__DRAIN_SECONDS", "2")]);
    c.server().wait_for("ready");
    let (mut socket, _) =
        tokio_tungstenite::tungstenite::connect(format!("ws://{}/v1/stream", c.server().address())).unwrap();
    c.server().signal("TERM");
    let until = support::deadline();
    loop {
        let health = c.server().get("/healthz");
        if health.status == 503 {
            assert_eq!(health.json()["details"]["conditions"]["running"], "the server is going away");
            break;
        }
        assert!(std::time::Instant::now() < until);
    }
    assert_eq!(c.server().get("/v0/search/transactions?q=receiver:eosio&limit=1").status, 200, "still at work");
    let close = loop {
        if let tokio_tungstenite::tungstenite::Message::Close(close) = socket.read().unwrap() {
            break close.unwrap();
        }
    };
    assert_eq!(u16::from(close.code), 1001);
    drop(socket);
    assert_eq!(c.server().wait().code(), Some(0));
    for machine in [&mut d, &mut a] {
        machine.stop();
    }
}
