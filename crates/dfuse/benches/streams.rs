//! 2,000 WebSocket connections with one stream each, over a chain of two blocks a second with some 500 actions a block: the
//! time from the last byte of a block's log to its last message at each client, and what a connection takes of the memory.
//!
//! `cargo bench -p dfuse --bench streams`; clients share the cores with the server.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dfuse_antelope::Name;
use dfuse_testkit::synthetic::SyntheticChain;
use support::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
};

const CONNECTIONS: usize = 2000;
/// Between two blocks.
const PACE: Duration = Duration::from_millis(500);
/// Blocks that come before anybody is connected.
const BEFORE: usize = 150;
/// Blocks of each measurement.
const BLOCKS: usize = 50;
const TOKEN: &str = "eosio.token";

/// What every client asks for.
struct Workload {
    name: &'static str,
    /// The rest of a request after its type.
    request: fn(user: &Name) -> String,
    /// What stands before the number of a block that is told to its end.
    end: &'static str,
}

const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "actions that one of the users was told of",
        request: |user| {
            let data = format!(r#"{{"accounts":"{TOKEN}","receivers":"{user}"}}"#);
            format!(r#""type":"get_action_traces","with_progress":1,"data":{data}"#)
        },
        end: r#"{"type":"progress","req_id":"s","data":{"block_num":"#,
    },
    Workload {
        name: "rows of the balances of one of the users",
        request: |user| {
            let data = format!(r#"{{"code":"{TOKEN}","scope":"{user}","table":"accounts","json":true}}"#);
            format!(r#""type":"get_table_rows","fetch":true,"with_progress":1,"data":{data}"#)
        },
        end: r#"{"type":"progress","req_id":"s","data":{"block_num":"#,
    },
    Workload {
        name: "head information",
        request: |_| r#""type":"get_head_info""#.to_owned(),
        end: r#""head_block_num":"#,
    },
];

/// What the clients have seen.
struct Seen {
    began: Instant,
    /// By block from the first one on, the microseconds at which each client had all of it.
    ends: Vec<Mutex<Vec<u64>>>,
    first_block: AtomicUsize,
    listening: AtomicUsize,
    messages: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicUsize,
}

fn main() {
    println!("{CONNECTIONS} connections");
    println!(
        "| stream | messages/s | MB/s | to a client p50 | p99 | to the last client p50 | p99 | KiB a connection |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    // The same blocks, and nobody to tell.
    let alone = measure(&WORKLOADS[0], 0).0;
    for workload in &WORKLOADS {
        let (resident, figures) = measure(workload, CONNECTIONS);
        println!("| {} | {figures} | {:.1} |", workload.name, (resident - alone) / CONNECTIONS as f64);
    }
}

fn resident_kib(server: &Server) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Serves the chain to some connections; tells the resident KiB at its end, and the figures as columns.
fn measure(workload: &Workload, connections: usize) -> (f64, String) {
    let chain = SyntheticChain::builder().seed(5).busy().transactions_per_block(116..=124).missed_slots(0).lib_lag(30);
    let mut chain = chain.blocks((BEFORE + BLOCKS + 1) as u32).build();
    let folder = tempfile::tempdir().unwrap();
    let (mut server, mut node) = Server::piped(folder.path());
    node.write_all(chain.prelude()).unwrap();
    let mut users = BTreeSet::new();
    for block in chain.by_ref().take(BEFORE) {
        node.write_all(&block.lines).unwrap();
        let told = block.facts.transactions.iter().filter(|trx| !trx.reverted).flat_map(|trx| &trx.actions);
        let told = told.filter(|action| action.global_sequence.is_some()).map(|action| action.receiver);
        users.extend(told.filter(|user| !user.to_string().contains('.')));
    }
    let users: Vec<_> = users.into_iter().collect();
    let blocks: Vec<_> = chain.collect();
    server.wait_for("ready");
    thread::sleep(Duration::from_secs(2));

    let seen = Arc::new(Seen {
        began: Instant::now(),
        ends: blocks.iter().map(|_| Mutex::default()).collect(),
        first_block: AtomicUsize::new(blocks[0].number as usize),
        listening: AtomicUsize::new(0),
        messages: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        dropped: AtomicUsize::new(0),
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let clients = {
        let (address, end, seen) = (server.address(), workload.end, seen.clone());
        let requests: Vec<_> = (0..connections).map(|at| (workload.request)(&users[at % users.len()])).collect();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for request in requests {
                    tokio::spawn(client(address.clone(), request, end, seen.clone()));
                }
                let _ = stopped.await;
            });
        })
    };
    while seen.listening.load(Ordering::Relaxed) < connections {
        thread::sleep(Duration::from_millis(50));
        assert_eq!(seen.dropped.load(Ordering::Relaxed), 0);
    }
    let mut arrivals = Vec::new();
    let (mut messages, mut bytes) = (0, 0);
    let started = Instant::now();
    for (block, at) in blocks.iter().zip(0u32..) {
        // The first one warms up.
        if at == 1 {
            messages = seen.messages.load(Ordering::Relaxed);
            bytes = seen.bytes.load(Ordering::Relaxed);
        }
        thread::sleep((started + PACE * at).saturating_duration_since(Instant::now()));
        node.write_all(&block.lines).unwrap();
        node.flush().unwrap();
        arrivals.push(seen.began.elapsed().as_micros() as u64);
    }
    thread::sleep(PACE);
    let seconds = PACE.as_secs_f64() * (blocks.len() - 1) as f64;
    let resident = resident_kib(&server);
    let rate = (seen.messages.load(Ordering::Relaxed) - messages) as f64 / seconds;
    let megabytes = (seen.bytes.load(Ordering::Relaxed) - bytes) as f64 / seconds / 1e6;
    let (mut each, mut last) = (Vec::new(), Vec::new());
    for (ends, arrival) in seen.ends.iter().zip(&arrivals).skip(1) {
        let times: Vec<_> = ends.lock().unwrap().iter().map(|end| end.saturating_sub(*arrival)).collect();
        assert_eq!(times.len(), connections, "an end of a block was not told in time");
        last.extend(times.iter().max());
        each.extend(times);
    }
    assert_eq!(seen.dropped.load(Ordering::Relaxed), 0, "connections were dropped");
    stop.send(()).unwrap();
    clients.join().unwrap();
    drop(node);
    server.stop();
    each.sort_unstable();
    last.sort_unstable();
    let at = |times: &[u64], part: f64| {
        times.get((times.len() as f64 * part) as usize).map_or(f64::NAN, |micros| *micros as f64 / 1000.0)
    };
    let figures = format!(
        "{rate:.0} | {megabytes:.1} | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} ms",
        at(&each, 0.5),
        at(&each, 0.99),
        at(&last, 0.5),
        at(&last, 0.99),
    );
    (resident, figures)
}

/// A connection that reads as fast as it can.
async fn client(address: String, request: String, end: &'static str, seen: Arc<Seen>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let upgrade = "GET /v1/stream HTTP/1.1\r\nhost: bench\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut buffer = Vec::with_capacity(16 << 10);
    while !buffer.ends_with(b"\r\n\r\n") {
        stream.read_buf(&mut buffer).await.unwrap();
    }
    buffer.clear();
    let text = format!(r#"{{"req_id":"s","listen":true,{request}}}"#);
    // Under the mask 0.
    let mut frame = vec![0x81, 0xfe];
    frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame).await.unwrap();
    let mut is_listening = false;
    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        let mut at = 0;
        while let Some(payload) = payload(&buffer[at..]) {
            let (from, to) = (at + payload.start, at + payload.end);
            take(&buffer[from..to], end, &seen);
            is_listening = is_listening || {
                seen.listening.fetch_add(1, Ordering::Relaxed);
                true
            };
            at = to;
        }
        buffer.drain(..at);
    }
    seen.dropped.fetch_add(1, Ordering::Relaxed);
}

/// Where the payload of the first frame is, if that is complete.
fn payload(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let (start, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize),
        length => (2, usize::from(length)),
    };
    (bytes.len() >= start + length).then_some(start..start + length)
}

fn take(message: &[u8], end: &str, seen: &Seen) {
    seen.messages.fetch_add(1, Ordering::Relaxed);
    seen.bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
    assert!(!message.starts_with(br#"{"type":"error""#), "{}", String::from_utf8_lossy(message));
    // It is near the beginning, if it is there.
    let head = &message[..message.len().min(220)];
    let Some(at) = head.windows(end.len()).position(|bytes| bytes == end.as_bytes()) else { return };
    let digits = head[at + end.len()..].iter().take_while(|digit| digit.is_ascii_digit());
    let number = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    if let Some(ends) = number.checked_sub(seen.first_block.load(Ordering::Relaxed)).and_then(|at| seen.ends.get(at)) {
        ends.lock().unwrap().push(seen.began.elapsed().as_micros() as u64);
    }
}
