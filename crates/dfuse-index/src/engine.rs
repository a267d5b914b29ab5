//! The store of the indexes.

use std::{path::Path, sync::Arc};

use dfuse_kv::{EngineOptions, Reopen, Store};

use crate::{Index, keyspaces, scratch::SCRATCH};

/// Opens the store of these indexes in the directory `path`, and makes what opens it again after a failed write: for
/// [`Pipeline::open`](crate::Pipeline::open).
pub fn open_store(
    path: impl AsRef<Path>,
    indexes: &[Arc<dyn Index>],
    mut options: EngineOptions,
) -> dfuse_kv::Result<(Arc<dyn Store>, Reopen)> {
    // Earlier versions had their scratch space in it.
    options.discard.push(SCRATCH.name().to_owned());
    dfuse_kv::open(path, &keyspaces(indexes), options)
}

/// Copies the indexes as they are at one moment into a new store in the directory `path`, while they are read and written.
/// Returns how many entries were copied.
///
/// # Errors
/// Those of both stores.
pub fn copy_store(from: &dyn Store, path: impl AsRef<Path>) -> dfuse_kv::Result<u64> {
    dfuse_kv::copy(from, path, EngineOptions::default())
}
