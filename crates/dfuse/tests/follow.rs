//! Servers that follow each other over Firehose: B follows A, which has a node, and C follows B.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
    process::{ChildStdin, Stdio},
};

use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::{Random, recorded};
use serde_json::Value;
use support::{Server, assert_sound, proxy::Proxy, text};
use tempfile::TempDir;

/// The recorded chain with forks, and its id.
const LOG: &str = "fork/fork.dmlog.zst";
/// Pieces of the log, each with its own misfortune.
const PIECES: usize = 30;
/// Requests that all servers answer alike.
const REQUESTS: usize = 1000;

/// The log, and what can be asked of its chain.
struct Chain {
    log: Vec<u8>,
    /// Where pieces end, and the id of the highest block up to there.
    pieces: Vec<(usize, String)>,
    ids: Vec<String>,
    numbers: Range<u32>,
    transactions: Vec<String>,
    accounts: Vec<String>,
}

impl Chain {
    fn read() -> Option<Self> {
        let log = recorded::bytes(LOG)?;
        let mut reader = Reader::new(&log[..]);
        let mut blocks = Vec::new();
        while let Some(event) = reader.next_event().unwrap() {
            if let Event::Block(block) = event {
                blocks.push(*block);
            }
        }
        let mut ends = vec![];
        let mut at = 0;
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            at += line.len();
            if line.starts_with(b"DMLOG ACCEPTED_BLOCK") {
                ends.push(at);
            }
        }
        assert_eq!(ends.len(), blocks.len());
        let piece = |piece: usize| {
            let last = piece * (blocks.len() - 1) / PIECES;
            let highest = blocks[..=last].iter().rev().max_by_key(|block| block.number).unwrap();
            (ends[last], highest.id.to_string())
        };
        let pieces = (1..=PIECES).map(piece).collect();
        // Those of the chain, from its end.
        let mut canonical = vec![];
        let mut wanted = blocks.iter().max_by_key(|block| block.number).unwrap().id;
        for block in blocks.iter().rev() {
            if block.id == wanted {
                wanted = block.header.previous;
                canonical.push(block);
            }
        }
        let mut accounts = BTreeSet::new();
        let mut transactions = BTreeSet::new();
        for block in &canonical {
            for trace in block.transaction_traces() {
                transactions.insert(trace.id.to_string());
                accounts.extend(trace.action_traces.iter().map(|action| action.receiver.to_string()));
            }
        }
        Some(Self {
            pieces,
            ids: canonical.iter().map(|block| block.id.to_string()).collect(),
            numbers: 2..canonical[0].number + 1,
            transactions: transactions.into_iter().collect(),
            accounts: accounts.into_iter().collect(),
            log,
        })
    }

    /// Something that can be asked.
    fn request(&self, random: &mut Random) -> String {
        let number = self.numbers.start + random.below(u64::from(self.numbers.end - self.numbers.start)) as u32;
        let (id, account) = (random.pick(&self.ids), random.pick(&self.accounts));
        match random.below(10) {
            0 => format!("/v0/blocks/{id}"),
            1 => format!("/v0/blocks/{id}/transactions?limit=100"),
            2 => format!("/v0/transactions/{}", random.pick(&self.transactions)),
            3 => format!("/v0/state/abi?account={account}&block_num={number}&json=true"),
            4 => format!("/v0/state/permission_links?account={account}&block_num={number}"),
            5 => format!("/v0/state/table?account=eosio&scope=eosio&table=producers&block_num={number}&json=true"),
            6 => format!(
                "/v0/state/table?account=eosio.token&scope={account}&table=accounts&block_num={number}&json=true"
            ),
            7 => format!("/v0/state/table_scopes?account=eosio.token&table=accounts&block_num={number}"),
            8 => format!("/v0/search/transactions?q=receiver:{account}&start_block={number}&limit=20&sort=desc"),
            _ => format!("/v0/search/transactions?q=data.to:{account}&start_block={number}&limit=20&sort=asc"),
        }
    }
}

/// Status and body, without what differs from request to request, and without blocks that lost: whoever came too late for one does
/// not have it.
fn answer(server: &mut Server, path: &str) -> (u16, Value) {
    let answer = server.get(path);
    let mut json = answer.json();
    if let Some(object) = json.as_object_mut() {
        object.remove("trace_id");
        object.remove("sibling_blocks");
    }
    (answer.status, json)
}

/// A server that is killed and started again.
struct Machine {
    data: PathBuf,
    /// Where others find it.
    door: Proxy,
    /// What it follows; a node without it.
    source: Option<String>,
    server: Option<(Server, Option<ChildStdin>)>,
}

impl Machine {
    fn new(folder: &Path, name: &str, source: Option<&Proxy>) -> Self {
        let data = folder.join(name);
        fs::create_dir(&data).unwrap();
        // Cursors of one are read by the others.
        fs::write(data.join("cursor.key"), [7; 32]).unwrap();
        let source = source.map(|door| format!("firehose:{}", door.address()));
        Self { data, door: Proxy::new(), source, server: None }
    }

    /// Starts it. A node begins again with the whole log.
    fn start(&mut self, log: &[u8]) {
        let source = self.source.as_deref().unwrap_or("deep-mind:-");
        let arguments =
            ["--source", source, "--data-dir", text(&self.data), "--log-level", "info,dfuse_grpc::call=warn"];
        let stdin = if self.source.is_none() { Stdio::piped() } else { Stdio::null() };
        let mut server = Server::start_with(&[&arguments[..], &["--grpc-listen", "127.0.0.1:0"]].concat(), stdin);
        let node = self.source.is_none().then(|| server.stdin());
        self.door.lead_to(&server.grpc_address());
        self.server = Some((server, node));
        self.feed(log);
    }

    fn feed(&mut self, log: &[u8]) {
        if let Some((_, Some(node))) = &mut self.server {
            node.write_all(log).unwrap();
        }
    }

    fn kill(&mut self) {
        self.door.close();
        let (server, _) = self.server.take().unwrap();
        server.signal("KILL");
    }

    fn server(&mut self) -> &mut Server {
        &mut self.server.as_mut().unwrap().0
    }
}

#[test]
fn servers_that_follow_each_other_answer_alike() {
    let Some(chain) = Chain::read() else { return };
    let folder = TempDir::new().unwrap();
    let a = Machine::new(folder.path(), "a", None);
    let b = Machine::new(folder.path(), "b", Some(&a.door));
    let c = Machine::new(folder.path(), "c", Some(&b.door));
    let mut machines = [a, b, c];
    for machine in &mut machines {
        machine.start(&[]);
    }
    let mut random = Random::new(5);
    let mut fed = 0;
    for (piece, (end, head)) in chain.pieces.iter().enumerate() {
        match random.below(7) {
            killed @ 0..3 => {
                let killed = killed as usize;
                machines[killed].kill();
                machines[killed].start(&chain.log[..fed]);
            }
            cut @ 3..5 => machines[cut as usize - 3].door.cut(),
            cut @ 5..7 => machines[cut as usize - 5].door.cut_after(random.below(20_000)),
            _ => unreachable!(),
        }
        machines[0].feed(&chain.log[fed..*end]);
        fed = *end;
        let has_head = format!("/v0/blocks/{head}");
        machines[0].server().wait_until_it_has(&has_head);
        if piece % 4 == 3 {
            machines[2].server().wait_until_it_has(&has_head);
        }
    }
    machines[0].feed(&chain.log[fed..]);
    let has_all = format!("/v0/blocks/{}", chain.ids[0]);
    for machine in &mut machines {
        machine.server().wait_until_it_has(&has_all);
    }
    let mut good = 0;
    for _ in 0..REQUESTS {
        let path = chain.request(&mut random);
        let wanted = answer(machines[0].server(), &path);
        good += usize::from(wanted.0 == 200);
        for machine in &mut machines[1..] {
            assert_eq!(answer(machine.server(), &path), wanted, "{path}");
        }
    }
    assert!(good > REQUESTS * 8 / 10, "{good}");
    for machine in machines {
        let Machine { data, server, .. } = machine;
        let (server, node) = server.unwrap();
        drop(node);
        server.stop();
        assert_sound(&data);
    }
}

#[test]
fn what_is_wrong_with_endpoints_is_told() {
    let folder = TempDir::new().unwrap();
    let start = |source: &str, more: &[&str]| {
        let data = folder.path().join("data");
        Server::start(
            &[&["--source", source, "--data-dir", text(&data), "--grpc-listen", "127.0.0.1:0"], more].concat(),
        )
    };
    start("firehose:host", &[]).fails(2, "\"host\" is not a Firehose endpoint: the port is missing");
    let mut a = Server::start(&["--source", "demo", "--grpc-listen", "127.0.0.1:0"]);
    a.wait_for("the rest of the recorded chain");
    let source = format!("firehose:{}", a.grpc_address());
    let other = "00".repeat(32);
    start(&source, &["--chain-id", &other]).fails(1, &format!("not {other}"));
    let mut none = start("firehose:127.0.0.1:1", &[]);
    none.wait_for("127.0.0.1:1: transport error");
    let health = none.get("/healthz").json().to_string();
    assert!(health.contains("source_connection") && health.contains("waiting for the first block"), "{health}");
    none.stop();
}
