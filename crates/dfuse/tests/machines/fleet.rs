//! Two machines that take blocks, and two that answer, with the chain that they serve.

use dfuse_testkit::Random;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::Client,
    support::{
        Answer, Server,
        forks::{Forks, answer},
        machines::Machine,
    },
};

/// Those that take blocks.
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;
/// Those that answer. The first one has a way of its own to the block store.
pub(crate) const C: usize = 2;
pub(crate) const D: usize = 3;

/// Pieces of the log before something fails.
pub(crate) const BEFORE: usize = 3;
/// Requests that [`Fleet::history`] makes.
const OF_HISTORY: usize = 20;

/// Machines that have come to a piece, and whose client follows.
pub(crate) fn begun(seed: u64) -> Option<(Fleet, Client)> {
    begun_with(seed, |_, machine| machine)
}

/// The same with other machines.
pub(crate) fn begun_with(seed: u64, change: impl Fn(usize, Machine) -> Machine) -> Option<(Fleet, Client)> {
    let mut fleet = Fleet::with(change)?;
    let client = fleet.client(seed);
    fleet.feed_both(BEFORE);
    fleet.both_come_to(BEFORE);
    for at in [C, D] {
        fleet.server(at).wait_for("ready");
    }
    Some((fleet, client))
}

pub(crate) struct Fleet {
    pub(crate) folder: TempDir,
    pub(crate) chain: Forks,
    pub(crate) machines: [Machine; 4],
    /// How much of the log each node has logged.
    fed: [usize; 2],
}

impl Fleet {
    /// They run, and have no block yet. None without the recorded chain.
    pub(crate) fn new() -> Option<Self> {
        Self::with(|_, machine| machine)
    }

    /// The same with other machines: what `change` makes of each, which is told by its place.
    pub(crate) fn with(change: impl Fn(usize, Machine) -> Machine) -> Option<Self> {
        let chain = Forks::read()?;
        let folder = TempDir::new().unwrap();
        let new = |name, roles, ingests: &[&Machine]| Machine::new(folder.path(), name, roles, ingests);
        let a = change(A, new("a", "ingest", &[]));
        let b = change(B, new("b", "ingest", &[]));
        let c = change(C, new("c", "api", &[&a, &b]).by_way());
        let d = change(D, new("d", "api", &[&a, &b]));
        let mut machines = [a, b, c, d];
        machines.iter_mut().for_each(|machine| machine.start(&[]));
        Some(Self { folder, chain, machines, fed: [0, 0] })
    }

    /// A client of those that answer.
    pub(crate) fn client(&self, seed: u64) -> Client {
        Client::start([C, D].map(|at| self.machines[at].door.address().to_owned()), seed)
    }

    /// The node of a machine logs up to the end of that piece.
    pub(crate) fn feed(&mut self, at: usize, piece: usize) {
        let end = self.chain.pieces[piece].0;
        self.machines[at].feed(&self.chain.log[self.fed[at]..end]);
        self.fed[at] = end;
    }

    pub(crate) fn feed_both(&mut self, piece: usize) {
        self.feed(A, piece);
        self.feed(B, piece);
    }

    /// A machine that was killed starts again, and its node repeats what it has logged up to the end of that piece.
    pub(crate) fn restart(&mut self, at: usize, piece: usize) {
        let takes = at < C;
        let end = if takes { self.chain.pieces[piece].0 } else { 0 };
        self.machines[at].start(&self.chain.log[..end]);
        if takes {
            self.fed[at] = end;
        }
    }

    pub(crate) fn server(&mut self, at: usize) -> &mut Server {
        self.machines[at].server()
    }

    /// Waits until a machine has the highest block of a piece.
    pub(crate) fn comes_to(&mut self, at: usize, piece: usize) {
        let path = format!("/v0/blocks/{}", self.chain.pieces[piece].1);
        self.server(at).wait_until_it_has(&path);
    }

    /// The same of one without the block store, which tells of blocks only what its indexes have.
    pub(crate) fn indexes(&mut self, at: usize, piece: usize) {
        let number = u64::from_str_radix(&self.chain.pieces[piece].1[..8], 16).unwrap();
        let is_indexed = |answer: &Answer| answer.json()["head"]["num"].as_u64().is_some_and(|head| head >= number);
        self.server(at).wait_until("/v0/coverage", is_indexed);
    }

    pub(crate) fn both_come_to(&mut self, piece: usize) {
        self.comes_to(C, piece);
        self.comes_to(D, piece);
    }

    /// What both machines that answer say of the past.
    pub(crate) fn history(&mut self, random: &mut Random) -> Vec<(String, (u16, Value))> {
        let mut said = Vec::new();
        while said.len() < OF_HISTORY {
            let path = self.chain.request(random);
            let first = answer(self.server(C), &path);
            // What is above the head is another matter.
            if first.0 == 200 {
                assert_eq!(answer(self.server(D), &path), first, "{path}");
                said.push((path, first));
            }
        }
        said
    }

    /// Waits until the health of a machine says something.
    pub(crate) fn tells(&mut self, at: usize, text: &str) {
        self.server(at).wait_until("/healthz", |answer| String::from_utf8_lossy(&answer.body).contains(text));
    }

    /// All take the log up to the end of a piece, and the client has had each block of the chain in its place, whatever befell the
    /// machines. They end cleanly, and what they have kept is sound.
    #[track_caller]
    pub(crate) fn end(mut self, client: Client, piece: usize) {
        let piece = self.chain.settled(piece);
        self.feed_both(piece);
        self.both_come_to(piece);
        let head = self.chain.pieces[piece].1.clone();
        let (stack, _) = client.end(&head);
        let branch = self.chain.branch(&head);
        assert!(stack.iter().eq(branch.iter().rev()), "{stack:?}");
        for machine in self.machines.iter_mut().rev() {
            machine.stop();
        }
        let store = self.folder.path().join("store");
        for at in [C, D] {
            crate::assert_sound_indexes(&self.machines[at].data, &store);
        }
        crate::assert_sound_blocks(&store);
    }
}
