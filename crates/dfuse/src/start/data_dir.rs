//! The directory of everything that is kept, and who may use it.

use std::{
    ffi::OsString,
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use dfuse_blocks::{BlockStore, StoreOptions};
use tempfile::TempDir;

const LOCK: &str = "lock";

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
        Self::lock(path.unwrap_or(Path::new(Self::DEFAULT)).to_owned(), None)
    }

    /// Opens a directory that is already there.
    pub(crate) fn existing(path: Option<&Path>) -> anyhow::Result<Self> {
        let path = path.unwrap_or(Path::new(Self::DEFAULT));
        if !path.join("index").is_dir() {
            bail!("{} is not a data directory of dfuse; name one with --data-dir", path.display());
        }
        Self::open(Some(path))
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

    /// Opens the block files at `place`, in this directory without one. Credentials come from the environment.
    pub(crate) fn open_blocks(&self, place: Option<&str>, fsync: bool) -> dfuse_blocks::Result<BlockStore> {
        let own = || self.path.join("blocks").display().to_string();
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let credentials = std::env::vars_os().filter_map(text).collect();
        BlockStore::open(&place.map_or_else(own, str::to_owned), StoreOptions { fsync, credentials })
    }

    /// Where the indexes are.
    pub(crate) fn index(&self) -> PathBuf {
        self.path.join("index")
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
    fn what_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = format!("{:#}", DataDir::open(Some(file.path())).unwrap_err());
        assert!(refused.contains("cannot use the data directory"), "{refused}");
        let folder = tempfile::tempdir().unwrap();
        assert!(DataDir::existing(Some(folder.path())).unwrap_err().to_string().contains("not a data directory"));
    }
}
