//! File descriptors: how many the process may have, and who gets how many of them.
//!
//! Every client takes one, and so does every file that is open. Without shares, clients could take them all, and then no block
//! can be written any more.

use std::sync::Arc;

use dfuse_node::rpc::NodeOptions;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;

/// For files there is a quarter of the descriptors, but no fewer and no more than this.
const FILES: (usize, usize) = (96, 1536);
/// Files that the indexes' engine keeps open: what is left of those is for block files, logs, pipes and whatever is open for a
/// moment.
const TABLES: (usize, usize) = (32, 900);
/// Requests to nodes that may be at work, and as many connections that wait for the next one.
const TO_NODES: (usize, usize) = (4, 1024);
/// Connections of gRPC clients.
const GRPC: (usize, usize) = (4, 1024);
/// Threads that may wait for files.
const BLOCKING_THREADS: (usize, usize) = (32, 512);
/// Taken for a limit that is none.
const UNLIMITED: u64 = 1 << 20;

/// Allows this process as many descriptors as it may allow itself. Returns how many those are.
pub(crate) fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let mut wanted = [maximum, Some(UNLIMITED), Some(10_240)].into_iter();
    // Some systems have no limit here, but do not let it be taken.
    let raised = wanted.find(|wanted| {
        let is_more = current.is_some_and(|current| wanted.is_none_or(|wanted| wanted > current));
        is_more && setrlimit(Resource::Nofile, Rlimit { current: *wanted, maximum }).is_ok()
    });
    raised.unwrap_or(current).unwrap_or(UNLIMITED)
}

/// Who may have how many descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Of the process.
    pub(crate) limit: u64,
    /// Files that the indexes' engine keeps open.
    pub(crate) tables: usize,
    /// Connections of HTTP clients.
    pub(crate) connections: usize,
    /// Connections of gRPC clients, each of which may have many calls.
    pub(crate) grpc_connections: usize,
    /// Requests to nodes at a time.
    to_nodes: usize,
    /// Threads that may wait for files.
    pub(crate) blocking_threads: usize,
}

impl Shares {
    /// The shares where so many connections are wanted, and clients' requests are passed on to nodes or not.
    pub(crate) fn new(limit: u64, wanted: usize, has_nodes: bool) -> Self {
        let all = usize::try_from(limit).unwrap_or(usize::MAX);
        let files = (all / 4).clamp(FILES.0, FILES.1);
        let sockets = all.saturating_sub(files);
        let to_nodes = if has_nodes { (sockets / 8).clamp(TO_NODES.0, TO_NODES.1) } else { 0 };
        let grpc_connections = (sockets / 16).clamp(GRPC.0, GRPC.1);
        Self {
            limit,
            tables: (files * 5 / 8).clamp(TABLES.0, TABLES.1),
            // One more than there are places is accepted, and waits.
            connections: sockets.saturating_sub(2 * to_nodes + grpc_connections + 1).clamp(1, wanted.max(1)),
            grpc_connections,
            to_nodes,
            blocking_threads: (all / 8).clamp(BLOCKING_THREADS.0, BLOCKING_THREADS.1),
        }
    }

    /// What an operator should know: not all connections that are wanted can be had.
    pub(crate) fn shortage(&self, wanted: usize) -> Option<String> {
        let Self { limit, connections, .. } = self;
        (*connections < wanted).then(|| {
            format!(
                "with {limit} open files at most, {connections} connections are possible, not the {wanted} of \
                 http.max_connections; raise the limit of open files (ulimit -n, LimitNOFILE of systemd), or lower the setting"
            )
        })
    }

    /// For clients of `nodes` nodes, which share what there is for requests to nodes.
    pub(crate) fn node_options(&self, nodes: usize) -> NodeOptions {
        NodeOptions {
            at_work: Some(Arc::new(Semaphore::new(self.to_nodes.max(1)))),
            max_idle: (self.to_nodes / nodes.max(1)).clamp(1, NodeOptions::default().max_idle),
            ..NodeOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_limit() {
        for limit in [256, 1024, 4096, 20_000, 1 << 20, 1 << 30] {
            for has_nodes in [false, true] {
                let shares = Shares::new(limit, 20_000, has_nodes);
                let sockets = shares.connections + shares.grpc_connections + 1 + 2 * shares.to_nodes;
                let files = shares.tables + 32;
                assert!((sockets + files) as u64 <= limit, "{shares:?}");
                assert!(shares.connections as u64 * 5 > limit.min(10_000) * 2, "most are for clients: {shares:?}");
                assert_eq!(shares.shortage(20_000).is_some(), limit <= 20_000, "{shares:?}");
            }
        }
        assert_eq!(Shares::new(1 << 20, 20_000, true).connections, 20_000);
        assert_eq!(Shares::new(1024, 100, false).shortage(100), None, "no more than are wanted");
        let few = Shares::new(1024, 20_000, false).shortage(20_000).unwrap();
        assert!(
            few.starts_with("with 1024 open files at most, 719 connections are possible, not the 20000 of"),
            "{few}"
        );
    }

    #[test]
    fn nodes_share_what_there_is_for_them() {
        let shares = Shares::new(256, 20_000, true);
        let options = shares.node_options(2);
        assert_eq!((options.at_work.unwrap().available_permits(), options.max_idle), (20, 10));
        assert_eq!(Shares::new(1 << 20, 20_000, true).node_options(1).max_idle, 64);
        assert_eq!(Shares::new(1024, 20_000, false).node_options(0).at_work.unwrap().available_permits(), 1);
    }

    #[test]
    fn the_limit_is_raised() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let raised = raise_limit();
        assert!(maximum.is_none_or(|maximum| maximum == raised), "{maximum:?} {raised}");
        assert_eq!(raise_limit(), raised);
    }
}
