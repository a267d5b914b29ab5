//! Bundles of recorded blocks: write one, read all of it, read one block of it; and what compression levels cost.
//!
//! `cargo bench -p dfuse-blocks --bench bundle` for the timings, `-- levels` for the table of `docs/block-files.md`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    hint::black_box,
    sync::LazyLock,
    time::{Duration, Instant},
};

use dfuse_antelope::model::wire::ReverseWriter;
use dfuse_blocks::{BlockStore, EncodedBlock, StoreOptions, bundle};
use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use divan::{Bencher, counter::BytesCount};
use futures::TryStreamExt;

/// All blocks of a recorded chain; none, and a line that says so, where it is absent.
fn blocks(log: &str) -> Vec<EncodedBlock> {
    let Some(log) = recorded::open(log) else { return vec![] };
    let (mut reader, mut writer, mut blocks) = (Reader::new(log), ReverseWriter::new(), vec![]);
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            blocks.push(EncodedBlock::encode(&block, &mut writer).unwrap());
        }
    }
    blocks
}

fn bytes(blocks: &[EncodedBlock]) -> usize {
    blocks.iter().map(|block| block.envelope().len()).sum()
}

/// Blocks 200 to 299 of the busy chain.
static BUNDLE: LazyLock<Vec<EncodedBlock>> = LazyLock::new(|| {
    blocks("busy/busy.dmlog.zst").into_iter().filter(|b| bundle::base_of(b.number()) == 200).collect()
});

/// A store on disk with that bundle.
static STORE: LazyLock<BlockStore> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap().keep();
    let store = BlockStore::open(folder.to_str().unwrap(), StoreOptions::default()).unwrap();
    runtime().block_on(store.write_bundle(BUNDLE.clone())).unwrap();
    store
});

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

#[divan::bench(sample_count = 20)]
fn write_bundle(bencher: Bencher<'_, '_>) {
    if !BUNDLE.is_empty() {
        let write = || bundle::encode(&BUNDLE, bundle::COMPRESSION_LEVEL).unwrap();
        bencher.counter(BytesCount::new(bytes(&BUNDLE))).bench(write);
    }
}

#[divan::bench(sample_count = 50)]
fn read_bundle(bencher: Bencher<'_, '_>) {
    if !BUNDLE.is_empty() {
        let runtime = runtime();
        let read = || runtime.block_on(STORE.read_range(200..=299).try_collect::<Vec<_>>()).unwrap();
        bencher.counter(BytesCount::new(bytes(&BUNDLE))).bench_local(read);
    }
}

#[divan::bench]
fn read_one_block(bencher: Bencher<'_, '_>) {
    if !BUNDLE.is_empty() {
        let runtime = runtime();
        bencher.bench_local(|| runtime.block_on(STORE.read_block(black_box(250))).unwrap());
    }
}

/// The shortest of three.
fn timed<T>(run: impl Fn() -> T) -> (T, Duration) {
    let runs = (0..3).map(|_| {
        let start = Instant::now();
        (run(), start.elapsed())
    });
    runs.min_by_key(|(_, elapsed)| *elapsed).unwrap()
}

fn levels() {
    println!(
        "| log | level | bytes a block | compressed | in one frame | writes | reads |\n|---|---|---|---|---|---|---|"
    );
    for log in ["busy/busy.dmlog.zst", "small/small.dmlog.zst", "fork/fork.dmlog.zst", "demo/demo.dmlog.zst"] {
        let blocks = blocks(log);
        let Some(name) = log.split('/').next().filter(|_| !blocks.is_empty()) else { continue };
        let raw = bytes(&blocks);
        let speed = |elapsed: Duration| raw as f64 / 1e6 / elapsed.as_secs_f64();
        let per_block = |bytes: usize| bytes / blocks.len();
        let bundles = || {
            blocks
                .chunk_by(|a, b| a.number() < b.number() && bundle::base_of(a.number()) == bundle::base_of(b.number()))
        };
        for level in [-1, 1, 2, 3, 4, 5, 6, 7, 9, 12] {
            let (files, write) = timed(|| bundles().map(|b| bundle::encode(b, level).unwrap()).collect::<Vec<_>>());
            let (_, read) = timed(|| files.iter().map(|f| zstd::decode_all(&f[..]).unwrap().len()).sum::<usize>());
            let whole = bundles().map(|b| {
                let stream: Vec<u8> = b.iter().flat_map(|block| block.envelope().to_vec()).collect();
                zstd::bulk::compress(&stream, level).unwrap().len()
            });
            let (framed, whole) = (files.iter().map(Vec::len).sum(), whole.sum());
            println!(
                "| {name} | {level} | {} | {} ({:.1}x) | {} | {:.0} MB/s | {:.0} MB/s |",
                per_block(raw),
                per_block(framed),
                raw as f64 / framed as f64,
                per_block(whole),
                speed(write),
                speed(read),
            );
        }
    }
}

fn main() {
    if std::env::args().any(|argument| argument == "levels") { levels() } else { divan::main() }
}
