//! Cheap requests beside dear ones: how long look-ups and `/healthz` take while 200 clients search, while 2,000 ask for the
//! histories of accounts, and while 300 bodies of 10 MiB come in; and what those take of memory.
//!
//! `cargo bench -p dfuse --bench beside`; clients share the cores with the server. `DFUSE_BENCH_SECONDS` is the length of each
//! case.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use support::{Server, text};

/// Between two requests of a client that looks something up.
const PAUSE: Duration = Duration::from_millis(10);
const SEARCHES: usize = 200;
const HISTORIES: usize = 2000;
const BODIES: usize = 300;
const BODY_BYTES: usize = 10 << 20;
const PREFIXES: &str = "12345abcdefghijklmnopqrstuvwxyz";

fn main() {
    let Some(path) = recorded::find("busy/busy.dmlog.zst") else { return };
    let (ids, accounts) = content();
    let folder = tempfile::tempdir().unwrap();
    let source = format!("deep-mind:{}", text(&path));
    let arguments = ["--source", &source, "--data-dir", text(folder.path()), "--log-level", "error,dfuse::start=info"];
    let mut server = Server::start(&arguments);
    server.wait_for("the source has no more blocks");
    server.wait_for("ready");
    let address = server.address();
    let searches: Vec<_> = (0..SEARCHES).map(search).collect();
    let histories: Vec<_> =
        (0..HISTORIES).map(|n| get(&format!("/v0/accounts/{}/actions", accounts[n % accounts.len()]))).collect();
    println!(
        "| beside | look-up p50 | p99 | most | /healthz p50 | p99 | most | answers of the others, by status | p50 | resident |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (name, requests) in [("nothing", &[][..]), ("200 searches", &searches), ("2,000 account histories", &histories)]
    {
        report(name, &server, &address, &ids, requests);
    }
    let bodies = vec![body(); BODIES];
    report("300 bodies of 10 MiB", &server, &address, &ids, &bodies);
    server.stop();
}

/// Ids of transactions, and names of accounts that act.
fn content() -> (Vec<String>, Vec<String>) {
    let mut reader = Reader::new(recorded::open("busy/busy.dmlog.zst").unwrap());
    let (mut ids, mut accounts) = (Vec::new(), Vec::new());
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            ids.extend(block.transactions().iter().map(|receipt| receipt.id.to_string()));
            let actions = block.transaction_traces().iter().flat_map(|trace| &trace.action_traces);
            accounts.extend(actions.flat_map(|action| &action.action.authorization).map(|it| it.actor.to_string()));
        }
    }
    accounts.sort_unstable();
    accounts.dedup();
    (ids, accounts)
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes()
}

/// As dear as a search may be: thousands of values for beginnings, each time other ones, and a page that is full.
fn search(n: usize) -> Vec<u8> {
    let letters: Vec<_> = PREFIXES.chars().collect();
    let conditions = (0..4).flat_map(|i| {
        let letter = letters[(n * 7 + i * 5) % letters.len()];
        ["data.to", "data.from", "auth", "receiver", "db.key", "data.memo", "data.quantity"]
            .map(|field| format!("{field}:{letter}*"))
    });
    let query = format!("({}) -data.memo:none{n}*", conditions.collect::<Vec<_>>().join("+OR+")).replace(' ', "+");
    get(&format!("/v0/search/transactions?limit=100&sort={}&q={query}", ["asc", "desc"][n % 2]))
}

/// Rows of a table, as many as the limits let through.
fn body() -> Vec<u8> {
    let row = "\"a0860100000000000454455354000000\",";
    let begin = "{\"account\":\"eosio.token\",\"table\":\"accounts\",\"hex_rows\":[";
    let rows = (BODY_BYTES - begin.len() - 2) / row.len();
    let mut json = begin.to_owned() + &row.repeat(rows);
    json.truncate(json.len() - 1);
    json += "]}";
    let head = format!(
        "POST /v0/state/abi/bin_to_json HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        json.len()
    );
    [head.into_bytes(), json.into_bytes()].concat()
}

/// A connection that asks again and again.
struct Client(Option<(TcpStream, BufReader<TcpStream>)>);

impl Client {
    /// The status of the answer, which is read to its end; 0 if there is none.
    fn ask(&mut self, address: &str, request: &[u8]) -> u16 {
        let status = self.try_ask(address, request).unwrap_or(0);
        if status == 0 {
            self.0 = None;
        }
        status
    }

    fn try_ask(&mut self, address: &str, request: &[u8]) -> std::io::Result<u16> {
        if self.0.is_none() {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            self.0 = Some((stream.try_clone()?, BufReader::new(stream)));
        }
        let (stream, answers) = self.0.as_mut().unwrap();
        stream.write_all(request)?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let (mut length, mut is_chunked, mut closes) = (0, false, false);
        while line.trim_end() != "" {
            line.clear();
            answers.read_line(&mut line)?;
            let header = line.trim_end().to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            is_chunked |= header == "transfer-encoding: chunked";
            closes |= header == "connection: close";
        }
        loop {
            if is_chunked {
                line.clear();
                answers.read_line(&mut line)?;
                length = usize::from_str_radix(line.trim_end(), 16).unwrap_or(0) + 2;
            }
            std::io::copy(&mut answers.by_ref().take(length as u64), &mut std::io::sink())?;
            if !is_chunked || length == 2 {
                break;
            }
        }
        if closes {
            self.0 = None;
        }
        Ok(status)
    }
}

fn memory_megabytes(server: &Server, what: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1e3
}

/// Asks the same things one after the other; times and statuses of the answers.
fn ask(
    mut client: Client,
    address: &str,
    requests: &[Vec<u8>],
    pause: Duration,
    over: &AtomicBool,
) -> Vec<(Duration, u16)> {
    let mut answers = Vec::new();
    for request in requests.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let started = Instant::now();
        let status = client.ask(address, request);
        answers.push((started.elapsed(), status));
        if status != 200 && pause.is_zero() {
            thread::sleep(Duration::from_millis(100));
        }
        thread::sleep(pause);
    }
    answers
}

fn report(name: &str, server: &Server, address: &str, ids: &[String], others: &[Vec<u8>]) {
    let seconds = env::var("DFUSE_BENCH_SECONDS").ok().and_then(|it| it.parse().ok()).unwrap_or(10);
    let look_ups: Vec<_> = ids.iter().step_by(97).map(|id| get(&format!("/v0/transactions/{id}"))).collect();
    let health = [get("/healthz")];
    // What was most since this was written.
    let _ = fs::write(format!("/proc/{}/clear_refs", server.id()), "5");
    let over = AtomicBool::new(false);
    // So many connections at once do not fit into the queue of the listener, in which these would be, too.
    let connected = Barrier::new(3);
    let (cheap, dear) = thread::scope(|scope| {
        let (over, connected) = (&over, &connected);
        let cheap = [&look_ups[..], &health].map(|requests| {
            scope.spawn(move || {
                let mut client = Client(None);
                client.ask(address, &requests[0]);
                connected.wait();
                ask(client, address, requests, PAUSE, over)
            })
        });
        connected.wait();
        let dear: Vec<_> = others
            .iter()
            .map(|request| {
                let builder = thread::Builder::new().stack_size(256 << 10);
                builder
                    .spawn_scoped(scope, move || {
                        ask(Client(None), address, std::slice::from_ref(request), Duration::ZERO, over)
                    })
                    .unwrap()
            })
            .collect();
        thread::sleep(Duration::from_secs(seconds));
        over.store(true, Ordering::Relaxed);
        (cheap.map(|it| it.join().unwrap()), dear.into_iter().flat_map(|it| it.join().unwrap()).collect::<Vec<_>>())
    });
    let mut cells = Vec::new();
    for answers in &cheap {
        let refused = answers.iter().filter(|(_, status)| *status != 200).count();
        if refused > 0 {
            println!("{name}: {refused} of {} cheap requests had no answer", answers.len());
        }
        cells.extend(parts(answers, &[0.5, 0.99, 1.0]));
    }
    let mut statuses = BTreeMap::<_, usize>::new();
    dear.iter().for_each(|(_, status)| *statuses.entry(*status).or_default() += 1);
    cells.push(statuses.iter().map(|(status, count)| format!("{count} x {status}")).collect::<Vec<_>>().join(", "));
    let answered: Vec<_> = dear.into_iter().filter(|(_, status)| *status == 200).collect();
    cells.extend(parts(&answered, &[0.5]));
    cells.push(format!("{:.0} MB", memory_megabytes(server, "VmHWM:")));
    println!("| {name} | {} |", cells.join(" | "));
}

/// Times below which these parts of the answers came.
fn parts(answers: &[(Duration, u16)], parts: &[f64]) -> Vec<String> {
    let mut times: Vec<_> = answers.iter().map(|(time, _)| *time).collect();
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let at = |part: &f64| {
        times.get(((times.len() as f64 * part) as usize).min(last)).map_or("-".to_owned(), |it| format!("{it:.1?}"))
    };
    parts.iter().map(at).collect()
}
