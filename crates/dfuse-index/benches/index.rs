//! A log to its indexes, against zstd's unpacking of the same log; bytes by family.
//!
//! `cargo bench -p dfuse-index --bench index`; the log is the recorded busy chain.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use dfuse_antelope::model::Block;
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{BlockRef, Index, Options, Pipeline, abi::Abis, accounts::Accounts, blocks::Blocks, keyspaces};
use dfuse_kv::{Direction, EngineOptions, KeyRange, MemoryStore, ReadStore, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn indexes() -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts)]
}

fn best(rounds: usize, mut run: impl FnMut()) -> Duration {
    let timed = (0..rounds).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    timed.min().unwrap()
}

fn open(folder: &tempfile::TempDir) -> (Arc<dyn Store>, Pipeline) {
    let store = dfuse_kv::open(folder.path(), &keyspaces(&indexes()), EngineOptions::default()).unwrap().0;
    let pipeline = Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap();
    (store, pipeline)
}

/// As a node at work: every block is new, then final once the log says so.
fn live(pipeline: &mut Pipeline, block: &Block, chain: &mut Vec<BlockRef>) {
    pipeline.apply(block).unwrap();
    chain.push(BlockRef { number: block.number, id: block.id });
    let lib = chain.iter().rev().find(|it| it.number == block.lib_num());
    if let Some(lib) = lib.copied().filter(|lib| pipeline.committed().is_none_or(|it| it.number < lib.number)) {
        pipeline.finalize(lib).unwrap();
    }
}

fn log() {
    let Some(path) = dfuse_testkit::recorded::find("busy/busy.dmlog.zst") else { return };
    let packed = std::fs::read(path).unwrap();
    let text = zstd::decode_all(&packed[..]).unwrap();
    let mut events = Vec::new();
    let mut reader = Reader::new(&text[..]);
    while let Some(event) = reader.next_event().unwrap() {
        events.push(event);
    }
    let blocks =
        || events.iter().filter_map(|event| if let Event::Block(block) = event { Some(&**block) } else { None });
    let actions: usize = blocks().map(|block| block.unfiltered_executed_total_action_count as usize).sum();
    let transactions: usize = blocks().map(|block| block.unfiltered_transaction_traces.len()).sum();
    println!("busy log: {} blocks, {transactions} traces, {actions} actions\n", blocks().count());
    println!("| stage | time | blocks/s | actions/s | zstd = 1 |\n|---|---|---|---|---|");
    let unit = best(5, || {
        black_box(zstd::decode_all(&packed[..]).unwrap());
    });
    let line = |name: &str, time: Duration| {
        let seconds = time.as_secs_f64();
        let (blocks, actions) = (blocks().count() as f64 / seconds, actions as f64 / seconds);
        let ratio = seconds / unit.as_secs_f64();
        println!("| {name} | {:.1} ms | {blocks:.0} | {actions:.0} | {ratio:.2} |", seconds * 1e3);
    };
    line("zstd unpack", unit);
    let follow = |name: &str, take: &dyn Fn(&mut Pipeline, &Block, &mut Vec<BlockRef>)| {
        let time = (0..5).map(|_| {
            let folder = tempfile::tempdir().unwrap();
            let (store, mut pipeline) = open(&folder);
            let start = Instant::now();
            let mut chain = Vec::new();
            for event in &events {
                match event {
                    Event::Block(block) => take(&mut pipeline, block, &mut chain),
                    Event::AbiDump(dump) => pipeline.abi_dump(dump.clone()).unwrap(),
                    Event::SwitchFork { .. } => {}
                }
            }
            pipeline.flush().unwrap();
            let elapsed = start.elapsed();
            drop(pipeline);
            store.close().unwrap();
            elapsed
        });
        line(name, time.min().unwrap());
    };
    follow("decoded blocks indexed, many at once", &|pipeline, block, _| {
        pipeline.append_final(block).unwrap();
    });
    follow("decoded blocks indexed, each new and then final", &live);
    let time = best(3, || {
        let folder = tempfile::tempdir().unwrap();
        let (_store, mut pipeline) = open(&folder);
        let mut reader = Reader::new(zstd::Decoder::new(&packed[..]).unwrap());
        let mut chain = Vec::new();
        while let Some(event) = reader.next_event().unwrap() {
            match event {
                Event::Block(block) => live(&mut pipeline, &block, &mut chain),
                Event::AbiDump(dump) => pipeline.abi_dump(dump).unwrap(),
                Event::SwitchFork { .. } => {}
            }
        }
    });
    line("packed log to indexes, one thread", time);

    let store = Arc::new(MemoryStore::new(&keyspaces(&indexes())));
    let mut pipeline = Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap();
    for event in &events {
        match event {
            Event::Block(block) => drop(pipeline.append_final(block).unwrap()),
            Event::AbiDump(dump) => pipeline.abi_dump(dump.clone()).unwrap(),
            Event::SwitchFork { .. } => {}
        }
    }
    pipeline.flush().unwrap();
    println!("\n| family | entries | bytes, not compressed | bytes an action |\n|---|---|---|---|");
    let snapshot = store.snapshot().unwrap();
    for name in store.keyspaces() {
        let scan = snapshot.scan(store.keyspace(name).unwrap(), &KeyRange::all(), Direction::Forward).unwrap();
        let (entries, bytes) = scan
            .map(Result::unwrap)
            .fold((0, 0), |(entries, bytes), (key, value)| (entries + 1, bytes + key.len() + value.len()));
        println!("| {name} | {entries} | {bytes} | {:.2} |", bytes as f64 / actions as f64);
    }
}

fn main() {
    log();
}
