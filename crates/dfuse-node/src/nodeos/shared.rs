//! What is known of each node, to its own task and to those of others.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use dfuse_antelope::Checksum256;
use dfuse_blocks::Clock;
use tokio::sync::watch;

use super::{NodeConfig, NodeStatus, NodeosOptions, config::NodeSettings, output::Output};
use crate::Queue;

/// What the tasks of all nodes know.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: NodeosOptions,
    pub(super) nodes: Vec<Node>,
    pub(super) clock: Arc<dyn Clock>,
    /// The chain's id, once it is known.
    pub(super) chain_id: OnceLock<Checksum256>,
    /// Number of the block up to which all that the node logged is taken and final, once that is known; the greatest number
    /// if nothing was taken.
    pub(super) taken: watch::Sender<Option<u32>>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) config: NodeConfig,
    /// Its own address for peers, and those of the peers that it connects to.
    pub(super) p2p: Option<String>,
    pub(super) peers: Vec<String>,
    /// `http://host:port`.
    pub(super) http: String,
    /// Whether it makes blocks, and can be told to pause and to go on.
    pub(super) pausable: bool,
    status: Mutex<NodeStatus>,
    pub(super) queue: Mutex<Option<Queue>>,
    /// What it wrote in its last run.
    pub(super) output: Mutex<Arc<Output>>,
    pub(super) rewind: watch::Sender<Option<u32>>,
}

impl Node {
    pub(super) fn new(config: &NodeConfig, settings: &NodeSettings) -> Self {
        let problem = Some("it was not started yet".to_owned());
        Self {
            p2p: settings.p2p(),
            peers: settings.peers().collect(),
            pausable: settings.one("producer-name").is_some()
                && settings.has_plugin("eosio::producer_api_plugin")
                && !settings.is_on("pause-on-startup", false),
            http: format!("http://{}", settings.http().unwrap_or_default()),
            status: Mutex::new(NodeStatus { name: config.name.clone(), problem, ..NodeStatus::default() }),
            queue: Mutex::default(),
            output: Mutex::default(),
            rewind: watch::Sender::new(None),
            config: config.clone(),
        }
    }

    pub(super) fn follows(&self, peer: &Self) -> bool {
        peer.p2p.as_ref().is_some_and(|address| self.peers.contains(address))
    }

    /// Changes what is known of it.
    pub(super) fn update(&self, change: impl FnOnce(&mut NodeStatus)) {
        change(&mut lock(&self.status));
    }

    pub(super) fn status(&self) -> NodeStatus {
        let log = lock(&self.queue).as_ref().map(Queue::state);
        NodeStatus { log, ..lock(&self.status).clone() }
    }

    pub(super) fn fails(&self, problem: String) {
        self.update(|status| (status.is_up, status.problem) = (false, Some(problem)));
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing can panic while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The supervised nodes that a node connects to.
    pub(super) fn peers(&self, node: &Node) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|peer| node.follows(peer))
    }

    /// The supervised nodes that connect to a node.
    pub(super) fn followers(&self, node: &Node) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|follower| follower.follows(node))
    }
}
