//! The directory of everything that is kept, and who may use it.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use dfuse_blocks::BlockStore;
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::{failure::usage, input::store_options};

const LOCK: &str = "lock";
/// There if the API keys are not here but in the block store, with those of other machines.
const SHARES_KEYS: &str = "shares-keys";
/// The indexes.
const INDEX: &str = "index";
/// Folders of block files.
const BLOCK_FOLDERS: [&str; 4] = ["merged-blocks", "one-blocks", "forked-blocks", "abi-dumps"];
/// What may stand in an empty data directory: what file systems make, and what `dfuse init` writes.
const BESIDE: [&str; 4] = ["lost+found", "dfuse.toml", "genesis.json", "nodes"];
/// Foreign files that are named.
const NAMED: usize = 3;

/// A data directory that no other process uses as long as this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    lock: File,
    /// Removed at the end.
    _temporary: Option<TempDir>,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // A child that another thread has just forked holds a descriptor of the file until it executes its program, and with
        // it the lock. If this fails, the lock lasts that much longer.
        let _ = self.lock.unlock();
    }
}

impl DataDir {
    /// Where data is kept when nothing else is said.
    pub(crate) const DEFAULT: &'static str = "dfuse-data";

    /// Opens the directory at `path`, which is made if it is not there; the default one without a path.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let path = path.unwrap_or(Path::new(Self::DEFAULT));
        Self::must_be_ours(path)?;
        Self::lock(path.to_owned(), None)
    }

    /// Opens a directory that is already there, for a command that does what a server would.
    ///
    /// # Errors
    /// Root is refused where the directory is another user's: what root writes, the server could not read.
    pub(crate) fn of_this_user(path: &Path) -> anyhow::Result<Self> {
        let owner = std::fs::metadata(path).with_context(|| path.display().to_string())?.uid();
        if geteuid().is_root() && owner != 0 {
            return Err(usage(format!(
                "the data directory {} belongs to the user {owner}, and no server runs on it: run the command as that user (sudo -u '#{owner}' \
                 dfuse ...), or while the server runs",
                path.display()
            )));
        }
        Self::open(Some(path))
    }

    /// Opens a directory that is already there.
    pub(crate) fn existing(path: Option<&Path>) -> anyhow::Result<Self> {
        let path = path.unwrap_or(Path::new(Self::DEFAULT));
        Self::must_have_indexes(path)?;
        Self::of_this_user(path)
    }

    /// Refuses what is no data directory.
    pub(crate) fn must_have_indexes(path: &Path) -> anyhow::Result<()> {
        if Self::index_in(path).is_dir() {
            return Ok(());
        }
        bail!("{} is not a data directory of dfuse; name one with --data-dir", path.display())
    }

    /// A fresh directory, which goes with the process.
    pub(crate) fn temporary() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("dfuse-demo-").tempdir().context("no temporary directory")?;
        Self::lock(folder.path().to_owned(), Some(folder))
    }

    fn lock(path: PathBuf, temporary: Option<TempDir>) -> anyhow::Result<Self> {
        let unusable = || {
            format!("cannot use the data directory {}; name one that can be written to with --data-dir", path.display())
        };
        std::fs::create_dir_all(&path).with_context(unusable)?;
        let file = path.join(LOCK);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&file);
        let mut lock = opened.with_context(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = lock.take(20).read_to_string(&mut owner);
                bail!(
                    "the data directory {} is in use by process {}; stop it, or name another one with --data-dir",
                    path.display(),
                    owner.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
        }
        // For the message above only.
        let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { path, lock, _temporary: temporary })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Remembers whether API keys are in the block store that machines share.
    pub(crate) fn shares_keys(&self, is_so: bool) -> anyhow::Result<()> {
        let path = self.path.join(SHARES_KEYS);
        let done = match is_so {
            true => File::create(&path).map(drop),
            false => std::fs::remove_file(&path)
                .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }),
        };
        done.with_context(|| path.display().to_string())
    }

    /// Refuses to change API keys here if they are in the block store that machines share.
    pub(crate) fn must_have_keys(&self) -> anyhow::Result<()> {
        if self.path.join(SHARES_KEYS).exists() {
            return Err(usage(format!(
                "{} is that of one of several machines, which share their API keys, and no server runs on it: give the command while \
                 it runs, or on another machine",
                self.path.display()
            )));
        }
        Ok(())
    }

    /// Opens the block files at `place`, in this directory without one. Credentials come from the environment.
    pub(crate) fn open_blocks(&self, place: Option<&str>, fsync: bool) -> dfuse_blocks::Result<BlockStore> {
        let own = || Self::blocks_in(&self.path).display().to_string();
        BlockStore::open(&place.map_or_else(own, str::to_owned), store_options(fsync))
    }

    /// Refuses a directory with files of others only: whoever named it meant another one, most likely.
    pub(crate) fn must_be_ours(path: &Path) -> anyhow::Result<()> {
        // What cannot be read is found out when it is locked.
        let Ok(entries) = std::fs::read_dir(path) else { return Ok(()) };
        let blocks = path.join("blocks");
        let is_ours = [LOCK, "cursor.key"].iter().any(|file| path.join(file).is_file())
            || path.join("index").is_dir()
            || BLOCK_FOLDERS.iter().any(|folder| blocks.join(folder).is_dir());
        if is_ours {
            return Ok(());
        }
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut foreign: Vec<_> =
            names.filter(|name| !name.starts_with('.') && !BESIDE.contains(&name.as_str())).collect();
        if foreign.is_empty() {
            return Ok(());
        }
        foreign.sort_unstable();
        let more = if foreign.len() > NAMED { ", ..." } else { "" };
        foreign.truncate(NAMED);
        Err(usage(format!(
            "{} is not a data directory of dfuse and not empty ({}{more}); name an empty or a new directory with --data-dir",
            path.display(),
            foreign.join(", ")
        )))
    }

    /// Where the indexes are.
    pub(crate) fn index(&self) -> PathBuf {
        Self::index_in(&self.path)
    }

    /// Where writes of reversible blocks go that do not fit into memory.
    pub(crate) fn scratch(&self) -> PathBuf {
        Self::scratch_in(&self.path)
    }

    /// The same of a data directory.
    pub(crate) fn scratch_in(path: &Path) -> PathBuf {
        path.join("scratch")
    }

    /// Where a source of state history keeps the rows that it compares blocks with.
    pub(crate) fn state_history(&self) -> PathBuf {
        Self::state_history_in(&self.path)
    }

    /// Where the indexes of a data directory are.
    pub(crate) fn index_in(path: &Path) -> PathBuf {
        path.join(INDEX)
    }

    /// Where the rows of state history of a data directory are.
    pub(crate) fn state_history_in(path: &Path) -> PathBuf {
        path.join("state-history")
    }

    /// The file that says with which snapshot a data directory begins, if it does with one.
    pub(crate) fn snapshot_marker_in(path: &Path) -> PathBuf {
        path.join("snapshot.json")
    }

    /// Where API keys and usage of a data directory are.
    pub(crate) fn access_in(path: &Path) -> PathBuf {
        path.join("access")
    }

    /// Where the block files of a data directory are, unless they are kept elsewhere.
    pub(crate) fn blocks_in(path: &Path) -> PathBuf {
        path.join("blocks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(Some(folder.path())).unwrap();
        let refused = DataDir::open(Some(folder.path())).unwrap_err().to_string();
        assert!(refused.contains(&format!("in use by process {};", std::process::id())), "{refused}");
        // As a child has one that was forked and has not executed its program yet.
        let inherited = first.lock.try_clone().unwrap();
        drop(first);
        DataDir::open(Some(folder.path())).unwrap();
        drop(inherited);
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(folder.path().join(name), "x").unwrap();
        // What is no file of anybody.
        std::fs::create_dir(folder.path().join("lost+found")).unwrap();
        [".hidden", "dfuse.toml"].into_iter().for_each(put);
        drop(DataDir::open(Some(folder.path())).unwrap());
        std::fs::remove_file(folder.path().join(LOCK)).unwrap();
        ["d", "b", "c", "a"].into_iter().for_each(put);
        // A node's data directory has a folder of that name, too.
        std::fs::create_dir(folder.path().join("blocks")).unwrap();
        let refused = DataDir::open(Some(folder.path())).unwrap_err();
        assert!(refused.is::<crate::UsageError>() && refused.to_string().contains("not empty (a, b, blocks, ...)"));
        assert!(!folder.path().join(LOCK).exists(), "nothing was written");
        // Directories of ours with whatever beside, as earlier releases left them.
        for ours in ["index", "blocks/one-blocks", "blocks/merged-blocks"] {
            std::fs::create_dir_all(folder.path().join(ours)).unwrap();
            drop(DataDir::open(Some(folder.path())).unwrap());
            std::fs::remove_file(folder.path().join(LOCK)).unwrap();
            std::fs::remove_dir(folder.path().join(ours)).unwrap();
        }
        put("cursor.key");
        DataDir::open(Some(folder.path())).unwrap();
    }

    #[test]
    fn what_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = format!("{:#}", DataDir::open(Some(file.path())).unwrap_err());
        assert!(refused.contains("cannot use the data directory"), "{refused}");
        let folder = tempfile::tempdir().unwrap();
        assert!(DataDir::existing(Some(folder.path())).unwrap_err().to_string().contains("not a data directory"));
    }
}
