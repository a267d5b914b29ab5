//! The store of the indexes.

use std::{path::Path, sync::Arc};

use dfuse_kv::{EngineOptions, Reopen, Store};

use crate::{Index, keyspaces, scratch::SCRATCH};

/// Opens the store of these indexes in the directory `path`, with empty scratch space, and makes what opens it again after a
/// failed write: for [`Pipeline::open`](crate::Pipeline::open).
pub fn open_store(
    path: impl AsRef<Path>,
    indexes: &[Arc<dyn Index>],
    mut options: EngineOptions,
) -> dfuse_kv::Result<(Arc<dyn Store>, Reopen)> {
    options.discard.push(SCRATCH.name().to_owned());
    dfuse_kv::open(path, &keyspaces(indexes), options)
}
