//! Supervision of a program that behaves as nodeos does, as far as the supervisor sees: a shell script that prints a log.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::post};
use dfuse_blocks::SystemClock;
use dfuse_node::{
    Error, Source, SourceEvent,
    nodeos::{NodeConfig, NodeStatus, Nodeos, NodeosOptions},
};
use dfuse_testkit::synthetic::SyntheticChain;
use tempfile::TempDir;
use tokio::{net::TcpListener as AsyncListener, task::JoinHandle, time::sleep};

const BLOCKS: u32 = 60;
const CHAIN: &str = "11";

/// A program that plays nodeos, and the files around it.
struct Fake {
    folder: TempDir,
    http: SocketAddr,
    options: NodeosOptions,
}

impl Fake {
    /// `body` is shell script. `$DATA` is the data directory, `$LOG` a log of [`BLOCKS`] blocks, `$RUN` counts the starts.
    fn new(body: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        let mut log = Vec::new();
        SyntheticChain::builder().seed(1).blocks(BLOCKS).build().write_log(&mut log).unwrap();
        fs::write(path.join("log"), log).unwrap();
        let script = format!(
            "#!/bin/sh\nF={0}\nDATA=$F/data\nLOG=$F/log\nmkdir -p $DATA\necho x >> $F/runs\nRUN=$(wc -l < $F/runs)\n\
             echo \"$@\" >> $F/arguments\nwait_for_end() {{ while :; do sleep 0.02; done; }}\n{body}\n",
            path.display()
        );
        fs::write(path.join("nodeos"), script).unwrap();
        fs::set_permissions(path.join("nodeos"), fs::Permissions::from_mode(0o755)).unwrap();
        // An address of its own, so that no other test gets its port.
        static NEXT: AtomicU8 = AtomicU8::new(10);
        let host = format!("127.0.0.{}:0", NEXT.fetch_add(1, Ordering::Relaxed));
        let http = TcpListener::bind(host).unwrap().local_addr().unwrap();
        let config = format!(
            "plugin = eosio::chain_plugin\nplugin = eosio::http_plugin\nplugin = eosio::chain_api_plugin\n\
             plugin = eosio::producer_api_plugin\nhttp-server-address = {http}\ndeep-mind = true\n\
             api-accept-transactions = false\np2p-accept-transactions = false\n"
        );
        fs::write(path.join("config.ini"), config).unwrap();
        fs::write(path.join("genesis.json"), "{}").unwrap();
        let node = NodeConfig {
            name: "fake".to_owned(),
            binary: path.join("nodeos"),
            arguments: vec!["first".to_owned()],
            environment: vec![],
            peers: vec![],
            config_dir: path.to_owned(),
            data_dir: path.join("data"),
            deep_mind: true,
        };
        let options = NodeosOptions {
            nodes: vec![node],
            genesis: Some(path.join("genesis.json")),
            restart_pauses: (Duration::from_millis(10), Duration::from_millis(40)),
            poll: Duration::from_millis(20),
            hang_timeout: Duration::from_millis(200),
            snapshot_blocks: 0,
            ..NodeosOptions::default()
        };
        Self { folder, http, options }
    }

    fn start(&self) -> (Nodeos, Source) {
        Nodeos::start(self.options.clone(), Arc::new(SystemClock::new())).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The arguments of every start.
    fn arguments(&self) -> Vec<String> {
        fs::read_to_string(self.path("arguments")).unwrap().lines().map(str::to_owned).collect()
    }

    /// Answers as the node's HTTP API, from the time at which the process runs, as long as the flag is set.
    async fn answer(&self, chain_id: &str, head: u32) -> (JoinHandle<()>, Arc<AtomicBool>) {
        let answers = Arc::new(AtomicBool::new(true));
        let flag = answers.clone();
        let id = |first: &str| first.repeat(32);
        let info = serde_json::json!({
            "chain_id": id(chain_id),
            "head_block_num": head,
            "head_block_id": id("00"),
            "head_block_time": "2026-01-01T00:00:00.000",
            "head_block_producer": "eosio",
            "last_irreversible_block_num": head - 1,
            "last_irreversible_block_id": id("00"),
            "server_version_string": "v4.0.0",
        });
        let get_info = async move || {
            if !flag.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            info.to_string()
        };
        let app = Router::new().route("/v1/chain/get_info", post(get_info));
        let listener = AsyncListener::bind(self.http).await.unwrap();
        (tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }), answers)
    }
}

/// Waits until something is known of the only node.
async fn wait_for(nodes: &Nodeos, wanted: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
    loop {
        let status = nodes.status().remove(0);
        if wanted(&status) {
            return status;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// The log begins.
async fn begins(source: &mut Source) {
    let event = source.next().await.unwrap();
    assert!(matches!(event, Some(SourceEvent::LogBegins)), "{event:?}");
}

/// All blocks of the log come.
async fn all_blocks(source: &mut Source) {
    let mut numbers = Vec::new();
    while numbers.len() < BLOCKS as usize {
        match source.next().await.unwrap() {
            Some(SourceEvent::Block { encoded, .. }) => numbers.push(encoded.number()),
            Some(SourceEvent::AbiDump(_)) => {}
            other => panic!("{other:?} after {numbers:?}"),
        }
    }
    assert_eq!(numbers, (2..BLOCKS + 2).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_is_started_again() {
    let fake = Fake::new("cat $LOG\n[ $RUN -le 3 ] && exit 1\ntrap 'exit 0' TERM\nwait_for_end");
    let (nodes, mut source) = fake.start();
    for _ in 0..4 {
        begins(&mut source).await;
        all_blocks(&mut source).await;
    }
    assert_eq!(wait_for(&nodes, |status| status.starts == 4).await.problem.as_deref(), Some("it starts"));
    nodes.stop().await;
    assert!(source.next().await.unwrap().is_none());
    let arguments = fake.arguments();
    assert_eq!(arguments.len(), 4);
    let wanted = format!(
        "first --data-dir {0}/data --config-dir {0} --genesis-json {0}/genesis.json",
        fake.folder.path().display()
    );
    assert_eq!(arguments[0], wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_logs_while_it_stops_is_taken() {
    let fake = Fake::new("trap 'cat $LOG; echo done > $F/stopped; exit 0' TERM\necho > $F/ready\nwait_for_end");
    let (nodes, mut source) = fake.start();
    begins(&mut source).await;
    while !fake.path("ready").exists() {
        sleep(Duration::from_millis(5)).await;
    }
    let rest = async {
        all_blocks(&mut source).await;
        assert!(source.next().await.unwrap().is_none());
    };
    tokio::join!(nodes.stop(), rest);
    assert!(fake.path("stopped").exists());
    assert_eq!(nodes.status()[0].problem.as_deref(), Some("it was stopped"));
    assert_eq!(fs::read_to_string(fake.path("data/dfuse.pid")).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_is_started_again() {
    let fake = Fake::new("trap 'exit 0' TERM\ncat $LOG\nwait_for_end");
    let (nodes, mut source) = fake.start();
    begins(&mut source).await;
    all_blocks(&mut source).await;
    let (server, answers) = fake.answer(CHAIN, 9).await;
    let status = wait_for(&nodes, |status| status.is_up).await;
    assert_eq!((status.head, status.lib, status.problem), (9, 8, None));
    assert_eq!(nodes.chain_id().await.unwrap().to_string(), CHAIN.repeat(32));
    // Its address must be free when it is started again.
    server.abort();
    answers.store(false, Ordering::Relaxed);
    wait_for(&nodes, |status| status.starts == 2).await;
    begins(&mut source).await;
    all_blocks(&mut source).await;
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_chain_is_refused() {
    let mut fake = Fake::new("trap 'exit 0' TERM\nwait_for_end");
    fake.options.chain_id = Some("22".repeat(32).parse().unwrap());
    let (nodes, mut source) = fake.start();
    wait_for(&nodes, |status| status.starts == 1).await;
    let _server = fake.answer(CHAIN, 9).await;
    assert!(matches!(source.next().await, Ok(Some(SourceEvent::LogBegins))));
    let error = source.next().await.unwrap_err().to_string();
    assert!(error.contains("it follows the chain 1111") && error.contains("of chain 2222"), "{error}");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclean_state_is_made_anew() {
    let fake = Fake::new(
        "if [ -e $DATA/state ]; then echo 'error 2026-01-01T00:00:00.000 nodeos main.cpp:390 try_exec ] database dirty flag set \
         (likely due to unclean shutdown): replay required' >&2; exit 2; fi\ntrap 'exit 0' TERM\ncat $LOG\nwait_for_end",
    );
    fs::create_dir_all(fake.path("data/state")).unwrap();
    fs::create_dir_all(fake.path("data/snapshots")).unwrap();
    fs::create_dir_all(fake.path("data/blocks")).unwrap();
    fs::write(fake.path("data/blocks/blocks.log"), [3, 0, 0, 0, 1, 0, 0, 0]).unwrap();
    let name = |number: u32| format!("data/snapshots/snapshot-{number:08x}{}.bin", "0".repeat(56));
    for number in [10, 20, 30] {
        fs::write(fake.path(&name(number)), "").unwrap();
    }
    let (nodes, mut source) = fake.start();
    // Block 25 is final and taken: a later state would leave blocks out.
    nodes.set_taken(Some(25));
    begins(&mut source).await;
    for number in [12, 5] {
        begins(&mut source).await;
        all_blocks(&mut source).await;
        nodes.rewind(number).unwrap();
    }
    begins(&mut source).await;
    all_blocks(&mut source).await;
    wait_for(&nodes, |status| status.starts == 4).await;
    nodes.stop().await;
    let arguments = fake.arguments();
    assert!(!arguments[0].contains("--snapshot"));
    assert!(arguments[1].ends_with(&format!("--snapshot {}", fake.path(&name(20)).display())), "{arguments:?}");
    assert!(arguments[2].ends_with(&format!("--snapshot {}", fake.path(&name(10)).display())), "{arguments:?}");
    assert!(!arguments[3].contains("--snapshot") && !arguments[3].contains("genesis"), "{arguments:?}");

    fs::write(fake.path("data/blocks/blocks.log"), [3, 0, 0, 0, 8, 0, 0, 0]).unwrap();
    let (nodes, _source) = fake.start();
    let error = nodes.rewind(5).unwrap_err().to_string();
    assert!(error.contains("its blocks begin at 8"), "{error}");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_waits_when_its_log_is_not_taken() {
    let fake = Fake::new(
        "trap 'exit 0' TERM\nfor i in 1 2 3 4 5 6 7 8; do cat $LOG; done\necho done > $F/written\nwait_for_end",
    );
    // Far more than the queue, the decoder and the pipe hold.
    let mut log = fs::read(fake.path("log")).unwrap();
    log.extend(b"DMLOG UNKNOWN x\n".repeat(200_000));
    fs::write(fake.path("log"), &log).unwrap();
    let mut options = fake.options.clone();
    options.queue_bytes = 1 << 20;
    let (nodes, mut source) = Nodeos::start(options, Arc::new(SystemClock::new())).unwrap();
    wait_for(&nodes, |status| status.log.is_some_and(|log| log.is_full)).await;
    assert!(!fake.path("written").exists());
    begins(&mut source).await;
    let mut count = 0;
    while count < 8 * BLOCKS {
        if let Some(SourceEvent::Block { .. }) = source.next().await.unwrap() {
            count += 1;
        }
    }
    while !fake.path("written").exists() {
        sleep(Duration::from_millis(5)).await;
    }
    let total = nodes.status()[0].log.unwrap().total;
    assert!(total > 7 * log.len() as u64);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_mended_is_said() {
    let fake = Fake::new(
        "echo \"std::exception::what: Unknown option '--nonsense' passed as command line argument\" >&2\nexit 254",
    );
    let (nodes, mut source) = fake.start();
    assert!(matches!(source.next().await, Ok(Some(SourceEvent::LogBegins))));
    let Error::Node { node, why } = source.next().await.unwrap_err() else { panic!() };
    assert!(node == "fake" && why.contains("--nonsense"), "{why}");
    nodes.stop().await;

    let taken = TcpListener::bind(fake.http).unwrap();
    let (nodes, mut source) = fake.start();
    let error = source.next().await.unwrap_err().to_string();
    assert!(error.contains(&format!("its address {} is in use", fake.http)), "{error}");
    drop(taken);
    nodes.stop().await;

    let start = |change: &dyn Fn(&mut NodeosOptions)| {
        let mut options = fake.options.clone();
        change(&mut options);
        Nodeos::start(options, Arc::new(SystemClock::new())).unwrap_err().to_string()
    };
    assert!(start(&|options| options.nodes[0].binary = "/no/nodeos".into()).contains("there is no program /no/nodeos"));
    assert!(start(&|options| options.nodes[0].deep_mind = false).contains("exactly one"));
    let twice = |options: &mut NodeosOptions| {
        let mut second = options.nodes[0].clone();
        second.deep_mind = false;
        options.nodes.push(second);
    };
    assert!(start(&twice).contains("two of nodeos.nodes have the name \"fake\""));

    fs::remove_file(fake.path("genesis.json")).unwrap();
    let mut options = fake.options.clone();
    options.genesis = None;
    let (nodes, mut source) = Nodeos::start(options, Arc::new(SystemClock::new())).unwrap();
    let error = source.next().await.unwrap_err().to_string();
    assert!(error.contains("nothing to begin with"), "{error}");
    nodes.stop().await;
}
