//! Logs of state history to blocks, against zlib's own unpacking of the same entries.
//!
//! `cargo bench -p dfuse-ship --bench history`. The input are the logs of the busy recorded chain. As in the source `ship-log:`, parts
//! of blocks are decoded on as many cores as there are, and one of them puts blocks together.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    collections::HashMap,
    io::{Cursor, Read, copy, sink},
    sync::mpsc::sync_channel,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dfuse_antelope::{Checksum256, model::wire::ReverseWriter};
use dfuse_ship::{Assembler, BlockLog, GenesisState, HistoryBlock, HistoryLog, MemoryRows, inflated};
use dfuse_testkit::recorded;

/// Runs, of which the best counts.
const RUNS: usize = 3;
/// Blocks that are decoded together.
const BATCH_BLOCKS: usize = 64;

/// A block and its packed history.
struct Packed {
    id: Checksum256,
    block: Bytes,
    traces: Vec<u8>,
    deltas: Vec<u8>,
}

impl Packed {
    fn decode(&self) -> HistoryBlock {
        let mut traces = vec![];
        inflated(&self.traces).read_to_end(&mut traces).unwrap();
        HistoryBlock::decode(self.id, &self.block, &traces.into(), inflated(&self.deltas)).unwrap()
    }
}

fn entries(name: &str) -> Option<HashMap<Checksum256, Vec<u8>>> {
    let file = recorded::tar_member("busy/state-history.tar.zst", &format!("state-history/{name}.log"))?;
    let mut log = HistoryLog::open(Cursor::new(file)).unwrap();
    let mut all = HashMap::new();
    while let Some(entry) = log.next_entry().unwrap() {
        all.insert(entry.block_id, log.payload(&entry).unwrap());
    }
    Some(all)
}

/// The first block, which begins the chain, and all others.
fn input() -> Option<(GenesisState, Checksum256, Vec<Packed>)> {
    let (mut traces, mut deltas) = (entries("trace_history")?, entries("chain_state_history")?);
    let mut log = BlockLog::open(Cursor::new(recorded::bytes("busy/blocks.log.zst")?)).unwrap();
    let genesis = log.genesis().unwrap().clone();
    let first = log.next_block().unwrap().unwrap().id;
    let mut all = vec![];
    while let Some(logged) = log.next_block().unwrap() {
        let (Some(traces), Some(deltas)) = (traces.remove(&logged.id), deltas.remove(&logged.id)) else { break };
        all.push(Packed { id: logged.id, block: logged.block, traces, deltas });
    }
    Some((genesis, first, all))
}

/// The shortest time of all runs.
fn time(mut work: impl FnMut()) -> Duration {
    let run = |_| {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    (0..RUNS).map(run).min().unwrap()
}

/// Decodes all on so many threads, some blocks ahead of who takes them in their order.
fn decoded(packed: &[Packed], threads: usize, mut take: impl FnMut(HistoryBlock)) {
    if threads == 1 {
        return packed.iter().for_each(|packed| take(packed.decode()));
    }
    let (sender, batches) = sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for batch in packed.chunks(BATCH_BLOCKS) {
                let share = batch.len().div_ceil(threads);
                let decoded: Vec<_> = thread::scope(|scope| {
                    let decode = |share: &[Packed]| share.iter().map(Packed::decode).collect::<Vec<_>>();
                    let threads: Vec<_> = batch.chunks(share).map(|share| scope.spawn(move || decode(share))).collect();
                    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
                });
                sender.send(decoded).unwrap();
            }
        });
        batches.into_iter().flatten().for_each(&mut take);
    });
}

fn main() {
    let Some((genesis, first, packed)) = input() else { return };
    let logs = || packed.iter().flat_map(|packed| [&packed.traces, &packed.deltas]);
    let unpack = || -> u64 { logs().map(|log| copy(&mut inflated(log), &mut sink()).unwrap()).sum() };
    let bytes = unpack();
    let unpacked = time(|| assert_eq!(unpack(), bytes));
    let parts = |threads| time(|| decoded(&packed, threads, |parts| drop(std::hint::black_box(parts))));
    let blocks = |threads, encode: bool| {
        time(|| {
            let mut assembler = Assembler::genesis(&genesis, first, vec![], Box::<MemoryRows>::default());
            let mut writer = ReverseWriter::new();
            decoded(&packed, threads, |parts| {
                let block = assembler.block(parts).unwrap();
                assembler.settle(u32::MAX).unwrap();
                if encode {
                    writer.clear();
                    dfuse_antelope::model::Message::encode(&block, &mut writer);
                }
            });
        })
    };
    println!("{} blocks, {} MB of traces and deltas; zlib = 1", packed.len(), bytes / 1_000_000);
    println!("| stage | one core | | two cores | |");
    println!("|---|---|---|---|---|");
    let cell = |taken: Duration| {
        let ratio = taken.as_secs_f64() / unpacked.as_secs_f64();
        format!("{} ms, {:.0} MB/s | {ratio:.2}", taken.as_millis(), bytes as f64 / 1e6 / taken.as_secs_f64())
    };
    println!("| unpacking (zlib) | {} | | |", cell(unpacked));
    println!("| decoded parts | {} | {} |", cell(parts(1)), cell(parts(2)));
    println!("| blocks | {} | {} |", cell(blocks(1, false)), cell(blocks(2, false)));
    println!("| encoded blocks | {} | {} |", cell(blocks(1, true)), cell(blocks(2, true)));
}
