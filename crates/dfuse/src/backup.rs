//! A copy of a data directory as it is at one moment, made while it is used.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use anyhow::Context;
use dfuse_access::{AccessStore, KvAccessStore};
use dfuse_kv::Store;
use dfuse_node::KeptState;
use serde::{Deserialize, Serialize};

use crate::{failure::usage, start::DataDir};

/// What a data directory remembers in small files: the key of cursors, and what it began with.
const FILES: [&str; 3] = ["cursor.key", "filter.json", "snapshot.json"];
/// Folders of block files, in this order: a block leaves the first only when it is in the last.
const FOLDERS: [&str; 4] = ["one-blocks", "forked-blocks", "abi-dumps", "merged-blocks"];
/// What object stores put into the names of files that are not whole yet.
const UNFINISHED: char = '#';

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copied {
    pub(crate) entries: u64,
    pub(crate) history_rows: u64,
    pub(crate) keys: usize,
    pub(crate) block_files: u64,
}

/// What is copied from.
pub(crate) struct BackupSource<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) access: &'a dyn AccessStore,
    pub(crate) data_dir: &'a Path,
    /// Rows that a source of state history keeps.
    pub(crate) state: &'a KeptState,
    /// Whether the block files are in the data directory. Those elsewhere are not copied.
    pub(crate) with_blocks: bool,
}

impl BackupSource<'_> {
    /// Makes the copy. Under its name it is whole or not there.
    pub(crate) fn copy(&self, directory: &Path) -> anyhow::Result<Copied> {
        UnfinishedDir::make(directory, |unfinished| self.copy_into(unfinished))
    }

    /// The indexes first: whatever they lack at the start from a copy, they take from its blocks. Rows of state history come before
    /// the blocks, too: they must not be later.
    fn copy_into(&self, folder: &Path) -> anyhow::Result<Copied> {
        let entries = dfuse_index::copy_store(self.store, DataDir::index_in(folder))?;
        let keys = KvAccessStore::open(&DataDir::access_in(folder))?;
        keys.fill_from(self.access)?;
        let count = keys.keys()?.len();
        keys.close()?;
        for name in FILES {
            let file = self.data_dir.join(name);
            if file.exists() {
                fs::copy(file, folder.join(name))?;
            }
        }
        let history_rows = copy_beginning(self.data_dir, self.state, folder)?;
        let mut block_files = 0;
        if self.with_blocks {
            for name in FOLDERS {
                let (from, to) = (DataDir::blocks_in(self.data_dir), DataDir::blocks_in(folder));
                block_files += copy_files(&from.join(name), &to.join(name))?;
            }
        }
        Ok(Copied { entries, history_rows, keys: count, block_files })
    }
}

/// Copies the indexes as they are at one moment into a directory, and beside their files what the data directory begins with; what an
/// earlier copy that was cut off left there goes.
pub(crate) fn copy_indexes(
    store: &dyn Store,
    data_dir: &Path,
    state: &KeptState,
    directory: &Path,
) -> anyhow::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    let copy = || -> anyhow::Result<()> {
        dfuse_index::copy_store(store, directory)?;
        copy_beginning(data_dir, state, directory).map(drop)
    };
    copy().with_context(|| format!("the copy could not be made in {}", directory.display()))
}

/// Copies with which snapshot a data directory begins, and the rows that a source of state history compares blocks with: they cannot be
/// made anew if history began in mid-chain. Returns how many there are.
fn copy_beginning(data_dir: &Path, state: &KeptState, folder: &Path) -> anyhow::Result<u64> {
    let marker = DataDir::snapshot_marker_in(data_dir);
    if marker.exists() {
        fs::copy(marker, DataDir::snapshot_marker_in(folder))?;
    }
    Ok(state.copy_to(&DataDir::state_history_in(folder))?)
}

/// What backups and copies are said to be made by.
pub(crate) fn made_by() -> String {
    format!("dfuse {}", env!("CARGO_PKG_VERSION"))
}

/// A directory that has its name when it is whole.
pub(crate) struct UnfinishedDir;

impl UnfinishedDir {
    /// Has `fill` fill the directory, which is not there yet.
    ///
    /// # Errors
    /// There is something already; what `fill` fails with. What it made is left under another name, which the next try replaces.
    pub(crate) fn make<T>(directory: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
        if directory.exists() {
            return Err(usage(format!(
                "there is something at {}; name a directory that is not there",
                directory.display()
            )));
        }
        let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
            return Err(usage(format!("{} is not the name of a directory", directory.display())));
        };
        let unfinished = parent.join(format!("{}.unfinished", name.to_string_lossy()));
        let make = || -> anyhow::Result<T> {
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            DirBuilder::new().recursive(true).mode(0o700).create(&unfinished)?;
            let filled = fill(&unfinished)?;
            fs::rename(&unfinished, directory)?;
            fs::File::open(parent)?.sync_all()?;
            Ok(filled)
        };
        let made = make();
        if made.is_err() {
            // It goes if nothing was put into it.
            let _ = fs::remove_dir(&unfinished);
        }
        made.with_context(|| format!("the copy could not be made in {}", unfinished.display()))
    }
}

/// Copies the files of a folder, none of which changes once it is whole. Files that go meanwhile are in another folder by then.
fn copy_files(from: &Path, to: &Path) -> anyhow::Result<u64> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    fs::create_dir_all(to)?;
    let mut copied = 0;
    for entry in entries {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if entry.file_type()?.is_dir() {
            copied += copy_files(&path, &to.join(&name))?;
        } else if !name.to_string_lossy().contains(UNFINISHED) {
            match fs::copy(&path, to.join(&name)) {
                Ok(_) => copied += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
    }
    Ok(copied)
}
