//! Opening a store without knowing its engine.

use std::{path::Path, sync::Arc};

use crate::{EngineOptions, FjallStore, Result, Store};

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

/// Removes the store in the directory `path` with all that it holds, whatever is wrong with it.
///
/// # Errors
/// Those of [`FjallStore::remove`].
pub fn remove(path: impl AsRef<Path>) -> Result<()> {
    FjallStore::remove(path)
}
