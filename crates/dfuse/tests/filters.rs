//! Servers that leave out transactions answer as one that has all of them, restricted to what their filter keeps; what they left out
//! they say. Through forks, over restarts, for those who follow them, and with stores that other programs filtered.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use dfuse_antelope::{
    Name,
    model::{ActionTrace, Block, TransactionTrace, wire::ReverseWriter},
};
use dfuse_blocks::{BlockStore, EncodedBlock, Merger, StoreOptions};
use dfuse_deep_mind::{Event, Reader};
use dfuse_search::{Filter, SYSTEM_ACTIONS};
use dfuse_testkit::recorded;
use serde_json::Value;
use support::{Server, assert_sound, text};
use tempfile::TempDir;

/// Leaves out spam that is told by its data, and what the chain itself does in each block.
const EXCLUDE: &str = "action == 'onblock' || account == 'eosio.token' && (data.to == 'bob' || data.from == 'carol')";
/// Without data, for what is compared action by action.
const PLAIN: &str = "action == 'onblock' || receiver == 'eosio.token' || receiver == 'alice'";

fn server(log: &Path, data: &Path, flags: &[&str]) -> Server {
    let source = format!("deep-mind:{}", text(log));
    let arguments = ["--source", &source, "--data-dir", text(data), "--grpc-listen", "127.0.0.1:0"];
    let mut server = Server::start(&[&arguments[..], flags].concat());
    server.wait_for("the source has no more blocks");
    server.wait_for(" ready");
    server
}

/// A log as a file, and its blocks of the best chain, in order.
fn chain(name: &str, folder: &Path) -> Option<(PathBuf, Vec<Arc<Block>>)> {
    let log = recorded::bytes(&format!("{name}/{name}.dmlog.zst"))?;
    let path = folder.join(format!("{name}.dmlog"));
    fs::write(&path, &log).unwrap();
    let mut reader = Reader::new(&log[..]);
    let mut all = BTreeMap::new();
    let mut head = None;
    while let Some(event) = reader.next_event().unwrap() {
        let Event::Block(block) = event else { continue };
        let block = Arc::new(Block::clone(&block));
        head = head.max(Some((block.number, block.id)));
        all.insert(block.id, block);
    }
    let mut blocks = vec![];
    let mut next = head.map(|(_, id)| id);
    while let Some(block) = next.and_then(|id| all.get(&id)) {
        blocks.push(block.clone());
        next = Some(block.header.previous);
    }
    blocks.reverse();
    Some((path, blocks))
}

/// An answer without what differs from request to request.
fn answer(server: &mut Server, path: &str) -> (u16, Value) {
    let answer = server.get(path);
    let mut json = answer.json();
    if let Some(members) = json.as_object_mut() {
        members.retain(|name, _| !["trace_id", "cursor"].contains(&name.as_str()));
    }
    (answer.status, json)
}

/// Requests about state: every table at several heights, and the chain's own record of accounts.
fn state_paths(blocks: &[Arc<Block>]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let numbers = [blocks.len() / 3, 2 * blocks.len() / 3, blocks.len() - 1].map(|at| blocks[at].number);
    for op in blocks.iter().flat_map(|block| block.row_operations()) {
        let table = format!("account={}&table={}&scope={}", op.code, op.table_name, op.scope);
        for number in numbers {
            paths.insert(format!("/v0/state/table?{table}&block_num={number}&json=true&with_block_num=true"));
        }
        paths.insert(format!("/v0/state/table_scopes?account={}&table={}", op.code, op.table_name));
        paths.insert(format!("/v0/state/abi?account={}&json=true", op.code));
    }
    for op in blocks.iter().flat_map(|block| block.permission_operations()) {
        let Some(permission) = &op.new_perm else { continue };
        paths.insert(format!("/v0/state/permission_links?account={}", permission.owner));
        for key in &permission.authority.keys {
            paths.insert(format!("/v0/state/key_accounts?public_key={}", key.public_key));
        }
    }
    paths
}

fn same_state(whole: &mut Server, part: &mut Server, blocks: &[Arc<Block>]) {
    let paths = state_paths(blocks);
    assert!(paths.len() > 50, "{}", paths.len());
    for path in paths {
        assert_eq!(answer(part, &path), answer(whole, &path), "{path}");
    }
}

/// Whether a transaction stays, by its block as it is kept.
fn left_out(filter: &Filter, block: &Block) -> BTreeMap<String, bool> {
    let mut filtered = block.clone();
    filter.apply(&mut filtered, &mut |_, _| Ok(None)).unwrap();
    let kept: BTreeSet<_> = filtered.transaction_traces().iter().map(|trace| trace.id).collect();
    block.transaction_traces().iter().map(|trace| (trace.id.to_string(), !kept.contains(&trace.id))).collect()
}

/// Every transaction: the same lifecycle, or that it was left out and how it ended.
fn same_transactions(whole: &mut Server, part: &mut Server, blocks: &[Arc<Block>], filter: &Filter) {
    let mut traces: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for block in blocks {
        for (id, is_out) in left_out(filter, block) {
            traces.entry(id).or_default().push(is_out);
        }
    }
    let (mut kept, mut out) = (0, 0);
    for (id, traces) in traces {
        let path = format!("/v0/transactions/{id}");
        let ((_, wanted), (status, found)) = (answer(whole, &path), answer(part, &path));
        if traces.iter().all(|is_out| !is_out) {
            assert_eq!((status, &found), (200, &wanted), "{id}");
            kept += 1;
        } else if traces.iter().all(|is_out| *is_out) && found["code"].is_string() {
            assert_eq!((status, &found["code"]), (404, &"data_trx_left_out_error".into()), "{found}");
            let details = &found["details"];
            assert_eq!(details["status"], wanted["transaction_status"], "{id}");
            let block = wanted["execution_trace"]["block_num"].clone();
            assert!(details["block_num"] == block || block.is_null(), "{id}: {found} {wanted}");
            assert!(details["filter"]["exclude"].is_string(), "{found}");
            out += 1;
        } else {
            assert_eq!((status, &found["transaction_status"]), (200, &wanted["transaction_status"]), "{id}");
        }
    }
    assert!(kept > 20 && out > 20, "{kept} {out}");
}

/// What plain code says with [`PLAIN`]: the actions that a search may find.
fn is_found(action: &ActionTrace) -> bool {
    let text = |name: Name| name.to_string();
    let (receiver, account, name) = (text(action.receiver), text(action.action.account), text(action.action.name));
    let excluded = name == "onblock" || receiver == "eosio.token" || receiver == "alice";
    !excluded || (&*receiver, &*account, &*name) == ("eosio", "eosio", "setabi")
}

fn is_searched(trace: &TransactionTrace) -> bool {
    !trace.is_reverted()
}

/// Searches by receiver find the same, but for actions that are left out.
fn same_searches(part: &mut Server, blocks: &[Arc<Block>]) {
    let mut receivers: BTreeMap<String, Vec<(String, Vec<u64>)>> = BTreeMap::new();
    for trace in blocks.iter().flat_map(|block| block.transaction_traces()).filter(|trace| is_searched(trace)) {
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for action in trace.action_traces.iter().filter(|action| action.receipt.is_some() && is_found(action)) {
            found.entry(action.receiver.to_string()).or_default().push(action.execution_index.into());
        }
        for (receiver, mut actions) in found {
            actions.sort_unstable();
            receivers.entry(receiver).or_default().push((trace.id.to_string(), actions));
        }
    }
    assert!(receivers.len() > 5 && !receivers.contains_key("alice"));
    for (receiver, wanted) in receivers {
        let path = format!(
            "/v0/search/transactions?q=receiver:{receiver}&start_block=0&sort=asc&limit=100&with_reversible=true"
        );
        let found = part.get(&path).json();
        assert_eq!(found["filtered"], true);
        let found: Vec<_> = found["transactions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                let actions =
                    it["action_idx"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).collect::<Vec<_>>();
                (it["lifecycle"]["id"].as_str().unwrap().to_owned(), actions)
            })
            .collect();
        assert_eq!(found[..], wanted[..wanted.len().min(100)], "{receiver}");
        let document = format!(
            "{{searchTransactionsForward(query:%22receiver:{receiver}%22){{filtered%20results{{filtered%20trace{{id%20\
             matchingActions{{executionIndex}}}}}}}}searchCount(query:%22receiver:{receiver}%22){{filtered%20transactions}}}}"
        );
        let answer = part.get(&format!("/graphql?query={document}")).json();
        let (page, count) = (&answer["data"]["searchTransactionsForward"], &answer["data"]["searchCount"]);
        assert_eq!((&page["filtered"], &count["filtered"]), (&true.into(), &true.into()), "{answer}");
        assert_eq!(count["transactions"], wanted.len().to_string());
        let results = page["results"].as_array().unwrap().iter().map(|it| {
            assert_eq!(it["filtered"], true, "{it}");
            let actions = it["trace"]["matchingActions"].as_array().unwrap().iter();
            let actions = actions.map(|action| action["executionIndex"].as_u64().unwrap()).collect();
            (it["trace"]["id"].as_str().unwrap().to_owned(), actions)
        });
        assert_eq!(results.collect::<Vec<_>>(), wanted[..wanted.len().min(100)], "{receiver}");
    }
    let none = part.get("/v0/search/count?q=receiver:alice&with_reversible=true").json();
    assert_eq!((&none["actions"], &none["filtered"]), (&0.into(), &true.into()), "{none}");
}

#[test]
fn a_filtered_chain_is_the_whole_one_without_what_is_left_out() {
    let folder = TempDir::new().unwrap();
    for name in ["small", "fork"] {
        let Some((log, blocks)) = chain(name, folder.path()) else { return };
        let data = |which: &str| folder.path().join(format!("{name}-{which}"));
        let mut whole = server(&log, &data("whole"), &[]);
        let mut part = server(&log, &data("part"), &["--exclude", PLAIN]);
        same_state(&mut whole, &mut part, &blocks);
        same_transactions(&mut whole, &mut part, &blocks, &Filter::new("", PLAIN, SYSTEM_ACTIONS).unwrap());
        same_searches(&mut part, &blocks);
        let (_, covered) = answer(&mut part, "/v0/coverage");
        assert_eq!((&covered["filters"][0]["exclude"], &covered["state"]["complete"]), (&PLAIN.into(), &true.into()));
        assert!(answer(&mut whole, "/v0/coverage").1.get("filters").is_none());
        for block in blocks.iter().step_by(37) {
            let path = format!("/v0/blocks/{}", block.id);
            assert_eq!(answer(&mut part, &path), answer(&mut whole, &path), "{path}");
        }
        // Who follows it has the same chain, and says so.
        let endpoint = format!("firehose:{}", part.grpc_address());
        let follows =
            ["--source", &endpoint, "--data-dir", text(&data("follower")), "--exit-at-end"].map(str::to_owned);
        let mut follower = Server::start(&follows.each_ref().map(String::as_str));
        follower.wait_for("all blocks are indexed");
        assert_eq!(follower.wait().code(), Some(0), "{:#?}", follower.log);
        part.stop();
        whole.stop();
        let mut part = server(&log, &data("part"), &["--exclude", PLAIN]);
        let blocks_of = |which: &str| format!("blocks:{}", text(&data(which).join("blocks")));
        let follows = ["--source", &blocks_of("part"), "--data-dir", text(&data("follower"))].map(str::to_owned);
        let mut follower = Server::start(&follows.each_ref().map(String::as_str));
        follower.wait_for(" ready");
        same_state(&mut part, &mut follower, &blocks);
        assert_eq!(answer(&mut follower, "/v0/coverage").1["filters"], answer(&mut part, "/v0/coverage").1["filters"]);
        follower.stop();
        part.stop();
        assert_sound(&data("part"));
    }
}

#[test]
fn data_decides_at_each_branch() {
    let folder = TempDir::new().unwrap();
    for name in ["small", "fork"] {
        let Some((log, blocks)) = chain(name, folder.path()) else { return };
        let data = |which: &str| folder.path().join(format!("{name}-{which}"));
        let mut whole = server(&log, &data("whole"), &[]);
        let mut part = server(&log, &data("part"), &["--exclude", EXCLUDE]);
        same_state(&mut whole, &mut part, &blocks);
        // What is kept is what a search with the same words does not find.
        let count = |server: &mut Server, query: &str| {
            let answer = server.get(&format!("/v0/search/count?q={query}&with_reversible=true")).json();
            answer["actions"].as_u64().unwrap()
        };
        let spam = "account:eosio.token%20(data.to:bob%20OR%20data.from:carol)";
        assert_eq!(count(&mut part, spam), 0);
        let all = count(&mut whole, "-action:onblock");
        assert_eq!(count(&mut part, "-action:onblock"), all - count(&mut whole, spam));
        part.stop();
        // Again over what was stored, with ABIs from the indexes, and the same for a store that is built in two runs.
        let mut part = server(&log, &data("part"), &["--exclude", EXCLUDE]);
        same_state(&mut whole, &mut part, &blocks);
        part.stop();
        whole.stop();
        assert_sound(&data("part"));
    }
}

fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dfuse")).arg("tools").args(arguments).output().unwrap()
}

#[test]
fn a_filter_changes_for_later_blocks_only() {
    let folder = TempDir::new().unwrap();
    let Some((log, blocks)) = chain("small", folder.path()) else { return };
    let data = folder.path().join("data");
    let head = blocks.last().unwrap().number;
    let source = format!("deep-mind:{}", text(&log));
    let start = ["--source", &source, "--data-dir", text(&data), "--exit-at-end"];
    let filtered = |exclude: &str| {
        [&start[..], &["--exclude", exclude]].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |arguments: &[String]| Server::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    run(&filtered("receiver == "))
        .fails(2, "setting \"filter.exclude\": expected a value, got the end at column 11 in \"receiver ==\"");
    run(&filtered("reciever == 'x'")).fails(2, "setting \"filter.exclude\": there is no \"reciever\"");
    let mut first = run(&filtered("receiver == 'alice'"));
    assert_eq!(first.wait().code(), Some(0), "{:#?}", first.log);
    // Another one, and none.
    let advice = format!("set filter.exclude = \"receiver == 'alice';;;#{};receiver == 'bob'\"", head + 1);
    run(&filtered("receiver == 'bob'")).fails(2, &advice);
    Server::start(&start).fails(2, "blocks that are stored stay as they are");
    let changed = format!("receiver == 'alice';;;#{};receiver == 'bob'", head + 1);
    for exclude in [&*changed, "receiver == 'alice'"] {
        let mut again = run(&filtered(exclude));
        assert_eq!(again.wait().code(), Some(0), "{:#?}", again.log);
    }
    // The indexes are built of blocks that are filtered already.
    assert!(tool(&["reindex", "--data-dir", text(&data)]).status.success());
    assert_sound(&data);
    let unfiltered = folder.path().join("unfiltered");
    assert!(tool(&["merge", text(&log), text(&unfiltered)]).status.success());
    let compared = tool(&["compare-blocks", text(&unfiltered), text(&data.join("blocks"))]);
    let told = String::from_utf8_lossy(&compared.stdout).into_owned();
    assert!(compared.status.code() == Some(1) && told.contains("filter"), "{told}");
    // A store is filtered alike without a server, and what is written anew into it must be, too.
    let merged = folder.path().join("merged");
    let exclude = ["--exclude", "receiver == 'alice'"];
    assert!(tool(&[&["merge", text(&log), text(&merged)], &exclude[..]].concat()).status.success());
    assert!(tool(&["compare-blocks", text(&merged), text(&data.join("blocks"))]).status.success());
    let bundle = data.join("blocks/merged-blocks/0000000100.dbin.zst");
    fs::remove_file(&bundle).unwrap();
    let blocks_of_data = data.join("blocks");
    let mend = ["merge", "--mend", text(&log), text(&blocks_of_data)];
    let refused = tool(&mend);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && why.contains("exclude \"receiver == 'alice'\""), "{why}");
    assert!(tool(&[&mend[..], &exclude[..]].concat()).status.success());
    assert!(bundle.exists());
    assert_sound(&data);
    // By block: from a boundary on, and both are told.
    let data = folder.path().join("boundary");
    let exclude = "receiver == 'alice';;;#100;action == 'onblock';;;#200;";
    let mut server = server(&log, &data, &["--exclude", exclude]);
    let filters = answer(&mut server, "/v0/coverage").1["filters"].clone();
    let told: Vec<_> =
        filters.as_array().unwrap().iter().map(|it| (it["from_block"].as_u64(), it["exclude"].as_str())).collect();
    assert_eq!(
        told,
        [(Some(2), Some("receiver == 'alice'")), (Some(100), Some("action == 'onblock'")), (Some(200), None)]
    );
    let count = |server: &mut Server, query: &str| {
        let path = format!("/v0/search/count?q={query}&with_reversible=true");
        server.get(&path).json()["actions"].as_u64().unwrap()
    };
    assert_eq!(count(&mut server, "action:onblock%20block_num:100-199"), 0);
    assert!(count(&mut server, "action:onblock%20block_num:200-210") > 0);
    server.stop();
    assert_sound(&data);
}

#[test]
fn roles_that_cannot_filter_refuse_to() {
    let store = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    let start = |roles: &str, exclude: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfuse"));
        command.args(["start", "--roles", roles, "--exclude", exclude, "--listen", "127.0.0.1:0"]);
        command.env("DFUSE_MACHINES__NAME", "a").env("DFUSE_BLOCKS__STORE", text(store.path()));
        Server::spawn(&mut command)
    };
    start("index", "notif").fails(2, "which filter them: set filter.include and filter.exclude there");
    start("ingest", "data.to == 'bob'").fails(2, "leave data out of filter.include");
    command.args(["start", "--listen", "127.0.0.1:0"]).env("DFUSE_FILTER__SYSTEM", "nothing");
    Server::spawn(&mut command).fails(2, "setting \"filter.system\": there is no \"nothing\"");
}

/// A store as programs without our fields write it.
async fn foreign_store(place: &Path, blocks: &[Arc<Block>]) {
    let store = BlockStore::open(text(place), StoreOptions::default()).unwrap();
    let mut merger = Merger::open(store, 2, "theirs").await.unwrap();
    let filter = Filter::new("", PLAIN, SYSTEM_ACTIONS).unwrap();
    let mut writer = ReverseWriter::new();
    for block in blocks {
        let mut block = Block::clone(block);
        // They begin to filter later.
        if block.number >= 150 {
            filter.apply(&mut block, &mut |_, _| Ok(None)).unwrap();
            (block.state_history, block.left_out) = (None, vec![]);
        }
        merger.push(EncodedBlock::encode(&block, &mut writer).unwrap()).await.unwrap();
    }
    merger.finish().await.unwrap();
}

#[test]
fn what_others_left_out_is_not_known_and_said() {
    let folder = TempDir::new().unwrap();
    let Some((_, blocks)) = chain("small", folder.path()) else { return };
    let store = folder.path().join("store");
    tokio::runtime::Runtime::new().unwrap().block_on(foreign_store(&store, &blocks));
    let source = format!("blocks:{}", text(&store));
    let mut server = Server::start(&["--source", &source, "--data-dir", text(&folder.path().join("data"))]);
    server.wait_for(" ready");
    let table = "/v0/state/table?account=eosio.token&table=stat&scope=SYS";
    let (status, error) = answer(&mut server, table);
    assert_eq!((status, &error["code"]), (404, &"app_state_unavailable_error".into()), "{error}");
    let details = &error["details"];
    assert_eq!((&details["reason"], &details["filter"]["exclude"]), (&"filtered_blocks".into(), &PLAIN.into()));
    assert!(details["first_block_num"].as_u64().unwrap() >= 150, "{details}");
    // Before that all is known.
    assert_eq!(answer(&mut server, &format!("{table}&block_num=149")).0, 200);
    let (_, covered) = answer(&mut server, "/v0/coverage");
    assert_eq!((&covered["state"]["complete"], &covered["filters"][0]["exclude"]), (&false.into(), &PLAIN.into()));
    let kept = blocks[200..]
        .iter()
        .flat_map(|block| block.transaction_traces())
        .find(|trace| is_searched(trace) && trace.action_traces.iter().all(is_found));
    assert_eq!(answer(&mut server, &format!("/v0/transactions/{}", kept.unwrap().id)).0, 200);
    server.wait_until("/healthz", |health| health.json()["warnings"]["filter"].is_string());
    server.stop();
}
