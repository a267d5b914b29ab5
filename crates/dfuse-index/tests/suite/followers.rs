//! Followers of one committer. Each takes the steps of one chain at its own pace and adopts snapshots at any moment; whatever the
//! committer has committed by then, views say what those of one process say at the same step.

use std::sync::Arc;

use dfuse_antelope::{
    AbiDump, Checksum256, Name,
    model::{Block, BlockHeader},
};
use dfuse_index::{
    Adopted, Applied, BlockRef, Earlier, EarlierStage, Error, Follower, Index, IndexedPart, Options, Pipeline,
    ServingSnapshot,
    abi::{self, Abis},
    blocks::Blocks,
    keyspaces,
};
use dfuse_kv::{Bytes, FaultPlan, FaultyStore, MemoryStore, Snapshot, Store};
use proptest::{collection::vec, prelude::*};

use crate::{
    chain::{contents, reference},
    model::{Model, indexes},
};

/// A step of the chain.
#[derive(Debug, Clone, Copy)]
enum Event {
    New(Checksum256),
    Undo(Checksum256),
    Final(Checksum256),
}

/// What one process says after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    head: Option<BlockRef>,
    lib: Option<BlockRef>,
    forks: Vec<BlockRef>,
}

impl Said {
    fn by(snapshot: &ServingSnapshot) -> Self {
        Self { head: snapshot.head(), lib: snapshot.lib(), forks: snapshot.forked_blocks().collect() }
    }
}

/// What happens next; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Extend(u8),
    /// Undo so many blocks, and extend.
    Fork(u8, u8),
    /// What is so far below the head becomes final.
    Finalize(u8),
    /// The committer takes so many steps of the chain.
    Commit(u8),
    /// A follower takes so many.
    Follow(usize, u8),
    /// A snapshot of the store is kept, for followers to adopt late.
    Keep,
    /// A follower adopts a snapshot that was kept.
    AdoptKept(usize, usize),
    /// A follower adopts what there is now.
    AdoptNewest(usize),
    /// A follower ends, and begins without a feed.
    Restart(usize),
    /// The committer ends, and begins with what it has committed.
    RestartCommitter,
    /// A request takes a snapshot from a follower.
    Hold(usize),
    Release,
}

const FOLLOWERS: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    let follower = || 0..FOLLOWERS;
    prop_oneof![
        4 => (1..6u8).prop_map(Step::Extend),
        3 => (1..6u8, 1..6u8).prop_map(|(back, on)| Step::Fork(back, on)),
        4 => any::<u8>().prop_map(Step::Finalize),
        4 => (1..12u8).prop_map(Step::Commit),
        6 => (follower(), 1..12u8).prop_map(|(follower, steps)| Step::Follow(follower, steps)),
        2 => Just(Step::Keep),
        4 => (follower(), any::<usize>()).prop_map(|(follower, kept)| Step::AdoptKept(follower, kept)),
        4 => follower().prop_map(Step::AdoptNewest),
        1 => follower().prop_map(Step::Restart),
        1 => Just(Step::RestartCommitter),
        2 => follower().prop_map(Step::Hold),
        1 => Just(Step::Release),
    ]
}

/// A follower and how far it has come.
struct Machine {
    follower: Follower,
    /// Steps of the chain that it has taken.
    taken: usize,
    /// Not until it takes a block: before, it serves what is committed.
    is_fed: bool,
    /// It has not seen all blocks that were before.
    began_late: bool,
}

struct Cluster {
    model: Model,
    options: Options,
    events: Vec<Event>,
    /// What one process says after so many steps.
    said: Vec<Said>,
    whole: Pipeline,
    head: Checksum256,
    final_block: Checksum256,
    store: Arc<dyn Store>,
    committer: Pipeline,
    /// Steps that the committer has taken.
    committed: usize,
    machines: Vec<Machine>,
    kept: Vec<Arc<dyn Snapshot>>,
    held: Vec<Arc<ServingSnapshot>>,
}

fn empty_store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(&keyspaces(&indexes())))
}

fn open(store: &Arc<dyn Store>) -> Pipeline {
    Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap()
}

fn follower(store: &Arc<dyn Store>, options: &Options) -> Follower {
    Follower::open(store.clone(), indexes(), options.clone()).unwrap()
}

fn at(id: Checksum256) -> BlockRef {
    BlockRef { number: id.block_num(), id }
}

impl Cluster {
    fn new(options: Options) -> Self {
        let (model, store) = (Model::new(), empty_store());
        let machine = |_| Machine { follower: follower(&store, &options), taken: 0, is_fed: false, began_late: false };
        let (machines, whole, committer) = ((0..FOLLOWERS).map(machine).collect(), open(&empty_store()), open(&store));
        Self {
            head: model.root,
            final_block: model.root,
            said: vec![Said::by(&whole.serving().snapshot())],
            events: Vec::new(),
            committed: 0,
            kept: Vec::new(),
            held: Vec::new(),
            model,
            options,
            whole,
            store,
            committer,
            machines,
        }
    }

    fn event(&mut self, event: Event) {
        give_pipeline(&mut self.whole, &self.model, event);
        self.events.push(event);
        self.said.push(Said::by(&self.whole.serving().snapshot()));
    }

    fn extend(&mut self, count: u8) {
        for _ in 0..count {
            self.head = self.model.child(self.head).id;
            self.event(Event::New(self.head));
        }
    }

    fn finalize(&mut self, block: Checksum256) {
        self.final_block = block;
        self.event(Event::Final(block));
    }

    fn commit(&mut self, steps: usize) {
        let end = self.events.len().min(self.committed.saturating_add(steps));
        for event in &self.events[self.committed..end] {
            give_pipeline(&mut self.committer, &self.model, *event);
        }
        self.committed = end;
    }

    /// Its feed gives it what is the best chain by then, and says what is final of it.
    fn restart_committer(&mut self) {
        self.committer = open(&self.store);
        let (said, committed) = (&self.said[self.committed], self.committer.serving().status().committed);
        let start = committed.map_or(self.model.root, |block| block.id);
        for block in said.head.iter().flat_map(|head| self.model.path(start, head.id)) {
            assert_eq!(self.committer.apply(&block).unwrap(), Applied::New);
        }
        if let Some(lib) = said.lib {
            self.committer.finalize(lib).unwrap();
        }
    }

    fn follow(&mut self, at_machine: usize, steps: usize) {
        let machine = &mut self.machines[at_machine];
        if !machine.is_fed {
            // Its feed begins at what it has, with what is the best chain by then.
            machine.taken = machine.taken.max(self.committed);
            machine.began_late |= machine.taken > 0;
            let said = &self.said[machine.taken];
            if let Some(head) = said.head {
                let start = machine.follower.committed().map_or(self.model.root, |block| block.id);
                for block in self.model.path(start, head.id) {
                    assert_eq!(machine.follower.apply(&block).unwrap(), Applied::New);
                }
            }
            if let Some(lib) = said.lib {
                machine.follower.finalize(lib).unwrap();
            }
        }
        let end = self.events.len().min(machine.taken.saturating_add(steps));
        for event in &self.events[machine.taken..end] {
            match *event {
                Event::New(id) => drop(machine.follower.apply(&self.model.blocks[&id].0).unwrap()),
                Event::Undo(id) => machine.follower.undo(at(id)).unwrap(),
                Event::Final(id) => machine.follower.finalize(at(id)).unwrap(),
            }
        }
        machine.taken = end;
        machine.is_fed = machine.follower.serving().status().is_fed;
    }

    /// Neither what is committed nor the head goes back, and what was served stays as it was.
    fn adopt(&mut self, at_machine: usize, adopt: impl FnOnce(&mut Follower) -> Option<Adopted>) {
        let machine = &mut self.machines[at_machine];
        let (follower, number) =
            (&mut machine.follower, |block: Option<BlockRef>| block.map_or(0, |block| block.number));
        let before = (follower.committed(), follower.serving().snapshot());
        let adopted = adopt(follower);
        let after = follower.serving().snapshot();
        assert!(number(follower.committed()) >= number(before.0));
        match adopted {
            Some(Adopted::Taken) => assert_eq!(follower.serving().status().refused, None),
            _ => assert_eq!(follower.committed(), before.0),
        }
        if machine.is_fed {
            assert_eq!(Said::by(&before.1), Said::by(&after));
        } else {
            assert_eq!(after.head(), follower.committed());
        }
        self.model.check(before.1.view());
    }

    fn step(&mut self, step: &Step) {
        let reversible = self.model.path(self.final_block, self.head);
        match *step {
            Step::Extend(count) => self.extend(count),
            Step::Fork(back, on) => {
                for block in reversible.iter().rev().take(back.into()) {
                    self.event(Event::Undo(block.id));
                    self.head = block.header.previous;
                }
                self.extend(on);
            }
            Step::Finalize(below) => {
                if let Some(at) = reversible.len().checked_sub(1 + usize::from(below) % (reversible.len() + 1)) {
                    self.finalize(reversible[at].id);
                }
            }
            Step::Commit(steps) => self.commit(steps.into()),
            Step::Follow(machine, steps) => self.follow(machine, steps.into()),
            Step::Keep => self.kept.push(self.store.snapshot().unwrap()),
            Step::AdoptKept(..) if self.kept.is_empty() => {}
            Step::AdoptKept(machine, kept) => {
                let snapshot = self.kept[kept % self.kept.len()].clone();
                self.adopt(machine, |follower| Some(follower.adopt(snapshot).unwrap()));
            }
            Step::AdoptNewest(machine) => self.adopt(machine, |follower| follower.adopt_newest().unwrap()),
            Step::Restart(machine) => {
                let machine = &mut self.machines[machine];
                machine.follower = follower(&self.store, &self.options);
                (machine.is_fed, machine.began_late) = (false, true);
            }
            Step::RestartCommitter => self.restart_committer(),
            Step::Hold(machine) => self.held.push(self.machines[machine].follower.serving().snapshot()),
            Step::Release if self.held.is_empty() => {}
            Step::Release => drop(self.held.remove(0)),
        }
    }

    fn check(&self) {
        for machine in &self.machines {
            let snapshot = machine.follower.serving().snapshot();
            let (mut says, mut expected) = (Said::by(&snapshot), self.said[machine.taken].clone());
            if machine.began_late {
                // It does not know of forks that were before.
                says.forks.retain(|fork| expected.forks.contains(fork));
                expected.forks.retain(|fork| says.forks.contains(fork));
            }
            if machine.is_fed {
                assert_eq!(says, expected);
            } else {
                let committed = machine.follower.committed();
                assert_eq!((says.head, says.lib), (committed, committed));
            }
            self.check_snapshot(&snapshot);
        }
        self.held.iter().for_each(|snapshot| self.check_snapshot(snapshot));
    }

    fn check_snapshot(&self, snapshot: &ServingSnapshot) {
        self.model.check(snapshot.view());
        assert_eq!(snapshot.view().irreversible(), snapshot.lib());
        let reversible = snapshot.lib().map_or(10, |lib| lib.number)..=snapshot.head().map_or(0, |head| head.number);
        for number in reversible.rev().take(2) {
            self.model.check(&snapshot.view_at_number(number).unwrap().unwrap());
        }
        for block in snapshot.forked_blocks() {
            let view = snapshot.view_at(block.id).unwrap().unwrap();
            assert_eq!(view.block(), Some(block));
            self.model.check(&view);
        }
    }

    /// Everything becomes final and is adopted: nothing is left in memory.
    fn finish(mut self) {
        if self.head == self.model.root {
            return;
        }
        self.finalize(self.head);
        self.commit(usize::MAX);
        self.held.clear();
        for machine in 0..FOLLOWERS {
            self.follow(machine, usize::MAX);
            self.adopt(machine, |follower| follower.adopt_newest().unwrap());
            let status = self.machines[machine].follower.serving().status();
            assert_eq!((status.reversible_blocks, status.overlay_bytes, status.waiting), (0, 0, None));
            assert_eq!(status.committed, Some(at(self.head)));
        }
        self.check();
        assert_eq!(contents(&*self.store, &[]), contents(&**self.whole.store(), &[]));
    }

    fn run(mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
            self.check();
        }
        self.finish();
    }
}

fn give_pipeline(pipeline: &mut Pipeline, model: &Model, event: Event) {
    match event {
        Event::New(id) => drop(pipeline.apply(&model.blocks[&id].0).unwrap()),
        Event::Undo(id) => pipeline.undo(at(id)).unwrap(),
        Event::Final(id) => pipeline.finalize(at(id)).unwrap(),
    }
}

proptest! {
    // More in a long run: PROPTEST_CASES.
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").map_or(24, |it| it.parse().unwrap()), ..ProptestConfig::default() })]

    #[test]
    fn no_snapshot_changes_an_answer(steps in vec(step(), 1..60)) {
        Cluster::new(Options::default()).run(&steps);
    }

    #[test]
    fn nor_does_one_while_memory_is_full(steps in vec(step(), 1..60), overlay_bytes in 1..8000usize) {
        let options = Options { overlay_bytes, batch_bytes: overlay_bytes / 2, ..Options::default() };
        Cluster::new(options).run(&steps);
    }
}

/// So many blocks after number 1, which differ from those of another branch from number `from` on.
fn chain(count: u32, from: u32, branch: u8) -> Vec<Block> {
    let id = |number: u32| {
        let mut id = Checksum256::sha256(&[if number >= from { branch } else { 0 }, number as u8]);
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        id
    };
    let block = |number| Block {
        id: id(number),
        number,
        header: BlockHeader { previous: id(number - 1), ..BlockHeader::default() },
        ..Block::default()
    };
    (2..2 + count).map(block).collect()
}

/// What a store has that all these blocks are committed to.
fn committed(blocks: &[Block]) -> Arc<dyn Store> {
    let store = empty_store();
    let mut pipeline = open(&store);
    for block in blocks {
        pipeline.append_final(block).unwrap();
    }
    pipeline.flush().unwrap();
    store
}

#[test]
fn a_store_that_goes_back_or_elsewhere() {
    let blocks = chain(20, 0, 0);
    let mut follower = follower(&committed(&blocks[..10]), &Options::default());
    for block in &blocks[10..] {
        follower.apply(block).unwrap();
    }
    follower.finalize(reference(&blocks[14])).unwrap();
    let status = || follower.serving().status();
    assert_eq!(
        (status().committed, status().irreversible),
        (Some(reference(&blocks[9])), Some(reference(&blocks[14])))
    );

    // Restored from a copy.
    let mut adopt = |blocks: &[Block]| {
        let adopted = follower.adopt(committed(blocks).snapshot().unwrap());
        let status = follower.serving().status();
        (adopted, status.committed.unwrap().number, status.refused, status.waiting)
    };
    let (adopted, committed_at, refused, _) = adopt(&blocks[..8]);
    assert_eq!((adopted.unwrap(), committed_at, refused), (Adopted::Refused, 11, Some(reference(&blocks[7]))));
    let (adopted, committed_at, refused, _) = adopt(&[]);
    assert_eq!((adopted.unwrap(), committed_at, refused), (Adopted::Refused, 11, None));
    // Another block at a height that is final here, of what is committed and of what is not.
    for from in [11, 14] {
        for count in [from - 1, 14] {
            let (adopted, committed_at, ..) = adopt(&chain(count, from, 1));
            assert!(matches!(adopted, Err(Error::OtherChain(_))), "{adopted:?}");
            assert_eq!(committed_at, 11);
        }
    }
    // Above what is final here it is not known whose block is the right one.
    let (adopted, committed_at, _, waiting) = adopt(&blocks[..18]);
    assert_eq!((adopted.unwrap(), committed_at, waiting), (Adopted::Waiting, 11, Some(reference(&blocks[17]))));
    let (adopted, committed_at, ..) = adopt(&blocks[..12]);
    assert_eq!((adopted.unwrap(), committed_at), (Adopted::Taken, 13));
    follower.finalize(reference(&blocks[17])).unwrap();
    assert_eq!(follower.committed(), Some(reference(&blocks[17])));
    assert_eq!(follower.head(), Some(reference(&blocks[19])));
    // And it is told when it is known.
    let other = committed(&chain(19, 19, 1));
    assert_eq!(follower.adopt(other.snapshot().unwrap()).unwrap(), Adopted::Waiting);
    assert!(matches!(follower.finalize(reference(&blocks[19])), Err(Error::OtherChain(_))));
}

#[test]
fn a_store_that_does_not_answer() {
    let blocks = chain(10, 0, 0);
    let inner = committed(&blocks[..5]);
    let away = Arc::new(FaultyStore::new(inner.clone(), FaultPlan::new(1).fail_one_read_in(1).failed_reads_pass()));
    away.pause_reads(true);
    let mut follower = Follower::open(away.clone(), indexes(), Options::default()).unwrap();
    assert_eq!(follower.adopt_newest().unwrap(), Some(Adopted::Taken));
    assert_eq!(follower.adopt_newest().unwrap(), None);
    let mut pipeline = open(&inner);
    for block in &blocks[5..] {
        follower.apply(block).unwrap();
        pipeline.append_final(block).unwrap();
    }
    pipeline.flush().unwrap();
    follower.finalize(reference(&blocks[9])).unwrap();
    away.pause_reads(false);
    let unavailable = follower.adopt_newest();
    assert!(matches!(unavailable, Err(Error::Store(dfuse_kv::Error::Unavailable { .. }))), "{unavailable:?}");
    away.pause_reads(true);
    assert_eq!(follower.committed(), Some(reference(&blocks[4])));
    assert_eq!(follower.serving().snapshot().head(), Some(reference(&blocks[9])));
    assert_eq!(follower.adopt_newest().unwrap(), Some(Adopted::Taken));
    assert_eq!(follower.committed(), Some(reference(&blocks[9])));
}

/// What reversible blocks write was made without lists that joined since, and would hide what came with them.
#[test]
fn lists_that_join_need_a_new_follower() {
    let blocks = chain(10, 0, 0);
    let store = committed(&blocks[..5]);
    let mut idle = follower(&store, &Options::default());
    let mut follower = follower(&store, &Options::default());
    for block in &blocks[5..] {
        follower.apply(block).unwrap();
    }
    let part = |first| IndexedPart { first, abis_known: true };
    let first_parent = BlockRef { number: 1, id: blocks[0].header.previous };
    let mut earlier = Earlier { first_parent, state_first: 2, parts: vec![part(2)], under_way: None };
    let mut join = |parts: Vec<IndexedPart>| {
        earlier.parts = parts;
        earlier.reach(&*store, EarlierStage::Files).unwrap();
    };
    // Before lists have joined, nothing is different.
    join(vec![part(2)]);
    assert_eq!(follower.adopt_newest().unwrap(), Some(Adopted::Taken));
    join(vec![part(1), part(2)]);
    let refused = follower.adopt_newest();
    assert!(matches!(refused, Err(Error::EarlierJoined)), "{refused:?}");
    assert_eq!(follower.serving().snapshot().view().earlier().unwrap().parts.len(), 1);
    // One without reversible blocks has no such writes.
    assert_eq!(idle.adopt_newest().unwrap(), Some(Adopted::Taken));
    assert_eq!(idle.serving().snapshot().view().earlier().unwrap().parts.len(), 2);
    // Nor has one where all of them are committed by then.
    let mut pipeline = open(&store);
    for block in &blocks[5..] {
        pipeline.append_final(block).unwrap();
    }
    pipeline.flush().unwrap();
    follower.finalize(reference(&blocks[9])).unwrap();
    assert_eq!(follower.adopt_newest().unwrap(), Some(Adopted::Taken));
    assert_eq!(follower.serving().snapshot().view().earlier().unwrap().parts.len(), 2);
}

/// Deltas follow from the ABIs of a dump, too.
#[test]
fn blocks_wait_for_the_abis_of_a_dump() {
    let abis = || -> Vec<Arc<dyn Index>> { vec![Arc::new(Blocks), Arc::new(Abis)] };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&keyspaces(&abis())));
    let mut pipeline = Pipeline::open(store.clone(), None, abis(), Options::default()).unwrap();
    let mut follower = Follower::open(store, abis(), Options::default()).unwrap();
    let account = Name::literal("token");
    let dump = AbiDump { block_num: 0, global_sequence: 0, abis: vec![(account, Bytes::from_static(b"abi"))] };
    let blocks = chain(3, 0, 0);
    follower.abi_dump(dump.clone()).unwrap();
    assert!(matches!(follower.apply(&blocks[0]), Err(Error::AwaitsDump { block: 0 })));
    assert_eq!(follower.head(), None);
    pipeline.abi_dump(dump.clone()).unwrap();
    assert_eq!(follower.adopt_newest().unwrap(), Some(Adopted::Taken));
    for block in &blocks {
        follower.apply(block).unwrap();
        pipeline.append_final(block).unwrap();
    }
    let found = abi::at_head(follower.serving().snapshot().view(), account).unwrap().unwrap();
    assert_eq!(found.abi, "abi");
    // It has it already.
    pipeline.flush().unwrap();
    follower.finalize(reference(&blocks[2])).unwrap();
    assert_eq!(follower.adopt_newest().unwrap(), Some(Adopted::Taken));
    follower.abi_dump(dump).unwrap();
    assert_eq!(follower.apply(&blocks[2]).unwrap(), Applied::Known);
}
