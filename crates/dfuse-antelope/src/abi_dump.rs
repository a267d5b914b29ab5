use bytes::Bytes;

use crate::Name;

/// The ABIs that a node had when it started, as it wrote them to its log: what was in force before the blocks that follow.
/// The native ABI of `eosio` exists nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AbiDump {
    /// The last block before the dump; 0 where the node does not say it.
    pub block_num: u32,
    /// Global sequence of the last action before the dump; 0 where the node does not say it.
    pub global_sequence: u64,
    /// Contracts and their packed ABIs, in the order of the log.
    pub abis: Vec<(Name, Bytes)>,
}
