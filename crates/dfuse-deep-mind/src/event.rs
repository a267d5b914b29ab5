use std::collections::BTreeMap;

use dfuse_antelope::{AbiDump, Checksum256, model::Block};

/// What a line completes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A block, as the node executed it. After a fork switch, numbers repeat: follow ids and parents.
    Block(Box<Block>),
    /// All ABIs that the chain knows, printed when a node starts.
    AbiDump(AbiDump),
    /// The node leaves one branch for another, whose blocks follow from the fork point on.
    SwitchFork {
        /// Head of the branch that is left.
        from: Checksum256,
        /// Head of the branch that is joined.
        to: Checksum256,
    },
}

/// What was read, and what was strange about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines, deep-mind or not.
    pub lines: u64,
    /// Deep-mind lines.
    pub deep_mind_lines: u64,
    /// Complete blocks.
    pub blocks: u64,
    /// Blocks that were begun and never accepted: begun anew, or left for another branch.
    pub abandoned_blocks: u64,
    /// Switches to another branch.
    pub fork_switches: u64,
    /// Operations of EOSIO 2.1's key-value tables, which blocks have no place for.
    pub key_value_operations: u64,
    /// Lines of unknown keywords, by keyword. After 64 of them, the others count as `...`.
    pub unknown: BTreeMap<String, u64>,
    /// The stream ended inside a line, which was dropped.
    pub torn_line: bool,
    /// Runs of the node that ended inside a block or a line, which was dropped, and after which the log goes on.
    pub cut_runs: u64,
}
