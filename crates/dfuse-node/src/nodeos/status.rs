use crate::QueueState;

/// What is known of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// It answers, and follows the chain that is wanted.
    pub is_up: bool,
    /// What is wrong, or what is waited for.
    pub problem: Option<String>,
    /// How often it was started.
    pub starts: u64,
    /// Number of its head block, as it last said.
    pub head: u32,
    /// Number of its last irreversible block, as it last said.
    pub lib: u32,
    /// Number of the block of its newest snapshot; 0 if there is none.
    pub snapshot: u32,
    /// The log of this run, if it is read.
    pub log: Option<QueueState>,
}
