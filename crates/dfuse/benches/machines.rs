//! Several machines that serve one chain: how soon a new one serves, how long a block takes to them and by how much their heads
//! differ, and what more of them answer.
//!
//! `cargo bench -p dfuse --bench machines` takes less than four minutes. All machines and the clients share the cores of this one.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use dfuse_testkit::synthetic::{Mix, SyntheticBlock, SyntheticChain};
use serde_json::json;
use support::{Server, chain::Stream, load::ask, machines::Machine, text};
use tempfile::TempDir;

/// Blocks that are there when a new machine begins.
const BEFORE: usize = 3000;
/// Blocks that are followed, and the time between two.
const BLOCKS: usize = 300;
const PACE: Duration = Duration::from_millis(100);
/// Of each number of machines.
const ASKING: Duration = Duration::from_secs(10);
/// Clients of each machine.
const CONNECTIONS: usize = 8;

/// When each block was the head, by its number.
type Heads = BTreeMap<u64, Instant>;

fn main() {
    let chain = SyntheticChain::builder().seed(3).mix(Mix::transfers()).users(200).lib_lag(30);
    let mut chain = chain.transactions_per_block(10..=10).blocks((BEFORE + BLOCKS) as u32).build();
    let mut log = chain.prelude().to_vec();
    let mut ids = Vec::new();
    for block in chain.by_ref().take(BEFORE) {
        log.extend_from_slice(&block.lines);
        ids.extend(block.facts.transactions.iter().map(|transaction| transaction.id.to_string()));
    }
    let last: Vec<_> = chain.collect();
    println!("{} cores", thread::available_parallelism().unwrap());
    let folder = TempDir::new().unwrap();
    let mut ingests = [(); 2].map(|()| None);
    for (name, ingest) in ["a", "b"].into_iter().zip(&mut ingests) {
        let mut machine = Machine::new(folder.path(), name, "ingest", &[]);
        machine.start(&log);
        *ingest = Some(machine);
    }
    let [mut a, mut b] = ingests.map(Option::unwrap);
    let mut alone = Machine::new(&own_folder(folder.path()), "alone", "ingest,index,api", &[]);
    alone.start(&log);
    let mut machines = new_machines(folder.path(), [&a, &b]);
    {
        let [c, d, _] = &mut machines;
        blocks([&mut a, &mut b, &mut alone], [c, d], &last);
    }
    alone.stop();
    more_machines(&mut machines, &ids);
    for machine in machines.iter_mut().chain([&mut b, &mut a]) {
        machine.stop();
    }
}

fn own_folder(folder: &Path) -> std::path::PathBuf {
    let own = folder.join("own");
    fs::create_dir(&own).unwrap();
    own
}

/// Two that begin with the blocks, and one that begins with a copy of the first one's indexes.
fn new_machines(folder: &Path, [a, b]: [&Machine; 2]) -> [Machine; 3] {
    let place = folder.join("copies");
    println!("| a new machine, {BEFORE} blocks | ready after |\n|---|---|");
    let start = |name: &str, what: &str| {
        let mut machine = Machine::new(folder, name, "api", &[a, b]).with("DFUSE_INDEX__COPY", text(&place));
        let started = Instant::now();
        machine.start(&[]);
        machine.server().wait_for("ready");
        println!("| {what} | {:.2?} |", started.elapsed());
        machine
    };
    let c = start("c", "from blocks");
    let started = Instant::now();
    let copy = ["tools", "index", "copy", text(&place), "--data-dir", text(&c.data)];
    assert!(Command::new(env!("CARGO_BIN_EXE_dfuse")).args(copy).output().unwrap().status.success());
    let copied = started.elapsed();
    let d = start("d", "from a copy of the indexes");
    let e = start("e", "from a copy, again");
    println!("\nThe copy was made in {copied:.2?}, beside a server that works.\n");
    [c, d, e]
}

/// Notes when each block is the head, until that one is.
fn note_heads(server: &mut Server, last: u64) -> thread::JoinHandle<Heads> {
    let mut stream = Stream::open(server, &json!({"type": "get_head_info", "req_id": "1", "listen": true}));
    stream.next(|message| message["type"] == "listening");
    thread::spawn(move || {
        let mut heads = Heads::new();
        while !heads.contains_key(&last) {
            let message = stream.next(|message| message["type"] == "head_info");
            heads.insert(message["data"]["head_block_num"].as_u64().unwrap(), Instant::now());
        }
        heads
    })
}

/// Blocks come to a process that does everything, and to machines.
fn blocks(nodes: [&mut Machine; 3], answering: [&mut Machine; 2], blocks: &[SyntheticBlock]) {
    let last = u64::from(blocks.last().unwrap().number);
    let [a, b, alone] = nodes;
    let noting: Vec<_> = [&mut *alone].into_iter().chain(answering).map(|it| note_heads(it.server(), last)).collect();
    let mut written = Heads::new();
    for block in blocks {
        for node in [&mut *alone, &mut *a, &mut *b] {
            node.feed(&block.lines);
        }
        let now = Instant::now();
        written.insert(block.number.into(), now);
        thread::sleep(PACE.saturating_sub(now.elapsed()));
    }
    let noted: Vec<_> = noting.into_iter().map(|thread| thread.join().unwrap()).collect();
    let since = |heads: &Heads| {
        heads.iter().filter_map(|(number, at)| Some(at.saturating_duration_since(*written.get(number)?))).collect()
    };
    let difference = |left: &Heads, right: &Heads| {
        let between = |(number, at): (&u64, &Instant)| {
            let other = right.get(number)?;
            Some(at.saturating_duration_since(*other).max(other.saturating_duration_since(*at)))
        };
        left.iter().filter_map(between).collect()
    };
    println!("| from a block's last line to | p50 | p99 | longest |\n|---|---|---|---|");
    row("the head of a process that does everything", since(&noted[0]));
    row("the head of an api machine", since(&noted[1]));
    row("the head of another one", since(&noted[2]));
    row("the other machine's head, from one machine's", difference(&noted[1], &noted[2]));
    row("an api machine's head, from that of the process that does everything", difference(&noted[1], &noted[0]));
    println!();
}

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() as f64 * part) as usize).min(times.len() - 1)];
    println!("| {what} | {:.1?} | {:.1?} | {:.1?} |", at(0.5), at(0.99), at(1.0));
}

/// Clients ask one machine, two, three, each of them as many.
fn more_machines(machines: &mut [Machine; 3], ids: &[String]) {
    let paths: Vec<_> = ids.iter().map(|id| format!("/v0/transactions/{id}")).collect();
    let addresses: Vec<_> = machines.iter_mut().map(|machine| machine.server().address()).collect();
    println!("| api machines | lifecycles/s | to one | p50 | p99 |\n|---|---|---|---|---|");
    let mut one = 0.0;
    for count in 1..=addresses.len() {
        let mut times: Vec<Duration> = thread::scope(|scope| {
            let paths = &paths;
            let mut clients = Vec::new();
            for (at, address) in addresses[..count].iter().enumerate() {
                for client in 0..CONNECTIONS {
                    clients.push(scope.spawn(move || ask(address, paths, at * 31 + client * 97, ASKING)));
                }
            }
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        times.sort_unstable();
        let rate = times.len() as f64 / ASKING.as_secs_f64();
        if count == 1 {
            one = rate;
        }
        let at = |part: f64| times[(times.len() as f64 * part) as usize];
        println!("| {count} | {rate:.0} | {:.2} | {:.1?} | {:.1?} |", rate / one, at(0.5), at(0.99));
    }
}
