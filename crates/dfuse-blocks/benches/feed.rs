//! What reversible blocks cost: memory, time to take one, time of a restart with and without `hub.index`, and what it takes
//! to hand one block to thousands of subscribers. Every opening is measured in a process of its own.
//!
//! `cargo bench -p dfuse-blocks --bench feed`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{path::Path, process::Command};

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, Checksum256,
    model::{Block, BlockHeader, Extension, wire::ReverseWriter},
};
use dfuse_blocks::{
    BlockStore, Clock, CursorKey, EncodedBlock, StoreOptions, SystemClock,
    feed::{Feed, FeedOptions, Start},
};

const CHILD: &str = "DFUSE_BENCH_OPEN";
const BLOCK_BYTES: usize = 4096;
const MEMORY_BYTES: usize = 32 << 20;

fn id(number: u32) -> Checksum256 {
    let mut id = Checksum256::sha256(&number.to_le_bytes());
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}

/// Nothing is ever final, and little compresses.
fn block(number: u32, writer: &mut ReverseWriter) -> EncodedBlock {
    let noise =
        (0..BLOCK_BYTES / 32).flat_map(|i| Checksum256::sha256(&[number as u8, (number >> 8) as u8, i as u8]).0);
    let block = Block {
        id: id(number),
        number,
        version: 1,
        header: BlockHeader { timestamp: BlockTimestamp(number), previous: id(number - 1), ..Default::default() },
        block_extensions: vec![Extension { r#type: 0, data: noise.collect::<Bytes>() }],
        ..Default::default()
    };
    EncodedBlock::encode(&block, writer).unwrap()
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

async fn open(folder: &Path, index: bool, clock: &SystemClock) -> Feed {
    let store = BlockStore::open(folder.to_str().unwrap(), StoreOptions::default()).unwrap();
    let options = FeedOptions {
        data_dir: index.then(|| folder.to_owned()),
        memory_bytes: MEMORY_BYTES,
        ..FeedOptions::default()
    };
    Feed::open(store, CursorKey::new([0; 32]), options, clock).await.unwrap().0
}

async fn child(folder: &Path, index: bool) {
    let clock = SystemClock::new();
    let before = resident();
    let feed = open(folder, index, &clock).await;
    let (time, memory) = (clock.elapsed(), resident() - before);
    let kind = if index { "with hub.index" } else { "without it    " };
    println!("  restart {kind} {time:>10.3?}, {:>6.1} MiB more resident", memory as f64 / 1024.0);
    drop(feed);
}

async fn measure(count: u32) {
    let folder = tempfile::tempdir().unwrap();
    let clock = SystemClock::new();
    let mut feed = open(folder.path(), true, &clock).await;
    let (mut writer, before) = (ReverseWriter::new(), resident());
    let mut pushing = std::time::Duration::ZERO;
    for number in 2..count + 2 {
        let block = block(number, &mut writer);
        let start = clock.elapsed();
        feed.push(block).await.unwrap();
        pushing += clock.elapsed() - start;
    }
    let memory = resident() - before;
    println!("{count} reversible blocks of {BLOCK_BYTES} bytes, {} MiB of them in memory at most", MEMORY_BYTES >> 20);
    println!("  taken, durable and published in {:?} each", pushing / count);
    println!("  {:>6.1} MiB more resident", memory as f64 / 1024.0);

    if count < 1000 {
        let mut streams = vec![];
        for _ in 0..5000 {
            streams.push(feed.handle().subscribe(Start::Head(0)).await.unwrap());
        }
        for stream in &mut streams {
            stream.next().await.unwrap();
        }
        let tasks: Vec<_> = streams
            .into_iter()
            .map(|mut stream| tokio::spawn(async move { stream.next().await.unwrap().unwrap().block.block().await }))
            .collect();
        let next = block(count + 2, &mut writer);
        let start = clock.elapsed();
        feed.push(next).await.unwrap();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        println!("  one block to 5000 subscribers, decoded once: {:?}", clock.elapsed() - start);
    }
    drop(feed);
    for index in ["with", "without"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(CHILD, folder.path()).arg(index);
        assert!(command.status().unwrap().success());
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if let Some(folder) = std::env::var_os(CHILD) {
            return child(Path::new(&folder), std::env::args().nth(1).as_deref() == Some("with")).await;
        }
        for count in [330, 100_000] {
            measure(count).await;
        }
    });
}
