//! Clients that are connected and say nothing, more than the usual limit of open files: how long others wait for an answer, and
//! blocks for being served.
//!
//! `cargo bench -p dfuse --bench idle`; `DFUSE_BENCH_BINARY` names another binary to compare with.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use dfuse_testkit::synthetic::{SyntheticBlock, SyntheticChain};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Server, text};

/// Blocks before the clients come, and those that are measured.
const BLOCKS: (u32, u32) = (100, 40);
/// Whoever waits longer is not served.
const PATIENCE: Duration = Duration::from_secs(90);

fn main() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    println!(
        "| open files, soft / hard | idle clients | they connect in | an answer p50 | longest | a block p50 | longest |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (hard, idle) in [(1024, 0), (1024, 1100), (1024, 5000), (20_000, 5000)] {
        measure(hard, idle);
    }
}

fn start(hard: u32, data: &str) -> (Server, ChildStdin) {
    let binary = std::env::var("DFUSE_BENCH_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_dfuse").to_owned());
    let limits = format!("ulimit -Sn 1024 && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limits, &binary, "start", "--listen", "127.0.0.1:0", "--source", "deep-mind:-"]);
    command.args(["--data-dir", data, "--log-level", "warn,dfuse::start=info"]);
    let mut server = Server::spawn(command.stdin(Stdio::piped()));
    let node = server.stdin();
    (server, node)
}

fn measure(hard: u32, idle: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, mut node) = start(hard, text(folder.path()));
    let mut chain = SyntheticChain::builder().seed(3).lib_lag(30).blocks(BLOCKS.0 + BLOCKS.1).build();
    node.write_all(chain.prelude()).unwrap();
    for block in chain.by_ref().take(BLOCKS.0 as usize) {
        node.write_all(&block.lines).unwrap();
    }
    server.wait_for("ready");
    let address: SocketAddr = server.address().parse().unwrap();
    let began = Instant::now();
    let mut clients = Vec::with_capacity(idle);
    while clients.len() < idle && began.elapsed() < PATIENCE {
        // A queue that is full answers nothing for a while.
        clients.extend(TcpStream::connect_timeout(&address, Duration::from_secs(1)));
    }
    let connected = (clients.len() == idle).then(|| began.elapsed());
    let mut answers = Vec::new();
    for _ in 0..50 {
        let asked = Instant::now();
        answers.push(get(address, "/healthz", asked).map(|_| asked.elapsed()));
        if answers.last() == Some(&None) {
            break;
        }
    }
    let mut served = Vec::new();
    for block in chain {
        node.write_all(&block.lines).unwrap();
        served.push(wait_for(address, &block));
        if served.last() == Some(&None) {
            break;
        }
    }
    let shown = |times: &mut Vec<Option<Duration>>| {
        // None is the longest.
        times.sort_by_key(|time| time.unwrap_or(Duration::MAX));
        [times[times.len() / 2], times[times.len() - 1]].map(text_of).join(" | ")
    };
    let (answers, served) = (shown(&mut answers), shown(&mut served));
    println!("| 1,024 / {hard} | {idle} | {} | {answers} | {served} |", text_of(connected));
    drop((clients, node));
}

fn text_of(time: Option<Duration>) -> String {
    time.map_or_else(
        || format!("not in {} s", PATIENCE.as_secs()),
        |time| format!("{:.1} ms", time.as_secs_f64() * 1e3),
    )
}

/// The body of an answer, as a new client gets it.
fn get(address: SocketAddr, path: &str, since: Instant) -> Option<String> {
    let left = || PATIENCE.checked_sub(since.elapsed()).filter(|left| !left.is_zero());
    let mut stream = TcpStream::connect_timeout(&address, left()?).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").ok()?;
    stream.set_read_timeout(Some(left()?)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// How long it takes until the block is served, since its log was written.
fn wait_for(address: SocketAddr, block: &SyntheticBlock) -> Option<Duration> {
    let written = Instant::now();
    loop {
        let body = get(address, &format!("/v0/blocks/{}", block.id), written)?;
        if body.contains(&block.id.to_string()) && !body.contains("\"code\"") {
            return Some(written.elapsed());
        }
        thread::yield_now();
    }
}
