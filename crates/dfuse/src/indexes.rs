//! The indexes that a data directory has.

use std::{path::Path, sync::Arc};

use dfuse_index::{Index, abi::Abis, accounts::Accounts, blocks::Blocks, keyspaces};
use dfuse_kv::{FjallOptions, FjallStore};
use dfuse_trx::Transactions;

/// All of them; one that reads from others comes after those.
pub(crate) fn indexes() -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts), Arc::new(Transactions)]
}

/// Opens their store.
pub(crate) fn open_store(folder: &Path, options: &FjallOptions) -> dfuse_kv::Result<FjallStore> {
    FjallStore::open(folder, &keyspaces(&indexes()), options)
}
