//! Looking after a node that runs: is it up, does it hang, is a snapshot due.

use std::{path::PathBuf, sync::Arc, time::Duration};

use dfuse_antelope::Checksum256;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tracing::{debug, info, warn};

use super::{
    output::Output,
    shared::{Node, Shared},
    snapshots::{list, prune},
};
use crate::{
    Queue,
    rpc::{Info, NodeClient, NodeOptions, RpcError, Snapshot},
};

/// How long a node may take to say how it is.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a snapshot may take: it is answered when its block is final.
const SNAPSHOT: Duration = Duration::from_secs(3600);
/// While a node catches up, time between two snapshots.
const CATCHING_UP_SNAPSHOTS: Duration = Duration::from_secs(3600);
/// A node whose head is not older than this follows the chain.
const LIVE_AGE: Duration = Duration::from_secs(60);
/// How long a node may stay behind a supervised peer before it is connected again.
const BEHIND: Duration = Duration::from_secs(10);
/// How long a node that makes blocks waits for those that only its followers have.
const CATCH_UP: Duration = Duration::from_secs(20);

/// What was found at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    Hangs,
    OtherChain { found: Checksum256, wanted: Checksum256 },
}

pub(super) struct Monitor<'a> {
    shared: &'a Shared,
    node: &'a Node,
    client: NodeClient,
    snapshots: PathBuf,
    output: Arc<Output>,
    /// When it first answered in this run.
    up_since: Option<Instant>,
    /// How long it has neither answered nor written anything.
    silent: Duration,
    /// Bytes and lines that it had written at the last look.
    written: (u64, u64),
    last_look: Instant,
    snapshot: Option<JoinHandle<Result<Snapshot, RpcError>>>,
    last_snapshot: (u32, Instant),
    /// How often the supervised peers had been started when it was last connected to them.
    connected: u64,
    /// Since when its head has stood still behind that of a peer.
    behind: Option<(u32, Instant)>,
    /// It makes no blocks until it has those of its followers.
    paused: bool,
}

impl<'a> Monitor<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        node: &'a Node,
        snapshots: PathBuf,
        output: Arc<Output>,
        paused: bool,
    ) -> Result<Self, RpcError> {
        let timeout = ANSWER.min(shared.options.hang_timeout / 2);
        let client = NodeClient::new(&node.http, NodeOptions { timeout, ..NodeOptions::default() })?;
        let now = Instant::now();
        Ok(Self {
            shared,
            node,
            client,
            snapshots,
            output,
            up_since: None,
            silent: Duration::ZERO,
            written: (0, 0),
            last_look: now,
            snapshot: None,
            last_snapshot: (node.status().snapshot, now),
            connected: shared.peers(node).map(|peer| peer.status().starts).sum(),
            behind: None,
            paused,
        })
    }

    /// Whether it has answered in this run.
    pub(super) fn was_up(&self) -> bool {
        self.up_since.is_some()
    }

    /// How long it has been up.
    pub(super) fn up_for(&self) -> Duration {
        self.up_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Waits until it is time, then asks the node how it is.
    pub(super) async fn look(&mut self, queue: Option<&Queue>) -> Verdict {
        sleep(self.shared.options.poll).await;
        self.finish_snapshot().await;
        match self.client.get_info().await {
            Ok(info) => {
                self.silent = Duration::ZERO;
                let wanted = *self.shared.chain_id.get_or_init(|| info.chain_id);
                if wanted != info.chain_id {
                    return Verdict::OtherChain { found: info.chain_id, wanted };
                }
                self.answered(&info).await;
            }
            Err(error) => {
                debug!(node = self.node.config.name, %error, "no answer");
                if self.hangs(queue) {
                    return Verdict::Hangs;
                }
            }
        }
        self.last_look = Instant::now();
        Verdict::Fine
    }

    /// Whether it has been silent for too long. A node is slow to come up, waits while its log is not taken, and does nothing
    /// else while it makes a snapshot.
    fn hangs(&mut self, queue: Option<&Queue>) -> bool {
        let log = queue.map(Queue::state).unwrap_or_default();
        let written = (log.total, self.output.count());
        let is_busy = written != self.written || log.is_full || self.snapshot.is_some() || !self.was_up();
        self.written = written;
        if is_busy {
            self.silent = Duration::ZERO;
            return false;
        }
        // If this process did not run either, that proves nothing.
        self.silent += self.last_look.elapsed().min(2 * (self.shared.options.poll + ANSWER));
        let seconds = self.silent.as_secs();
        self.node.update(|status| status.problem = Some(format!("it has not answered for {seconds} s")));
        self.silent >= self.shared.options.hang_timeout
    }

    async fn answered(&mut self, info: &Info) {
        let node = self.node;
        if self.up_since.is_none() {
            self.up_since = Some(Instant::now());
            let version = info.server_version_string.as_deref().unwrap_or("unknown");
            info!(node = node.config.name, version, head = info.head_block_num, "the node is up");
        }
        let problem = match self.paused {
            true => self.resume(info.head_block_num).await,
            false => self.look_at_peers(info.head_block_num).await,
        };
        node.update(|status| {
            status.is_up = true;
            status.problem = problem;
            status.head = info.head_block_num;
            status.lib = info.last_irreversible_block_num;
        });
        if self.snapshot.is_none() && self.is_snapshot_due(info) {
            info!(node = node.config.name, head = info.head_block_num, "the node makes a snapshot");
            let client = self.client.clone();
            self.snapshot = Some(tokio::spawn(async move { client.create_snapshot(SNAPSHOT).await }));
            self.last_snapshot = (info.head_block_num, Instant::now());
        }
    }

    fn is_snapshot_due(&self, info: &Info) -> bool {
        let (block, at) = self.last_snapshot;
        let every = self.shared.options.snapshot_blocks;
        if every == 0 || info.head_block_num < block.saturating_add(every) {
            return false;
        }
        let age = self.shared.clock.now().as_millis() as i64 - info.head_block_time.0 / 1000;
        age < LIVE_AGE.as_millis() as i64 || at.elapsed() >= CATCHING_UP_SNAPSHOTS
    }

    async fn finish_snapshot(&mut self) {
        let Some(finished) = self.snapshot.take_if(|task| task.is_finished()) else { return };
        let node = &self.node.config.name;
        match finished.await {
            Ok(Ok(snapshot)) => info!(node, block = snapshot.head_block_id.block_num(), "the node has made a snapshot"),
            Ok(Err(error)) => warn!(node, %error, "the node has made no snapshot"),
            Err(error) => warn!(node, %error, "the node has made no snapshot"),
        }
        if let Err(error) = prune(&self.snapshots, self.shared.options.snapshots_kept.max(1)) {
            warn!(node, %error, "old snapshots were not removed");
        }
        let newest = list(&self.snapshots).last().map_or(0, |snapshot| snapshot.number);
        self.node.update(|status| status.snapshot = newest);
    }

    /// Has the node make blocks again once it has those of its followers, or does not get them. Tells what it waits for.
    async fn resume(&mut self, head: u32) -> Option<String> {
        let node = &self.node.config.name;
        let missing =
            self.shared.followers(self.node).map(Node::status).find(|status| !status.is_up || status.head > head);
        if let Some(follower) = missing.filter(|_| self.up_for() < CATCH_UP) {
            return Some(format!("it makes no blocks until it has those of {}", follower.name));
        }
        match self.client.call::<serde_json::Value>("/v1/producer/resume", &serde_json::json!({})).await {
            Ok(_) => {
                info!(node, head, "the node makes blocks again");
                self.paused = false;
                None
            }
            Err(error) => {
                warn!(node, %error, "the node does not make blocks again, it is told once more");
                Some(format!("it cannot be told to make blocks again: {error}"))
            }
        }
    }

    /// Connects the node to a supervised peer that was started again, which it would do by itself after half a minute, and to
    /// one that it has fallen behind. Tells if it is behind.
    async fn look_at_peers(&mut self, head: u32) -> Option<String> {
        let peers: Vec<_> = self.shared.peers(self.node).collect();
        let starts = peers.iter().map(|peer| peer.status().starts).sum();
        let ahead = peers.iter().find(|peer| peer.status().is_up && peer.status().head > head.saturating_add(20));
        if starts != self.connected && peers.iter().all(|peer| peer.status().is_up) {
            self.connected = starts;
            self.connect(&peers).await;
        }
        let ahead = ahead?;
        match self.behind {
            Some((stood, since)) if stood == head && since.elapsed() >= BEHIND => {
                self.behind = Some((head, Instant::now()));
                self.connect(&peers).await;
            }
            Some((stood, _)) if stood == head => {}
            _ => {
                self.behind = Some((head, Instant::now()));
                return None;
            }
        }
        let peer = ahead.status();
        Some(format!("it stands at block {head}, and its peer {} is at {}", peer.name, peer.head))
    }

    async fn connect(&self, peers: &[&Node]) {
        for address in peers.iter().filter_map(|peer| peer.p2p.as_ref()) {
            for call in ["/v1/net/disconnect", "/v1/net/connect"] {
                // A node without the plugin for this finds its peers by itself.
                if let Err(error) = self.client.call::<serde_json::Value>(call, address).await {
                    debug!(node = self.node.config.name, %error, "not connected");
                }
            }
        }
    }
}

impl Drop for Monitor<'_> {
    fn drop(&mut self) {
        if let Some(task) = &self.snapshot {
            task.abort();
        }
    }
}
