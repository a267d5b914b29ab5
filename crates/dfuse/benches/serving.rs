//! Start with a million indexed blocks; lifecycles a second over some connections.
//!
//! `cargo bench -p dfuse --bench serving`; clients share the cores with the server.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use dfuse_antelope::{
    BlockTimestamp, Checksum256,
    model::{Block, BlockHeader, TransactionReceiptHeader, TransactionStatus, TransactionTrace, wire::ReverseWriter},
};
use dfuse_blocks::{BlockStore, BundleWriter, EncodedBlock, StoreOptions};
use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use support::{Server, load::ask, text};

const BLOCKS: u32 = 1_000_000;
const TIME: Duration = Duration::from_secs(5);

fn main() {
    start();
    load();
}

fn id(number: u32) -> Checksum256 {
    let mut id = Checksum256::sha256(&number.to_be_bytes());
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}

/// A block with a transaction.
fn block(number: u32) -> Block {
    let header = BlockHeader { timestamp: BlockTimestamp(number), previous: id(number - 1), ..Default::default() };
    let receipt = Some(TransactionReceiptHeader { status: TransactionStatus::Executed, ..Default::default() });
    let trace = TransactionTrace { id: id(!number), block_num: number.into(), receipt, ..Default::default() };
    let unfiltered_transaction_traces = vec![trace];
    let lib = number - 1;
    Block {
        id: id(number),
        number,
        version: 1,
        header,
        dpos_irreversible_blocknum: lib,
        unfiltered_transaction_traces,
        ..Default::default()
    }
}

fn resident_megabytes(server: &Server) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1e3
}

fn write_blocks(place: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = BlockStore::open(text(place), StoreOptions::default()).unwrap();
        let mut bundles = BundleWriter::resume(store, 2).await.unwrap();
        let mut writer = ReverseWriter::new();
        for number in 2..BLOCKS + 2 {
            bundles.push(EncodedBlock::encode(&block(number), &mut writer).unwrap()).await.unwrap();
        }
        bundles.finish("bench").await.unwrap();
    });
}

fn start() {
    let folder = tempfile::tempdir().unwrap();
    write_blocks(&folder.path().join("blocks"));
    let empty = folder.path().join("log");
    fs::write(&empty, "DMLOG DEEP_MIND_VERSION leap 13 0\n").unwrap();
    let source = format!("deep-mind:{}", text(&empty));
    let arguments = ["--source", &source, "--data-dir", text(folder.path())];
    for what in ["block files to indexes", "start with a million indexed blocks"] {
        let started = Instant::now();
        let mut server = Server::start(&arguments);
        server.wait_for("ready");
        let elapsed = started.elapsed();
        thread::sleep(Duration::from_secs(2));
        println!("{what}: ready after {elapsed:.2?}, {:.0} MB resident", resident_megabytes(&server));
        server.stop();
    }
}

fn load() {
    let Some(path) = recorded::find("busy/busy.dmlog.zst") else { return };
    let mut reader = Reader::new(recorded::open("busy/busy.dmlog.zst").unwrap());
    let mut paths = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            paths.extend(block.transactions().iter().map(|receipt| format!("/v0/transactions/{}", receipt.id)));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let source = format!("deep-mind:{}", text(&path));
    let arguments = ["--source", &source, "--data-dir", text(folder.path()), "--log-level", "warn,dfuse::start=info"];
    let mut server = Server::start(&arguments);
    server.wait_for("the source has no more blocks");
    server.wait_for("ready");
    let address = server.address();
    println!("| connections | lifecycles/s | p50 | p99 | resident |\n|---|---|---|---|---|");
    for connections in [1_usize, 16, 128] {
        let mut times: Vec<Duration> = thread::scope(|scope| {
            let (address, paths) = (&address, &paths);
            let clients = (0..connections).map(|client| scope.spawn(move || ask(address, paths, client * 97, TIME)));
            let clients: Vec<_> = clients.collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        times.sort_unstable();
        let (rate, megabytes) = (times.len() as f64 / TIME.as_secs_f64(), resident_megabytes(&server));
        let at = |part: f64| times[(times.len() as f64 * part) as usize];
        println!("| {connections} | {rate:.0} | {:.1?} | {:.1?} | {megabytes:.0} MB |", at(0.5), at(0.99));
    }
    server.stop();
}
