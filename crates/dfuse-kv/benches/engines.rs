//! The engines on keys shaped like row history: contract, table, scope, primary key, inverted block.
//!
//! `cargo bench -p dfuse-kv --bench engines`. Directories are made in `TMPDIR`: point it at the disk to be measured.
#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dfuse_kv::{
    Bytes, Direction, Durability, EngineOptions, FjallStore, Hint, KeyRange, Keyspace, MemoryStore, Snapshot, Store,
    WriteBatch,
};
use divan::{Bencher, black_box, counter::ItemsCount};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: Keyspace = Keyspace::at(0);
const KEYS: u64 = 50_000;
/// Versions of each key.
const VERSIONS: u64 = 10;
const ENTRIES: u64 = KEYS * VERSIONS;
const COMMIT: u64 = 500;
const SCAN: u64 = 10_000;

#[derive(Debug, Clone, Copy)]
enum Engine {
    Memory,
    Fjall,
}

const ENGINES: [Engine; 2] = [Engine::Memory, Engine::Fjall];

/// A store with the directory that it lives in.
type Opened = (Arc<dyn Store>, Option<tempfile::TempDir>);

fn open(engine: Engine) -> Opened {
    match engine {
        Engine::Memory => (Arc::new(MemoryStore::new(&["rows"])), None),
        Engine::Fjall => {
            let directory = tempfile::tempdir().unwrap();
            let store = FjallStore::open(directory.path(), &["rows"], &EngineOptions::default()).unwrap();
            (Arc::new(store), Some(directory))
        }
    }
}

fn filled(engine: Engine) -> Opened {
    let opened = open(engine);
    opened.0.ingest(ROWS, &mut (0..ENTRIES).map(|number| Ok(entry(number)))).unwrap();
    opened
}

/// A filled store whose entries have all been read once.
fn warm(engine: Engine) -> Opened {
    let opened = filled(engine);
    let snapshot = opened.0.snapshot().unwrap();
    assert_eq!(snapshot.scan(ROWS, &KeyRange::all(), Direction::Forward).unwrap().count() as u64, ENTRIES);
    opened
}

/// 28 bytes that the versions of a key share.
fn prefix(key: u64) -> Vec<u8> {
    let mut prefix = b"eosio\0\0\0accounts".to_vec();
    prefix.extend_from_slice(&(key / 100).to_be_bytes()[4..]);
    prefix.extend_from_slice(&key.to_be_bytes());
    prefix
}

/// The entry at that place of the key order, with a value of 40 to 103 bytes that compresses by about half.
fn entry(number: u64) -> (Bytes, Bytes) {
    let mut key = prefix(number / VERSIONS);
    key.extend_from_slice(&(u32::MAX - 1_000 * (VERSIONS - number % VERSIONS) as u32).to_be_bytes());
    let value = scatter(number).to_be_bytes().into_iter().chain([0; 8]).cycle().take(40 + (number % 64) as usize);
    (key.into(), value.collect::<Vec<_>>().into())
}

/// A number without visible order: SplitMix64.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

fn main() {
    divan::main();
}

/// Sorted ingestion of all entries.
#[divan::bench(args = ENGINES, sample_count = 5, sample_size = 1)]
fn bulk_load_sorted(bencher: Bencher<'_, '_>, engine: Engine) {
    bencher
        .counter(ItemsCount::new(ENTRIES))
        .with_inputs(|| open(engine))
        .bench_refs(|(store, _)| store.ingest(ROWS, &mut (0..ENTRIES).map(|number| Ok(entry(number)))).unwrap());
}

/// The same entries in random order, 5,000 a commit.
#[divan::bench(args = ENGINES, sample_count = 5, sample_size = 1)]
fn bulk_load_random(bencher: Bencher<'_, '_>, engine: Engine) {
    bencher.counter(ItemsCount::new(ENTRIES)).with_inputs(|| open(engine)).bench_refs(|(store, _)| {
        for start in (0..ENTRIES).step_by(5_000) {
            let mut batch = WriteBatch::new();
            for number in start..start + 5_000 {
                // An odd factor makes every entry come once.
                let (key, value) = entry(number.wrapping_mul(7_654_321) % ENTRIES);
                batch.put(ROWS, key, value);
            }
            store.commit(batch, Durability::Buffer).unwrap();
        }
    });
}

/// A random key that is there, from memory.
#[divan::bench(args = ENGINES, sample_size = 1_000)]
fn get(bencher: Bencher<'_, '_>, engine: Engine) {
    let (store, _directory) = warm(engine);
    let snapshot = store.snapshot().unwrap();
    let counter = AtomicU64::new(0);
    bencher
        .with_inputs(|| entry(scatter(next(&counter)) % ENTRIES).0)
        .bench_values(|key| snapshot.get(ROWS, &key).unwrap().unwrap());
}

/// A row at a block: the first version of a random key at or below it, from memory.
#[divan::bench(args = ENGINES, sample_size = 1_000)]
fn seek(bencher: Bencher<'_, '_>, engine: Engine) {
    let (store, _directory) = warm(engine);
    let snapshot = store.snapshot().unwrap();
    let counter = AtomicU64::new(0);
    let range = || {
        let number = scatter(next(&counter)) % ENTRIES;
        let (start, _) = entry(number);
        let end = prefix(number / VERSIONS + 1);
        KeyRange::new(&start[..]..&end[..])
    };
    bencher.with_inputs(range).bench_values(|range| snapshot.first(ROWS, &range, Direction::Forward).unwrap().unwrap());
}

/// 10,000 neighbouring entries from a random place, from memory.
#[divan::bench(args = ENGINES)]
fn scan(bencher: Bencher<'_, '_>, engine: Engine) {
    let (store, _directory) = warm(engine);
    let snapshot = store.snapshot().unwrap();
    let counter = AtomicU64::new(0);
    bencher
        .counter(ItemsCount::new(SCAN))
        .with_inputs(|| KeyRange::new(entry(scatter(next(&counter)) % (ENTRIES - SCAN)).0..))
        .bench_values(|range| {
            let entries = snapshot.scan_hinted(ROWS, &range, Direction::Forward, Hint::Many).unwrap();
            entries.take(SCAN as usize).map(|entry| black_box(entry.unwrap()).1.len()).sum::<usize>()
        });
}

/// What of a table is read at a block.
const TABLE_KEYS: u64 = 1_000;
/// Terms of a search, say.
const RANGES: u64 = 20;

/// How to come to a key that is farther on.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Entry by entry.
    Steps,
    /// By a new scan.
    Scan,
    /// The living scan skips.
    Skip,
}

const WAYS: [Way; 3] = [Way::Steps, Way::Scan, Way::Skip];

/// A scan of `count` keys, of each of which the newest of the `VERSIONS` at or below a block is read, and of the keys only one in
/// `every`. Half of the versions are newer.
fn table(snapshot: &dyn Snapshot, first: u64, every: u64, way: Way) -> usize {
    let version = |key: u64| entry(key * VERSIONS + VERSIONS / 2).0;
    let mut scan = snapshot.scan_hinted(ROWS, &KeyRange::new(prefix(first)..), Direction::Forward, Hint::Many).unwrap();
    let keys = (first..).step_by(every as usize).take(TABLE_KEYS as usize);
    let rows = keys.map(|key| {
        let wanted = version(key);
        match way {
            Way::Steps => {}
            Way::Scan => scan = snapshot.scan(ROWS, &KeyRange::new(&wanted[..]..), Direction::Forward).unwrap(),
            Way::Skip => scan.skip_to(&wanted).unwrap(),
        }
        let mut entries = scan.by_ref().map(Result::unwrap);
        entries.find(|(key, _)| *key >= wanted).unwrap().1.len()
    });
    rows.sum()
}

/// A table at a block: 1,000 neighbouring keys of 10 versions each, from memory.
#[divan::bench(args = WAYS)]
fn table_at_a_block(bencher: Bencher<'_, '_>, way: Way) {
    skips(bencher, way, 1);
}

/// 1,000 keys of which each is 40 keys, so 400 entries, after the one before, from memory.
#[divan::bench(args = WAYS)]
fn keys_far_apart(bencher: Bencher<'_, '_>, way: Way) {
    skips(bencher, way, 40);
}

fn skips(bencher: Bencher<'_, '_>, way: Way, every: u64) {
    let (store, _directory) = warm(Engine::Fjall);
    let snapshot = store.snapshot().unwrap();
    let counter = AtomicU64::new(0);
    bencher
        .counter(ItemsCount::new(TABLE_KEYS))
        .with_inputs(|| scatter(next(&counter)) % (KEYS - every * TABLE_KEYS))
        .bench_values(|first| table(&*snapshot, first, every, way));
}

/// The first entries of 20 ranges, all at once or one by one, from memory.
#[divan::bench(args = [false, true], sample_size = 100)]
fn firsts_of_20_ranges(bencher: Bencher<'_, '_>, at_once: bool) {
    let (store, _directory) = warm(Engine::Fjall);
    let snapshot = store.snapshot().unwrap();
    let counter = AtomicU64::new(0);
    let range = |_| KeyRange::prefix(prefix(scatter(next(&counter)) % KEYS));
    bencher.with_inputs(|| (0..RANGES).map(range).collect::<Vec<_>>()).bench_values(|ranges| match at_once {
        true => snapshot.multi_first(ROWS, &ranges, Direction::Forward).unwrap(),
        false => ranges.iter().map(|range| snapshot.first(ROWS, range, Direction::Forward).unwrap()).collect(),
    });
}

/// 500 random entries, durable against power cuts.
#[divan::bench(args = ENGINES)]
fn durable_commit(bencher: Bencher<'_, '_>, engine: Engine) {
    let (store, _directory) = filled(engine);
    let counter = AtomicU64::new(0);
    let batch = || {
        let mut batch = WriteBatch::new();
        for _ in 0..COMMIT {
            let (key, value) = entry(scatter(next(&counter)) % ENTRIES);
            batch.put(ROWS, key, value);
        }
        batch
    };
    bencher
        .counter(ItemsCount::new(COMMIT))
        .with_inputs(batch)
        .bench_values(|batch| store.commit(batch, Durability::Sync).unwrap());
}
