//! Whatever befalls machines, those that answer do so as one process alone would. `DFUSE_TEST_MACHINES` says how many courses of
//! misfortunes are tried; one, which is the same in every run, without it.

use std::{collections::BTreeSet, time::Duration};

use dfuse_testkit::Random;

use crate::{
    assert_sound_blocks, assert_sound_indexes,
    fleet::{A, C, D, Fleet},
    support::{Server, forks::answer, text},
};

/// Requests that all servers answer alike.
const REQUESTS: usize = 300;
/// Blocks at the end of the recorded chain that are not final.
const FINALITY: u32 = 60;
/// The course that is always tried.
const SEED: u64 = 7;

#[test]
fn machines_answer_alike_whichever_is_lost() {
    let courses: u64 = std::env::var("DFUSE_TEST_MACHINES").map_or(1, |courses| courses.parse().unwrap());
    for seed in SEED..SEED + courses {
        println!("course {seed}");
        if !course(seed) {
            return;
        }
    }
}

/// What befalls machines while blocks come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Killed(usize),
    /// Its connections are cut.
    Cut(usize),
    /// It stands still, with its connections open.
    Hangs(usize),
    /// What it sends is late.
    Slow(usize),
    /// One that answers does not reach the block store.
    NoStore,
    /// Those that answer see none of those that take blocks.
    Parted,
}

impl Fault {
    fn any(random: &mut Random) -> Self {
        let machine = random.below(4) as usize;
        match random.below(8) {
            0 | 1 => Self::Killed(machine),
            2 => Self::Cut(machine % 2),
            3 | 4 => Self::Hangs(machine),
            5 => Self::Slow(machine % 2),
            6 => Self::NoStore,
            _ => Self::Parted,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Killed(at) if at < C => "an ingest machine is killed",
            Self::Killed(_) => "an api machine is killed",
            Self::Hangs(at) if at < C => "an ingest machine hangs",
            Self::Hangs(_) => "an api machine hangs",
            Self::Cut(_) => "connections are cut",
            Self::Slow(_) => "connections are slow",
            Self::NoStore => "the store is away",
            Self::Parted => "a partition",
        }
    }
}

impl Fleet {
    /// A piece of the log comes while that happens.
    fn suffer(&mut self, fault: Fault, piece: usize, random: &mut Random) {
        let asked = C + piece % 2;
        let goes_on = |at: usize| if at < C { 1 - at } else { A };
        match fault {
            Fault::Killed(at) => {
                self.machines[at].kill();
                // The other one goes on alone for a while.
                if at < C {
                    self.feed(goes_on(at), piece);
                    self.comes_to(C, piece);
                }
                self.restart(at, piece);
            }
            Fault::Hangs(at) => {
                self.machines[at].hang();
                self.feed(goes_on(at), piece);
                self.comes_to(if at == C { D } else { C }, piece);
                self.machines[at].wake();
            }
            Fault::Cut(at) => self.machines[at].door.cut_after(random.below(20_000)),
            Fault::Slow(at) => self.machines[at].door.slow_down(Duration::from_millis(5)),
            Fault::NoStore => self.machines[C].lose_store(),
            Fault::Parted => self.machines[..C].iter_mut().for_each(|machine| machine.part()),
        }
        self.feed_both(piece);
        match fault {
            Fault::NoStore => self.indexes(C, piece),
            _ => self.comes_to(asked, piece),
        }
        match fault {
            Fault::Slow(at) => self.machines[at].door.slow_down(Duration::ZERO),
            Fault::NoStore => self.machines[C].find_store(),
            Fault::Parted => self.machines[..C].iter_mut().for_each(|machine| machine.join()),
            _ => {}
        }
    }
}

/// False without the recorded chain.
fn course(seed: u64) -> bool {
    let Some(mut fleet) = Fleet::new() else { return false };
    let client = fleet.client(seed);
    let mut random = Random::new(seed);
    let mut kinds = BTreeSet::new();
    for piece in 0..fleet.chain.pieces.len() {
        let fault = Fault::any(&mut random);
        kinds.insert(fault.kind());
        fleet.suffer(fault, piece, &mut random);
    }
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    let chain = &fleet.chain;
    let has_all = format!("/v0/blocks/{}", chain.ids[0]);
    fleet.machines[C..].iter_mut().for_each(|machine| machine.server().wait_until_it_has(&has_all));
    let (stack, moves) = client.end(&chain.ids[0]);
    assert!(moves > 10, "{moves}");
    assert!(stack.iter().eq(chain.ids.iter().rev()), "{stack:?}");

    // One process that does it all, for comparison.
    let folder = fleet.folder.path();
    let alone = folder.join("alone");
    std::fs::create_dir(&alone).unwrap();
    std::fs::write(alone.join("cursor.key"), [7; 32]).unwrap();
    let log = folder.join("log");
    std::fs::write(&log, &chain.log).unwrap();
    let mut alone = Server::start(&["--source", &format!("deep-mind:{}", text(&log)), "--data-dir", text(&alone)]);
    alone.wait_until_it_has(&has_all);
    // What is final is known a moment later.
    let all_final = u64::from(chain.numbers.end - 1 - FINALITY);
    for server in [&mut alone].into_iter().chain(fleet.machines[C..].iter_mut().map(|machine| machine.server())) {
        server
            .wait_until("/healthz", |answer| answer.json()["lib"]["num"].as_u64().is_some_and(|lib| lib >= all_final));
    }
    let mut good = 0;
    for _ in 0..REQUESTS {
        let path = chain.request(&mut random);
        let wanted = answer(&mut alone, &path);
        good += usize::from(wanted.0 == 200);
        for machine in &mut fleet.machines[C..] {
            assert_eq!(answer(machine.server(), &path), wanted, "{path}");
        }
    }
    assert!(good > REQUESTS * 8 / 10, "{good}");
    alone.stop();
    for machine in fleet.machines.iter_mut().rev() {
        machine.stop();
    }
    let store = folder.join("store");
    for at in [C, D] {
        assert_sound_indexes(&fleet.machines[at].data, &store);
    }
    assert_sound_blocks(&store);
    true
}
