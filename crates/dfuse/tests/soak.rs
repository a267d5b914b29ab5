//! Hours of a busy chain with streams, searches and state reads: memory, files, threads and descriptors must stay flat, and nothing may
//! fail. It runs for as many minutes as `DFUSE_TEST_SOAK` says, and not at all without:
//!
//! ```sh
//! DFUSE_TEST_SOAK=30 cargo test --release -p dfuse --test soak -- --nocapture
//! ```
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "its figures are what it is run for")]
#![allow(clippy::disallowed_methods, reason = "it runs for a time")]

mod support;

use std::{
    fs,
    io::Write,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use dfuse_testkit::synthetic::SyntheticChain;
use serde_json::json;
use support::{Server, text};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{self, Message};

/// Transactions of a block: about 1,000 actions.
const TRANSACTIONS: std::ops::RangeInclusive<u32> = 225..=250;
/// Time between two blocks.
const PACE: Duration = Duration::from_millis(500);
/// Time between two looks at the process.
const LOOK: Duration = Duration::from_secs(10);
/// Streams that are open all the time.
const STREAMS: usize = 8;
/// Warnings of what the machine lacks, which says nothing about the program.
const OF_THE_MACHINE: [&str; 2] = ["open files at most", "the disk of the data directory: "];
/// What memory may grow by after the first third: caches fill up, leaks go on.
const GROWTH: f64 = 1.15;

/// What the process takes.
#[derive(Debug, Clone, Copy)]
struct Taken {
    resident_mib: u64,
    threads: u64,
    descriptors: u64,
}

impl Taken {
    fn by(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count() as u64;
        Self { resident_mib: number("VmRSS:") >> 10, threads: number("Threads:"), descriptors }
    }
}

#[test]
fn a_busy_chain_for_a_long_time() {
    let Some(minutes) = std::env::var("DFUSE_TEST_SOAK").ok().and_then(|text| text.parse::<u64>().ok()) else {
        println!("skipped: DFUSE_TEST_SOAK says for how many minutes it is to run");
        return;
    };
    let folder = TempDir::new().unwrap();
    let (mut server, mut node) = Server::piped(&folder.path().join("data"));
    let address = server.address();
    let (stop, asked, told) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let blocks = u32::try_from(minutes * 60 * 2 + 100).unwrap();
    let mut chain =
        SyntheticChain::builder().seed(9).busy().blocks(blocks).transactions_per_block(TRANSACTIONS).build();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let feeding = thread::spawn(move || {
        node.write_all(chain.prelude()).unwrap();
        let mut due = Instant::now();
        let mut last = 0;
        for (number, block) in chain.by_ref().enumerate() {
            if is_over.load(Relaxed) {
                break;
            }
            node.write_all(&block.lines).unwrap();
            last = block.number;
            // The first ones at once: there is something to ask for.
            if number > 60 {
                due += PACE;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            } else {
                due = Instant::now();
            }
        }
        (node, last)
    });
    server.wait_for("ready");
    let streams: Vec<_> = (0..STREAMS)
        .map(|at| {
            let (address, stop, told) = (address.clone(), stop.clone(), told.clone());
            thread::spawn(move || listen(&address, at, &stop, &told))
        })
        .collect();
    let mut unread = Unread { address, stop: stop.clone(), asked: asked.clone() };
    let asking = thread::spawn(move || unread.ask());

    let (mut all, end) = (Vec::new(), Instant::now() + Duration::from_secs(minutes * 60));
    while Instant::now() < end {
        thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        all.push(Taken::by(server.id()));
    }
    stop.store(true, Relaxed);
    asking.join().unwrap();
    streams.into_iter().for_each(|stream| stream.join().unwrap());
    // Streams end with a message, so the chain goes on until they have.
    over.store(true, Relaxed);
    let (node, head) = feeding.join().unwrap();
    server.wait_until("/healthz", |answer| answer.json()["head"]["num"].as_u64() >= Some(head.into()));
    drop(node);
    let log = server.stop();

    let (first, rest) = all.split_at(all.len() / 3);
    let most = |of: fn(&Taken) -> u64, part: &[Taken]| part.iter().map(of).max().unwrap_or_default();
    let figures = |name: &str, of: fn(&Taken) -> u64| {
        let (before, after) = (most(of, first), most(of, rest));
        println!("{name}: at most {before} in the first third, {after} after it");
        (before, after)
    };
    println!(
        "{minutes} minutes, head {head}, {} requests, {} messages of streams",
        asked.load(Relaxed),
        told.load(Relaxed)
    );
    let (before, after) = figures("resident MiB", |taken| taken.resident_mib);
    assert!((after as f64) < before as f64 * GROWTH + 16.0);
    let (before, after) = figures("threads", |taken| taken.threads);
    assert!(after <= before + 4);
    // Files of the indexes come and go with compaction.
    let (before, after) = figures("descriptors", |taken| taken.descriptors);
    assert!(after <= before * 2 + 32);
    println!("data directory: {} bytes", size(text(&folder.path().join("data"))));
    let is_wrong = |line: &&String| line.contains("ERROR") || line.contains("WARN");
    let wrong: Vec<_> =
        log.iter().filter(is_wrong).filter(|line| !OF_THE_MACHINE.iter().any(|it| line.contains(it))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn size(path: &str) -> u64 {
    let output = std::process::Command::new("du").args(["-sb", path]).stdout(Stdio::piped()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).split_whitespace().next().and_then(|size| size.parse().ok()).unwrap_or(0)
}

/// Takes what a stream sends, as it comes.
fn listen(address: &str, at: usize, stop: &AtomicBool, told: &AtomicU64) {
    let (mut socket, _) = tungstenite::connect(format!("ws://{address}/v1/stream")).unwrap();
    let request = match at % 2 {
        0 => json!({"type": "get_action_traces", "req_id": "a", "listen": true,
            "data": {"accounts": "eosio.token", "action_names": "transfer"}}),
        _ => json!({"type": "get_head_info", "req_id": "a", "listen": true}),
    };
    socket.send(Message::text(request.to_string())).unwrap();
    while !stop.load(Relaxed) {
        let Message::Text(text) = socket.read().unwrap() else { continue };
        assert!(!text.contains("\"type\":\"error\""), "{text}");
        told.fetch_add(1, Relaxed);
    }
}

/// Requests to a server whose log somebody else reads.
struct Unread {
    address: String,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Unread {
    fn ask(&mut self) {
        let targets = [
            "/v0/search/transactions?q=account:eosio.token+action:transfer&sort=desc&limit=20&with_reversible=true",
            "/v0/search/count?q=receiver:eosio.token",
            "/v0/state/table?account=eosio.token&table=stat&scope=SYS&json=true&key_type=symbol_code",
            "/v0/state/tables/accounts?accounts=eosio.token|app&table=accounts&scope=eosio&json=true&block_num=60",
            "/v0/blocks?limit=20",
            "/v0/state/table_scopes?account=eosio.token&table=accounts",
        ];
        for target in targets.iter().cycle() {
            if self.stop.load(Relaxed) {
                return;
            }
            let status = support::get(&self.address, target).status;
            assert!(status < 500, "{target}: {status}");
            self.asked.fetch_add(1, Relaxed);
            thread::sleep(Duration::from_millis(50));
        }
    }
}
