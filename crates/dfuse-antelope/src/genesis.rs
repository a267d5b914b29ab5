//! The configuration that a chain begins with, from which its id follows.

use serde::Deserialize;

use crate::{
    Checksum256, Error, PublicKey, Result, TimePoint,
    raw::{Reader, Writer},
};

/// `genesis_state` of nodeos, as in its `genesis.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Genesis {
    initial_timestamp: String,
    initial_key: String,
    initial_configuration: ChainConfig,
}

/// Limits of blocks and transactions: `chain_config`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "fields are named as in nodeos, whose documentation explains them")]
pub struct ChainConfig {
    pub max_block_net_usage: u64,
    pub target_block_net_usage_pct: u32,
    pub max_transaction_net_usage: u32,
    pub base_per_transaction_net_usage: u32,
    pub net_usage_leeway: u32,
    pub context_free_discount_net_usage_num: u32,
    pub context_free_discount_net_usage_den: u32,
    pub max_block_cpu_usage: u32,
    pub target_block_cpu_usage_pct: u32,
    pub max_transaction_cpu_usage: u32,
    pub min_transaction_cpu_usage: u32,
    pub max_transaction_lifetime: u32,
    pub deferred_trx_expiration_window: u32,
    pub max_transaction_delay: u32,
    pub max_inline_action_size: u32,
    pub max_inline_action_depth: u16,
    pub max_authority_depth: u16,
    /// Of `chain_config_v1`; no part of a chain's id.
    #[serde(skip)]
    pub max_action_return_value_size: Option<u32>,
}

impl ChainConfig {
    /// Reads `chain_config_v0`.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            max_block_net_usage: reader.u64()?,
            target_block_net_usage_pct: reader.u32()?,
            max_transaction_net_usage: reader.u32()?,
            base_per_transaction_net_usage: reader.u32()?,
            net_usage_leeway: reader.u32()?,
            context_free_discount_net_usage_num: reader.u32()?,
            context_free_discount_net_usage_den: reader.u32()?,
            max_block_cpu_usage: reader.u32()?,
            target_block_cpu_usage_pct: reader.u32()?,
            max_transaction_cpu_usage: reader.u32()?,
            min_transaction_cpu_usage: reader.u32()?,
            max_transaction_lifetime: reader.u32()?,
            deferred_trx_expiration_window: reader.u32()?,
            max_transaction_delay: reader.u32()?,
            max_inline_action_size: reader.u32()?,
            max_inline_action_depth: reader.u16()?,
            max_authority_depth: reader.u16()?,
            max_action_return_value_size: None,
        })
    }

    /// Writes `chain_config_v0`.
    pub fn pack(&self, writer: &mut Writer) {
        writer.u64(self.max_block_net_usage);
        for value in [
            self.target_block_net_usage_pct,
            self.max_transaction_net_usage,
            self.base_per_transaction_net_usage,
            self.net_usage_leeway,
            self.context_free_discount_net_usage_num,
            self.context_free_discount_net_usage_den,
            self.max_block_cpu_usage,
            self.target_block_cpu_usage_pct,
            self.max_transaction_cpu_usage,
            self.min_transaction_cpu_usage,
            self.max_transaction_lifetime,
            self.deferred_trx_expiration_window,
            self.max_transaction_delay,
            self.max_inline_action_size,
        ] {
            writer.u32(value);
        }
        writer.u16(self.max_inline_action_depth);
        writer.u16(self.max_authority_depth);
    }
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
        self.initial_configuration.pack(&mut writer);
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
