//! Contracts of a recorded chain on a chain of our own: exported at several heights, booted on a real node, compared with what the recorded
//! chain had, and used.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use dfuse_antelope::{Checksum256, Name};
use dfuse_node::rpc::NodeClient;
use dfuse_ship::{Permission, SecondaryRow, Snapshot, SnapshotRow};
use dfuse_testkit::recorded;
use serde_json::{Value, json};
use support::{
    Server,
    nodes::{KEY, PUBLIC_KEY, RealChain, RealNode, abi, answers, transfer, until},
    proxy::Proxy,
    text,
};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// Nodes have to make their blocks in time: one chain is enough for two cores.
static ALONE: Mutex<()> = Mutex::const_new(());

const LOG: &str = "small/small.dmlog.zst";
const SNAPSHOT: &str = "snapshots/small-345.bin.zst";
/// Those with secondary indexes of every kind are `dbtest`, `multidx`, `noauth`, `snaptest` and `tabletest`; `ramtest` has a table in the
/// empty scope.
const ACCOUNTS: &str = "alice,bob,carol,dbtest,defertest,eosio.msig,eosio.token,integ,multidx,nested,noauth,payload,proxyacct,\
                        ramtest,snaptest,tabletest";

fn accounts() -> BTreeSet<Name> {
    ACCOUNTS.split(',').map(|name| name.parse().unwrap()).collect()
}

fn dfuse(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dfuse")).args(arguments).output().unwrap()
}

/// Runs `dfuse boot`; what it said.
fn boot(file: &Path, node: &RealNode) -> String {
    let output = dfuse(&["boot", text(file), "--node", node.client.url()]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert!(!log.contains(KEY));
    log
}

/// The recorded chain in a data directory.
fn data_dir(folder: &Path) -> Option<PathBuf> {
    let log = recorded::find(LOG)?;
    let data = folder.join("data");
    let source = format!("deep-mind:{}", log.display());
    let output =
        dfuse(&["start", "--listen", "127.0.0.1:0", "--source", &source, "--data-dir", text(&data), "--exit-at-end"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(data)
}

/// Exports the accounts into a directory of that name.
fn export(data: &Path, name: &str, arguments: &[&str]) -> (PathBuf, Value) {
    let directory = data.with_file_name(name);
    let mut all = vec!["tools", "export", text(&directory), "--data-dir", text(data), "--accounts", ACCOUNTS];
    all.extend(arguments);
    let output = dfuse(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = fs::read(directory.join("export.json")).unwrap();
    (directory, serde_json::from_slice(&told).unwrap())
}

/// Contract, table, scope and primary key.
type Key = (Name, Name, Name, u64);

/// What a snapshot has of the accounts.
#[derive(Debug, Default, PartialEq)]
struct State {
    /// Payer and bytes.
    rows: BTreeMap<Key, (Name, Vec<u8>)>,
    /// The same of secondary indexes.
    entries: BTreeMap<Key, SecondaryRow>,
    abis: BTreeMap<Name, Vec<u8>>,
    code: BTreeMap<Name, Checksum256>,
    /// By account and name.
    permissions: BTreeMap<(Name, Name), Permission>,
    links: BTreeSet<(Name, Name, Name, Name)>,
}

impl State {
    fn read(content: impl Read) -> Self {
        let wanted = accounts();
        let mut state = Self::default();
        let mut snapshot = Snapshot::open(content).unwrap();
        while snapshot.next_section().unwrap().is_some() {
            while let Some(row) = snapshot.next_row().unwrap() {
                match row {
                    SnapshotRow::Contract(row) if wanted.contains(&row.code) => {
                        let key = (row.code, row.table, row.scope, row.primary_key);
                        state.rows.insert(key, (row.payer, row.value.to_vec()));
                    }
                    SnapshotRow::Secondary(row) if wanted.contains(&row.code) => {
                        state.entries.insert((row.code, row.table, row.scope, row.primary_key), row);
                    }
                    SnapshotRow::Account(account) if wanted.contains(&account.name) => {
                        state.abis.insert(account.name, account.abi.to_vec());
                    }
                    SnapshotRow::AccountMetadata(account) if wanted.contains(&account.name) => {
                        let hash = account.code.map_or(Checksum256::default(), |code| code.hash);
                        state.code.insert(account.name, hash);
                    }
                    SnapshotRow::Permission(permission) if wanted.contains(&permission.owner) => {
                        state.permissions.insert((permission.owner, permission.name), with_our_key(permission));
                    }
                    SnapshotRow::PermissionLink(link) if wanted.contains(&link.account) => {
                        state.links.insert((link.account, link.code, link.action, link.required_permission));
                    }
                    _ => {}
                }
            }
        }
        state
    }

    /// Of a node, with all that was pushed so far.
    async fn of(node: &RealNode) -> Self {
        let head = async || -> u64 {
            let info: Value = node.client.call("/v1/chain/get_info", &json!({})).await.unwrap();
            info["head_block_num"].as_u64().unwrap()
        };
        // What was pushed last is in the block that is being made.
        let before = head().await;
        until("the next block", async || (head().await > before).then_some(())).await;
        let snapshot = node.client.create_snapshot(Duration::from_secs(60)).await.unwrap();
        Self::read(BufReader::new(File::open(snapshot.snapshot_name).unwrap()))
    }
}

/// What differs by design: times, and one key in the place of all.
fn with_our_key(mut permission: Permission) -> Permission {
    let authority = &mut permission.authority;
    authority.keys = vec![(PUBLIC_KEY.parse().unwrap(), authority.threshold.try_into().unwrap())];
    (permission.last_updated, permission.last_used) = Default::default();
    permission
}

/// A transfer by the contract as it was taken over.
async fn transfer_works(node: &RealNode, chain: &RealChain) {
    let balance = async |account: &str| -> i64 {
        let asked = json!({"code": "eosio.token", "account": account, "symbol": "SYS"});
        let balance: Value = node.client.call("/v1/chain/get_currency_balance", &asked).await.unwrap();
        balance[0].as_str().unwrap().replace([' ', '.', 'S', 'Y'], "").parse().unwrap()
    };
    let before = [balance("alice").await, balance("bob").await];
    let token = abi(&chain.contract("eosio.token/eosio.token.abi"));
    let packed = transfer(&node.client, &token, 60, "at home").await;
    node.client.push_transaction(&packed).await.unwrap();
    assert_eq!([balance("alice").await, balance("bob").await], [before[0] - 10_000, before[1] + 10_000]);
}

/// All of the chain's own snapshot at block 345: rows, payers, secondary keys of all kinds, code, ABIs, permissions and links.
#[tokio::test(flavor = "multi_thread")]
async fn contracts_are_at_home_what_they_were() {
    let _alone = ALONE.lock().await;
    let Some(chain) = RealChain::new() else { return };
    let folder = TempDir::new().unwrap();
    let (Some(data), Some(snapshot)) = (data_dir(folder.path()), recorded::find(SNAPSHOT)) else { return };
    let (directory, told) = export(&data, "home", &["--indexes", text(&snapshot)]);
    assert_eq!(told["block_num"], 345);
    for (account, told) in told["accounts"].as_object().unwrap() {
        // Those without a contract lack code and ABI.
        let missing = if told["code"].is_object() { 0 } else { 2 };
        assert_eq!(told["missing"].as_array().unwrap().len(), missing, "{account}: {told}");
    }
    let node = chain.producer("node", &["eosio"], &[]);
    answers(&node.client).await;
    let log = boot(&directory.join("bootseq.yaml"), &node);
    assert!(log.contains("the chain is booted"), "{log}");
    assert!(!directory.join("bootseq.state.progress.json").exists());
    let (wanted, found) = (State::read(recorded::open(SNAPSHOT).unwrap()), State::of(&node).await);
    assert!(wanted.entries.len() > 100 && wanted.permissions.len() > 30, "{wanted:#?}");
    let kinds: HashSet<_> = wanted.entries.values().map(|row| std::mem::discriminant(&row.key)).collect();
    assert_eq!(kinds.len(), 5);
    assert_eq!(found.rows, wanted.rows);
    assert_eq!(found.entries, wanted.entries);
    assert_eq!(found.abis, wanted.abis);
    assert_eq!(found.code, wanted.code);
    assert_eq!(found.permissions, wanted.permissions);
    assert_eq!(found.links, wanted.links);
    transfer_works(&node, &chain).await;
    assert!(boot(&directory.join("bootseq.yaml"), &node).contains("nothing to do"));
}

/// What the recorded node answered at its head, with indexes of its state history; and an earlier height without any.
#[tokio::test(flavor = "multi_thread")]
async fn every_height_is_taken_home() {
    let _alone = ALONE.lock().await;
    let Some(chain) = RealChain::new() else { return };
    let folder = TempDir::new().unwrap();
    let Some(data) = data_dir(folder.path()) else { return };
    let Some(files) = recorded::tar("small/ship-and-blocks.tar.zst") else { return };
    let history = folder.path().join("node");
    for member in files {
        let path = history.join(member.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, member.content).unwrap();
    }
    let recorded = recorded::json("small/answers.json.gz").unwrap();
    let node = chain.producer("node", &["eosio"], &[]);
    answers(&node.client).await;
    let (directory, _) = export(&data, "head", &["--block", "365", "--indexes", text(&history)]);
    boot(&directory.join("bootseq.yaml"), &node);
    compare_with_answers(&node.client, &recorded).await;
    transfer_works(&node, &chain).await;
    let entries = State::of(&node).await.entries.len();
    assert!(entries > 100, "{entries}");

    // Rows and permissions as they were; secondary indexes are said to be missing.
    let second = RealChain::new().unwrap();
    let node = second.producer("node", &["eosio"], &[]);
    answers(&node.client).await;
    let (directory, told) = export(&data, "early", &["--block", "150"]);
    assert!(told["accounts"]["multidx"]["missing"].to_string().contains("--indexes"), "{told}");
    let log = boot(&directory.join("bootseq.yaml"), &node);
    assert!(log.contains("they were not exported") && log.contains("account=multidx"), "{log}");
    let mut server = Server::start(&[
        "--data-dir",
        text(&data),
        "--source",
        &format!("deep-mind:{}", recorded::find(LOG).unwrap().display()),
    ]);
    server.wait_for("ready");
    let early = State::of(&node).await;
    let mut compared = 0;
    for ((code, table, scope, key), (payer, bytes)) in &early.rows {
        let row = server.get(&format!(
            "/v0/state/table/row?account={code}&table={table}&scope={scope}&primary_key={key}&key_type=uint64&block_num=150"
        ));
        let row = &row.json()["row"];
        assert_eq!(
            (&row["payer"], &row["hex"]),
            (&json!(payer), &json!(const_hex::encode(bytes))),
            "{code} {table} {scope} {key}"
        );
        compared += 1;
    }
    assert!(compared > 50 && early.entries.is_empty(), "{compared}");
    server.stop();
    transfer_works(&node, &second).await;
}

/// Rows, code, ABIs and permissions of the accounts, as the recorded node answered them.
async fn compare_with_answers(node: &NodeClient, recorded: &Value) {
    let accounts = accounts();
    let mut compared = 0;
    for (place, wanted) in recorded["raw_tables"].as_object().unwrap() {
        let [code, scope, table] = place.split('/').collect::<Vec<_>>()[..] else { panic!("{place}") };
        let Some(rows) = wanted["rows"].as_array().filter(|_| accounts.contains(&code.parse().unwrap())) else {
            continue;
        };
        let asked =
            json!({"code": code, "scope": scope, "table": table, "json": false, "show_payer": true, "limit": 1000});
        let found: Value = node.call("/v1/chain/get_table_rows", &asked).await.unwrap();
        assert_eq!(&found["rows"], &json!(rows), "{place}");
        compared += rows.len();
    }
    assert!(compared > 60, "{compared}");
    for account in &accounts {
        let name = account.to_string();
        let abi: Value = node.call("/v1/chain/get_abi", &json!({"account_name": name})).await.unwrap();
        assert_eq!(abi["abi"], recorded["abi"][&name]["abi"], "{name}");
        let hash: Value = node.call("/v1/chain/get_code_hash", &json!({"account_name": name})).await.unwrap();
        assert_eq!(hash["code_hash"], recorded["code_hash"][&name], "{name}");
        let found = node.get_account(*account).await.unwrap();
        let permissions = |of: &Value| -> Vec<Value> {
            let of_each = of.as_array().unwrap().iter().cloned();
            of_each
                .map(|mut permission| {
                    let threshold = permission["required_auth"]["threshold"].clone();
                    permission["required_auth"]["keys"] = json!([{"key": PUBLIC_KEY, "weight": threshold}]);
                    permission
                })
                .collect()
        };
        assert_eq!(
            permissions(&found["permissions"]),
            permissions(&recorded["account"][&name]["permissions"]),
            "{name}"
        );
    }
}

/// A run that is killed goes on where it was; no row is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_goes_on() {
    const ROWS: u64 = 60_000;
    let _alone = ALONE.lock().await;
    let Some(chain) = RealChain::new() else { return };
    let node = chain.producer("node", &["eosio"], &[]);
    answers(&node.client).await;
    let folder = TempDir::new().unwrap();
    let contract = folder.path().join("large");
    fs::create_dir_all(contract.join("tables")).unwrap();
    let row = |key: u64| json!({"scope": "large", "key": key.to_string(), "payer": "payer", "hex": const_hex::encode(key.to_le_bytes())});
    let rows: String = (0..ROWS).map(|key| format!("{}\n", row(key))).collect();
    fs::write(contract.join("tables/rows.jsonl"), rows).unwrap();
    let sequence = json!({"keys": {"boot": KEY}, "boot_sequence": [
        {"op": "system.newaccount", "data": {"creator": "eosio", "new_account": "large", "pubkey": "boot"}},
        {"op": "migration.inject", "data": {"account": "large", "data_dir": "large", "pubkey": "boot"}},
    ]});
    let file = folder.path().join("large.yaml");
    fs::write(&file, sequence.to_string()).unwrap();
    // Each answer of the node comes so late that the run lasts until it is killed.
    let between = Proxy::new();
    between.lead_to(node.client.url().trim_start_matches("http://"));
    between.slow_down(Duration::from_millis(10));
    let url = format!("http://{}", between.address());
    let mut dfuse = Command::new(env!("CARGO_BIN_EXE_dfuse"));
    let mut first = dfuse.args(["boot", text(&file), "--node", &url]).stderr(Stdio::piped()).spawn().unwrap();
    let progress = folder.path().join("large.state.progress.json");
    until("progress", async || (progress.exists() || first.try_wait().unwrap().is_some()).then_some(())).await;
    first.kill().unwrap();
    let said: Vec<_> = BufReader::new(first.stderr.take().unwrap()).lines().map_while(Result::ok).collect();
    first.wait().unwrap();
    assert!(progress.exists(), "{said:#?}");
    assert!(!said.iter().any(|line| line.contains("the chain is booted")), "{said:#?}");
    let log = boot(&file, &node);
    assert!(log.contains("going on where the last run broke off step=2"), "{log}");
    assert!(!progress.exists());
    let scopes: Value =
        node.client.call("/v1/chain/get_table_by_scope", &json!({"code": "large", "limit": 10})).await.unwrap();
    assert_eq!(scopes["rows"][0]["count"], ROWS, "{scopes}");
}

/// What is wrong is said before anything is done, or by the chain.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_injected_is_named() {
    let _alone = ALONE.lock().await;
    let Some(chain) = RealChain::new() else { return };
    let node = chain.producer("node", &["eosio"], &[]);
    answers(&node.client).await;
    let folder = TempDir::new().unwrap();
    let contract = folder.path().join("c");
    fs::create_dir_all(contract.join("tables")).unwrap();
    let fails = |data: Value| {
        let steps = [json!({"op": "migration.inject", "data": data})];
        let file = folder.path().join("sequence.yaml");
        fs::write(&file, json!({"keys": {"boot": KEY}, "boot_sequence": steps}).to_string()).unwrap();
        let output = dfuse(&["boot", text(&file), "--node", node.client.url()]);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let log = fails(json!({"account": "nobody", "data_dir": "none"}));
    assert!(log.contains("there is no directory") && log.contains("step 1 (migration.inject)"), "{log}");
    let log = fails(json!({"account": "nobody", "data_dir": "c"}));
    assert!(log.contains("there is no account nobody, and no \"pubkey\""), "{log}");
    let entry =
        json!({"table": "t", "scope": "s", "key": "1", "payer": "c", "kind": "double", "hex": "000000000000f87f"});
    fs::write(contract.join("indexes.jsonl"), format!("{entry}\n")).unwrap();
    // No chain has a key that is not a number.
    let log = fails(json!({"account": "c", "data_dir": "c", "pubkey": "boot"}));
    assert!(log.contains("1 entries of secondary indexes of table t") && log.contains("cannot be written"), "{log}");
    fs::remove_file(contract.join("indexes.jsonl")).unwrap();
    fs::write(contract.join("tables/t.jsonl"), "{\"scope\":1}\n").unwrap();
    let log = fails(json!({"account": "c", "data_dir": "c", "pubkey": "boot"}));
    assert!(log.contains("t.jsonl, line 1"), "{log}");
}

/// What is checked in is what the sources give.
#[test]
fn contracts_are_built_from_their_sources() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/boot/injector");
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let has = |program: &str| version(program).is_some_and(|version| version.contains("14.0.6"));
    if !has("clang") || !has("wasm-ld") {
        println!("skipped: no clang and lld 14.0.6, which Debian 12 has (apt-get install clang lld)");
        return;
    }
    let built = TempDir::new().unwrap();
    let output = Command::new(sources.join("build.sh")).arg(built.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in ["injector.wasm", "activator.wasm"] {
        assert!(
            fs::read(built.path().join(file)).unwrap() == fs::read(sources.join(file)).unwrap(),
            "{file} is not of its source"
        );
    }
}
