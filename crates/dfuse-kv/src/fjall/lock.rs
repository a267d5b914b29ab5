//! Keeping other processes away.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use crate::{Error, Result};

/// The lock of the directory, which the operating system releases when the process ends.
#[derive(Debug)]
pub(super) struct DirectoryLock(File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // A child that another thread has just forked holds a descriptor of the file until it executes its program, and with
        // it the lock. If this fails, the lock lasts that much longer.
        let _ = self.0.unlock();
    }
}

/// Locks the directory, which is made if it is not there.
pub(super) fn lock(path: &Path) -> Result<DirectoryLock> {
    fs::create_dir_all(path).map_err(|source| Error::io(path, source))?;
    let file = path.join("lock");
    let fail = |source| Error::io(&file, source);
    let lock = File::options().create(true).truncate(false).write(true).open(&file).map_err(fail)?;
    match lock.try_lock() {
        Ok(()) => Ok(DirectoryLock(lock)),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_although_a_child_between_fork_and_exec_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        // To the lock, a descriptor that a child has inherited is the same as a duplicate in this process.
        let inherited = first.0.try_clone().unwrap();
        drop(first);
        let again = lock(folder.path()).unwrap();
        drop(inherited);
        assert!(matches!(lock(folder.path()), Err(Error::Locked { .. })));
        drop(again);
    }
}
