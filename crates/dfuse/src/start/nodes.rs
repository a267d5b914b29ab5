//! Nodes that this process supervises: from settings to processes, and what is told of them.

use std::{sync::Arc, time::Duration};

use dfuse_antelope::Checksum256;
use dfuse_blocks::Clock;
use dfuse_node::{
    Queue, QueueState, Source,
    nodeos::{NodeConfig, NodeStatus, Nodeos, NodeosOptions},
};
use dfuse_query::NodeLogs;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use tokio::time::sleep;

use super::{
    conditions::Conditions,
    settings::{self, Settings},
};
use crate::{failure::usage, logging};

/// How often their state is told.
const REPORT: Duration = Duration::from_millis(250);

const UP: &str = "dfuse_node_up";
const STARTS: &str = "dfuse_node_starts_total";
const HEAD: &str = "dfuse_node_head_block_number";
const LIB: &str = "dfuse_node_lib_block_number";
const SNAPSHOT: &str = "dfuse_node_snapshot_block_number";
const QUEUE: &str = "dfuse_node_log_queue_bytes";
const QUEUE_FULL: &str = "dfuse_node_log_queue_full";
const LOG: &str = "dfuse_node_log_bytes";
const LOST_LINES: &str = "dfuse_log_lines_lost_total";

/// Starts the nodes of the configuration.
pub(crate) fn start(
    settings: &Settings,
    chain_id: Option<Checksum256>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<(Arc<Nodeos>, Source)> {
    let (nodes, source) =
        Nodeos::start(options(settings, chain_id)?, clock).map_err(|error| usage(error.to_string()))?;
    Ok((Arc::new(nodes), source))
}

fn options(settings: &Settings, chain_id: Option<Checksum256>) -> anyhow::Result<NodeosOptions> {
    let of = &settings.nodeos;
    if of.nodes.is_empty() {
        return Err(usage(
            "no node is configured; `dfuse init` writes a configuration, which `dfuse start` takes from ./dfuse.toml or \
             --config",
        ));
    }
    let nodes = of.nodes.iter().map(|node| config(of, node)).collect::<Result<_, _>>()?;
    let seconds = Duration::from_secs;
    let restart_pauses = (seconds(1).min(seconds(of.restart_pause_seconds)), seconds(of.restart_pause_seconds));
    Ok(NodeosOptions {
        nodes,
        genesis: settings.genesis.clone(),
        snapshot: of.snapshot.clone(),
        chain_id,
        queue_bytes: of.queue_mib << 20,
        max_line_bytes: of.max_line_mib << 20,
        restart_pauses,
        stop_timeout: seconds(of.stop_timeout_seconds),
        hang_timeout: seconds(of.hang_timeout_seconds.max(2)),
        snapshot_blocks: of.snapshot_blocks,
        snapshots_kept: of.snapshots_kept,
        restore: of.restore,
        ..NodeosOptions::default()
    })
}

fn config(all: &settings::Nodeos, node: &settings::Node) -> anyhow::Result<NodeConfig> {
    let settings::Node { name, deep_mind, binary, arguments, environment, peers, config_dir, data_dir } = node;
    if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter)) {
        return Err(usage(format!("\"{name}\" is no name for one of nodeos.nodes: use letters, digits, - and _")));
    }
    let variable = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        // The value may be secret.
        _ => Err(usage("nodeos.environment: each entry is written NAME=VALUE")),
    };
    let environment = all.environment.iter().chain(environment).map(variable).collect::<Result<_, _>>()?;
    Ok(NodeConfig {
        name: name.clone(),
        binary: binary.as_ref().unwrap_or(&all.binary).clone(),
        arguments: [all.arguments.as_slice(), arguments].concat(),
        environment,
        peers: peers.clone(),
        config_dir: config_dir.clone().unwrap_or_else(|| all.dir.join(name)),
        data_dir: data_dir.clone().unwrap_or_else(|| all.dir.join(name).join("data")),
        deep_mind: *deep_mind,
    })
}

/// The nodes, as operators look at them.
#[derive(Debug)]
pub(crate) struct Logs(pub(crate) Arc<Nodeos>);

impl NodeLogs for Logs {
    fn last_lines(&self, node: &str) -> Vec<String> {
        self.0.last_lines(node)
    }
}

/// Tells the state of nodes, of the log on standard input and of the own log, until it is dropped.
pub(crate) async fn report(nodes: Option<Arc<Nodeos>>, stdin: Option<Queue>, conditions: Arc<Conditions>) {
    describe(&conditions);
    loop {
        tell(nodes.as_deref(), stdin.as_ref(), &conditions);
        conditions.0.metrics().record(|| counter!(LOST_LINES).absolute(logging::lost_lines()));
        sleep(REPORT).await;
    }
}

/// Tells it once.
pub(crate) fn tell(nodes: Option<&Nodeos>, stdin: Option<&Queue>, conditions: &Conditions) {
    let queue = |node: &str, QueueState { bytes, total, is_full }| {
        gauge!(QUEUE, "node" => node.to_owned()).set(bytes as f64);
        gauge!(QUEUE_FULL, "node" => node.to_owned()).set(u32::from(is_full));
        gauge!(LOG, "node" => node.to_owned()).set(total as f64);
    };
    for status in nodes.map(Nodeos::status).unwrap_or_default() {
        let NodeStatus { name, is_up, problem, starts, head, lib, snapshot, log } = status;
        conditions.set(format!("node_{name}"), problem.map_or(Ok(()), Err));
        conditions.0.metrics().record(|| {
            gauge!(UP, "node" => name.clone()).set(u32::from(is_up));
            counter!(STARTS, "node" => name.clone()).absolute(starts);
            gauge!(HEAD, "node" => name.clone()).set(head);
            gauge!(LIB, "node" => name.clone()).set(lib);
            gauge!(SNAPSHOT, "node" => name.clone()).set(snapshot);
            if let Some(log) = log {
                queue(&name, log);
            }
        });
    }
    if let Some(stdin) = stdin {
        conditions.0.metrics().record(|| queue("stdin", stdin.state()));
    }
}

fn describe(conditions: &Conditions) {
    conditions.0.metrics().record(|| {
        describe_gauge!(UP, "1 if the node answers and follows the chain.");
        describe_counter!(STARTS, "How often the node was started.");
        describe_gauge!(HEAD, "Height of the node's head block.");
        describe_gauge!(LIB, "Height of the node's last irreversible block.");
        describe_gauge!(SNAPSHOT, "Height of the block of the node's newest snapshot.");
        describe_gauge!(QUEUE, "Bytes of the node's log that are read and not decoded yet.");
        describe_gauge!(QUEUE_FULL, "1 while the node waits because its log is not decoded fast enough.");
        describe_counter!(LOST_LINES, "Lines of the own log that were lost because standard error did not take them.");
        describe_gauge!(LOG, "Bytes of the node's log that were read, in its present run.");
    });
}
