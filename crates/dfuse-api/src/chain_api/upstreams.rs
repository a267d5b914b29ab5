//! The nodes, and which of them are well.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dfuse_antelope::Checksum256;
use dfuse_blocks::{Clock, Entropy};
use dfuse_node::rpc::{Info, NodeClient, RpcError};
use dfuse_query::Chain;
use futures::future::join_all;
use metrics::gauge;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::ChainApiOptions;
use crate::{Api, metrics::UPSTREAM_UP};

/// How long a node that failed comes after the others, unless it is seen well before.
const PENALTY: Duration = Duration::from_secs(5);
/// How long a node may take to say that it is well.
const LOOK: Duration = Duration::from_secs(5);

/// All nodes that may be asked.
#[derive(Debug)]
pub(crate) struct Upstreams {
    /// Those that answer, then those that are only pushed to.
    nodes: Vec<Upstream>,
    answering: usize,
    next: AtomicUsize,
    chain_id: Option<Checksum256>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A node.
#[derive(Debug)]
pub(crate) struct Upstream {
    client: NodeClient,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// By [`Clock::elapsed`].
    down_until: Option<Duration>,
    /// What was seen last is a reason not to ask it, whatever it answers.
    unfit: Option<String>,
}

impl Upstream {
    pub(crate) fn client(&self) -> &NodeClient {
        &self.client
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstreams {
    pub(super) fn new(options: &ChainApiOptions, chain: &Chain) -> Self {
        let nodes = options.upstreams.iter().chain(&options.push_upstreams);
        let nodes = nodes.map(|client| Upstream { client: client.clone(), health: Mutex::default() });
        Self {
            nodes: nodes.collect(),
            answering: options.upstreams.len(),
            next: AtomicUsize::new(0),
            chain_id: chain.chain_id,
            clock: chain.clock.clone(),
            entropy: chain.entropy.clone(),
        }
    }

    /// Whether there is any to ask.
    pub(crate) fn any(&self) -> bool {
        self.answering > 0
    }

    /// All that answer: those that are well, each time another one first, then the rest.
    pub(crate) fn candidates(&self) -> Vec<&Upstream> {
        let answering = &self.nodes[..self.answering];
        let first = self.next.fetch_add(1, Ordering::Relaxed) % answering.len().max(1);
        let (behind, ahead) = answering.split_at(first);
        let in_turn = ahead.iter().chain(behind);
        let (mut well, ill): (Vec<_>, Vec<_>) = in_turn.partition(|node| self.is_well(node));
        well.extend(ill);
        well
    }

    /// Any of all nodes, of those that are well if there are such.
    pub(crate) fn random(&self) -> Option<&Upstream> {
        let well: Vec<_> = self.nodes.iter().filter(|node| self.is_well(node)).collect();
        let nodes = if well.is_empty() { self.nodes.iter().collect() } else { well };
        let mut bytes = [0; 8];
        // Without randomness the first one does.
        let _ = self.entropy.fill(&mut bytes);
        let at = u64::from_le_bytes(bytes) % (nodes.len().max(1) as u64);
        nodes.get(at as usize).copied()
    }

    fn is_well(&self, node: &Upstream) -> bool {
        let health = node.health();
        health.unfit.is_none() && health.down_until.is_none_or(|until| self.clock.elapsed() >= until)
    }

    /// It answered.
    pub(crate) fn succeeded(&self, node: &Upstream) {
        if node.health().down_until.take().is_some() {
            info!(node = node.client.url(), "the node answers again");
        }
    }

    /// It did not answer.
    pub(crate) fn failed(&self, node: &Upstream, error: &RpcError) {
        if matches!(error, RpcError::Busy { .. }) {
            // It was not even asked.
            return;
        }
        let until = self.clock.elapsed() + PENALTY;
        if node.health().down_until.replace(until).is_none() {
            warn!(node = node.client.url(), %error, "the node does not answer");
        }
    }

    /// Looks at all nodes now and then until the server stops.
    pub(super) async fn look_after(&self, api: Api, options: &ChainApiOptions) {
        let mut stopping = api.stopping();
        let look = async {
            loop {
                self.look(&api, options.max_blocks_behind).await;
                sleep(options.health_interval).await;
            }
        };
        tokio::select! {
            () = look => {}
            () = stopping.begun() => {}
        }
    }

    async fn look(&self, api: &Api, max_behind: u32) {
        let looks = self.nodes.iter().map(async |node| {
            let late = || RpcError::Timeout {
                node: node.client.url().to_owned(),
                path: "/v1/chain/get_info".to_owned(),
                time: LOOK,
            };
            timeout(LOOK, node.client.get_info()).await.unwrap_or_else(|_| Err(late()))
        });
        let looks = join_all(looks).await;
        let best = looks.iter().flatten().map(|info| info.head_block_num).max().unwrap_or(0);
        for (node, look) in self.nodes.iter().zip(&looks) {
            match look {
                Ok(info) => {
                    self.succeeded(node);
                    self.judge(node, info, best, max_behind);
                }
                Err(error) => self.failed(node, error),
            }
            let (url, up) = (node.client.url().to_owned(), u8::from(self.is_well(node)));
            api.metrics().record(|| gauge!(UPSTREAM_UP, "node" => url).set(up));
        }
    }

    fn judge(&self, node: &Upstream, info: &Info, best: u32, max_behind: u32) {
        let other_chain = self.chain_id.filter(|id| *id != info.chain_id);
        let unfit = if let Some(id) = other_chain {
            Some(format!("it is of the chain {}, not of {id}", info.chain_id))
        } else if info.head_block_num.saturating_add(max_behind) < best {
            Some(format!("it is at block {}, others are at {best}", info.head_block_num))
        } else {
            None
        };
        let mut health = node.health();
        match (&health.unfit, &unfit) {
            (None, Some(reason)) => warn!(node = node.client.url(), reason, "the node is not asked"),
            (Some(_), None) => info!(node = node.client.url(), "the node is asked again"),
            _ => {}
        }
        health.unfit = unfit;
    }
}
