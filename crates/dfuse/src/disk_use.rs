//! What the data of a server take on the disk.

use std::{collections::BTreeMap, fs, io, path::Path};

use dfuse_index::{Part, floors_of};
use dfuse_kv::Store;
use serde::{Deserialize, Serialize};

use crate::{indexes::indexes, start::DataDir};

/// Bytes on the disk, before what compaction may still free.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiskUse {
    /// By index and family.
    pub(crate) indexes: BTreeMap<String, BTreeMap<String, u64>>,
    /// What belongs to no index: checkpoints, what other versions left, and the scratch space.
    pub(crate) other_families: BTreeMap<String, u64>,
    /// The journal of the indexes, as long as its files.
    pub(crate) journal: u64,
    /// API keys and usage.
    pub(crate) access: u64,
    /// By folder; absent where the block files are elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) block_files: Option<BTreeMap<String, Files>>,
    /// The lowest block that is kept, of parts of which not all is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) lowest_blocks: BTreeMap<String, u32>,
    pub(crate) total: u64,
}

/// The files of a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl DiskUse {
    /// Of an open store of indexes, and the rest of its data directory.
    pub(crate) fn of(store: &dyn Store, data_dir: &Path, with_blocks: bool) -> anyhow::Result<Self> {
        let usage = store.disk_usage()?;
        let mut rest = usage.keyspaces;
        let mut found = Self { journal: usage.journal, ..Self::default() };
        for index in indexes(Default::default()) {
            let families = index.families().iter().map(|family| family.name());
            let of_index = families.filter_map(|family| rest.remove_entry(family)).collect();
            found.indexes.insert(index.name().to_owned(), of_index);
        }
        found.other_families = rest;
        let scratch = files_in(&DataDir::scratch_in(data_dir))?.bytes;
        if scratch > 0 {
            found.other_families.insert("scratch".to_owned(), scratch);
        }
        found.access = files_in(&DataDir::access_in(data_dir))?.bytes;
        if with_blocks {
            let mut folders = BTreeMap::new();
            for folder in folders_in(&DataDir::blocks_in(data_dir))? {
                let name = folder.file_name().to_string_lossy().into_owned();
                folders.insert(name, files_in(&folder.path())?);
            }
            found.block_files = Some(folders);
        }
        let floors = floors_of(store)?;
        let kept = Part::ALL.into_iter().map(|part| (part.name().to_owned(), floors.get(part)));
        found.lowest_blocks = kept.filter(|(_, floor)| *floor > 0).collect();
        let families = found.indexes.values().flat_map(BTreeMap::values).chain(found.other_families.values());
        let blocks = found.block_files.iter().flat_map(BTreeMap::values).map(|files| files.bytes);
        found.total = families.sum::<u64>() + blocks.sum::<u64>() + found.journal + found.access;
        Ok(found)
    }
}

fn folders_in(path: &Path) -> io::Result<Vec<fs::DirEntry>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let entries = entries.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).collect())
}

/// All files below a folder. They may go meanwhile.
fn files_in(path: &Path) -> io::Result<Files> {
    let mut found = Files::default();
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                let below = files_in(&entry.path())?;
                found = Files { files: found.files + below.files, bytes: found.bytes + below.bytes };
            }
            Ok(metadata) => found = Files { files: found.files + 1, bytes: found.bytes + metadata.len() },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
