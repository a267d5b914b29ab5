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
