//! What a store says of blocks of before the first one of its indexes, which joined later.

use dfuse_antelope::Checksum256;
use dfuse_blocks::BlockRef;
use dfuse_kv::{Durability, Keyspace, Snapshot, Store, WriteBatch};

use crate::{
    Error, Result,
    checkpoint::CHECKPOINTS,
    codec::{ValueReader, put_varint},
};

/// The key of the record among the checkpoints; no index has this name.
const KEY: &[u8] = b"earlier";
/// First byte of the record: version of its encoding.
const FORMAT: u8 = 1;

/// How an index takes in blocks of before its first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlierWay {
    /// Not at all: what it has begins with a state that those blocks led to.
    Never,
    /// Each block by itself: [`Index::earlier_block`](crate::Index::earlier_block).
    Blocks,
    /// All of them, from an index that has no others: [`Index::join_earlier`](crate::Index::join_earlier).
    Lists,
}

/// When an index of the way [`EarlierWay::Lists`] is asked to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinPass {
    /// While the chain goes on.
    Before,
    /// Between two blocks: what blocks at hand write, too. There must be little of it.
    Between,
    /// While the chain goes on, for what was overwritten since the first pass.
    After,
}

/// Blocks in a row whose terms were made without what came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedPart {
    /// Number of the first one.
    pub first: u32,
    /// Whether all ABIs were known that were set before it.
    pub abis_known: bool,
}

/// How far joining has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EarlierStage {
    /// Block files are gathered.
    Files,
    /// They are there; lists are made of them, and join.
    Lists,
    /// The lists have joined; the blocks do, the newest first.
    Blocks,
}

/// Blocks that are joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// Number of the first one.
    pub first: u32,
    /// The last one: parent of the first block that was there.
    pub joint: BlockRef,
    /// How far that is.
    pub stage: EarlierStage,
}

/// What a store says of blocks that joined after it had begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Parent of the first block that is there.
    pub first_parent: BlockRef,
    /// Number of the first block that the indexes of state have.
    pub state_first: u32,
    /// The blocks that were indexed by themselves, ascending.
    pub parts: Vec<IndexedPart>,
    /// What is being joined.
    pub under_way: Option<UnderWay>,
}

impl Earlier {
    pub(crate) fn read(snapshot: &dyn Snapshot, checkpoints: Keyspace) -> Result<Option<Self>> {
        snapshot.get(checkpoints, KEY)?.map(|value| Self::decode(&value)).transpose()
    }

    /// That of a store, if blocks have joined there or are about to.
    ///
    /// # Errors
    /// Those of the store, and [`Error::Damaged`].
    pub fn of(store: &dyn Store) -> Result<Option<Self>> {
        Self::read(&*store.snapshot()?, store.keyspace(CHECKPOINTS.name())?)
    }

    /// Says in the store that a stage is reached.
    ///
    /// # Errors
    /// Those of the store.
    pub fn reach(&mut self, store: &dyn Store, stage: EarlierStage) -> Result<()> {
        if let Some(under_way) = &mut self.under_way {
            under_way.stage = under_way.stage.max(stage);
        }
        self.write(store)
    }

    pub(crate) fn write(&self, store: &dyn Store) -> Result<()> {
        let mut batch = WriteBatch::new();
        self.put(&mut batch, store.keyspace(CHECKPOINTS.name())?);
        Ok(store.commit(batch, Durability::Sync)?)
    }

    pub(crate) fn put(&self, batch: &mut WriteBatch, checkpoints: Keyspace) {
        batch.put(checkpoints, KEY, self.encode());
    }

    /// Format (1 byte), parent of the first block (number u32, id), first block with state (u32), count of parts (varint), each
    /// with its first block (u32) and 1 if ABIs are known, else 0; then, if blocks are joining, the stage (1 byte), the first of
    /// them (u32) and the last one (number u32, id).
    fn encode(&self) -> Vec<u8> {
        let mut value = vec![FORMAT];
        let put_block = |value: &mut Vec<u8>, block: BlockRef| {
            value.extend(block.number.to_be_bytes());
            value.extend(block.id.0);
        };
        put_block(&mut value, self.first_parent);
        value.extend(self.state_first.to_be_bytes());
        put_varint(&mut value, self.parts.len() as u64);
        for part in &self.parts {
            value.extend(part.first.to_be_bytes());
            value.push(part.abis_known.into());
        }
        if let Some(UnderWay { first, joint, stage }) = self.under_way {
            value.push(stage as u8);
            value.extend(first.to_be_bytes());
            put_block(&mut value, joint);
        }
        value
    }

    fn decode(value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(CHECKPOINTS, value);
        let [format] = reader.array()?;
        if format != FORMAT {
            return Err(
                reader.damaged(format!("format {format} of earlier blocks, this version of dfuse knows {FORMAT}"))
            );
        }
        let block = |reader: &mut ValueReader<'_>| {
            let (number, id): (u32, Checksum256) = (reader.u32()?, reader.id()?);
            Ok::<_, Error>(BlockRef { number, id })
        };
        let (first_parent, state_first) = (block(&mut reader)?, reader.u32()?);
        let mut parts = Vec::new();
        for _ in 0..reader.varint()? {
            let (first, [abis_known]) = (reader.u32()?, reader.array()?);
            parts.push(IndexedPart { first, abis_known: abis_known != 0 });
        }
        let mut under_way = None;
        if !reader.rest().is_empty() {
            let stage = match reader.array()? {
                [0] => EarlierStage::Files,
                [1] => EarlierStage::Lists,
                [2] => EarlierStage::Blocks,
                [other] => return Err(reader.damaged(format!("stage {other}"))),
            };
            under_way = Some(UnderWay { first: reader.u32()?, joint: block(&mut reader)?, stage });
        }
        reader.finish()?;
        Ok(Self { first_parent, state_first, parts, under_way })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_damage() {
        let block = |number: u32| BlockRef { number, id: Checksum256::sha256(&number.to_be_bytes()) };
        let parts = vec![IndexedPart { first: 2, abis_known: true }, IndexedPart { first: 346, abis_known: false }];
        let earlier = Earlier { first_parent: block(1), state_first: 346, parts, under_way: None };
        let stages = [EarlierStage::Files, EarlierStage::Lists, EarlierStage::Blocks];
        let joining = stages.map(|stage| Some(UnderWay { first: 2, joint: block(345), stage }));
        for under_way in joining.into_iter().chain([None]) {
            let earlier = Earlier { under_way, ..earlier.clone() };
            let value = earlier.encode();
            assert_eq!(Earlier::decode(&value).unwrap(), earlier);
            assert!(Earlier::decode(&value[..value.len() - 1]).is_err());
        }
        assert!(Earlier::decode(&[2]).unwrap_err().to_string().contains("format 2"));
        assert!(Earlier::decode(&[]).is_err());
    }
}
