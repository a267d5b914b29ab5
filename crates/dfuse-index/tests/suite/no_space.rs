//! A disk that runs full under the embedded engine.

use std::sync::Arc;

use dfuse_antelope::{
    Checksum256,
    model::{Block, BlockHeader},
};
use dfuse_index::{
    BlockContext, ChainStep, Delta, DeltaBuilder, Error, Family, Index, Options, Pipeline, Result, Stall, View,
    blocks::Blocks, follow, keyspaces, open_store,
};
use dfuse_kv::{EngineOptions, KeyspaceOptions, MemoryStore, Store};
use dfuse_testkit::SmallDisk;

use crate::chain::{Contents, contents, reference};

const NOISE: Family = Family::new("noise");
const VALUE_BYTES: usize = 32 << 10;

/// Much for every block, and little that compresses. One key has a new value with every block.
struct Noise;

impl Index for Noise {
    fn name(&self) -> &'static str {
        "noise"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[NOISE]
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let number = context.block().number.to_be_bytes();
        let before = view.get(NOISE, b"last")?.unwrap_or_default();
        let noise = (0..VALUE_BYTES as u32 / 32).flat_map(|at| {
            Checksum256::sha256(&[&number[..], &at.to_be_bytes(), before.get(..32).unwrap_or_default()].concat()).0
        });
        let noise: Vec<u8> = noise.collect();
        let mut delta = DeltaBuilder::new();
        delta.put(NOISE, number, &noise);
        delta.put(NOISE, b"last", noise);
        Ok(delta.build())
    }
}

fn indexes() -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Noise)]
}

/// So many blocks from number 2 on.
fn chain(count: u32) -> Vec<Block> {
    let id = |number: u32| {
        let mut id = Checksum256::sha256(&number.to_be_bytes());
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        id
    };
    let block = |number| Block {
        id: id(number),
        number,
        header: BlockHeader { previous: id(number - 1), ..Default::default() },
        ..Default::default()
    };
    (2..2 + count).map(block).collect()
}

fn engine() -> EngineOptions {
    let keyspace = KeyspaceOptions { memtable_bytes: 2 << 20, ..KeyspaceOptions::default() };
    EngineOptions { keyspace, cache_bytes: 1 << 20, ..EngineOptions::default() }
}

fn options() -> Options {
    Options { overlay_bytes: 4 << 20, batch_bytes: 1 << 20, ..Options::default() }
}

/// What a store has that took the blocks without any incident.
fn undisturbed(blocks: &[Block]) -> Contents {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&keyspaces(&indexes())));
    let mut pipeline = Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap();
    for block in blocks {
        pipeline.append_final(block).unwrap();
    }
    pipeline.flush().unwrap();
    contents(&*store, &["scratch"])
}

fn stall(pipeline: &Pipeline) -> Stall {
    pipeline.serving().status().stall.clone().unwrap()
}

fn noise_of(view: &View, block: &Block) -> Result<bool> {
    Ok(view.get(NOISE, &block.number.to_be_bytes())?.is_some())
}

#[test]
fn the_disk_runs_full() {
    SmallDisk::run("no_space::the_disk_runs_full", 96, |disk| {
        let blocks = chain(600);
        let folder = disk.path().join("index");
        let (store, reopen) = open_store(&folder, &indexes(), engine()).unwrap();
        let mut pipeline = Pipeline::open(store, Some(reopen), indexes(), options()).unwrap();
        let serving = pipeline.serving().clone();
        disk.fill_but(8 << 10).unwrap();
        let mut next = 0;
        let overloaded = loop {
            match pipeline.apply(&blocks[next]) {
                // Ten blocks are reversible.
                Ok(_) => {
                    next += 1;
                    if let Some(last) = next.checked_sub(11) {
                        pipeline.finalize(reference(&blocks[last])).unwrap();
                    }
                }
                Err(error) => break error,
            }
        };
        assert!(matches!(overloaded, Error::Overloaded { .. }), "{overloaded}");
        // It says so, and serves everything up to the head.
        let committed = pipeline.committed().unwrap();
        assert!(stall(&pipeline).error.contains("no ") && committed.number > 20, "{:?}", stall(&pipeline));
        let snapshot = serving.snapshot();
        assert_eq!(snapshot.head(), Some(reference(&blocks[next - 1])));
        assert_eq!(serving.status().irreversible, Some(reference(&blocks[next - 11])));
        assert!(blocks[..next].iter().all(|block| noise_of(snapshot.view(), block).unwrap()));
        for attempts in 1..4 {
            pipeline.resume().unwrap();
            assert_eq!(stall(&pipeline).attempts, attempts);
            assert!(stall(&pipeline).error.starts_with("no space left at"), "{}", stall(&pipeline).error);
            assert!(noise_of(serving.snapshot().view(), &blocks[0]).unwrap());
        }
        // There is space again, but a request is still at work: it reads on, others must wait.
        disk.free().unwrap();
        pipeline.resume().unwrap();
        assert!(stall(&pipeline).error.ends_with("is in use by another process"), "{}", stall(&pipeline).error);
        assert!(noise_of(snapshot.view(), &blocks[0]).unwrap());
        let closed = noise_of(serving.snapshot().view(), &blocks[0]).unwrap_err();
        assert!(matches!(closed, Error::Store(dfuse_kv::Error::Closed)), "{closed}");
        assert!(matches!(pipeline.apply(&blocks[next]), Err(Error::Overloaded { .. })));
        drop(snapshot);
        pipeline.resume().unwrap();
        assert_eq!(serving.status().stall, None);
        assert_eq!(pipeline.committed(), Some(reference(&blocks[next - 11])));
        for block in &blocks[next..] {
            pipeline.apply(block).unwrap();
            pipeline.finalize(reference(block)).unwrap();
        }
        assert_eq!(serving.status().stall, None);
        assert!(contents(&**pipeline.store(), &["scratch"]) == undisturbed(&blocks));
    });
}

#[test]
fn following_survives_a_full_disk() {
    SmallDisk::run("no_space::following_survives_a_full_disk", 96, |disk| {
        let blocks = chain(600);
        let (store, mut reopen) = open_store(disk.path().join("index"), &indexes(), engine()).unwrap();
        disk.fill_but(8 << 10).unwrap();
        let ballast = disk.path().join("ballast");
        let mut attempts = 0;
        let freeing = move || {
            attempts += 1;
            if attempts == 4 {
                std::fs::remove_file(&ballast).unwrap();
            }
            reopen()
        };
        let pipeline = Pipeline::open(store, Some(Box::new(freeing)), indexes(), options()).unwrap();
        let steps = blocks.iter().flat_map(|block| {
            let new = ChainStep::New { block: Arc::new(block.clone()), is_final: block.number < 20 };
            // A third of the blocks are undone once.
            let undone = (block.number >= 20 && block.number.is_multiple_of(3))
                .then(|| [new.clone(), ChainStep::Undo(reference(block))]);
            let irreversible = (block.number >= 20).then(|| ChainStep::Irreversible(reference(block)));
            undone.into_iter().flatten().chain([new]).chain(irreversible)
        });
        let steps: Vec<Result<ChainStep>> = steps.map(Ok).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let followed = follow(pipeline, futures::stream::iter(steps), drop);
        let pipeline = runtime.block_on(followed).unwrap();
        assert_eq!(pipeline.committed(), blocks.last().map(reference));
        assert!(std::fs::metadata(disk.path().join("ballast")).is_err());
        assert!(contents(&**pipeline.store(), &["scratch"]) == undisturbed(&blocks));
    });
}
