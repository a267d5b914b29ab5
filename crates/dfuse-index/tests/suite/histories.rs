//! Random histories of a chain with forks, restarts, a failing store and slow readers, against a model that folds the
//! writes of every block along its branch.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use dfuse_antelope::{Checksum256, model::Block};
use dfuse_index::{Applied, BlockRef, Error, Options, Pipeline, Result, ScratchSpace, ServingSnapshot, keyspaces};
use dfuse_kv::{FaultPlan, FaultyStore, MemoryDisk, MemoryStore, Store};
use proptest::{collection::vec, prelude::*};

use crate::{
    chain::{Contents, contents, reference},
    model::{Model, indexes},
};

/// Attempts after which reads no longer fail: some take thousands of them.
const PATIENCE: usize = 4;

/// What happens next; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Extend(u8),
    /// Undo so many blocks, and extend.
    Fork(u8, u8),
    /// Go back to the branch before.
    Return,
    /// What is so far below the head becomes final.
    Finalize(u8),
    /// The process ends, and begins with so many blocks that it has already.
    Restart(u8),
    /// Many final blocks.
    CatchUp(u8),
    /// A request takes a snapshot.
    Hold,
    /// The oldest request ends.
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..6u8).prop_map(Step::Extend),
        3 => (1..6u8, 1..6u8).prop_map(|(back, on)| Step::Fork(back, on)),
        1 => Just(Step::Return),
        4 => any::<u8>().prop_map(Step::Finalize),
        1 => any::<u8>().prop_map(Step::Restart),
        1 => (1..20u8).prop_map(Step::CatchUp),
        2 => Just(Step::Hold),
        2 => Just(Step::Release),
    ]
}

struct History {
    model: Model,
    disk: MemoryDisk,
    faults: FaultPlan,
    options: Options,
    store: Option<Arc<FaultyStore>>,
    scratch: FaultyScratch,
    pipeline: Option<Pipeline>,
    held: Vec<Arc<ServingSnapshot>>,
    head: Checksum256,
    final_block: Checksum256,
    before: Option<Checksum256>,
    /// What was published, to compare with another run of the same history.
    trace: String,
}

/// The scratch space, once it is in use.
#[derive(Clone, Default)]
struct FaultyScratch(Arc<Mutex<Option<Arc<FaultyStore>>>>);

impl FaultyScratch {
    /// One that fails as a plan says.
    fn space(&self, plan: FaultPlan) -> ScratchSpace {
        let opened = self.0.clone();
        ScratchSpace::made_by(move || {
            let inner = Arc::new(MemoryStore::new(&ScratchSpace::KEYSPACES));
            let store = Arc::new(FaultyStore::new(inner, plan.clone()));
            *opened.lock().unwrap() = Some(store.clone());
            let again = store.clone();
            let reopen = move || {
                again.reopen();
                Ok(again.clone() as Arc<dyn Store>)
            };
            Ok((store, Box::new(reopen)))
        })
    }

    fn pause_reads(&self, paused: bool) {
        self.0.lock().unwrap().iter().for_each(|store| store.pause_reads(paused));
    }
}

impl History {
    fn new(faults: FaultPlan, options: Options) -> Self {
        let model = Model::new();
        let (head, final_block) = (model.root, model.root);
        let mut history = Self {
            model,
            disk: MemoryDisk::default(),
            faults,
            options,
            store: None,
            scratch: FaultyScratch::default(),
            pipeline: None,
            held: Vec::new(),
            head,
            final_block,
            before: None,
            trace: String::new(),
        };
        history.open();
        history
    }

    fn open(&mut self) {
        self.held.clear();
        self.pipeline = None;
        self.store = None;
        let store = MemoryStore::open(&self.disk, &keyspaces(&indexes())).unwrap();
        let store = Arc::new(FaultyStore::new(Arc::new(store), self.faults.clone()));
        let open = || {
            let again = store.clone();
            let reopen = move || {
                again.reopen();
                Ok(again.clone() as Arc<dyn Store>)
            };
            let scratch = self.scratch.space(self.faults.clone());
            Pipeline::open(
                store.clone(),
                Some(Box::new(reopen)),
                indexes(),
                Options { scratch, ..self.options.clone() },
            )
        };
        let mut attempts = 0;
        let opened = loop {
            store.pause_reads(attempts >= PATIENCE);
            match open() {
                Ok(pipeline) => break pipeline,
                // The process ends, and is started again.
                Err(_) => store.reopen(),
            }
            attempts += 1;
        };
        store.pause_reads(false);
        self.pipeline = Some(opened);
        self.store = Some(store);
    }

    fn pipeline(&mut self) -> &mut Pipeline {
        self.pipeline.as_mut().unwrap()
    }

    /// Puts a block in until the store lets it. After a failure nothing has changed.
    fn put(&mut self, block: &Block, put: fn(&mut Pipeline, &Block) -> Result<Applied>) -> Applied {
        for attempts in 0.. {
            self.pause_reads(attempts >= PATIENCE);
            let pipeline = self.pipeline.as_mut().unwrap();
            let before = (pipeline.head(), pipeline.committed(), pipeline.serving().snapshot().head());
            match put(pipeline, block) {
                Ok(applied) => {
                    self.pause_reads(false);
                    return applied;
                }
                Err(Error::Store(_) | Error::Overloaded { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            assert_eq!(before, (pipeline.head(), pipeline.committed(), pipeline.serving().snapshot().head()));
            pipeline.resume().unwrap();
        }
        unreachable!("reads work from some attempt on")
    }

    /// Until the store takes writes.
    fn resume(&mut self) {
        let mut attempts = 0;
        while self.pipeline().is_stalled() {
            self.pause_reads(attempts >= PATIENCE);
            self.pipeline().resume().unwrap();
            attempts += 1;
        }
        self.pause_reads(false);
    }

    /// Of both stores.
    fn pause_reads(&self, paused: bool) {
        self.store.as_ref().unwrap().pause_reads(paused);
        self.scratch.pause_reads(paused);
    }

    fn apply(&mut self, blocks: &[Block]) {
        for block in blocks {
            self.put(block, Pipeline::apply);
            self.head = block.id;
        }
    }

    fn extend(&mut self, count: u8) {
        for _ in 0..count {
            let block = self.model.child(self.head);
            self.apply(&[block]);
        }
    }

    fn undo_to(&mut self, ancestor: Checksum256) {
        while self.head != ancestor {
            let head = BlockRef { number: self.head.block_num(), id: self.head };
            self.pipeline().undo(head).unwrap();
            self.head = self.model.blocks[&self.head].0.header.previous;
        }
    }

    fn step(&mut self, step: &Step) {
        let reversible = self.model.path(self.final_block, self.head);
        match *step {
            Step::Extend(count) => self.extend(count),
            Step::Fork(back, on) => {
                let to = reversible.len().saturating_sub(back.into());
                let to = to.checked_sub(1).map_or(self.final_block, |at| reversible[at].id);
                self.before = Some(self.head);
                self.undo_to(to);
                self.extend(on);
            }
            Step::Return => {
                let Some(tip) = self.before.take() else { return };
                let mut root = tip;
                while root != self.final_block && root.block_num() > self.final_block.block_num() {
                    root = self.model.blocks[&root].0.header.previous;
                }
                if root == self.final_block {
                    self.undo_to(root);
                    let blocks = self.model.path(root, tip);
                    self.apply(&blocks);
                }
            }
            Step::Finalize(below) => {
                if let Some(at) = reversible.len().checked_sub(1 + usize::from(below) % (reversible.len() + 1)) {
                    self.final_block = reversible[at].id;
                    let to = reference(&reversible[at]);
                    self.pipeline().finalize(to).unwrap();
                }
            }
            Step::Restart(known) => {
                self.open();
                let committed = self.pipeline().committed();
                let after = committed.map_or(self.model.root, |block| block.id);
                let chain = self.model.path(self.model.root, self.head);
                let done = self.model.path(self.model.root, after).len();
                for block in &chain[done.saturating_sub(known.into())..done] {
                    assert_eq!(self.put(block, Pipeline::apply), Applied::Known);
                }
                self.apply(&chain[done..]);
                if self.final_block.block_num() > after.block_num() {
                    let to = BlockRef { number: self.final_block.block_num(), id: self.final_block };
                    self.pipeline().finalize(to).unwrap();
                }
            }
            Step::CatchUp(count) => {
                for _ in 0..count {
                    let block = self.model.child(self.head);
                    self.put(&block, Pipeline::append_final);
                    self.head = block.id;
                }
                self.final_block = self.head;
                self.pipeline().flush().unwrap();
            }
            Step::Hold => self.held.push(self.pipeline.as_ref().unwrap().serving().snapshot()),
            Step::Release if self.held.is_empty() => {}
            Step::Release => drop(self.held.remove(0)),
        }
    }

    fn check(&mut self) {
        self.pause_reads(true);
        let pipeline = self.pipeline.as_ref().unwrap();
        let newest = pipeline.serving().snapshot();
        assert_eq!(newest.head().map_or(self.model.root, |head| head.id), self.head);
        let stalled = pipeline.serving().status().stall.is_some();
        let lib = newest.lib().map_or(self.model.root, |lib| lib.id);
        assert!(lib == self.final_block || stalled && lib.block_num() < self.final_block.block_num());
        for snapshot in self.held.iter().chain([&newest]) {
            self.model.check(snapshot.view());
            let reversible =
                snapshot.lib().map_or(10, |lib| lib.number)..=snapshot.head().map_or(0, |head| head.number);
            for number in reversible.rev().take(4) {
                self.model.check(&snapshot.view_at_number(number).unwrap().unwrap());
            }
            for block in snapshot.forked_blocks() {
                let view = snapshot.view_at(block.id).unwrap().unwrap();
                assert_eq!(view.block(), Some(block));
                self.model.check(&view);
            }
        }
        writeln!(self.trace, "{:?} {:?}", newest.head(), pipeline.serving().status()).unwrap();
        self.pause_reads(false);
    }

    /// Returns everything that was published and is in the store in the end.
    fn run(mut self, steps: &[Step]) -> (String, Contents) {
        for step in steps {
            self.step(step);
            self.check();
            self.resume();
            self.check();
        }
        self.finish();
        self.pause_reads(true);
        let contents = contents(&**self.store.as_ref().unwrap(), &[]);
        (self.trace, contents)
    }

    /// Everything becomes final: the store has the same bytes as one that took the best chain without any incident.
    fn finish(&mut self) {
        self.held.clear();
        if self.head == self.model.root {
            return;
        }
        let head = BlockRef { number: self.head.block_num(), id: self.head };
        self.pipeline().finalize(head).unwrap();
        self.resume();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&keyspaces(&indexes())));
        let mut pipeline = Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap();
        for block in self.model.path(self.model.root, self.head) {
            pipeline.append_final(&block).unwrap();
        }
        pipeline.flush().unwrap();
        self.pause_reads(true);
        assert_eq!(contents(&**self.store.as_ref().unwrap(), &["scratch"]), contents(&*store, &["scratch"]));
    }
}

proptest! {
    // More in a long run: PROPTEST_CASES.
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").map_or(64, |it| it.parse().unwrap()), ..ProptestConfig::default() })]

    #[test]
    fn every_view_is_the_fold_along_its_branch(steps in vec(step(), 1..40)) {
        History::new(FaultPlan::new(0), Options::default()).run(&steps);
    }

    #[test]
    fn whatever_fails(steps in vec(step(), 1..40), seed: u64, batch_bytes in 1..2000usize) {
        let options = Options { batch_bytes, ..Options::default() };
        History::new(FaultPlan::new(seed).fail_one_write_in(3), options).run(&steps);
    }

    #[test]
    fn whatever_does_not_fit_into_memory(steps in vec(step(), 1..40), seed: u64, overlay_bytes in 1..8000usize) {
        let options = Options { overlay_bytes, batch_bytes: overlay_bytes / 2, ..Options::default() };
        History::new(FaultPlan::new(seed).fail_one_write_in(5), options).run(&steps);
    }

    #[test]
    fn whatever_cannot_be_read(steps in vec(step(), 1..40), seed: u64, overlay_bytes in 1..8000usize) {
        let options = Options { overlay_bytes, batch_bytes: overlay_bytes / 2, ..Options::default() };
        let plan = FaultPlan::new(seed).fail_one_write_in(7).fail_one_read_in(200);
        let run = || History::new(plan.clone(), options.clone()).run(&steps);
        prop_assert!(run() == run(), "the same history gives the same bytes");
    }
}
