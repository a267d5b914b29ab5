//! Logs of state history to blocks, against zlib's own unpacking of the same entries.
//!
//! `cargo bench -p dfuse-ship --bench history`. The input are the logs of the busy recorded chain. All is on one core; `ship-log:`
//! decodes on as many as there are.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    collections::HashMap,
    io::{Cursor, Read, copy, sink},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dfuse_antelope::{Checksum256, model::wire::ReverseWriter};
use dfuse_ship::{Assembler, BlockLog, GenesisState, HistoryBlock, HistoryLog, MemoryRows, inflated};
use dfuse_testkit::recorded;

/// Runs, of which the best counts.
const RUNS: usize = 3;

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

fn main() {
    let Some((genesis, first, packed)) = input() else { return };
    let mut bytes = 0;
    for of in packed.iter().flat_map(|packed| [&packed.traces, &packed.deltas]) {
        bytes += copy(&mut inflated(of), &mut sink()).unwrap();
    }
    let unpacked = time(|| {
        for of in packed.iter().flat_map(|packed| [&packed.traces, &packed.deltas]) {
            copy(&mut inflated(of), &mut sink()).unwrap();
        }
    });
    let decoded = time(|| packed.iter().for_each(|packed| drop(std::hint::black_box(packed.decode()))));
    let blocks = |encode: bool| {
        time(|| {
            let mut assembler = Assembler::genesis(&genesis, first, vec![], Box::<MemoryRows>::default());
            let mut writer = ReverseWriter::new();
            for packed in &packed {
                let block = assembler.block(packed.decode()).unwrap();
                assembler.settle(u32::MAX).unwrap();
                if encode {
                    writer.clear();
                    dfuse_antelope::model::Message::encode(&block, &mut writer);
                }
            }
        })
    };
    println!("{} blocks, {} MB of traces and deltas", packed.len(), bytes / 1_000_000);
    let stages = [
        ("inflate", unpacked),
        ("decoded parts", decoded),
        ("blocks", blocks(false)),
        ("encoded blocks", blocks(true)),
    ];
    for (stage, taken) in stages {
        let (ms, ratio) = (taken.as_millis(), taken.as_secs_f64() / unpacked.as_secs_f64());
        println!("{stage:<16} {ms:>6} ms  {:>6.0} MB/s  {ratio:>5.2}", bytes as f64 / 1e6 / taken.as_secs_f64());
    }
}
