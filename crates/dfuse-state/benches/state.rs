//! Reads of rows and tables at random heights of a long history, in fjall.
//!
//! `cargo bench -p dfuse-state --bench state`. The store is made in `TMPDIR`, ten million row versions if
//! `DFUSE_BENCH_VERSIONS` does not say otherwise. All of it fits into the engine's cache.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use dfuse_antelope::{
    Checksum256, Name,
    model::{Block, BlockHeader, DbOp, DbOperation, TransactionReceiptHeader, TransactionStatus, TransactionTrace},
};
use dfuse_index::{Index, Options, Pipeline, View, blocks::Blocks, keyspaces};
use dfuse_kv::{FjallOptions, FjallStore, Store};
use dfuse_state::{RowRange, Rows, StateAt, TableKey};
use divan::{Bencher, counter::ItemsCount};

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

struct Chain {
    view: View,
    _folder: tempfile::TempDir,
}

static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let versions = std::env::var("DFUSE_BENCH_VERSIONS").map_or(10_000_000, |text| text.parse().unwrap());
    let wide = versions / u64::from(BLOCKS) - CHANGED - 2 * LOST;
    let indexes: Vec<Arc<dyn Index>> = vec![Arc::new(Blocks), Arc::new(Rows::default())];
    let folder = tempfile::tempdir().unwrap();
    let options = FjallOptions { cache_bytes: 4 << 30, ..FjallOptions::default() };
    let store = Arc::new(FjallStore::open(folder.path(), &keyspaces(&indexes), &options).unwrap());
    let mut pipeline = Pipeline::open(store.clone(), None, indexes, Options::default()).unwrap();
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
    for (name, bytes) in store.disk_usage().unwrap().keyspaces {
        println!("  {name}: {:.1} bytes a version", bytes as f64 / versions as f64);
    }
    Chain { view: pipeline.serving().snapshot().view().clone(), _folder: folder }
});

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number that was not there before.
fn next() -> u64 {
    random(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn at_random() -> StateAt {
    StateAt::below(CHAIN.view.clone(), (next() % u64::from(BLOCKS)) as u32 + 1)
}

#[divan::bench(sample_count = 2000, sample_size = 10)]
fn row_at_any_block(bencher: Bencher<'_, '_>) {
    let input = || {
        let row = next();
        (at_random(), table(1, row % SCOPES).row(row / SCOPES % SCOPES))
    };
    bencher.with_inputs(input).bench_values(|(at, key)| at.row(&key).unwrap());
}

#[divan::bench(sample_count = 2000, sample_size = 10)]
fn row_at_head(bencher: Bencher<'_, '_>) {
    let input = || {
        let row = next();
        table(1, row % SCOPES).row(row / SCOPES % SCOPES)
    };
    bencher.with_inputs(input).bench_values(|key| StateAt::of(CHAIN.view.clone()).row(&key).unwrap());
}

fn count(at: &StateAt, table: TableKey) -> usize {
    at.rows(table, RowRange::default()).unwrap().map(Result::unwrap).count()
}

#[divan::bench(args = [2, 3], sample_count = 100, sample_size = 1)]
fn table_at_any_block(bencher: Bencher<'_, '_>, which: u64) {
    bencher.counter(ItemsCount::new(LIVE)).with_inputs(at_random).bench_values(|at| count(&at, table(which, 0)));
}

#[divan::bench(args = [2, 3], sample_count = 100, sample_size = 1)]
fn table_just_below_head(bencher: Bencher<'_, '_>, which: u64) {
    bencher
        .counter(ItemsCount::new(LIVE))
        .with_inputs(|| StateAt::below(CHAIN.view.clone(), BLOCKS - 1))
        .bench_values(|at| count(&at, table(which, 0)));
}

#[divan::bench(args = [2, 3], sample_count = 100, sample_size = 1)]
fn table_at_head(bencher: Bencher<'_, '_>, which: u64) {
    bencher
        .counter(ItemsCount::new(LIVE))
        .with_inputs(|| StateAt::of(CHAIN.view.clone()))
        .bench_values(|at| count(&at, table(which, 0)));
}

#[divan::bench(sample_count = 100, sample_size = 1)]
fn first_hundred_of_lost_keys(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(at_random)
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

fn main() {
    LazyLock::force(&CHAIN);
    println!("mean CPU time of a read:");
    let row = || {
        let row = next();
        table(1, row % SCOPES).row(row / SCOPES % SCOPES)
    };
    print_cpu_time("row at any block", 100_000, || drop(at_random().row(&row())));
    print_cpu_time("row at the head", 100_000, || drop(StateAt::of(CHAIN.view.clone()).row(&row())));
    for which in [2, 3] {
        print_cpu_time(&format!("table {which} at any block"), 500, || {
            count(&at_random(), table(which, 0));
        });
        print_cpu_time(&format!("table {which} just below the head"), 500, || {
            count(&StateAt::below(CHAIN.view.clone(), BLOCKS - 1), table(which, 0));
        });
        print_cpu_time(&format!("table {which} at the head"), 500, || {
            count(&StateAt::of(CHAIN.view.clone()), table(which, 0));
        });
    }
    divan::main();
}
