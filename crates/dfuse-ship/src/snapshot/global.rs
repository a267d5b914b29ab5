//! Rows of the chain as a whole.

use dfuse_antelope::{
    PublicKey, Result,
    raw::{Reader, Writer},
};

use super::head::schedule;
use crate::{
    deltas::StateRow,
    state::{ChainConfig, GlobalProperty, ProtocolState},
};

impl GlobalProperty {
    /// The row of state history that says so, as far as later blocks are compared with it: with the configuration alone.
    pub fn in_history(&self) -> StateRow {
        let config = &self.configuration;
        let mut writer = Writer::new();
        let w = &mut writer;
        w.varuint32(1);
        // Neither a proposed schedule nor the block of one.
        w.bool(false);
        w.u32(0);
        w.count(0);
        w.varuint32(0);
        w.u64(config.max_block_net_usage);
        for number in [
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
            w.u32(number);
        }
        w.u16(config.max_inline_action_depth);
        w.u16(config.max_authority_depth);
        StateRow::Chain("global_property".to_owned(), writer.bytes)
    }
}

pub(super) fn global_property(reader: &mut Reader<'_>, version: u32) -> Result<GlobalProperty> {
    let property = GlobalProperty {
        proposed_schedule_block_num: reader.option(Reader::u32)?,
        proposed_schedule: schedule(reader, version)?,
        configuration: chain_config(reader, version >= 5)?,
        chain_id: if version >= 3 { Some(reader.checksum256()?) } else { None },
    };
    // The configuration of the key-value store, and that of WebAssembly.
    let key_value = if (4..=6).contains(&version) { 3 * 4 } else { 0 };
    let wasm = if version >= 4 { 11 * 4 } else { 0 };
    reader.take(key_value + wasm, "configuration")?;
    Ok(property)
}

fn chain_config(reader: &mut Reader<'_>, returns_values: bool) -> Result<ChainConfig> {
    Ok(ChainConfig {
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
        max_action_return_value_size: if returns_values { Some(reader.u32()?) } else { None },
    })
}

/// `genesis_state`, whose hash is the chain's id: a time, a key and a configuration.
pub(super) fn genesis(reader: &mut Reader<'_>) -> Result<()> {
    reader.i64()?; // when the chain began
    PublicKey::read(reader)?;
    chain_config(reader, false).map(drop)
}

pub(super) fn protocol_state(reader: &mut Reader<'_>) -> Result<ProtocolState> {
    let state = ProtocolState {
        activated: reader.list(36, "activated features", |r| Ok((r.checksum256()?, r.u32()?)))?,
        preactivated: reader.list(32, "preactivated features", Reader::checksum256)?,
    };
    reader.list(1, "intrinsics", |r| r.blob("intrinsic").map(drop))?;
    reader.u32()?; // kinds of keys
    Ok(state)
}
