//! Earlier blocks join a data directory that began in the middle of the chain: it then answers as one that has had them from the
//! start, but for state, which is known from the same block on as before.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::{compare::without_keys, recorded};
use serde_json::{Value, json};
use support::{Server, text};
use tempfile::TempDir;

const SNAPSHOT: &str = "snapshots/small-345.bin.zst";
const SEARCHES: [&str; 11] = [
    "receiver:eosio.token",
    "account:eosio.token action:transfer",
    "action:onblock",
    "status:executed notif:true",
    "auth:alice",
    "data.to:bob",
    "data.from:alice OR data.account:alice",
    "db.table:accounts",
    "ram.consumed:eosio",
    "-action:onblock input:true",
    "account:eosio action:newaccount",
];
const GRAPHQL: &str = "query($q: String!, $low: Int64, $high: Int64){searchTransactionsForward(query: $q, lowBlockNum: $low, \
    highBlockNum: $high, limit: 1000){results{undo trace{id status block{num id previous timestamp} matchingActions{account name \
    receiver json seq}}}}}";

/// The blocks of a chain's log, in the order of the log.
struct Chain {
    log: PathBuf,
    /// Its id: keys are recovered with it. A snapshot has it.
    id: String,
    /// Id by number, of the branch that won.
    ids: BTreeMap<u32, String>,
    transactions: BTreeSet<String>,
}

impl Chain {
    fn find(name: &str) -> Option<Self> {
        let path = format!("{name}/{name}.dmlog.zst");
        let log = recorded::find(&path)?;
        let mut reader = Reader::new(recorded::open(&path)?);
        let (mut ids, mut transactions) = (BTreeMap::new(), BTreeSet::new());
        while let Some(event) = reader.next_event().unwrap() {
            let Event::Block(block) = event else { continue };
            ids.insert(block.number, block.id.to_string());
            for trace in block.transaction_traces() {
                transactions.insert(trace.id.to_string());
                transactions.extend(trace.dtrx_ops.iter().map(|op| op.transaction_id.to_string()));
            }
        }
        let answers = recorded::json(&format!("{name}/answers.json.gz"))?;
        let id = answers["get_info"]["chain_id"].as_str().unwrap().to_owned();
        Some(Self { log, id, ids, transactions })
    }

    fn source(&self) -> String {
        format!("deep-mind:{}", text(&self.log))
    }

    fn last(&self) -> u32 {
        *self.ids.last_key_value().unwrap().0
    }

    /// What a node logs that starts after the block before `first`, up to block `last`.
    fn part(&self, first: u32, last: u32, file: &Path) -> String {
        let name = self.log.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
        let mut log = fs::File::create(file).unwrap();
        let (begin, end) = (format!("DMLOG START_BLOCK {first}"), format!("DMLOG START_BLOCK {}", last + 1));
        let mut has_begun = false;
        for line in recorded::lines(&format!("{name}/{name}.dmlog.zst")).unwrap() {
            has_begun |= line == begin.as_bytes();
            if line == end.as_bytes() {
                break;
            }
            if has_begun || line.starts_with(b"DMLOG DEEP_MIND_VERSION") {
                log.write_all(&line).and_then(|()| log.write_all(b"\n")).unwrap();
            }
        }
        assert!(has_begun);
        format!("deep-mind:{}", text(file))
    }

    /// What is asked of blocks, transactions, searches and accounts: of each kind of request all, and of so many blocks and transactions
    /// one.
    fn questions(&self, step: usize) -> Vec<String> {
        let mut paths = vec!["/v0/blocks?limit=100".to_owned(), "/v0/transactions?limit=100".to_owned()];
        for (number, id) in self.ids.iter().step_by(step) {
            paths.push(format!("/v0/blocks/{id}/transactions?limit=100"));
            paths.push(format!("/v0/blocks/{id}"));
            paths.push(format!("/v0/blocks?skip={number}&limit=10"));
        }
        paths.extend(self.transactions.iter().step_by(step).map(|id| format!("/v0/transactions/{id}")));
        for query in SEARCHES {
            let query = encoded(query);
            for sort in ["asc", "desc"] {
                let search = format!("/v0/search/transactions?q={query}&sort={sort}&limit=100");
                paths.push(format!("{search}&with_reversible=true"));
                paths.push(search);
            }
            paths.push(format!("/v0/search/count?q={query}&with_reversible=true"));
        }
        for account in ["eosio", "alice", "bob", "eosio.token", "carol"] {
            paths.push(format!("/v0/accounts/{account}/actions?limit=100"));
        }
        for time in ["2020-01-01T00:00:00Z", "2026-11-22T10:56:30Z", "2026-11-22T10:58:00.500Z"] {
            for comparator in ["gt", "gte", "lt", "lte", "eq"] {
                paths.push(format!("/v0/block_id/by_time?time={time}&comparator={comparator}"));
            }
        }
        paths
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Without what is a server's own.
fn comparable(answer: Value) -> Value {
    without_keys(answer, &["cursor", "trace_id", "forked_head_warning"])
}

/// What a server answers that has no such trouble as not to know yet.
fn ask(server: &mut Server, path: &str) -> (u16, Value) {
    let answer = server.get(path);
    (answer.status, comparable(answer.json()))
}

fn ask_graphql(server: &mut Server, query: &str, low: u32, high: u32) -> Value {
    let body = json!({"query": GRAPHQL, "variables": {"q": query, "low": low, "high": high}});
    let [document, variables] = [&body["query"], &body["variables"]].map(|part| match part {
        Value::String(text) => encoded(text),
        other => encoded(&other.to_string()),
    });
    comparable(server.get(&format!("/graphql?query={document}&variables={variables}")).json())
}

/// Both answer all questions in the same way, but for those that `differs` takes.
fn compare(chain: &Chain, late: &mut Server, whole: &mut Server, differs: impl Fn(&str) -> bool) {
    compare_every(31, chain, late, whole, differs);
}

fn compare_every(step: usize, chain: &Chain, late: &mut Server, whole: &mut Server, differs: impl Fn(&str) -> bool) {
    for path in chain.questions(step).iter().filter(|path| !differs(path)) {
        assert_eq!(ask(late, path), ask(whole, path), "{path}");
    }
    for query in SEARCHES.iter().filter(|query| !differs(query)) {
        let ask = |server: &mut Server| ask_graphql(server, query, 2, chain.last());
        assert_eq!(ask(late), ask(whole), "{query}");
    }
}

/// What searches for data find depends on the ABIs that were known when the blocks were indexed.
fn is_of_data(question: &str) -> bool {
    question.starts_with("data.") || question.contains(&encoded("data."))
}

/// Starts a server, and waits until it has all that its source has.
fn start(chain: &Chain, source: &str, data: &Path, first: u32, more: &[&str]) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.args(["start", "--listen", "127.0.0.1:0", "--source", source, "--data-dir", text(data)]).args(more);
    command.args(["--chain-id", &chain.id]);
    command.env("DFUSE_BLOCKS__FIRST_BLOCK", first.to_string());
    let mut server = Server::spawn(&mut command);
    server.wait_for("the source has no more blocks, the server goes on");
    server.wait_for("ready");
    server
}

fn tool(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    command.arg("tools").args(arguments).args(["--data-dir", text(data)]);
    command
}

fn extend(data: &Path, source: &str, to: u32) -> Command {
    tool(&["extend", "--source", source, "--to", &to.to_string()], data)
}

#[track_caller]
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(command: &mut Command, code: i32, why: &str) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && said.contains(why), "{code} {why}: {:?} {said}", output.status);
}

fn kill(mut server: Server) {
    server.signal("KILL");
    server.wait();
}

#[test]
fn earlier_blocks_join_a_chain_that_began_with_a_snapshot() {
    let (Some(snapshot), Some(chain)) = (recorded::find(SNAPSHOT), Chain::find("small")) else { return };
    let folder = TempDir::new().unwrap();
    let [late, whole] = ["late", "whole"].map(|name| folder.path().join(name));
    let source = chain.source();
    let mut whole_server = start(&chain, &source, &whole, 2, &[]);
    let mut server = start(&chain, &source, &late, 2, &["--snapshot", text(&snapshot)]);
    assert_eq!(server.get("/v0/coverage").json()["blocks"]["from_block"], 346);

    // First down to block 150: what is still missing is told everywhere.
    assert_eq!(done(&mut extend(&late, &source, 150)), "blocks 150 to 345 have joined\n");
    let holes = json!([{"from_block": 2, "to_block": 149}]);
    assert_eq!(
        server.get("/v0/coverage").json()["blocks"],
        json!({"from_block": 150, "to_block": 365, "holes": holes})
    );
    let found = server.get("/v0/search/transactions?q=action%3Atransfer&limit=3").json();
    assert_eq!((&found["range"]["holes"], &found["range"]["from_block"]), (&holes, &json!(150)), "{found}");
    let holes = "{h: searchTransactionsForward(query: \"action:transfer\", lowBlockNum: 2, limit: 1) {holes {lowBlockNum \
        highBlockNum}} b: searchTransactionsBackward(query: \"action:transfer\", limit: 1) {holes {lowBlockNum highBlockNum}} \
        searchCount(query: \"action:transfer\", lowBlockNum: 200) {holes {lowBlockNum}}}";
    let told = server.get(&format!("/graphql?query={}", encoded(holes))).json();
    let hole = json!([{"lowBlockNum": 2, "highBlockNum": 149}]);
    assert_eq!(told["data"], json!({"h": {"holes": hole}, "b": {"holes": hole}, "searchCount": {"holes": []}}));

    // Then down to the first one.
    assert_eq!(done(&mut extend(&late, &source, 2)), "blocks 2 to 149 have joined\n");
    let coverage = server.get("/v0/coverage").json();
    assert_eq!(coverage["blocks"], json!({"from_block": 2, "to_block": 365, "holes": []}));
    assert_eq!(coverage["state"]["from_block"], 345, "{coverage}");
    compare(&chain, &mut server, &mut whole_server, is_of_data);
    // Where state begins is as it was.
    let before = server.get("/v0/state/table?account=eosio&scope=eosio&table=global&block_num=344").json();
    assert_eq!(before["code"], "app_state_unavailable_error", "{before}");
    let [mut at, whole_at] = [&mut server, &mut whole_server]
        .map(|server| server.get("/v0/state/table?account=eosio&scope=eosio&table=global&block_num=345").json());
    assert_eq!((at["state_from_block"].take(), &at["complete"]), (json!(345), &json!(true)));
    assert_eq!(at["rows"], whole_at["rows"]);

    // Nothing is lost by a kill, and what begins anew has everything.
    kill(server);
    let mut server = start(&chain, &source, &late, 2, &[]);
    assert_eq!(server.get("/v0/coverage").json(), coverage);
    compare(&chain, &mut server, &mut whole_server, is_of_data);
    server.stop();

    // In one step, all ABIs are known on either side.
    let direct = folder.path().join("direct");
    let mut server = start(&chain, &source, &direct, 2, &["--snapshot", text(&snapshot)]);
    done(&mut extend(&direct, &source, 2));
    compare(&chain, &mut server, &mut whole_server, |_| false);
    server.stop();
    whole_server.stop();
    refused(&mut extend(&late, &source, 2), 2, "the indexes have the blocks from 2 on already");
    done(&mut tool(&["check", "index", "--snapshot", text(&snapshot)], &late));
    done(Command::new(env!("CARGO_BIN_EXE_dfuse")).args(["tools", "check", "blocks", text(&late.join("blocks"))]));
}

/// A chain that is indexed from block `late` on, to which the blocks from `to` on join, as one that is indexed from there.
fn joins(name: &str, late: u32, to: u32, more: &[u32]) {
    let Some(chain) = Chain::find(name) else { return };
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let source = chain.part(late, chain.last(), &place("late.log"));
    let whole_source = if to == 2 { chain.source() } else { chain.part(to, chain.last(), &place("whole.log")) };
    let mut whole = start(&chain, &whole_source, &place("whole"), to, &[]);
    let mut server = start(&chain, &source, &place("late"), late, &[]);
    // Earlier ones are a part of a store of bundles, or of a log that goes on.
    let store = place("store");
    done(Command::new(env!("CARGO_BIN_EXE_dfuse")).args([
        "tools",
        "merge",
        "--first-block",
        &to.to_string(),
        whole_source.split_once(':').unwrap().1,
        text(&store),
    ]));
    for (at, to) in more.iter().chain([&to]).enumerate() {
        // Bundles do not have the blocks that lost.
        let from =
            if at % 2 == 0 && name != "fork" { format!("blocks:{}", text(&store)) } else { whole_source.clone() };
        done(&mut extend(&place("late"), &from, *to));
    }
    let holes = |server: &mut Server| server.get("/v0/coverage").json()["blocks"].clone();
    assert_eq!(holes(&mut server), holes(&mut whole));
    compare(&chain, &mut server, &mut whole, is_of_data);
    server.stop();
    // Data is found once it is indexed with the ABIs that have joined.
    done(&mut tool(&["reindex", "search"], &place("late")));
    let mut server = start(&chain, &source, &place("late"), late, &[]);
    compare(&chain, &mut server, &mut whole, |_| false);
    server.stop();
    whole.stop();
}

#[test]
fn earlier_blocks_join_where_nothing_was_known() {
    joins("small", 100, 2, &[]);
    joins("small", 310, 2, &[299, 130]);
}

#[test]
fn earlier_blocks_join_those_of_a_chain_with_forks() {
    joins("fork", 300, 2, &[190]);
    joins("fork", 120, 2, &[]);
}

#[test]
fn blocks_join_down_to_the_middle_of_a_chain() {
    joins("small", 250, 110, &[]);
}

#[test]
fn a_kill_at_any_stage_loses_nothing() {
    let Some(chain) = Chain::find("small") else { return };
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let source = chain.part(280, chain.last(), &place("late.log"));
    let mut whole = start(&chain, &chain.source(), &place("whole"), 2, &[]);
    let stages = [
        "a command command=\"extend\"",
        "merged irreversible",
        "the earlier blocks are there",
        "indexing earlier blocks",
        "entering earlier blocks",
        "earlier blocks have joined",
    ];
    start(&chain, &source, &place("begun"), 280, &[]).stop();
    for (at, stage) in stages.into_iter().enumerate() {
        let late = place(&format!("late-{at}"));
        let copied = Command::new("cp").args(["-r", text(&place("begun")), text(&late)]).status().unwrap();
        assert!(copied.success());
        let mut server = start(&chain, &source, &late, 280, &[]);
        let mut extending =
            extend(&late, &chain.source(), 2).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        server.wait_for(stage);
        if at % 3 == 2 {
            server.stop();
        } else {
            kill(server);
        }
        extending.wait().unwrap();
        let mut server = start(&chain, &source, &late, 280, &[]);
        // What it answers has no gap, whatever was done.
        let blocks = server.get("/v0/coverage").json()["blocks"].clone();
        let count = server.get("/v0/search/count?q=action%3Aonblock&with_reversible=true").json();
        assert_eq!(count["actions"], 366 - blocks["from_block"].as_u64().unwrap(), "{stage}: {blocks} {count}");
        // It goes on, with a server and without one, unless it had come to its end.
        let go_on = || {
            let output = extend(&late, &chain.source(), 2).output().unwrap();
            assert!(
                matches!(output.status.code(), Some(0 | 2)),
                "{stage}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        if at % 2 == 0 {
            server.stop();
            go_on();
            server = start(&chain, &source, &late, 280, &[]);
        } else {
            go_on();
        }
        compare_every(29, &chain, &mut server, &mut whole, is_of_data);
        server.stop();
    }
}

#[test]
fn whoever_asks_meanwhile_is_told_the_truth() {
    let Some(chain) = Chain::find("small") else { return };
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let mut whole = start(&chain, &chain.source(), &place("whole"), 2, &[]);
    let mut server = start(&chain, &chain.part(320, chain.last(), &place("late.log")), &place("late"), 320, &[]);
    let ids: Vec<_> = chain.transactions.iter().step_by(29).map(|id| format!("/v0/transactions/{id}")).collect();
    let answers = |server: &mut Server| ids.iter().map(|path| ask(server, path)).collect::<Vec<_>>();
    let (before, after) = (answers(&mut server), answers(&mut whole));
    let search = "/v0/search/transactions?q=action%3Aonblock&limit=1&with_reversible=true&block_count=1000";
    let mut extending = extend(&place("late"), &chain.source(), 2).spawn().unwrap();
    let mut rounds = 0;
    while extending.try_wait().unwrap().is_none() || rounds == 0 {
        for (at, answer) in answers(&mut server).into_iter().enumerate() {
            assert!(answer == before[at] || answer == after[at], "{}: {answer:?}", ids[at]);
        }
        let found = server.get(search).json();
        let first = found["range"]["holes"][0]["to_block"].as_u64().map_or(2, |last| last + 1);
        assert_eq!(found["transactions"][0]["lifecycle"]["execution_trace"]["block_num"], first, "{found}");
        rounds += 1;
    }
    assert!(extending.wait().unwrap().success());
    assert_eq!(answers(&mut server), after);
}

#[test]
fn what_cannot_join_is_told() {
    let (Some(chain), Some(other)) = (Chain::find("small"), Chain::find("fork")) else { return };
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let late = place("late");
    let mut server = start(&chain, &chain.part(150, chain.last(), &place("late.log")), &late, 150, &[]);
    let coverage = server.get("/v0/coverage").json();
    refused(&mut extend(&late, &other.source(), 2), 2, "does not lead to the first block that is there");
    refused(&mut extend(&late, &chain.part(50, 160, &place("50.log")), 2), 2, "the source begins with block 50");
    refused(&mut extend(&late, &chain.part(50, 120, &place("gap.log")), 50), 2, "does not lead to the first block");
    refused(&mut extend(&late, &chain.source(), 150), 2, "the indexes have the blocks from 150 on already");
    refused(&mut extend(&late, "deep-mind:-", 2), 2, "give a file instead of deep-mind:-");
    refused(&mut extend(&late, "nothing", 2), 2, "nothing");
    refused(&mut extend(&late, "blocks:/no/such/store", 2), 2, "/no/such/store");
    assert_eq!(server.get("/v0/coverage").json(), coverage);
    // None of that is in the way of what can.
    done(&mut extend(&late, &chain.source(), 2));
    assert_eq!(server.get("/v0/coverage").json()["blocks"]["from_block"], 2);
    server.stop();
}
