//! Whole blocks from files to a client over loopback, beside reading the same files in process; the time that a hop adds to a new
//! block; the memory of five hundred clients. Server and clients share one process. Needs `DFUSE_TEST_DATA`.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

#[path = "../tests/suite/support.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use dfuse_blocks::{BlockStore, StoreOptions};
use dfuse_grpc::Options;
use dfuse_proto::sf::firehose::v2::{Request, Response, stream_client::StreamClient};
use dfuse_testkit::recorded;
use futures::TryStreamExt;
use support::TestChain;
use tonic::{Streaming, transport::Channel};

/// The recorded chain with most in its blocks, and its last block in bundles.
const LOG: &str = "busy/busy.dmlog.zst";
const LAST: u32 = 399;
/// How often the chain is read.
const TIMES: u32 = 8;
/// Bytes that a server may send ahead, as our own source allows them.
const WINDOW: u32 = 8 << 20;
const CLIENTS: usize = 500;
const CLIENTS_OF_A_CONNECTION: usize = 50;

async fn channel(chain: &TestChain) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", chain.address)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    endpoint.tcp_nodelay(true).connect().await.unwrap()
}

async fn stream(channel: &Channel, request: Request, json: bool) -> Streaming<Response> {
    let mut call = tonic::Request::new(request);
    call.metadata_mut().insert("x-dfuse-json", json.to_string().parse().unwrap());
    let mut client = StreamClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    client.blocks(call).await.unwrap().into_inner()
}

/// Megabytes a second of block payload, over all cores and a second of processor time.
fn told(what: &str, bytes: usize, taken: Duration, worked: Duration) {
    let megabytes = bytes as f64 / 1e6;
    println!(
        "{what:<28} {megabytes:>7.0} MB {:>8.0} MB/s {:>8.0} MB a second of processor time",
        megabytes / taken.as_secs_f64(),
        megabytes / worked.as_secs_f64()
    );
}

/// Processor time of this process.
fn worked() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn resident_megabytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e3
}

async fn throughput(chain: &TestChain, place: &str) {
    let store = BlockStore::open(place, StoreOptions::default()).unwrap();
    let (begun, before, mut bytes) = (Instant::now(), worked(), 0);
    for _ in 0..TIMES {
        let mut blocks = std::pin::pin!(store.read_range(2..=LAST));
        while let Some(block) = blocks.try_next().await.unwrap() {
            bytes += block.payload().unwrap().len();
        }
    }
    told("files, in process", bytes, begun.elapsed(), worked() - before);
    let channel = channel(chain).await;
    for (what, json) in [("files to a client", false), ("files to a client, JSON", true)] {
        let (begun, before, mut bytes) = (Instant::now(), worked(), 0);
        for _ in 0..TIMES {
            let request = Request { stop_block_num: LAST.into(), ..Request::default() };
            let mut stream = stream(&channel, request, json).await;
            while let Some(response) = stream.message().await.unwrap() {
                bytes += response.block.unwrap().value.len();
            }
        }
        told(what, bytes, begun.elapsed(), worked() - before);
    }
}

/// From when a block is handed to the feed to when a client has it.
async fn latency(chain: &mut TestChain) {
    let channel = channel(chain).await;
    let mut live = stream(&channel, Request { start_block_num: -1, ..Request::default() }, false).await;
    let head = |chain: &TestChain| chain.feed.handle().head().unwrap().number;
    while live.message().await.unwrap().unwrap().metadata.unwrap().num < head(chain).into() {}
    let mut times = vec![];
    loop {
        let begun = Instant::now();
        if chain.grow(1).await == 0 {
            break;
        }
        live.message().await.unwrap().unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!(
        "a new block, from its line in the log to a client, {} blocks: median {:.1?}, p99 {:.1?}",
        times.len(),
        at(50),
        at(99)
    );
}

/// Clients that wait at the head, and while some of them read the chain from its beginning.
async fn memory(chain: &TestChain) {
    let before = resident_megabytes();
    let mut streams = vec![];
    for _ in 0..CLIENTS / CLIENTS_OF_A_CONNECTION {
        let channel = channel(chain).await;
        for _ in 0..CLIENTS_OF_A_CONNECTION {
            let mut stream = stream(&channel, Request { start_block_num: -1, ..Request::default() }, false).await;
            stream.message().await.unwrap().unwrap();
            streams.push(stream);
        }
    }
    println!("{CLIENTS} clients at the head: {:.1} MB more than {before:.1} MB", resident_megabytes() - before);
    drop(streams);
    // None of them reads: what is on its way fills their windows.
    let mut streams = vec![];
    for _ in 0..CLIENTS / CLIENTS_OF_A_CONNECTION {
        let channel = channel(chain).await;
        for _ in 0..CLIENTS_OF_A_CONNECTION {
            streams.push(stream(&channel, Request::default(), false).await);
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("{CLIENTS} clients in history that do not read: {:.1} MB more", resident_megabytes() - before);
}

#[tokio::main]
async fn main() {
    if recorded::bytes(LOG).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap().to_owned();
    let mut chain = TestChain::recorded_in(LOG, &place, Options::default()).await.unwrap();
    // The last blocks come as they are asked for.
    chain.grow(300).await;
    latency(&mut chain).await;
    chain.served().await;
    chain.write_bundles().await;
    throughput(&chain, &place).await;
    memory(&chain).await;
}
