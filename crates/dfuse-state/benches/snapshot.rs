//! Rows of a snapshot into all indexes of state, in fjall.
//!
//! `cargo bench -p dfuse-state --bench snapshot`. There are a million token balances, in the order of a snapshot, if
//! `DFUSE_BENCH_ROWS` does not say otherwise. The peak of memory is that of the whole process.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{fs, sync::Arc, time::Instant};

use dfuse_antelope::{Checksum256, Name};
use dfuse_index::{
    BlockRef, CheckpointState, Index, LoadOptions, Loader, StateRow, abi::Abis, accounts::Accounts, blocks::Blocks,
    open_store,
};
use dfuse_kv::EngineOptions;
use dfuse_ship::{ContractRow, Table};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOKEN: Name = Name::literal("eosio.token");
const ACCOUNTS: Name = Name::literal("accounts");

/// A balance of an account, and the table that it stands in: accounts have no order in a snapshot.
fn balance(number: u64) -> [StateRow; 2] {
    let scope = Name(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !0xf);
    let value = [&number.to_le_bytes()[..], b"\x04EOS\0\0\0\0"].concat().into();
    let table = Table { code: TOKEN, scope, table: ACCOUNTS, payer: scope, rows: Some(1) };
    let row = ContractRow { code: TOKEN, scope, table: ACCOUNTS, primary_key: 0x534f_4504, payer: scope, value };
    [StateRow::Table(table), StateRow::Contract(row)]
}

fn load(rows: u64, threads: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut indexes: Vec<Arc<dyn Index>> = vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts)];
    indexes.extend(dfuse_state::indexes());
    let (store, _) = open_store(folder.path().join("index"), &indexes, EngineOptions::default()).unwrap();
    let block = BlockRef { number: 1, id: Checksum256::default() };
    let began = Instant::now();
    let options = LoadOptions { threads, ..LoadOptions::new(folder.path().join("loading")) };
    let mut loader = Loader::open(store.clone(), indexes, block, options).unwrap();
    (0..rows).flat_map(balance).for_each(|row| loader.push(row).unwrap());
    loader.finish(None, CheckpointState::Complete, |_| ()).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("{threads} threads: {rows} rows in {seconds:.2} s, {:.0} rows/s; {peak}", rows as f64 / seconds);
    store.close().unwrap();
}

fn main() {
    let rows = std::env::var("DFUSE_BENCH_ROWS").map_or(1_000_000, |text| text.parse().unwrap());
    // The first one tells the peak.
    [2, 1].into_iter().for_each(|threads| load(rows, threads));
}
