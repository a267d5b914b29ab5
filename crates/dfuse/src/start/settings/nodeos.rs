//! The section `nodeos`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::section::section;

section! {
    /// Nodes that are supervised, with `source = "nodeos"`.
    pub(crate) struct Nodeos in "nodeos."
    with options = dfuse_node::nodeos::NodeosOptions::default();
    {
        /// The program that is started for every supervised node
        binary: PathBuf = "nodeos".into(),
        /// Arguments of every node, placed before those that dfuse adds
        arguments: Vec<String> = Vec::new(),
        /// Environment variables of every node, each written as "NAME=VALUE", in addition to those of dfuse itself
        environment: Vec<String> = Vec::new(),
        /// Directory of the nodes: the node NAME has its configuration in NAME/config.ini and its data in NAME/data
        dir: PathBuf = "nodes".into(),
        /// A snapshot that a node without data starts from, instead of genesis
        snapshot: Option<PathBuf> = None,
        /// Memory for the part of a node's log that has been read but not decoded, including a log on standard input. When
        /// it is full, the node waits
        queue_mib: usize = options.queue_bytes >> 20,
        /// Maximum length of a line of a node's log, including a log on standard input or in a file
        max_line_mib: usize = options.max_line_bytes >> 20,
        /// Longest pause before a node that ended is restarted. The first pause is one second, and each further one is
        /// twice as long
        restart_pause_seconds: u64 = options.restart_pauses.1.as_secs(),
        /// How long a node may neither answer nor log anything before it is restarted
        hang_timeout_seconds: u64 = options.hang_timeout.as_secs(),
        /// How long a node may take to stop before it is killed, which makes its state unusable
        stop_timeout_seconds: u64 = options.stop_timeout.as_secs(),
        /// How many blocks apart a node is asked to take snapshots; 0 disables them. A node whose state is unusable is
        /// restored from a snapshot; without one, it executes all of its blocks again
        snapshot_blocks: u32 = options.snapshot_blocks,
        /// How many snapshots are kept for each node. Older ones are removed
        snapshots_kept: usize = options.snapshots_kept,
        /// Restore every node from its newest snapshot at startup. The node whose log is read is restored from the newest
        /// snapshot that leaves out no block which dfuse still needs. Flag: --restore-nodes
        restore: bool = false,
        /// The supervised nodes, in the order in which they start, each a table [[nodeos.nodes]]: name; deep_mind = true
        /// for the one whose log is read; and if wanted binary, arguments, environment, peers (HOST:PORT), config_dir,
        /// data_dir. What else they do is in their own config.ini. `dfuse init` writes all of it
        nodes: Vec<Node> = Vec::new(),
    }
}

/// A node that is supervised.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) deep_mind: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) binary: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) arguments: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) environment: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) peers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
}
