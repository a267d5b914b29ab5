//! Rows of the chain as a whole.

use dfuse_antelope::{
    ChainConfig, PublicKey, Result,
    raw::{Reader, Writer},
};

use super::head::schedule;
use crate::{
    deltas::StateRow,
    state::{GlobalProperty, ProtocolState},
};

impl GlobalProperty {
    /// The row of state history that says so, as far as later blocks are compared with it: with the configuration alone.
    pub fn in_history(&self) -> StateRow {
        let mut writer = Writer::new();
        let w = &mut writer;
        w.varuint32(1);
        // Neither a proposed schedule nor the block of one.
        w.bool(false);
        w.u32(0);
        w.count(0);
        w.varuint32(0);
        self.configuration.pack(w);
        StateRow::Chain("global_property".to_owned(), writer.bytes)
    }
}

pub(super) fn global_property(reader: &mut Reader<'_>, version: u32) -> Result<GlobalProperty> {
    let property = GlobalProperty {
        proposed_schedule_block_num: reader.option(Reader::u32)?,
        proposed_schedule: schedule(reader, version)?,
        configuration: chain_config(reader, version)?,
        chain_id: if version >= 3 { Some(reader.checksum256()?) } else { None },
    };
    // The configuration of the key-value store, and that of WebAssembly.
    let key_value = if (4..=6).contains(&version) { 3 * 4 } else { 0 };
    let wasm = if version >= 4 { 11 * 4 } else { 0 };
    reader.take(key_value + wasm, "configuration")?;
    Ok(property)
}

fn chain_config(reader: &mut Reader<'_>, version: u32) -> Result<ChainConfig> {
    let config = ChainConfig::unpack(reader)?;
    let max_action_return_value_size = if version >= 5 { Some(reader.u32()?) } else { None };
    Ok(ChainConfig { max_action_return_value_size, ..config })
}

/// `genesis_state`, whose hash is the chain's id: a time, a key and a configuration.
pub(super) fn genesis(reader: &mut Reader<'_>) -> Result<()> {
    reader.i64()?; // when the chain began
    PublicKey::read(reader)?;
    ChainConfig::unpack(reader).map(drop)
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
