//! A full disk: the process says so, goes on serving, and goes on writing when there is space.
#![allow(clippy::unwrap_used)]

mod support;

use std::{io::Write, process::Stdio, thread};

use dfuse_testkit::{SmallDisk, synthetic::SyntheticChain};
use support::{Server, assert_sound, text};

#[test]
fn a_full_disk_stops_writing_and_nothing_else() {
    SmallDisk::run("a_full_disk_stops_writing_and_nothing_else", 160, run);
}

#[test]
fn what_is_dropped_at_the_end_is_told() {
    SmallDisk::run("what_is_dropped_at_the_end_is_told", 160, end_while_full);
}

fn end_while_full(disk: &SmallDisk) {
    let mut log = vec![];
    SyntheticChain::builder().seed(5).blocks(3000).build().write_log(&mut log).unwrap();
    let data = disk.path().join("data");
    let arguments = ["--source", "deep-mind:-", "--data-dir", text(&data)];
    let mut server = Server::start_with(&arguments, Stdio::piped());
    server.wait_for("REST at");
    let mut stdin = server.stdin();
    let middle = log.len() / 4;
    stdin.write_all(&log[..middle]).unwrap();
    server.wait_for("ready");
    disk.fill_but(256).unwrap();
    // The pipe breaks when the process ends.
    let rest = log[middle..].to_vec();
    let node = thread::spawn(move || drop(stdin.write_all(&rest)));
    server.wait_for("blocks cannot be stored, trying again");
    server.signal("TERM");
    let dropped = server.wait_for("dropped: ");
    // Which block is the first, how much is left in the pipe, why, and what the operator can do.
    for part in [" block=", " head=", " unread_bytes=", "restart the node from a snapshot at or below block "] {
        assert!(dropped.contains(part), "{part}: {dropped}");
    }
    assert!(dropped.contains("o space left"), "{dropped}");
    server.wait();
    node.join().unwrap();
    // Nothing else was dropped: with space, and the log from its beginning, it goes on.
    disk.free().unwrap();
    let mut server = Server::start_with(&arguments, Stdio::piped());
    let mut stdin = server.stdin();
    stdin.write_all(&log).unwrap();
    drop(stdin);
    server.wait_for("the source has no more blocks");
    server.wait_for("ready");
    server.stop();
    assert_sound(&data);
}

fn run(disk: &SmallDisk) {
    let mut log = vec![];
    SyntheticChain::builder().seed(5).blocks(3000).build().write_log(&mut log).unwrap();
    let data = disk.path().join("data");
    let mut server = Server::start_with(&["--source", "deep-mind:-", "--data-dir", text(&data)], Stdio::piped());
    server.wait_for("REST at");
    let mut stdin = server.stdin();
    let middle = log.len() / 4;
    stdin.write_all(&log[..middle]).unwrap();
    server.wait_for("ready");
    disk.fill_but(256).unwrap();
    let rest = log.split_off(middle);
    let node = thread::spawn(move || stdin.write_all(&rest).unwrap());

    server.wait_for("blocks cannot be stored, trying again");
    let health = server.get("/healthz");
    assert_eq!(health.status, 503);
    // The indexes may be the next to need space, while blocks have found some.
    let conditions = health.json()["details"]["conditions"].as_object().unwrap().clone();
    assert!(conditions.keys().any(|name| ["block_store", "index_store"].contains(&name.as_str())), "{conditions:?}");
    let blocks = server.get("/v0/blocks?limit=50");
    assert_eq!((blocks.status, blocks.json().as_array().unwrap().len()), (200, 50));

    disk.free().unwrap();
    node.join().unwrap();
    server.wait_for("the source has no more blocks");
    loop {
        let health = server.get("/healthz");
        if health.status == 200 {
            break;
        }
        assert_eq!(health.status, 503);
        thread::yield_now();
    }
    server.stop();
    assert_sound(&data);
}
