//! What fails, one at a time, while blocks come and a client follows them: the table of docs/many-machines.md, line by line.

use std::{fs, time::Duration};

use dfuse_testkit::Random;

use crate::{
    fleet::{A, B, BEFORE, C, D, Fleet, begun, begun_with},
    support::{forks::answer, machines::Machine},
};

#[test]
fn an_api_machine_dies() {
    let Some((mut fleet, client)) = begun(1) else { return };
    for (piece, at) in [(4, C), (5, D)] {
        fleet.machines[at].kill();
        fleet.feed_both(piece);
        fleet.comes_to(if at == C { D } else { C }, piece);
        fleet.restart(at, piece);
        fleet.comes_to(at, piece);
    }
    fleet.end(client, 6);
}

#[test]
fn an_api_machine_hangs() {
    let Some((mut fleet, client)) = begun(2) else { return };
    fleet.machines[C].hang();
    for piece in 4..7 {
        fleet.feed_both(piece);
        fleet.comes_to(D, piece);
    }
    fleet.machines[C].wake();
    fleet.comes_to(C, 6);
    fleet.end(client, 7);
}

#[test]
fn an_ingest_machine_dies() {
    let Some((mut fleet, client)) = begun(3) else { return };
    for (piece, (dies, goes_on)) in [(4, (A, B)), (6, (B, A))] {
        fleet.machines[dies].kill();
        fleet.feed(goes_on, piece);
        fleet.both_come_to(piece);
        fleet.tells(C, "\"machines\"");
        // Its node repeats what it lacks.
        fleet.restart(dies, piece + 1);
        fleet.feed(goes_on, piece + 1);
        fleet.both_come_to(piece + 1);
    }
    fleet.end(client, 8);
}

#[test]
fn an_ingest_machine_hangs() {
    let Some((mut fleet, client)) = begun(4) else { return };
    for (piece, (hangs, goes_on)) in [(4, (A, B)), (5, (B, A))] {
        fleet.machines[hangs].hang();
        fleet.feed(goes_on, piece);
        fleet.both_come_to(piece);
        fleet.machines[hangs].wake();
        fleet.feed(hangs, piece);
    }
    fleet.end(client, 6);
}

#[test]
fn an_ingest_machine_cannot_be_reached() {
    let Some((mut fleet, client)) = begun(5) else { return };
    for (piece, at) in [(4, A), (5, B)] {
        fleet.machines[at].part();
        fleet.feed_both(piece);
        fleet.both_come_to(piece);
        fleet.machines[at].join();
    }
    fleet.end(client, 6);
}

#[test]
fn connections_are_cut_and_slow() {
    let Some((mut fleet, client)) = begun(6) else { return };
    let mut random = Random::new(6);
    fleet.machines[A].door.slow_down(Duration::from_millis(20));
    for piece in 4..10 {
        fleet.machines[B].door.cut_after(random.below(10_000));
        fleet.feed_both(piece);
        fleet.both_come_to(piece);
    }
    // With the slow one alone they come later, and come.
    fleet.machines[B].kill();
    fleet.feed(A, 10);
    fleet.both_come_to(10);
    fleet.restart(B, 10);
    fleet.end(client, 11);
}

#[test]
fn both_ingest_machines_die() {
    let Some((mut fleet, client)) = begun(7) else { return };
    let mut random = Random::new(7);
    let before = fleet.history(&mut random);
    for at in [A, B] {
        fleet.machines[at].kill();
    }
    // History and state are answered, and the health tells whom they miss.
    for at in [C, D] {
        fleet.tells(at, "blocks come from the block store alone");
        for (path, wanted) in &before {
            assert_eq!(answer(fleet.server(at), path), *wanted, "{path}");
        }
    }
    for at in [A, B] {
        fleet.restart(at, 5);
    }
    fleet.both_come_to(5);
    fleet.end(client, 6);
}

#[test]
fn a_block_is_written_and_its_machine_dies_before_it_sends_it() {
    let Some((mut fleet, client)) = begun(8) else { return };
    // It can send nothing.
    for at in [A, B] {
        fleet.machines[at].part();
    }
    fleet.feed(A, 4);
    let head = fleet.chain.pieces[4].1.clone();
    let health = |fleet: &mut Fleet| fleet.server(A).get("/healthz").json()["head"]["id"] == head.as_str();
    let until = crate::support::deadline();
    while !health(&mut fleet) {
        assert!(std::time::Instant::now() < until);
    }
    fleet.machines[A].kill();
    let files = fs::read_dir(fleet.folder.path().join("store/one-blocks")).unwrap();
    let is_head = |name: String| name.contains(&head[head.len() - 8..]);
    assert!(files.filter_map(|file| file.unwrap().file_name().into_string().ok()).any(is_head));
    // The file is read.
    fleet.both_come_to(4);
    fleet.machines[B].join();
    fleet.restart(A, 4);
    fleet.end(client, 5);
}

#[test]
fn a_machine_dies_between_a_block_that_it_has_sent_and_its_file() {
    // It names the other one by the address of a machine that is not asked.
    let on_arrival = |at, a: Machine| {
        if at != A {
            return a;
        }
        let ingests = format!("[\"{}\", \"127.0.0.1:1\"]", a.door.address());
        a.by_way().with("DFUSE_MACHINES__PUBLISH", "on-arrival").with("DFUSE_MACHINES__INGESTS", &ingests)
    };
    let Some((mut fleet, client)) = begun_with(9, on_arrival) else { return };
    fleet.machines[A].lose_store();
    let first = fleet.chain.blocks.iter().find(|block| block.end > fleet.chain.pieces[BEFORE].0).unwrap();
    let path = format!("/v0/blocks/{}", first.id);
    fleet.feed(A, 4);
    // Sent, and nowhere else: the machines that answer have it of the one that cannot write it.
    for at in [C, D] {
        fleet.server(at).wait_until_it_has(&path);
    }
    fleet.server(A).wait_until("/healthz", |answer| answer.json().to_string().contains("\"block_store\""));
    fleet.machines[A].kill();
    // The other one has it, too.
    fleet.feed(B, 5);
    fleet.both_come_to(5);
    fleet.machines[A].find_store();
    fleet.restart(A, 5);
    fleet.end(client, 6);
}

#[test]
fn machines_without_the_store() {
    let Some((mut fleet, client)) = begun_with(10, |at, machine| if at == A { machine.by_way() } else { machine })
    else {
        return;
    };
    let mut random = Random::new(10);
    // One that takes blocks sends none that it cannot write: the other one does.
    fleet.machines[A].lose_store();
    fleet.feed_both(4);
    fleet.both_come_to(4);
    fleet.tells(A, "block_store");
    fleet.machines[A].find_store();
    // One that answers has blocks from the others, and history from its indexes.
    let state = format!("/v0/state/permission_links?account=eosio&block_num={}", fleet.chain.numbers.start + 5);
    let wanted = answer(fleet.server(D), &state);
    fleet.machines[C].lose_store();
    fleet.feed_both(5);
    fleet.indexes(C, 5);
    assert_eq!(answer(fleet.server(C), &state), wanted);
    fleet.tells(C, "store");
    fleet.machines[C].find_store();
    fleet.feed_both(6);
    fleet.both_come_to(6);
    fleet.history(&mut random);
    fleet.end(client, 7);
}

#[test]
fn a_machine_with_another_cursor_key() {
    let Some(chain) = crate::support::forks::Forks::read() else { return };
    let folder = tempfile::TempDir::new().unwrap();
    let mut a = Machine::new(folder.path(), "a", "ingest", &[]);
    let mut c = Machine::new(folder.path(), "c", "api", &[&a]);
    let other = format!("[\"{}\"]", "08".repeat(32));
    let mut d = Machine::new(folder.path(), "d", "api", &[&a]).with("DFUSE_CURSOR_KEYS", &other);
    let piece = &chain.pieces[BEFORE];
    a.start(&chain.log[..piece.0]);
    let path = "/v0/search/transactions?q=receiver:eosio&limit=2";
    for machine in [&mut c, &mut d] {
        machine.start(&[]);
        machine.server().wait_until_it_has(&format!("/v0/blocks/{}", piece.1));
        machine
            .server()
            .wait_until(path, |answer| answer.json()["transactions"].as_array().is_some_and(|it| !it.is_empty()));
    }
    let cursor = c.server().get(path).json()["cursor"].as_str().unwrap().to_owned();
    // Refused, and never taken for the place of something else.
    let refused = d.server().get(&format!("{path}&cursor={cursor}"));
    assert_eq!((refused.status, &refused.json()["code"]), (400, &"request_validation_error".into()));
    assert_eq!(c.server().get(&format!("{path}&cursor={cursor}")).status, 200);
    for machine in [&mut d, &mut c, &mut a] {
        machine.stop();
    }
}
