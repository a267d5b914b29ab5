//! A snapshot into all indexes of state, in fjall: time, and the most memory that the process takes.
//!
//! `cargo bench -p dfuse-state --bench snapshot`. The snapshot is the recorded one of a small chain, among whose tables stand those of
//! many accounts with one balance each; it is made while it is read. There are a million and ten million of them, if
//! `DFUSE_BENCH_ROWS` does not name other numbers, with commas between. Each load has a process of its own: the peak is that of one.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    env, fs,
    io::{Cursor, Read, copy, sink},
    process::Command,
    sync::Arc,
    time::Instant,
};

use dfuse_antelope::Name;
use dfuse_index::{
    BlockRef, CheckpointState, Index, LoadOptions, Loader, abi::Abis, accounts::Accounts, blocks::Blocks, open_store,
};
use dfuse_kv::EngineOptions;
use dfuse_ship::{Snapshot, SnapshotRow};
use dfuse_testkit::recorded;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SMALL: &str = "snapshots/small-345.bin.zst";
const TABLES: &[u8] = b"contract_tables\0";
/// What a process of its own loads: rows, and threads.
const LOAD: &str = "DFUSE_BENCH_LOAD";
const TOKEN: Name = Name::literal("eosio.token");
const ACCOUNTS: Name = Name::literal("accounts");

/// Tables with a balance each: accounts have no order in a snapshot.
struct Balances {
    next: u64,
    rows: u64,
    held: Cursor<Vec<u8>>,
}

impl Balances {
    /// Bytes of a table with its row, and items that count as rows of its section: the table, six groups, the row.
    const BYTES: u64 = 4 * 8 + 4 + 1 + 8 + 8 + 1 + 16 + 5;
    const ITEMS: u64 = 8;

    fn put(&self, number: u64, out: &mut Vec<u8>) {
        let scope = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !0xf;
        [TOKEN.0, scope, ACCOUNTS.0, scope].iter().for_each(|name| out.extend(name.to_le_bytes()));
        out.extend(1_u32.to_le_bytes());
        out.push(1);
        [0x534f_4504, scope].iter().for_each(|name: &u64| out.extend(name.to_le_bytes()));
        out.push(16);
        out.extend(number.to_le_bytes());
        out.extend(b"\x04EOS\0\0\0\0\0\0\0\0\0");
    }
}

impl Read for Balances {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.held.position() == self.held.get_ref().len() as u64 {
            let end = self.rows.min(self.next + 1000);
            let mut bytes = std::mem::take(self.held.get_mut());
            bytes.clear();
            (self.next..end).for_each(|number| self.put(number, &mut bytes));
            (self.next, self.held) = (end, Cursor::new(bytes));
        }
        self.held.read(buffer)
    }
}

/// The small snapshot with so many balances more.
fn snapshot(rows: u64) -> Option<impl Read> {
    let mut start = recorded::bytes(SMALL)?;
    let at = start.windows(TABLES.len()).position(|bytes| bytes == TABLES).unwrap();
    let mut add = |at: usize, more: u64| {
        let number = u64::from_le_bytes(start[at..at + 8].try_into().unwrap());
        start[at..at + 8].copy_from_slice(&(number + more).to_le_bytes());
    };
    // The size of the section, and how many rows it has, stand before its name.
    add(at - 16, rows * Balances::BYTES);
    add(at - 8, rows * Balances::ITEMS);
    let end = start.split_off(at + TABLES.len());
    let balances = Balances { next: 0, rows, held: Cursor::default() };
    Some(Cursor::new(start).chain(balances).chain(Cursor::new(end)))
}

/// Seconds that it takes to make the rows of a snapshot, and nothing of them.
fn read_alone(rows: u64) -> Option<f64> {
    let made = Instant::now();
    copy(&mut snapshot(rows)?, &mut sink()).unwrap();
    let made = made.elapsed();
    let began = Instant::now();
    let mut snapshot = Snapshot::open(snapshot(rows)?).unwrap();
    while snapshot.next_section().unwrap().is_some() {
        while let Some(row) = snapshot.next_row().unwrap() {
            std::hint::black_box(row);
        }
    }
    Some(began.elapsed().saturating_sub(made).as_secs_f64())
}

/// Loads the snapshot, and prints how long it took and the peak of memory.
fn load(rows: u64, threads: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut indexes: Vec<Arc<dyn Index>> = vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts)];
    indexes.extend(dfuse_state::indexes());
    let (store, _) = open_store(folder.path().join("index"), &indexes, EngineOptions::default()).unwrap();
    let began = Instant::now();
    let mut loader = None;
    let mut snapshot = Snapshot::open(snapshot(rows).unwrap()).unwrap();
    while snapshot.next_section().unwrap().is_some() {
        while let Some(row) = snapshot.next_row().unwrap() {
            if let SnapshotRow::Head(head) = &row {
                let block = BlockRef { number: head.block_num(), id: head.id() };
                let options = LoadOptions { threads, ..LoadOptions::new(folder.path().join("loading")) };
                loader = Some(Loader::open(store.clone(), indexes.clone(), block, options).unwrap());
            }
            if let (Some(loader), Some(row)) = (&mut loader, row.into_state()) {
                loader.push(row).unwrap();
            }
        }
    }
    loader.unwrap().finish(None, CheckpointState::Complete, |_| ()).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    println!("| {rows} | {threads} | {seconds:.2} s | {:.0} | {} MiB |", rows as f64 / seconds, peak >> 10);
    store.close().unwrap();
}

fn main() {
    if let Ok(asked) = env::var(LOAD) {
        let (rows, threads) = asked.split_once(' ').unwrap();
        return load(rows.parse().unwrap(), threads.parse().unwrap());
    }
    let rows = env::var("DFUSE_BENCH_ROWS").unwrap_or_else(|_| "1000000,10000000".to_owned());
    let rows: Vec<u64> = rows.split(',').map(|text| text.parse().unwrap()).collect();
    let Some(read) = read_alone(rows[0]) else { return };
    println!("{} rows read, and nothing made of them: {read:.2} s", rows[0]);
    println!("| rows | threads | time | rows/s | most memory |");
    println!("|---|---|---|---|---|");
    let loads = [(rows[0], 1)].into_iter().chain(rows.iter().map(|rows| (*rows, 2)));
    for (rows, threads) in loads {
        let mut child = Command::new(env::current_exe().unwrap());
        assert!(child.env(LOAD, format!("{rows} {threads}")).status().unwrap().success());
    }
}
