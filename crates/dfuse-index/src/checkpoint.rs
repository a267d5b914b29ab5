use dfuse_antelope::{Checksum, Checksum256};
use dfuse_blocks::BlockRef;
use dfuse_kv::{Keyspace, ReadStore, Snapshot};

use crate::{
    Error, Family, Result,
    codec::{ValueReader, put_varint},
};

/// Where the checkpoints are, by name of the index.
pub(crate) const CHECKPOINTS: Family = Family::new("checkpoint");

/// First byte of a checkpoint: version of this encoding.
const FORMAT: u8 = 1;
/// The same of an index with settings of its own, of which a digest follows.
const FORMAT_WITH_SETTINGS: u8 = 2;
/// Added to either where the state at the first block's parent was loaded.
const LOADED: u8 = 2;

/// Which chain it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainIdentity {
    /// The chain's id, where configuration, genesis or node tell it.
    pub chain_id: Option<Checksum256>,
    /// Parent of the first block that was indexed: number and id.
    pub first_parent: BlockRef,
    /// Whether the whole state of the chain after that parent was loaded, from a snapshot.
    pub is_loaded: bool,
}

/// Number of the block that a genesis makes. It executes nothing, so no node logs it: logs begin with the block after it.
pub(crate) const GENESIS_BLOCK: u32 = 1;

impl ChainIdentity {
    /// Number of the first block that is indexed, if the chain had begun before it, so that the indexes lack what was written
    /// until then. Absent if they hold the chain from its beginning: then nothing came before the first block.
    pub fn mid_chain_start(&self) -> Option<u32> {
        (self.first_parent.number > GENESIS_BLOCK).then(|| self.first_parent.number.saturating_add(1))
    }

    /// Number of the first block after which state is known, if the chain had begun before it.
    pub fn state_start(&self) -> Option<u32> {
        let first_block = self.mid_chain_start()?;
        Some(if self.is_loaded { self.first_parent.number } else { first_block })
    }
}

/// How complete an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointState {
    /// It has every block up to its checkpoint.
    Complete,
    /// Being built: it has every block up to its checkpoint, and others may have more.
    Building,
    /// Its entries are being removed so that it can be built.
    Dropping,
    /// State is being loaded into it, which did not come to its end.
    Loading,
}

/// What the store says of an index, in the same batch as the writes it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Schema version of what is there.
    pub schema_version: u32,
    /// Digest of the settings that it was built with; absent for the default ones.
    pub settings: Option<Checksum256>,
    /// How complete it is.
    pub state: CheckpointState,
    /// The last block that it has. The parent of the first one as long as it has none.
    pub block: BlockRef,
    /// The chain.
    pub identity: ChainIdentity,
}

impl Checkpoint {
    /// Format (1 byte), digest of the settings in one of the formats, schema version (varint), state (1 byte), number (u32)
    /// and id of the block and of the first block's parent, chain id or nothing.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let format = if self.settings.is_some() { FORMAT_WITH_SETTINGS } else { FORMAT };
        let mut value = vec![format + if self.identity.is_loaded { LOADED } else { 0 }];
        value.extend(self.settings.iter().flat_map(|digest| digest.0));
        put_varint(&mut value, self.schema_version.into());
        value.push(match self.state {
            CheckpointState::Complete => 0,
            CheckpointState::Building => 1,
            CheckpointState::Dropping => 2,
            CheckpointState::Loading => 3,
        });
        for block in [self.block, self.identity.first_parent] {
            value.extend_from_slice(&block.number.to_be_bytes());
            value.extend_from_slice(&block.id.0);
        }
        value.extend(self.identity.chain_id.iter().flat_map(|id| id.0));
        value
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(CHECKPOINTS, value);
        const NEWEST: u8 = FORMAT_WITH_SETTINGS + LOADED;
        let [format] = reader.array()?;
        if !(FORMAT..=NEWEST).contains(&format) {
            return Err(Error::Damaged {
                family: CHECKPOINTS.name(),
                why: format!("format {format}, this version of dfuse knows those up to {NEWEST}"),
            });
        }
        let is_loaded = format > LOADED;
        let has_settings = format == FORMAT_WITH_SETTINGS || format == NEWEST;
        let settings = if has_settings { Some(Checksum(reader.array()?)) } else { None };
        let schema_version = reader.varint32()?;
        let state = match reader.array()? {
            [0] => CheckpointState::Complete,
            [1] => CheckpointState::Building,
            [2] => CheckpointState::Dropping,
            [3] => CheckpointState::Loading,
            [other] => return Err(reader.damaged(format!("state {other}"))),
        };
        let mut block = || Ok::<_, Error>(BlockRef { number: reader.u32()?, id: reader.id()? });
        let (last, first_parent) = (block()?, block()?);
        let chain_id = if reader.rest().is_empty() { None } else { Some(Checksum(reader.array()?)) };
        reader.finish()?;
        let identity = ChainIdentity { chain_id, first_parent, is_loaded };
        Ok(Self { schema_version, settings, state, block: last, identity })
    }
}

/// What a snapshot says of an index; `checkpoints` is their keyspace.
pub(crate) fn checkpoint_in(snapshot: &dyn Snapshot, checkpoints: Keyspace, index: &str) -> Result<Option<Checkpoint>> {
    let value = snapshot.get(checkpoints, index.as_bytes())?;
    value.map(|value| Checkpoint::decode(&value)).transpose()
}

/// What a store says of an index.
pub(crate) fn read_checkpoint(store: &dyn ReadStore, index: &str) -> Result<Option<Checkpoint>> {
    checkpoint_in(&*store.snapshot()?, store.keyspace(CHECKPOINTS.name())?, index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_chains_begin() {
        for (parent, start) in [(0, None), (1, None), (2, Some(3)), (249, Some(250)), (u32::MAX, Some(u32::MAX))] {
            let first_parent = BlockRef { number: parent, id: Checksum256::default() };
            let identity = ChainIdentity { chain_id: None, first_parent, is_loaded: false };
            assert_eq!((identity.mid_chain_start(), identity.state_start()), (start, start));
            let loaded = ChainIdentity { is_loaded: true, ..identity };
            assert_eq!((loaded.mid_chain_start(), loaded.state_start()), (start, start.map(|_| parent)));
        }
    }

    #[test]
    fn round_trip_and_damage() {
        let id = |text: &str| Checksum256::sha256(text.as_bytes());
        let cases = [(None, Some(id("settings")), false), (Some(id("chain")), None, true), (None, None, false)];
        for (chain_id, settings, is_loaded) in cases.into_iter().chain([(None, Some(id("settings")), true)]) {
            use CheckpointState::{Building, Complete, Dropping, Loading};
            for state in [Complete, Building, Dropping, Loading] {
                let checkpoint = Checkpoint {
                    schema_version: 300,
                    settings,
                    state,
                    block: BlockRef { number: 7, id: id("block") },
                    identity: ChainIdentity {
                        chain_id,
                        first_parent: BlockRef { number: 1, id: id("parent") },
                        is_loaded,
                    },
                };
                let value = checkpoint.encode();
                assert_eq!(Checkpoint::decode(&value).unwrap(), checkpoint);
                let shorter = Checkpoint::decode(&value[..value.len() - 1]);
                assert!(matches!(shorter, Err(Error::Damaged { family: "checkpoint", .. })));
            }
        }
        assert!(Checkpoint::decode(&[5]).unwrap_err().to_string().contains("format 5"));
        assert!(Checkpoint::decode(&[0]).unwrap_err().to_string().contains("format 0"));
        assert!(Checkpoint::decode(&[]).is_err());
    }
}
