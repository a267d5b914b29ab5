//! A file of the block store that all machines find damaged: each says so, none gives up, and what mends it mends it for all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    fleet::{A, B, BEFORE, C, D, Fleet, begun},
    succeeds,
    support::{Answer, Server, forks::Forks, machines::Machine, text},
};

/// Cuts a file within its blocks.
fn tear(file: &Path) {
    let length = fs::metadata(file).unwrap().len();
    fs::File::options().write(true).open(file).unwrap().set_len(length * 2 / 3).unwrap();
}

/// The block store of machines.
fn store(fleet: &Fleet) -> PathBuf {
    fleet.folder.path().join("store")
}

fn bundle(fleet: &Fleet, base: u32) -> PathBuf {
    store(fleet).join(format!("merged-blocks/{base:010}.dbin.zst"))
}

/// One machine takes blocks, and all others see nothing of it, until a bundle is there, which is torn then. The piece that came last.
fn tear_new_bundle(fleet: &mut Fleet, from: usize, base: u32) -> usize {
    for at in [C, D] {
        fleet.machines[at].hang();
    }
    let file = bundle(fleet, base);
    let mut piece = from;
    loop {
        fleet.feed(A, piece);
        let head = fleet.chain.pieces[piece].1.clone();
        fleet.server(A).wait_until("/healthz", |answer| answer.json()["head"]["id"] == head.as_str());
        let lib = fleet.server(A).get("/healthz").json()["lib"]["num"].as_u64().unwrap();
        if lib >= u64::from(base) + 99 {
            break;
        }
        piece += 1;
    }
    let until = crate::support::deadline();
    while !file.exists() {
        assert!(std::time::Instant::now() < until, "no bundle");
    }
    tear(&file);
    for at in [C, D] {
        fleet.machines[at].wake();
    }
    piece
}

/// What was put aside of the store.
fn put_aside(fleet: &Fleet) -> usize {
    let folder = store(fleet).join("damaged/merged-blocks");
    fs::read_dir(folder).map_or(0, Iterator::count)
}

fn wait_for_condition(server: &mut Server, name: &str, fails: bool) {
    server.wait_until("/healthz", |answer| answer.json()["details"]["conditions"][name].is_string() == fails);
}

#[test]
fn a_bundle_is_damaged_before_others_have_seen_it() {
    let Some((mut fleet, client)) = begun(12) else { return };
    fleet.machines[B].kill();
    let piece = tear_new_bundle(&mut fleet, BEFORE + 1, 0);
    // Blocks go on, and the file is named, with the command.
    for at in [C, D] {
        fleet.comes_to(at, piece);
        wait_for_condition(fleet.server(at), "damaged_blocks", true);
        let told = fleet.server(at).get("/healthz").json().to_string();
        assert!(told.contains("bundle of blocks 0 to 99") && told.contains("dfuse tools merge --mend"), "{told}");
    }
    // One that restarts serves what its indexes have, and one that is new waits; both say why.
    fleet.machines[C].kill();
    fleet.restart(C, piece);
    let path = fleet.folder.path().to_owned();
    let ingests = [&fleet.machines[A]];
    let mut e = Machine::new(&path, "e", "api", &ingests);
    e.start(&[]);
    for server in [fleet.machines[C].server(), e.server()] {
        wait_for_condition(server, "source_connection", true);
        let told = server.get("/healthz").json().to_string();
        assert!(told.contains("the bundle of blocks 0 to 99") && told.contains("--mend"), "{told}");
    }
    // Once for all, with the log of any node.
    let log = path.join("log");
    fs::write(&log, &fleet.chain.log[..fleet.chain.pieces[piece].0]).unwrap();
    succeeds(&["tools", "merge", "--mend", text(&log), text(&store(&fleet))]);
    fleet.both_come_to(piece);
    e.server().wait_until_it_has(&format!("/v0/blocks/{}", fleet.chain.pieces[piece].1));
    for server in [e.server(), fleet.server(D)] {
        wait_for_condition(server, "damaged_blocks", false);
        wait_for_condition(server, "source_connection", false);
    }
    assert_eq!(put_aside(&fleet), 1);
    e.stop();
    fleet.restart(B, piece);
    fleet.end(client, piece + 1);
}

#[test]
fn a_machine_that_takes_blocks_writes_a_damaged_bundle_anew() {
    let Some((mut fleet, client)) = begun(13) else { return };
    fleet.machines[B].hang();
    let piece = tear_new_bundle(&mut fleet, BEFORE + 1, 0);
    fleet.both_come_to(piece);
    // It has the blocks, and finds that the bundle of the other one is none.
    fleet.machines[B].wake();
    fleet.feed(B, piece);
    let file = bundle(&fleet, 0);
    let torn = fs::metadata(&file).map_or(0, |file| file.len());
    let until = crate::support::deadline();
    while fs::metadata(&file).map_or(0, |file| file.len()) <= torn {
        assert!(std::time::Instant::now() < until, "it is not written anew");
    }
    for at in [C, D] {
        wait_for_condition(fleet.server(at), "damaged_blocks", false);
    }
    assert_eq!(put_aside(&fleet), 1);
    fleet.end(client, piece + 1);
}

#[test]
fn of_two_files_of_a_block_one_is_enough() {
    let Some(chain) = Forks::read() else { return };
    let folder = TempDir::new().unwrap();
    let (log, head) = (&chain.log[..chain.pieces[BEFORE].0], format!("/v0/blocks/{}", chain.pieces[BEFORE].1));
    let ingests = ["a", "b"].map(|name| Machine::new(folder.path(), name, "ingest", &[]));
    let [mut a, mut b] = ingests;
    for machine in [&mut a, &mut b] {
        machine.start(&[]);
    }
    for machine in [&mut a, &mut b] {
        machine.feed(log);
    }
    for machine in [&mut a, &mut b] {
        let id = chain.pieces[BEFORE].1.clone();
        machine.server().wait_until("/healthz", |answer| answer.json()["head"]["id"] == id.as_str());
        machine.kill();
    }
    // All files of one machine, and one of the other.
    let files = fs::read_dir(folder.path().join("store/one-blocks")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let of = |name: &str| files.iter().filter(|file| text(file).contains(&format!("-{name}."))).collect::<Vec<_>>();
    let (of_a, of_b) = (of("a"), of("b"));
    assert!(of_a.len() > 10 && of_a.len() == of_b.len(), "{files:?}");
    of_a.iter().for_each(|file| tear(file));
    let mut c = Machine::new(folder.path(), "c", "api", &[&a, &b]);
    c.start(&[]);
    c.server().wait_until_it_has(&head);
    c.stop();
    let middle = of_b[of_b.len() / 2];
    let whole = fs::read(middle).unwrap();
    tear(middle);
    let mut d = Machine::new(folder.path(), "d", "api", &[&a, &b]);
    d.start(&[]);
    let number = u64::from_str_radix(&chain.pieces[BEFORE].1[..8], 16).unwrap();
    d.server().wait_until("/healthz", |answer| answer.json().to_string().contains("the one-block file of block"));
    let has_all = |answer: &Answer| answer.json()["head"]["num"].as_u64() == Some(number);
    assert!(!has_all(&d.server().get("/v0/coverage")));
    fs::write(middle, whole).unwrap();
    d.server().wait_until("/v0/coverage", has_all);
    d.stop();
}
