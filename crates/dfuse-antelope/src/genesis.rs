//! The configuration that a chain begins with, from which its id follows.

use serde::Deserialize;

use crate::{Checksum256, Error, PublicKey, Result, TimePoint, raw::Writer};

/// `genesis_state` of nodeos, as in its `genesis.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Genesis {
    initial_timestamp: String,
    initial_key: String,
    initial_configuration: ChainConfig,
}

/// `chain_config_v0`. Later fields are no part of a chain's id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ChainConfig {
    max_block_net_usage: u64,
    target_block_net_usage_pct: u32,
    max_transaction_net_usage: u32,
    base_per_transaction_net_usage: u32,
    net_usage_leeway: u32,
    context_free_discount_net_usage_num: u32,
    context_free_discount_net_usage_den: u32,
    max_block_cpu_usage: u32,
    target_block_cpu_usage_pct: u32,
    max_transaction_cpu_usage: u32,
    min_transaction_cpu_usage: u32,
    max_transaction_lifetime: u32,
    deferred_trx_expiration_window: u32,
    max_transaction_delay: u32,
    max_inline_action_size: u32,
    max_inline_action_depth: u16,
    max_authority_depth: u16,
}

impl Genesis {
    /// Reads a `genesis.json`.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(|e| Error::invalid("genesis", e.to_string()))
    }

    /// The chain's id: SHA-256 of the packed state, field order as nodeos writes it.
    ///
    /// # Errors
    /// A time or a key that is none.
    pub fn chain_id(&self) -> Result<Checksum256> {
        let mut writer = Writer::new();
        writer.i64(self.initial_timestamp.parse::<TimePoint>()?.0);
        self.initial_key.parse::<PublicKey>()?.write(&mut writer);
        let config = &self.initial_configuration;
        writer.u64(config.max_block_net_usage);
        for value in [
            config.target_block_net_usage_pct,
            config.max_transaction_net_usage,
            config.base_per_transaction_net_usage,
            config.net_usage_leeway,
            config.context_free_discount_net_usage_num,
            config.context_free_discount_net_usage_den,
            config.max_block_cpu_usage,
            config.target_block_cpu_usage_pct,
            config.max_transaction_cpu_usage,
            config.min_transaction_cpu_usage,
            config.max_transaction_lifetime,
            config.deferred_trx_expiration_window,
            config.max_transaction_delay,
            config.max_inline_action_size,
        ] {
            writer.u32(value);
        }
        writer.u16(config.max_inline_action_depth);
        writer.u16(config.max_authority_depth);
        Ok(Checksum256::sha256(&writer.bytes))
    }
}

#[cfg(test)]
mod tests {
    use dfuse_testkit::recorded;

    use super::*;

    #[test]
    fn the_id_is_what_the_node_says() {
        let Some(json) = recorded::bytes("small/genesis.json") else { return };
        let id = Genesis::from_json(&json).unwrap().chain_id().unwrap();
        assert_eq!(id.to_string(), "7d8c6ca18b7c31972dbb92eafdde7da3916ecb4758652aa2a0fb71efd3147c7b");
    }

    #[test]
    fn what_is_no_genesis_is_an_error() {
        for wrong in ["", "{}", "[1]", r#"{"initial_timestamp":1}"#] {
            assert!(Genesis::from_json(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
