//! Blocks that lose, told from server to server: A has a node, B follows A and C follows B, over Firehose; D is an api machine of B.

use std::{fs, path::Path};

use dfuse_blocks::{BlockRef, Cursor, CursorKey, Step};
use dfuse_node::firehose::{Endpoint, FirehoseClient, FirehoseOptions, Received};
use dfuse_proto::sf::firehose::v2::{ForkStep, Request};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Server, forks::Forks, machines::Machine};

/// One that takes its blocks from another one, in a store of its own.
fn follower(folder: &Path, name: &str, of: &Machine) -> Machine {
    let own = folder.join(format!("of-{name}"));
    fs::create_dir(&own).unwrap();
    let machine = Machine::new(&own, name, "ingest,index,api", &[]);
    machine.of(&format!("firehose:{}", of.door.address())).with("DFUSE_FIREHOSE__CREDENTIAL_IN_PLAIN_TEXT", "true")
}

/// Everything that a server says of a block.
fn whole(server: &mut Server, id: &str) -> (u16, Value) {
    let answer = server.get(&format!("/v0/blocks/{id}"));
    let mut json = answer.json();
    json.as_object_mut().unwrap().remove("trace_id");
    (answer.status, json)
}

#[test]
fn losses_are_told_to_those_who_follow() {
    let Some(chain) = Forks::read() else { return };
    let folder = TempDir::new().unwrap();
    let first = chain.settled(2);
    let last = chain.settled(24);
    let [half, all] = [first, last].map(|piece| chain.pieces[piece].clone());
    let lost: Vec<_> = {
        let lost = chain.lost();
        let between = chain.blocks.iter().filter(|block| (half.0 + 1..=all.0).contains(&block.end));
        between.filter(|block| lost.contains(&block.id)).map(|block| block.id.clone()).collect()
    };
    assert!(lost.len() > 10, "{}", lost.len());
    let mut a = Machine::new(folder.path(), "a", "ingest,index,api", &[]);
    let mut b = follower(folder.path(), "b", &a);
    let mut c = follower(folder.path(), "c", &b);
    let mut d = Machine::new(&folder.path().join("of-b"), "d", "api", &[&b]);
    a.start(&chain.log[..half.0]);
    for machine in [&mut b, &mut c, &mut d] {
        machine.start(&[]);
        machine.server().wait_until_it_has(&format!("/v0/blocks/{}", half.1));
    }
    // B is told of blocks that have lost meanwhile when it sees A again. C and D have followed it all the time.
    a.part();
    a.feed(&chain.log[half.0..all.0]);
    a.server().wait_until_it_has(&format!("/v0/blocks/{}", all.1));
    a.join();
    for id in &lost {
        for machine in [&mut a, &mut b, &mut c, &mut d] {
            machine.server().wait_until_it_has(&format!("/v0/blocks/{id}"));
        }
    }
    check(&lost, &mut [&mut a, &mut b, &mut c, &mut d]);

    // They keep them: by id, and for cursors.
    for machine in [&mut b, &mut c, &mut d] {
        machine.kill();
        machine.start(&[]);
        machine.server().wait_until_it_has(&format!("/v0/blocks/{}", all.1));
    }
    check(&lost, &mut [&mut a, &mut b, &mut c, &mut d]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for machine in [&a, &b, &c, &d] {
        for id in lost.iter().step_by(3) {
            let step = runtime.block_on(first_step(machine.door.address(), &chain, id));
            assert_eq!(step, (ForkStep::StepUndo, id.clone()));
        }
    }
    for machine in [&mut d, &mut c, &mut b, &mut a] {
        machine.stop();
    }
}

/// All say the same of them.
fn check(lost: &[String], machines: &mut [&mut Machine; 4]) {
    for id in lost {
        let [first, rest @ ..] = machines;
        let wanted = whole(first.server(), id);
        assert_eq!(wanted.0, 200, "{id}");
        for machine in rest {
            assert_eq!(whole(machine.server(), id), wanted, "{id}");
        }
    }
}

/// What a client is sent first that has a block which has lost.
async fn first_step(address: &str, chain: &Forks, id: &str) -> (ForkStep, String) {
    let number = u32::from_str_radix(&id[..8], 16).unwrap();
    // Far enough below it for all that may have lost with it.
    let lib = number.saturating_sub(100).max(chain.numbers.start);
    let cursor = CursorKey::new([7; 32]).seal(&Cursor { step: Step::New, block: block(id), tip: block(id), lib });
    let endpoint = Endpoint::new(address, false).unwrap();
    let client = FirehoseClient::connect(&endpoint, &FirehoseOptions::default()).await.unwrap();
    let request = Request { cursor, ..Request::default() };
    let message = client.blocks(request).await.unwrap().message().await.unwrap().unwrap();
    let received = Received::read(message).unwrap();
    (received.step, received.encoded.id().to_string())
}

fn block(id: &str) -> BlockRef {
    BlockRef { number: u32::from_str_radix(&id[..8], 16).unwrap(), id: id.parse().unwrap() }
}
