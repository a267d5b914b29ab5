//! With which snapshot a data directory begins.

use std::path::{Path, PathBuf};

use dfuse_blocks::BlockRef;
use serde::{Deserialize, Serialize};

use super::DataDir;
use crate::small_file;

/// What a data directory begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// The block of the snapshot.
    #[serde(with = "block")]
    pub(super) block: BlockRef,
    /// The first block of history, if that begins with the snapshot.
    pub(super) first_block: Option<u32>,
}

mod block {
    use dfuse_antelope::Checksum256;
    use dfuse_blocks::BlockRef;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(block: &BlockRef, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&block.id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BlockRef, D::Error> {
        let id: Checksum256 = String::deserialize(deserializer)?.parse().map_err(D::Error::custom)?;
        Ok(BlockRef { number: id.block_num(), id })
    }
}

impl Begun {
    /// The file in a data directory.
    pub(super) fn place(data_dir: &Path) -> PathBuf {
        DataDir::snapshot_marker_in(data_dir)
    }

    /// What a data directory says; absent if it begins without a snapshot.
    pub(super) fn read(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::place(data_dir);
        small_file::read_json(&path, || format!("{} is damaged: restore it from a backup", path.display()))
    }

    /// Writes it down before anything else.
    pub(super) fn write(self, data_dir: &Path) -> anyhow::Result<Self> {
        small_file::write_json(&Self::place(data_dir), &self)?;
        Ok(self)
    }
}
