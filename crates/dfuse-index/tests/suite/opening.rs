//! What a store must be to be opened, and which blocks it takes.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use dfuse_antelope::{
    Checksum256,
    model::{Block, BlockHeader},
};
use dfuse_index::{
    Applied, BlockContext, ChainStep, Delta, DeltaBuilder, Error, Family, Index, IndexState, Options, Pipeline, Result,
    View, blocks::Blocks, follow, keyspaces,
};
use dfuse_kv::{FaultPlan, FaultyStore, MemoryStore, Store};

use crate::chain::reference;

const NUMBERS: Family = Family::new("numbers");

/// An index of any schema version.
struct Numbers(u32);

impl Index for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn schema_version(&self) -> u32 {
        self.0
    }

    fn families(&self) -> &'static [Family] {
        &[NUMBERS]
    }

    fn delta(&self, context: &BlockContext<'_>, _: &View) -> Result<Delta> {
        let mut delta = DeltaBuilder::new();
        delta.put(NUMBERS, context.block().number.to_be_bytes(), [0; 100]);
        Ok(delta.build())
    }
}

fn indexes(schema: u32) -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Numbers(schema))]
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(&keyspaces(&indexes(1))))
}

fn open(store: &Arc<dyn Store>, schema: u32, options: Options) -> Result<Pipeline> {
    Pipeline::open(store.clone(), None, indexes(schema), options)
}

/// Blocks 5 to 24 of a chain of that name.
fn chain(name: &str) -> Vec<Block> {
    let id = |number: u32| {
        let mut id = Checksum256::sha256(format!("{name} {number}").as_bytes());
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        id
    };
    let block = |number| Block {
        id: id(number),
        number,
        header: BlockHeader { previous: id(number - 1), ..Default::default() },
        ..Default::default()
    };
    (5..25).map(block).collect()
}

fn filled(options: Options) -> (Arc<dyn Store>, Vec<Block>) {
    let (store, blocks) = (store(), chain("a"));
    let mut pipeline = open(&store, 1, options).unwrap();
    for block in &blocks[..10] {
        pipeline.append_final(block).unwrap();
    }
    pipeline.flush().unwrap();
    (store, blocks)
}

#[test]
fn another_schema_is_named_with_what_to_do() {
    let (store, _) = filled(Options::default());
    let older = open(&store, 2, Options::default()).map(drop).unwrap_err();
    assert_eq!(
        older.to_string(),
        "index \"numbers\" has schema version 1, this version of dfuse needs 2; rebuild it with `dfuse tools reindex numbers`"
    );
    let newer = open(&store, 0, Options::default()).map(drop).unwrap_err();
    assert!(matches!(newer, Error::NewerSchema { index: "numbers", found: 1, known: 0 }));
    for name in ["numbers", "*"] {
        let rebuild = Options { rebuild: vec![name.into()], ..Options::default() };
        let pipeline = open(&store, 2, rebuild).unwrap();
        assert_eq!(pipeline.serving().status().indexes[1].state, IndexState::Behind(None));
        assert_eq!(pipeline.committed().unwrap().number, 14);
    }
}

#[test]
fn another_chain_is_refused() {
    let id = |text: &str| Some(Checksum256::sha256(text.as_bytes()));
    let (store, _) = filled(Options { chain_id: id("a"), ..Options::default() });
    assert!(open(&store, 1, Options::default()).is_ok());
    let other = open(&store, 1, Options { chain_id: id("b"), ..Options::default() }).map(drop).unwrap_err();
    assert!(matches!(&other, Error::OtherChain(_)));
    assert!(other.to_string().contains("use another data directory"));

    // Without chain ids the first block's parent tells.
    let (store, _) = filled(Options::default());
    let mut pipeline = open(&store, 1, Options::default()).unwrap();
    assert!(matches!(pipeline.apply(&chain("b")[0]), Err(Error::OtherChain(_))));
}

#[test]
fn replayed_blocks_are_passed_over_and_others_refused() {
    let (store, blocks) = filled(Options::default());
    let mut pipeline = open(&store, 1, Options::default()).unwrap();
    for block in &blocks[..10] {
        assert_eq!(pipeline.apply(block).unwrap(), Applied::Known);
    }
    let other = chain("b");
    for block in &other[1..10] {
        assert!(matches!(pipeline.apply(block), Err(Error::Conflict { .. })));
    }
    assert!(matches!(pipeline.apply(&blocks[11]), Err(Error::Unlinked { .. })));
    assert_eq!(pipeline.apply(&blocks[10]).unwrap(), Applied::New);
    assert_eq!(pipeline.apply(&blocks[10]).unwrap(), Applied::Known);
    assert!(pipeline.undo(reference(&blocks[9])).is_err());
    assert!(pipeline.finalize(reference(&blocks[11])).is_err());
    assert!(pipeline.finalize(reference(&other[9])).is_err());
    pipeline.undo(reference(&blocks[10])).unwrap();
    assert!(pipeline.undo(reference(&blocks[9])).is_err());
}

#[test]
fn no_space_left() {
    let blocks = chain("a");
    let faulty = Arc::new(FaultyStore::new(store(), FaultPlan::new(1).no_space_from(4)));
    let again = faulty.clone();
    let reopen = move || {
        again.reopen();
        Ok(again.clone() as Arc<dyn Store>)
    };
    let options = Options { overlay_bytes: 4000, ..Options::default() };
    let mut pipeline = Pipeline::open(faulty.clone(), Some(Box::new(reopen)), indexes(1), options).unwrap();
    let serving = pipeline.serving().clone();
    let mut overloaded = None;
    for (at, block) in blocks.iter().enumerate() {
        match pipeline.apply(block) {
            Ok(_) => pipeline.finalize(reference(block)).unwrap(),
            Err(Error::Overloaded { .. }) => {
                overloaded = Some(at);
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    // It serves the head from memory until that is full.
    let overloaded = overloaded.unwrap();
    assert!(overloaded > 5);
    let status = serving.status();
    assert_eq!(status.stall.as_ref().unwrap().error, "no space left at injected");
    assert_eq!(serving.snapshot().head().unwrap(), reference(&blocks[overloaded - 1]));
    assert_eq!(status.irreversible, serving.snapshot().head());
    assert_eq!(status.committed.unwrap().number, 7);
    for attempts in 1..4 {
        pipeline.resume().unwrap();
        assert_eq!(serving.status().stall.as_ref().unwrap().attempts, attempts);
    }
    faulty.free_space();
    pipeline.resume().unwrap();
    assert_eq!((serving.status().stall.clone(), serving.status().reversible_blocks), (None, 0));
    for block in &blocks[overloaded..] {
        assert_eq!(pipeline.apply(block).unwrap(), Applied::New);
    }
}

#[tokio::test(start_paused = true)]
async fn following_survives_a_lack_of_space() {
    let blocks = chain("a");
    let faulty = Arc::new(FaultyStore::new(store(), FaultPlan::new(1).no_space_from(4)));
    let (again, freed) = (faulty.clone(), Arc::new(AtomicU32::new(0)));
    let reopens = freed.clone();
    let reopen = move || {
        // The fifth attempt finds space.
        if reopens.fetch_add(1, Ordering::Relaxed) == 4 {
            again.free_space();
        }
        again.reopen();
        Ok(again.clone() as Arc<dyn Store>)
    };
    let options = Options { overlay_bytes: 4000, ..Options::default() };
    let pipeline = Pipeline::open(faulty.clone(), Some(Box::new(reopen)), indexes(1), options).unwrap();
    let serving = pipeline.serving().clone();
    let last = reference(&blocks[19]);
    let steps = blocks.iter().enumerate().flat_map(|(at, block)| {
        let new = ChainStep::New { block: Arc::new(block.clone()), is_final: at < 2 };
        let undone = ChainStep::Undo(reference(block));
        match at {
            0 | 1 => vec![new],
            5 => vec![new.clone(), undone, new, ChainStep::Irreversible(reference(block))],
            _ => vec![new, ChainStep::Irreversible(reference(block))],
        }
    });
    let steps: Vec<Result<ChainStep>> = steps.map(Ok).collect();
    let mut told = Vec::new();
    let started = tokio::time::Instant::now();
    let pipeline = follow(pipeline, futures::stream::iter(steps), |block| told.push(block.number)).await.unwrap();
    assert_eq!((pipeline.committed(), pipeline.head()), (Some(last), Some(last)));
    assert_eq!(serving.status().stall, None);
    assert!(told.is_sorted() && told.last() == Some(&24), "{told:?}");
    // Pauses of 1, 2, 4, 8 and 16 seconds.
    assert_eq!((freed.load(Ordering::Relaxed), started.elapsed().as_secs()), (5, 31));
}
