//! Connections whose clients ask for replays of a whole chain and read nothing, or all of it: what that takes of memory, threads
//! and processor time, and how long a lifecycle takes beside it.
//!
//! `cargo bench -p dfuse --bench replays`; the clients share the cores with the server. `DFUSE_BENCH_SERVER` names another
//! `dfuse` to be measured, and an argument a part of the names of the workloads that are wanted.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use support::{Server, text};

const LOG: &str = "busy/busy.dmlog.zst";
/// Streams of a connection.
const STREAMS: usize = 12;
/// Between two lifecycles.
const PACE: Duration = Duration::from_millis(5);
/// The server is at rest when it has used less than a tenth of a core for so long.
const REST: Duration = Duration::from_secs(3);
/// A workload that does not come to rest is cut off.
const LONGEST: Duration = Duration::from_secs(240);

/// What the clients do.
struct Workload {
    name: &'static str,
    connections: usize,
    /// The rest of a request, for the stream of that number.
    request: fn(&[String], usize) -> String,
    reads: bool,
}

fn transfers(_: &[String], _: usize) -> String {
    r#""type":"get_action_traces","start_block":2,"data":{"accounts":"eosio.token"}"#.to_owned()
}

/// Each stream with a filter of its own, so that nothing is made once for all.
fn own_transfers(users: &[String], at: usize) -> String {
    let receivers: Vec<_> = (0..200).map(|user| users[(at + user) % users.len()].as_str()).collect();
    let receivers = receivers.join("|");
    format!(
        r#""type":"get_action_traces","start_block":2,"data":{{"accounts":"eosio.token","receivers":"eosio.token|{receivers}"}}"#
    )
}

fn rows(users: &[String], at: usize) -> String {
    let user = &users[at % users.len()];
    let data = format!(r#"{{"code":"eosio.token","scope":"{user}","table":"accounts","json":true}}"#);
    format!(r#""type":"get_table_rows","start_block":2,"data":{data}"#)
}

const WORKLOADS: [Workload; 6] = [
    Workload { name: "rows, 20 unread", connections: 20, request: rows, reads: false },
    Workload { name: "transfers, 50 unread", connections: 50, request: transfers, reads: false },
    Workload { name: "transfers, 500 unread", connections: 500, request: transfers, reads: false },
    Workload { name: "own transfers, 500 unread", connections: 500, request: own_transfers, reads: false },
    Workload { name: "transfers, 20 read", connections: 20, request: transfers, reads: true },
    Workload { name: "own transfers, 2 read", connections: 2, request: own_transfers, reads: true },
];

/// What the process has taken so far.
#[derive(Clone, Copy)]
struct Usage {
    resident_mb: f64,
    threads: f64,
    cpu_seconds: f64,
}

impl Usage {
    fn of(server: &Server) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
        };
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        Self { resident_mb: number("VmRSS:") / 1e3, threads: number("Threads:"), cpu_seconds: ticks / 100.0 }
    }
}

fn main() {
    let Some(log) = recorded::find(LOG) else { return };
    let (ids, users) = content();
    let wanted = env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    println!(
        "| clients | idle | most above idle | kernel | threads | processor | time | messages/s | lifecycle alone p99 | beside p50 | p99 |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    );
    for workload in WORKLOADS.iter().filter(|workload| workload.name.contains(&wanted)) {
        measure(workload, &log, &ids, &users);
    }
}

/// Ids of transactions, and users of the token.
fn content() -> (Vec<String>, Vec<String>) {
    let mut reader = Reader::new(recorded::open(LOG).unwrap());
    let (mut ids, mut users) = (Vec::new(), BTreeSet::new());
    while let Some(event) = reader.next_event().unwrap() {
        let Event::Block(block) = event else { continue };
        ids.extend(block.transactions().iter().map(|receipt| receipt.id.to_string()));
        let actions = block.transaction_traces().iter().flat_map(|trace| &trace.action_traces);
        let token = actions.filter(|action| action.action.account.to_string() == "eosio.token");
        users.extend(token.map(|action| action.receiver.to_string()).filter(|user| !user.contains('.')));
    }
    (ids, users.into_iter().collect())
}

fn measure(workload: &Workload, log: &Path, ids: &[String], users: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    let source = format!("deep-mind:{}", text(log));
    let binary = env::var("DFUSE_BENCH_SERVER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_dfuse").to_owned());
    let mut command = Command::new(binary);
    command.args(["start", "--listen", "127.0.0.1:0", "--source", &source, "--data-dir", text(folder.path())]);
    let mut server = Server::spawn(command.args(["--log-level", "warn,dfuse::start=info"]).stdin(Stdio::null()));
    server.wait_for("the source has no more blocks");
    server.wait_for("ready");
    let address = server.address();
    // Everything has run once.
    let mut alone = probe(&address, ids, &AtomicBool::new(false), 400);
    thread::sleep(Duration::from_secs(2));
    let (idle, kernel) = (Usage::of(&server), kernel_mb());
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let (mut most, mut most_kernel, mut beside, mut messages) = (idle, kernel, Vec::new(), 0);
    thread::scope(|scope| {
        let prober = scope.spawn(|| probe(&address, ids, &stop, usize::MAX));
        let clients = (0..workload.connections).map(|client| {
            let requests: Vec<_> = (0..STREAMS).map(|at| (workload.request)(users, client * STREAMS + at)).collect();
            connect(&address, &requests)
        });
        let clients: Vec<_> = clients.collect();
        let reading = clients.iter().filter(|_| workload.reads).map(|client| client.try_clone().unwrap());
        let readers: Vec<_> = reading.map(|client| scope.spawn(move || read(&client))).collect();
        let mut last = (Instant::now(), idle);
        loop {
            thread::sleep(Duration::from_millis(100));
            let now = Usage::of(&server);
            most.resident_mb = most.resident_mb.max(now.resident_mb);
            most.threads = most.threads.max(now.threads);
            most.cpu_seconds = now.cpu_seconds;
            most_kernel = kernel_mb().max(most_kernel);
            if last.0.elapsed() >= REST || started.elapsed() > LONGEST {
                if now.cpu_seconds - last.1.cpu_seconds < REST.as_secs_f64() / 10.0 || started.elapsed() > LONGEST {
                    break;
                }
                last = (Instant::now(), now);
            }
        }
        stop.store(true, Ordering::Relaxed);
        for client in &clients {
            client.shutdown(std::net::Shutdown::Both).unwrap();
        }
        messages = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        beside = prober.join().unwrap();
    });
    let time = started.elapsed().as_secs_f64() - REST.as_secs_f64();
    println!(
        "| {} | {:.0} MB | {:.0} MB | {:.0} MB | {} | {:.1} s | {time:.0} s | {:.0} | {:.1} ms | {:.1} ms | {:.1} ms |",
        workload.name,
        idle.resident_mb,
        most.resident_mb - idle.resident_mb,
        most_kernel - kernel,
        most.threads,
        most.cpu_seconds - idle.cpu_seconds,
        f64::from(messages) / time,
        part(&mut alone, 0.99),
        part(&mut beside, 0.5),
        part(&mut beside, 0.99),
    );
    drop(server);
}

fn part(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    times.get((times.len() as f64 * part) as usize).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// What the kernel has of TCP connections on this machine, at both ends.
fn kernel_mb() -> f64 {
    let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let pages = tcp.rsplit(' ').next().and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(f64::NAN);
    pages * 4096.0 / 1e6
}

/// Connects and asks for all of it.
fn connect(address: &str, requests: &[String]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let upgrade = "GET /v1/stream HTTP/1.1\r\nhost: bench\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    for (at, request) in requests.iter().enumerate() {
        let text = format!(r#"{{"req_id":"{at}","listen":true,{request}}}"#);
        // Under the mask 0.
        let mut frame = vec![0x81, 0xfe];
        frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        stream.write_all(&frame).unwrap();
    }
    stream
}

/// Reads all that comes; counts the messages.
fn read(stream: &TcpStream) -> u32 {
    let mut stream = BufReader::with_capacity(256 << 10, stream);
    let mut messages = 0;
    loop {
        let mut header = [0; 2];
        if stream.read_exact(&mut header).is_err() {
            return messages;
        }
        let mut length = [0; 8];
        let extended = match header[1] {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        stream.read_exact(&mut length[8 - extended..]).unwrap();
        let length = if extended == 0 { header[1].into() } else { u64::from_be_bytes(length) };
        let mut payload = stream.by_ref().take(length);
        let mut beginning = [0; 15];
        payload.read_exact(&mut beginning).unwrap();
        assert_ne!(&beginning, br#"{"type":"error""#);
        if std::io::copy(&mut payload, &mut std::io::sink()).unwrap() + 15 < length {
            return messages;
        }
        messages += 1;
    }
}

/// How long each lifecycle took, one after the other.
fn probe(address: &str, ids: &[String], stop: &AtomicBool, most: usize) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let (mut times, mut next) = (Vec::new(), 0);
    while times.len() < most && !stop.load(Ordering::Relaxed) {
        next = (next * 31 + 7) % ids.len();
        let started = Instant::now();
        write!(stream, "GET /v0/transactions/{} HTTP/1.1\r\nHost: bench\r\n\r\n", ids[next]).unwrap();
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            answers.read_line(&mut line).unwrap();
            let header = line.trim_end().to_ascii_lowercase();
            length = header.strip_prefix("content-length: ").map_or(length, |value| value.parse().unwrap());
        }
        let mut body = vec![0; length];
        answers.read_exact(&mut body).unwrap();
        times.push(started.elapsed());
        assert!(length > 500, "{}", String::from_utf8_lossy(&body));
        thread::sleep(PACE);
    }
    times
}
