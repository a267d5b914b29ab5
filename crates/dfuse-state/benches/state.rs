//! Reads of rows and tables at random heights of a long history, in fjall.
//!
//! `cargo bench -p dfuse-state --bench state`. The store has ten million row versions if `DFUSE_BENCH_VERSIONS` does not say
//! otherwise. It is made in `TMPDIR`, or in the folder `DFUSE_BENCH_DIR`: what is there from another run is used again. All of
//! it fits into the engine's cache, and is there before the first read. With `DFUSE_BENCH_COLD=1` nothing is: not in the
//! engine, which is opened anew for every read, and not in the file cache.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dfuse_antelope::{
    Checksum256, Name,
    model::{Block, BlockHeader, DbOp, DbOperation, TransactionReceiptHeader, TransactionStatus, TransactionTrace},
};
use dfuse_index::{Index, Options, Pipeline, View, blocks::Blocks, keyspaces};
use dfuse_kv::{Direction, EngineOptions, KeyRange, Store};
use dfuse_state::{ROW_CURRENT, ROW_HISTORY, ROW_KEYS, ROW_REMOVALS, RowKey, RowRange, Rows, StateAt, TableKey};
use divan::{Bencher, counter::ItemsCount};
use rustix::fs::{Advice, fadvise};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Blocks of the chain.
const BLOCKS: u32 = 2000;
/// Rows of the wide tables, in as many scopes as rows each.
const SCOPES: u64 = 1000;
/// Rows that are there in each of the other tables.
const LIVE: u64 = 1000;
/// Rows that go, and come, in every block of the table that loses them.
const LOST: u64 = 50;
/// Reads of each kind from a cold store.
const COLD_READS: usize = 41;
/// Rows that every block changes in the table that keeps them: ten versions of each in the end.
const CHANGED: u64 = LIVE * 10 / BLOCKS as u64;

fn table(table: u64, scope: u64) -> TableKey {
    TableKey { contract: Name::literal("eosio.token"), table: Name(table << 40), scope: Name(scope << 32) }
}

fn op(operation: DbOperation, table: TableKey, primary_key: u64, number: u32) -> DbOp {
    // As long as a token balance, which has the same symbol everywhere.
    let data = [&u64::from(number).to_le_bytes()[..], b"\x04EOS\0\0\0\0"].concat();
    DbOp {
        operation,
        code: table.contract,
        scope: table.scope,
        table_name: table.table,
        primary_key: Name(primary_key),
        old_payer: table.scope,
        new_payer: table.scope,
        new_data: data.into(),
        ..DbOp::default()
    }
}

fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn block(parent: Checksum256, number: u32, wide: u64) -> Block {
    let at = u64::from(number);
    let mut operations: Vec<_> = (0..wide)
        .map(|i| {
            let row = random(at * wide + i);
            op(DbOperation::Update, table(1, row % SCOPES), row / SCOPES % SCOPES, number)
        })
        .collect();
    operations.extend((0..CHANGED).map(|i| op(DbOperation::Update, table(2, 0), (at * CHANGED + i) % LIVE, number)));
    operations.extend((0..LOST).map(|i| op(DbOperation::Insert, table(3, 0), random(at * LOST + i), number)));
    let lost = at.checked_sub(LIVE / LOST).filter(|old| *old > 0);
    let lost = lost.into_iter().flat_map(|old| (0..LOST).map(move |i| random(old * LOST + i)));
    operations.extend(lost.map(|key| op(DbOperation::Remove, table(3, 0), key, number)));
    let mut id = Checksum256::sha256(&number.to_be_bytes());
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    let receipt = TransactionReceiptHeader { status: TransactionStatus::Executed, ..Default::default() };
    let trace = TransactionTrace { receipt: Some(receipt), db_ops: operations, ..TransactionTrace::default() };
    Block {
        id,
        number,
        header: BlockHeader { previous: parent, ..BlockHeader::default() },
        unfiltered_transaction_traces: vec![trace],
        ..Block::default()
    }
}

fn versions() -> u64 {
    std::env::var("DFUSE_BENCH_VERSIONS").map_or(10_000_000, |text| text.parse().unwrap())
}

/// Where the store is.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

fn folder() -> &'static Path {
    FOLDER.get().unwrap()
}

fn open(cache_bytes: u64) -> (Arc<dyn Store>, Pipeline) {
    let indexes: Vec<Arc<dyn Index>> = vec![Arc::new(Blocks), Arc::new(Rows::default())];
    let options = EngineOptions { cache_bytes, ..EngineOptions::default() };
    let store = dfuse_kv::open(folder(), &keyspaces(&indexes), options).unwrap().0;
    let pipeline = Pipeline::open(store.clone(), None, indexes, Options::default()).unwrap();
    (store, pipeline)
}

fn view(pipeline: &Pipeline) -> View {
    pipeline.serving().snapshot().view().clone()
}

/// Makes the store if it is not there.
fn load() {
    let (store, mut pipeline) = open(64 << 20);
    let versions = versions();
    if pipeline.committed().is_none_or(|block| block.number < BLOCKS) {
        let wide = versions / u64::from(BLOCKS) - CHANGED - 2 * LOST;
        let mut parent = Checksum256::default();
        let start = Instant::now();
        for number in 1..=BLOCKS {
            let block = block(parent, number, wide);
            pipeline.append_final(&block).unwrap();
            parent = block.id;
        }
        pipeline.flush().unwrap();
        store.flush().unwrap();
        println!("{versions} row versions indexed and written in {:.1} s", start.elapsed().as_secs_f64());
    }
    for (name, bytes) in store.disk_usage().unwrap().keyspaces {
        println!("  {name}: {:.1} bytes a version", bytes as f64 / versions as f64);
    }
}

/// All of it in the engine's cache.
static VIEW: LazyLock<View> = LazyLock::new(|| {
    let (_, pipeline) = open(4 << 30);
    let view = view(&pipeline);
    for family in [ROW_HISTORY, ROW_CURRENT, ROW_REMOVALS, ROW_KEYS] {
        view.scan(family, &KeyRange::all(), Direction::Forward).unwrap().for_each(|entry| drop(entry.unwrap()));
    }
    view
});

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number that was not there before.
fn next() -> u64 {
    random(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn at_random(view: &View) -> StateAt {
    StateAt::below(view.clone(), (next() % u64::from(BLOCKS)) as u32 + 1)
}

fn any_row() -> RowKey {
    let row = next();
    table(1, row % SCOPES).row(row / SCOPES % SCOPES)
}

#[divan::bench(sample_count = 2000, sample_size = 10)]
fn row_at_any_block(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| (at_random(&VIEW), any_row())).bench_values(|(at, key)| at.row(&key).unwrap());
}

#[divan::bench(sample_count = 2000, sample_size = 10)]
fn row_at_head(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(any_row).bench_values(|key| StateAt::of(VIEW.clone()).row(&key).unwrap());
}

fn count(at: &StateAt, table: TableKey) -> usize {
    at.rows(table, RowRange::default()).unwrap().map(Result::unwrap).count()
}

#[divan::bench(args = [2, 3], sample_count = 100, sample_size = 1)]
fn table_at_any_block(bencher: Bencher<'_, '_>, which: u64) {
    bencher
        .counter(ItemsCount::new(LIVE))
        .with_inputs(|| at_random(&VIEW))
        .bench_values(|at| count(&at, table(which, 0)));
}

#[divan::bench(args = [2, 3], sample_count = 100, sample_size = 1)]
fn table_just_below_head(bencher: Bencher<'_, '_>, which: u64) {
    bencher
        .counter(ItemsCount::new(LIVE))
        .with_inputs(|| StateAt::below(VIEW.clone(), BLOCKS - 1))
        .bench_values(|at| count(&at, table(which, 0)));
}

#[divan::bench(args = [2, 3], sample_count = 100, sample_size = 1)]
fn table_at_head(bencher: Bencher<'_, '_>, which: u64) {
    bencher
        .counter(ItemsCount::new(LIVE))
        .with_inputs(|| StateAt::of(VIEW.clone()))
        .bench_values(|at| count(&at, table(which, 0)));
}

#[divan::bench(sample_count = 100, sample_size = 1)]
fn first_hundred_of_lost_keys(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(|| at_random(&VIEW))
        .bench_values(|at| at.rows(table(3, 0), RowRange::default()).unwrap().take(100).map(Result::unwrap).count());
}

/// What this thread has run, as Linux counts it: of use where the cores are shared.
fn cpu_nanoseconds() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}

fn print_cpu_time(name: &str, reads: u32, read: impl Fn()) {
    let before = cpu_nanoseconds();
    (0..reads).for_each(|_| read());
    let Some((before, after)) = before.zip(cpu_nanoseconds()) else { return };
    println!("  {name}: {:.1} µs", (after - before) as f64 / 1e3 / f64::from(reads));
}

/// Reads with nothing in any cache: the store is opened anew for each, and the system has dropped its files.
fn print_cold(name: &str, read: impl Fn(&View)) {
    let mut times: Vec<Duration> = (0..COLD_READS)
        .map(|_| {
            drop_file_cache(folder());
            let (_, pipeline) = open(64 << 20);
            let view = view(&pipeline);
            let start = Instant::now();
            read(&view);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("  {name}: p50 {:.1?}, p90 {:.1?}", at(50), at(90));
}

fn drop_file_cache(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            drop_file_cache(&entry.path());
        } else {
            fadvise(File::open(entry.path()).unwrap(), 0, None, Advice::DontNeed).unwrap();
        }
    }
}

fn main() {
    let kept = std::env::var_os("DFUSE_BENCH_DIR").map(|folder| Path::new(&folder).join(versions().to_string()));
    let temporary = tempfile::tempdir().unwrap();
    FOLDER.set(kept.unwrap_or_else(|| temporary.path().to_owned())).unwrap();
    load();
    if std::env::var_os("DFUSE_BENCH_COLD").is_some() {
        println!("reads with nothing in any cache:");
        print_cold("row at any block", |view| drop(at_random(view).row(&any_row())));
        print_cold("row at the head", |view| drop(StateAt::of(view.clone()).row(&any_row())));
        for which in [2, 3] {
            print_cold(&format!("table {which} at any block"), |view| {
                count(&at_random(view), table(which, 0));
            });
            print_cold(&format!("table {which} at the head"), |view| {
                count(&StateAt::of(view.clone()), table(which, 0));
            });
        }
        return;
    }
    LazyLock::force(&VIEW);
    println!("mean CPU time of a read:");
    print_cpu_time("row at any block", 100_000, || drop(at_random(&VIEW).row(&any_row())));
    print_cpu_time("row at the head", 100_000, || drop(StateAt::of(VIEW.clone()).row(&any_row())));
    for which in [2, 3] {
        print_cpu_time(&format!("table {which} at any block"), 500, || {
            count(&at_random(&VIEW), table(which, 0));
        });
        print_cpu_time(&format!("table {which} just below the head"), 500, || {
            count(&StateAt::below(VIEW.clone(), BLOCKS - 1), table(which, 0));
        });
        print_cpu_time(&format!("table {which} at the head"), 500, || {
            count(&StateAt::of(VIEW.clone()), table(which, 0));
        });
    }
    divan::main();
}
