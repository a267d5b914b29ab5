//! Opening a store without knowing its engine.

use std::{path::Path, sync::Arc};

use crate::{Direction, EngineOptions, FjallStore, Hint, KeyRange, Result, Store};

/// Closes a store and opens it again after a failed write.
///
/// It answers with an error, and leaves the store open for reads, as long as some megabytes cannot be written to the directory.
/// Once they can, the store is closed and opened, which must wait until all its snapshots are gone.
pub type Reopen = Box<dyn FnMut() -> Result<Arc<dyn Store>> + Send>;

/// Opens the store in the directory `path` with the named keyspaces, and makes what opens it again after a failed write. Directory
/// and keyspaces that do not exist yet are made.
///
/// # Errors
/// Those of [`FjallStore::open`].
pub fn open(path: impl AsRef<Path>, keyspaces: &[&str], options: EngineOptions) -> Result<(Arc<dyn Store>, Reopen)> {
    let mut store = Arc::new(FjallStore::open(path, keyspaces, &options)?);
    let first = store.clone();
    let reopen = move || {
        store = Arc::new(store.reopen(&options)?);
        Ok(store.clone() as Arc<dyn Store>)
    };
    Ok((first, Box::new(reopen)))
}

/// Copies what a store has at one moment into a new store in the directory `path`. The store is open for reads and writes
/// meanwhile. Returns how many entries were copied.
///
/// # Errors
/// Those of both stores. What was made of the new one by then is left.
pub fn copy(from: &dyn Store, path: impl AsRef<Path>, options: EngineOptions) -> Result<u64> {
    let names: Vec<_> = from.keyspaces().iter().map(String::as_str).collect();
    let (to, _) = open(path, &names, options)?;
    let snapshot = from.snapshot()?;
    let mut copied = 0;
    for name in names {
        let mut entries =
            snapshot.scan_hinted(from.keyspace(name)?, &KeyRange::all(), Direction::Forward, Hint::Many)?;
        copied += to.ingest(to.keyspace(name)?, &mut entries)?;
    }
    to.close()?;
    Ok(copied)
}

/// Removes the store in the directory `path` with all that it holds, whatever is wrong with it.
///
/// # Errors
/// Those of [`FjallStore::remove`].
pub fn remove(path: impl AsRef<Path>) -> Result<()> {
    FjallStore::remove(path)
}
