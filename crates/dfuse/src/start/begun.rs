//! With which snapshot a data directory begins.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use dfuse_blocks::BlockRef;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::DataDir;

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
        let content = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            content => content.with_context(|| path.display().to_string())?,
        };
        let begun = serde_json::from_slice(&content);
        begun.map(Some).with_context(|| format!("{} is damaged: restore it from a backup", path.display()))
    }

    /// Writes it down before anything else.
    pub(super) fn write(self, data_dir: &Path) -> anyhow::Result<Self> {
        let path = Self::place(data_dir);
        let unwritable = || format!("cannot write {}", path.display());
        let mut file = NamedTempFile::new_in(data_dir).with_context(unwritable)?;
        serde_json::to_writer(&mut file, &self).with_context(unwritable)?;
        file.flush().and_then(|()| file.as_file().sync_all()).with_context(unwritable)?;
        file.persist(&path).with_context(unwritable)?;
        Ok(self)
    }
}
