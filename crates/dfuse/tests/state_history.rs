//! The product fed by state history, from a node and from logs, answers as the product fed by deep mind of the same chain. What
//! differs is listed here, with its reason.
#![allow(clippy::unwrap_used)]

#[path = "../../dfuse-node/tests/history_node/mod.rs"]
mod history_node;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
};

use dfuse_testkit::recorded;
use history_node::{Script, Sent};
use serde_json::{Value, json};
use support::{Server, text};
use tempfile::TempDir;
use tungstenite::Message;

/// What a node says of these only in its debug mode, or never (`ship.md` 5.3).
const DEBUG: &str = "a node keeps them in its debug mode only; codes and stacks of exceptions never";
/// Operations of actions (`ship.md` 5.5).
const CERTAIN: &str = "one change a row and block, in a trace only if no other action can have made it";
const RAM: &str = "summed by action and account, without what it was for";
const DEFERRED: &str =
    "sent and cancelled or replaced within one block, or by one of several actions; failures of contracts";
const WINDOW: &str = "the window of expiration in the block that changes it";
/// Of forks: a block log has final blocks only, and the recorded history the branch that won.
const LOST: &str = "branches that lost are not in the logs";
const NATIVE: &str = "a node tells its own ABI in its first block; state history does not";

/// Fields in which answers differ, by kind of request, and why. Numbers of lists are left out, traces in traces are like others, and
/// `*` is all below.
const DIFFERENCES: [(&str, &str); 35] = [
    ("block.sibling_blocks", LOST),
    ("lifecycle.execution_trace.elapsed", DEBUG),
    ("lifecycle.execution_trace.except.*", DEBUG),
    ("lifecycle.execution_trace.action_traces.elapsed", DEBUG),
    ("lifecycle.execution_trace.action_traces.console", DEBUG),
    ("lifecycle.execution_trace.action_traces.except.*", DEBUG),
    ("stream.data.trace.elapsed", DEBUG),
    ("stream.data.trace.console", DEBUG),
    ("lifecycle.dbops", CERTAIN),
    ("lifecycle.dbops.*", CERTAIN),
    ("lifecycle.tableops", CERTAIN),
    ("stream.data.dbops", CERTAIN),
    ("stream.data.dbops.*", CERTAIN),
    ("stream.data.tableops", CERTAIN),
    // Searches by operations find what is certain.
    ("operations.*", CERTAIN),
    ("lifecycle.ramops", RAM),
    ("lifecycle.ramops.*", RAM),
    ("stream.data.ramops", RAM),
    ("stream.data.ramops.*", RAM),
    ("lifecycle.dtrxops", DEFERRED),
    ("stream.data.dtrxops", DEFERRED),
    ("lifecycle: 404 instead of 200", DEFERRED),
    ("lifecycle.transaction_status", DEFERRED),
    ("lifecycle.created_by", DEFERRED),
    ("lifecycle.created_by.op", DEFERRED),
    ("lifecycle.created_by.src_trx_id", DEFERRED),
    ("lifecycle.created_by.action_idx", DEFERRED),
    // It is decoded by the ABI that is in force where the block begins.
    ("lifecycle.created_by.trx.actions.data", DEFERRED),
    ("lifecycle.canceled_by", DEFERRED),
    ("lifecycle.*_irreversible", DEFERRED),
    ("lifecycle.created_by.expiration_at", WINDOW),
    ("lifecycle.dtrxops.expiration_at", WINDOW),
    ("lifecycle.transaction", "of a handler of errors only the action is known, and not the header"),
    ("state.block_num", NATIVE),
    ("state.message", NATIVE),
];

/// The name of a field in [`DIFFERENCES`]: what is of a lifecycle is, wherever that stands.
fn short(path: &str) -> String {
    let path = path.replace(".inline_traces", "").replace(".failed_dtrx_trace", "");
    let lifecycle =
        ["transactions.lifecycle.", "transactions.transactions."].iter().find_map(|list| path.split_once(list));
    lifecycle.map_or(path.clone(), |(_, rest)| format!("lifecycle.{rest}"))
}

/// The data directory of the node that made the chain.
fn node(chain: &str, folder: &Path) -> Option<()> {
    for member in recorded::tar(&format!("{chain}/ship-and-blocks.tar.zst"))? {
        let path = folder.join(member.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, member.content).unwrap();
    }
    Some(())
}

/// The log of deep mind up to the last block that is in the block log, which has final ones only.
fn deep_mind(chain: &str, last: u32, file: &Path) -> Option<()> {
    let mut log = fs::File::create(file).unwrap();
    let end = format!("DMLOG ACCEPTED_BLOCK {last} ");
    for line in recorded::lines(&format!("{chain}/{chain}.dmlog.zst"))? {
        log.write_all(&line).and_then(|()| log.write_all(b"\n")).unwrap();
        if line.starts_with(end.as_bytes()) {
            return Some(());
        }
    }
    panic!("no block {last}");
}

/// Three servers of a chain: from deep mind, from logs, and from a node.
struct Servers {
    all: [Server; 3],
    sources: [String; 3],
    blocks: Vec<Sent>,
    folder: TempDir,
    chain_id: String,
}

impl Servers {
    fn start(chain: &str) -> Option<Self> {
        let blocks = history_node::chain(chain)?;
        let folder = TempDir::new().unwrap();
        node(chain, &folder.path().join("node"))?;
        let script = Script { chain_id: history_node::chain_id(chain)?, ..Script::new(blocks.clone()) };
        Self::with(chain, folder, blocks, script)
    }

    /// State history begins with the state after a block.
    fn start_in_the_middle(chain: &str, number: u32) -> Option<Self> {
        let blocks = history_node::chain(chain)?;
        let folder = TempDir::new().unwrap();
        let later = history_node::mid_chain(&blocks, number);
        let chain_id = history_node::chain_id(chain)?;
        let script = Script { begin: number + 1, chain_id, ..Script::new(later.clone()) };
        history_node::write_logs(&folder.path().join("node"), &later, script.chain_id);
        Self::with(chain, folder, blocks, script)
    }

    fn with(chain: &str, folder: TempDir, blocks: Vec<Sent>, script: Script) -> Option<Self> {
        let (logs, log) = (folder.path().join("node"), folder.path().join("deep-mind.log"));
        deep_mind(chain, blocks.last().unwrap().id.block_num(), &log)?;
        let chain_id = script.chain_id.to_string();
        let (address, _requests) = script.serve();
        let sources = [format!("deep-mind:{}", text(&log)), format!("ship-log:{}", text(&logs)), address];
        let all = sources.each_ref().map(|source| start(source, folder.path(), &chain_id));
        let mut servers = Self { all, sources, blocks, folder, chain_id };
        servers.wait();
        Some(servers)
    }

    /// Waits until all have all blocks.
    fn wait(&mut self) {
        let last = self.blocks.last().unwrap().id;
        for server in &mut self.all {
            server.wait_for("ready");
            // It serves what it had before, and then the rest.
            server.wait_until("/healthz", |answer| answer.json()["head"]["id"] == last.to_string());
        }
    }

    /// Stops those of state history, and starts them again.
    fn restart(&mut self) {
        for (server, source) in self.all.iter_mut().zip(&self.sources).skip(1) {
            server.signal("TERM");
            assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log);
            *server = start(source, self.folder.path(), &self.chain_id);
        }
        self.wait();
    }

    /// Asks all of them. Those of state history must agree; where they differ from deep mind is what comes back.
    fn ask(&mut self, kind: &str, path: &str, found: &mut BTreeMap<String, Vec<String>>) -> Value {
        let [expected, logs, node] = self.all.each_mut().map(|server| server.get(path));
        assert_eq!(logs.status, node.status, "{path}");
        if expected.status != logs.status {
            found
                .entry(format!("{kind}: {} instead of {}", logs.status, expected.status))
                .or_default()
                .push(path.to_owned());
            return Value::Null;
        }
        let [expected, logs, node] = [expected, logs, node].map(|answer| without_secrets(answer.json()));
        assert_eq!(logs, node, "{path}");
        let mut differing = BTreeSet::new();
        differences(kind, &logs, &expected, &mut differing);
        for field in differing.iter().map(|field| short(field)).collect::<BTreeSet<_>>() {
            found.entry(field).or_default().push(path.to_owned());
        }
        expected
    }
}

fn start(source: &str, folder: &Path, chain_id: &str) -> Server {
    let name = source.split(':').next().unwrap();
    Server::start(&["--source", source, "--data-dir", text(&folder.join(name)), "--chain-id", chain_id])
}

/// Cursors are sealed anew for each answer, and traces have ids of their own.
fn without_secrets(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(members) => {
            for key in ["cursor", "trace_id"] {
                if members.get(key).is_some_and(|value| value != "") {
                    members.remove(key);
                }
            }
            members.values_mut().for_each(|value| *value = without_secrets(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_secrets(item.take())),
        _ => {}
    }
    answer
}

/// Where two values differ: one line a field, numbers of lists left out.
fn differences(path: &str, left: &Value, right: &Value, found: &mut BTreeSet<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let (left, right) = (left.get(key).unwrap_or(&Value::Null), right.get(key).unwrap_or(&Value::Null));
                differences(&format!("{path}.{key}"), left, right, found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            left.iter().zip(right).for_each(|(left, right)| differences(path, left, right, found));
        }
        _ if left == right => {}
        _ => drop(found.insert(path.to_owned())),
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Searches that find by what state history has in full, and those by operations.
const SEARCHES: [&str; 14] = [
    "account:eosio.token action:transfer",
    "receiver:eosio action:newaccount",
    "account:eosio",
    "auth:alice@active",
    "auth:eosio",
    "data.to:bob",
    "data.from:alice",
    "action:onblock",
    "status:executed input:true",
    "status:soft_fail",
    "status:hard_fail",
    "scheduled:true",
    "notif:true",
    "-account:eosio",
];
const SEARCHES_OF_OPERATIONS: [&str; 4] =
    ["db.table:accounts", "db.table:userres/alice", "ram.consumed:alice", "ram.released:alice"];

type Found = BTreeMap<String, Vec<String>>;

/// Blocks, transactions, searches. What comes back is the transactions.
fn ask_of_history(servers: &mut Servers, found: &mut Found) -> BTreeSet<String> {
    let ids: Vec<_> = servers.blocks[1..].iter().map(|block| block.id).collect();
    let (mut transactions, mut listed_in_blocks) = (BTreeSet::new(), BTreeSet::new());
    for id in &ids {
        if id.block_num() % 10 == 0 {
            servers.ask("block", &format!("/v0/blocks/{id}"), found);
            servers.ask("blocks", &format!("/v0/blocks?skip={}&limit=10", id.block_num()), found);
        }
        let page = servers.ask("block.transactions", &format!("/v0/blocks/{id}/transactions?limit=100"), found);
        for transaction in page["transactions"].as_array().unwrap() {
            let lifecycle = transaction.get("lifecycle").unwrap_or(transaction);
            listed_in_blocks.insert(lifecycle["id"].as_str().unwrap().to_owned());
            for op in lifecycle["dtrxops"].as_array().into_iter().flatten() {
                transactions.insert(op["trx_id"].as_str().unwrap().to_owned());
            }
        }
    }
    transactions.extend(listed_in_blocks.iter().cloned());
    // Those in blocks stand in the pages above; others were put off.
    for id in transactions.iter().filter(|id| id.starts_with('0') || !listed_in_blocks.contains(*id)) {
        servers.ask("lifecycle", &format!("/v0/transactions/{id}"), found);
    }
    servers.ask("transactions", "/v0/transactions?limit=100", found);
    servers.ask("time", "/v0/block_id/by_time?time=2026-11-22T10:06:00Z&comparator=gte", found);
    let all = SEARCHES.iter().map(|query| ("search", query));
    for (kind, query) in all.chain(SEARCHES_OF_OPERATIONS.iter().map(|query| ("operations", query))) {
        let query = encoded(query);
        for sort in ["asc", "desc"] {
            let path = format!("/v0/search/transactions?q={query}&sort={sort}&limit=100&with_reversible=true");
            servers.ask(kind, &path, found);
        }
        servers.ask(&format!("{kind}.count"), &format!("/v0/search/count?q={query}&with_reversible=true"), found);
    }
    transactions
}

/// Everything that is asked of state, at some heights, and of accounts.
fn ask_of_state(servers: &mut Servers, chain: &str, found: &mut Found) {
    let answers = recorded::json(&format!("{chain}/answers.json.gz")).unwrap();
    let last = servers.blocks.last().unwrap().id.block_num();
    for number in [2, 60, 200, last] {
        let at = format!("block_num={number}");
        for key in answers["raw_tables"].as_object().unwrap().keys() {
            let [code, scope, table] = key.split('/').collect::<Vec<_>>()[..] else { panic!("{key}") };
            let table = format!("account={code}&scope={scope}&table={table}");
            servers.ask("state", &format!("/v0/state/table?{table}&json=true&with_block_num=true&{at}"), found);
            servers.ask("state", &format!("/v0/state/table?{table}&{at}"), found);
            if number == last {
                let difference = format!("/v0/state/table/diff?{table}&from_block={}&to_block={last}", last / 2);
                servers.ask("state", &difference, found);
            }
        }
        for account in answers["account"].as_object().unwrap().keys() {
            servers.ask("state", &format!("/v0/state/permission_links?account={account}&{at}"), found);
            servers.ask("state", &format!("/v0/state/abi?account={account}&json=true&{at}"), found);
            servers.ask("state", &format!("/v0/state/code_hash?account={account}&{at}"), found);
            if number == last {
                servers.ask("account", &format!("/v0/accounts/{account}/balances"), found);
                servers.ask("account", &format!("/v0/accounts/{account}/actions?limit=50"), found);
                servers.ask("state", &format!("/v0/state/table_scopes?account={account}&table=accounts"), found);
            }
        }
        let key = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV";
        servers.ask("state", &format!("/v0/state/key_accounts?public_key={key}&{at}"), found);
    }
    servers.ask("tokens", "/v0/tokens", found);
    servers.ask("tokens", "/v0/tokens/eosio.token/SYS/holders", found);
}

/// GraphQL, by all fields of transactions that most clients ask.
fn ask_by_graphql(servers: &mut Servers, found: &mut Found) {
    const FIELDS: &str = "{ block { id num producer timestamp previous } trace { id status receipt { cpuUsageMicroSeconds \
        netUsageWords } topLevelActions { account name json authorization { actor permission } } matchingActions { account name \
        receiver seq executionIndex data json createdActions { account name receiver } isNotify isMatchingQuery } } undo }";
    for query in SEARCHES {
        let document = format!("{{ searchTransactionsForward(query: \"{query}\", limit: 50) {{ results {FIELDS} }} }}");
        servers.ask("graphql", &format!("/graphql?query={}", encoded(&document)), found);
    }
    for number in [2, 50, 100, 300] {
        let document = format!(
            "{{ block(num: {number}) {{ id num dposLIBNum header {{ id num timestamp previous producer }} }} }}"
        );
        servers.ask("graphql", &format!("/graphql?query={}", encoded(&document)), found);
    }
}

/// What a stream tells of the blocks below the height, in which the system acts as in every block.
fn stream(server: &mut Server, request: &Value, until: u32) -> Vec<Value> {
    let (mut socket, _) = tungstenite::connect(format!("ws://{}/v1/stream", server.address())).unwrap();
    socket.send(Message::text(request.to_string())).unwrap();
    let mut told = vec![];
    loop {
        let Message::Text(message) = socket.read().unwrap() else { continue };
        let message: Value = serde_json::from_str(&message).unwrap();
        if message["type"] == "action_trace" {
            if message["data"]["block_num"] == until {
                return told;
            }
            told.push(without_secrets(message));
        }
    }
}

fn ask_by_streams(servers: &mut Servers, found: &mut Found) {
    let last = servers.blocks.last().unwrap().id.block_num();
    let flags = ["with_inline_traces", "with_dbops", "with_ramops", "with_dtrxops", "with_tableops"];
    let mut data = json!({"accounts": "eosio|eosio.token"});
    flags.iter().for_each(|flag| data[flag] = true.into());
    let request = json!({"type": "get_action_traces", "req_id": "all", "listen": true, "start_block": 2, "data": data});
    let [expected, logs, node] = servers.all.each_mut().map(|server| stream(server, &request, last));
    assert!(expected.len() > 300, "{}", expected.len());
    assert_eq!(logs, node, "{request}");
    let mut differing = BTreeSet::new();
    differences("stream", &json!(logs), &json!(expected), &mut differing);
    for field in differing.iter().map(|field| short(field)).collect::<BTreeSet<_>>() {
        found.entry(field).or_default().push(request.to_string());
    }
}

/// The name in [`DIFFERENCES`] of a field that differs.
fn listed(field: &str) -> Option<&'static str> {
    let is_of = |name: &&str| match name.split_once('*') {
        Some((begin, end)) => field.starts_with(begin) && field.ends_with(end),
        None => *name == field,
    };
    DIFFERENCES.iter().map(|(name, _)| *name).find(is_of)
}

/// Asks everything; what comes back is the differences that were found of those that are listed.
fn compare(chain: &str) -> Option<BTreeSet<&'static str>> {
    let mut servers = Servers::start(chain)?;
    let mut found = Found::new();
    let transactions = ask_of_history(&mut servers, &mut found);
    ask_of_state(&mut servers, chain, &mut found);
    ask_by_graphql(&mut servers, &mut found);
    ask_by_streams(&mut servers, &mut found);
    assert!(transactions.len() > 500, "{}", transactions.len());
    let unlisted: Vec<_> = found.iter().filter(|(field, _)| listed(field).is_none()).collect();
    let told = unlisted.iter().map(|(field, paths)| format!("{field}: {} times, as {}\n", paths.len(), paths[0]));
    assert!(unlisted.is_empty(), "{chain}:\n{}", told.collect::<String>());

    servers.restart();
    let mut again = Found::new();
    ask_of_state(&mut servers, chain, &mut again);
    assert!(again.keys().all(|field| found.contains_key(field)), "{again:#?}");
    servers.all.into_iter().for_each(|server| drop(server.stop()));
    Some(found.keys().filter_map(|field| listed(field)).collect())
}

#[test]
fn state_history_answers_as_deep_mind_does() {
    let Some(used) = compare("small") else { return };
    // What is listed does differ. There are no forks in this chain.
    let of_this = DIFFERENCES.iter().filter(|(_, why)| *why != LOST);
    assert_eq!(used, of_this.map(|(name, _)| *name).collect());
}

#[test]
fn state_history_of_a_chain_with_forks_answers_as_deep_mind_does() {
    let Some(used) = compare("fork") else { return };
    assert!(used.contains("block.sibling_blocks"));
}

/// Without what tells where state begins, and in which block a row was written that is older than that.
fn without_beginning(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(members) => {
            for key in ["state_from_block", "complete", "block", "trace_id"] {
                members.remove(key);
            }
            members.values_mut().for_each(|value| *value = without_beginning(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_beginning(item.take())),
        _ => {}
    }
    answer
}

/// Rows, scopes, links and ABIs at heights from the beginning on.
fn compare_state(servers: &mut Servers, begin: u32) {
    let answers = recorded::json("small/answers.json.gz").unwrap();
    let last = servers.blocks.last().unwrap().id.block_num();
    let mut compared = 0;
    for number in [begin, begin + 60, last] {
        let tables = answers["raw_tables"].as_object().unwrap().keys().flat_map(|key| {
            let [code, scope, table] = key.split('/').collect::<Vec<_>>()[..] else { panic!("{key}") };
            [
                format!("/v0/state/table?account={code}&scope={scope}&table={table}&json=true&block_num={number}"),
                format!("/v0/state/table_scopes?account={code}&table={table}&block_num={number}"),
            ]
        });
        let accounts = answers["account"]
            .as_object()
            .unwrap()
            .keys()
            .map(|account| format!("/v0/state/permission_links?account={account}&block_num={number}"));
        for path in tables.chain(accounts) {
            let [expected, logs, node] = servers.all.each_mut().map(|server| server.get(&path));
            assert_eq!((expected.status, expected.status), (logs.status, node.status), "{path}");
            if expected.status == 200 {
                let [expected, logs, node] = [expected, logs, node].map(|answer| without_beginning(answer.json()));
                assert_eq!(expected, logs, "{path}");
                assert_eq!(expected, node, "{path}");
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn history_that_began_in_mid_chain_begins_with_its_state() {
    const BEGIN: u32 = 200;
    let Some(mut servers) = Servers::start_in_the_middle("small", BEGIN) else { return };
    compare_state(&mut servers, BEGIN);
    for server in &mut servers.all[1..] {
        let error = server.get("/v0/state/table?account=eosio&scope=eosio&table=global&block_num=199").json();
        assert_eq!(
            (&error["code"], &error["details"]["first_block_num"]),
            (&"app_state_unavailable_error".into(), &BEGIN.into())
        );
    }
    let ids: Vec<_> = servers.blocks.iter().map(|block| block.id).filter(|id| id.block_num() > BEGIN).collect();
    let mut found = Found::new();
    for id in ids {
        servers.ask("block.transactions", &format!("/v0/blocks/{id}/transactions?limit=100"), &mut found);
    }
    let unlisted: Vec<_> = found.iter().filter(|(field, _)| listed(field).is_none()).collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    servers.restart();
    for server in &mut servers.all[1..] {
        server.wait_for("state history goes on from the rows that are kept");
    }
    compare_state(&mut servers, BEGIN);
}

#[test]
fn a_snapshot_is_gone_on_from_by_state_history() {
    let (Some(snapshot), Some(log)) =
        (recorded::find("snapshots/small-345.bin.zst"), recorded::find("small/small.dmlog.zst"))
    else {
        return;
    };
    let Some(blocks) = history_node::whole_chain("small") else { return };
    let folder = TempDir::new().unwrap();
    let Some(chain_id) = history_node::chain_id("small") else { return };
    let (address, _requests) = Script { chain_id, ..Script::new(blocks.clone()) }.serve();
    let chain_id = chain_id.to_string();
    let sources = [format!("deep-mind:{}", text(&log)), address.clone(), address];
    let start = |name: &str, source: &str, more: &[&str]| {
        let data = folder.path().join(name);
        Server::start(&[&["--source", source, "--data-dir", text(&data), "--chain-id", &chain_id], more].concat())
    };
    let with_snapshot = ["--snapshot", text(&snapshot)];
    let all =
        [start("whole", &sources[0], &[]), start("late", &sources[1], &with_snapshot), start("node", &sources[2], &[])];
    let mut servers = Servers { all, sources, blocks, folder: TempDir::new().unwrap(), chain_id: chain_id.clone() };
    servers.wait();
    let answers = recorded::json("small/answers.json.gz").unwrap();
    for number in [345, 346, 365] {
        for key in answers["raw_tables"].as_object().unwrap().keys() {
            let [code, scope, table] = key.split('/').collect::<Vec<_>>()[..] else { panic!("{key}") };
            let path =
                format!("/v0/state/table?account={code}&scope={scope}&table={table}&json=true&block_num={number}");
            let [expected, late, _] = servers.all.each_mut().map(|server| server.get(&path));
            assert_eq!(expected.status, late.status, "{path}");
            if late.status == 200 {
                assert_eq!(without_beginning(expected.json()), without_beginning(late.json()), "{path}");
            }
        }
    }
    // The blocks are those of a start with the first block, header state and deferred transactions among them.
    for id in servers.blocks.iter().map(|block| block.id).filter(|id| id.block_num() > 345) {
        let path = format!("/v0/blocks/{id}/transactions?limit=100");
        let [_, late, whole] = servers.all.each_mut().map(|server| without_secrets(server.get(&path).json()));
        let mut differing = BTreeSet::new();
        differences("block.transactions", &late, &whole, &mut differing);
        differing = differing.iter().map(|field| short(field)).collect();
        // Who deferred the transactions that wait in a snapshot is not in it.
        differing.retain(|field| {
            !matches!(&**field, "lifecycle.created_by" | "lifecycle.transaction")
                && !field.ends_with("creation_irreversible")
        });
        assert!(differing.is_empty(), "{path}: {differing:?}");
    }
    let libs = servers.all.each_mut().map(|server| server.get("/healthz").json()["lib"].clone());
    assert_eq!(libs[0], libs[1]);
    let address = servers.sources[1].clone();
    let [_, late, _] = servers.all;
    late.stop();
    let mut late = start("late", &address, &[]);
    late.wait_for("state history goes on from the rows that are kept");
    late.wait_for("ready");
    late.stop();
}

#[test]
fn kills_lose_nothing_and_double_nothing() {
    let Some(blocks) = history_node::chain("fork") else { return };
    let folder = TempDir::new().unwrap();
    let last = blocks.last().unwrap().id;
    // The connection is lost now and then, too.
    let cuts = (0..60).map(|at| 20 + at * 7 % 50).collect();
    let script = Script { cuts, ..Script::new(blocks.clone()) };
    let chain_id = script.chain_id.to_string();
    let (address, _requests) = script.serve();
    let mut head = 0;
    for _ in 0..12 {
        let mut server = start(&address, folder.path(), &chain_id);
        // Once it has more than before, it is killed wherever it is.
        let height = |answer: &support::Answer| answer.json()["head"]["num"].as_u64().unwrap_or(0);
        server.wait_until("/healthz", |answer| height(answer) > head || head >= last.block_num().into());
        head = height(&server.get("/healthz")).max(head);
        server.signal("KILL");
        server.wait();
    }
    let mut server = start(&address, folder.path(), &chain_id);
    server.wait_for("ready");
    server.wait_until_it_has(&format!("/v0/blocks/{last}"));
    for block in &blocks[1..] {
        let found = server.get(&format!("/v0/blocks/{}", block.id)).json();
        let siblings = found["sibling_blocks"].as_array().unwrap();
        let mut at_height = siblings.iter().filter(|sibling| sibling["block_num"] == found["block_num"]);
        assert_eq!(found["id"], block.id.to_string());
        assert!(at_height.all(|sibling| sibling["id"] == found["id"]), "{found}");
    }
    server.stop();
    support::assert_sound(&folder.path().join("ship"));
}
