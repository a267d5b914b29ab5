use bytes::Bytes;

use crate::{Name, abi::NATIVE_EOSIO_ABI};

/// The ABIs that a node had when it started, as it wrote them to its log: what was in force before the blocks that follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AbiDump {
    /// The last block before the dump; 0 where the node does not say it.
    pub block_num: u32,
    /// Global sequence of the last action before the dump; 0 where the node does not say it.
    pub global_sequence: u64,
    /// Contracts and their packed ABIs, in the order of the log.
    pub abis: Vec<(Name, Bytes)>,
}

impl AbiDump {
    /// What every node has before the first block, for blocks that come without a dump.
    pub fn native() -> Self {
        let abis = vec![(Name::literal("eosio"), Bytes::from_static(NATIVE_EOSIO_ABI))];
        Self { block_num: 0, global_sequence: 0, abis }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;

    #[test]
    fn the_native_abi_is_one() {
        let abi = Abi::from_bytes(&AbiDump::native().abis[0].1).unwrap();
        assert!(abi.actions.iter().any(|action| action.name == Name::literal("setabi")), "{abi:?}");
    }
}
