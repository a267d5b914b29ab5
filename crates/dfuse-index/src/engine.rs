//! The indexes in the embedded engine.

use std::{path::Path, sync::Arc};

use dfuse_kv::{FjallOptions, FjallStore, Store};

use crate::{Index, Reopen, keyspaces, scratch::SCRATCH};

/// Opens the store of these indexes in the directory `path`, with empty scratch space, and makes what opens it again after a
/// failed write: for [`Pipeline::open`](crate::Pipeline::open).
///
/// The latter answers with an error, and leaves the store open for reads, as long as some megabytes cannot be written to the
/// directory. Once they can the store is closed and opened, which must wait until all its snapshots are gone.
pub fn open_store(
    path: impl AsRef<Path>,
    indexes: &[Arc<dyn Index>],
    mut options: FjallOptions,
) -> dfuse_kv::Result<(Arc<dyn Store>, Reopen)> {
    options.discard.push(SCRATCH.name().to_owned());
    let mut store = Arc::new(FjallStore::open(path, &keyspaces(indexes), &options)?);
    let first = store.clone();
    let reopen = move || {
        store = Arc::new(store.reopen(&options)?);
        Ok(store.clone() as Arc<dyn Store>)
    };
    Ok((first, Box::new(reopen)))
}
