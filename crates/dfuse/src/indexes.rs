//! The indexes that a data directory has.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dfuse_index::{Index, abi::Abis, accounts::Accounts, blocks::Blocks};
use dfuse_kv::{EngineOptions, MemoryStore, Reopen, Store};
use dfuse_search::SearchIndex;
use dfuse_trx::Transactions;

/// All of them, that for searching as it is given; one that reads from others comes after those.
pub(crate) fn indexes(search: Arc<SearchIndex>) -> Vec<Arc<dyn Index>> {
    let mut indexes: Vec<Arc<dyn Index>> =
        vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts), Arc::new(Transactions)];
    indexes.extend(dfuse_state::indexes());
    indexes.push(search);
    indexes
}

/// Opens the store of the indexes, whatever settings they were built with, and closes it again.
pub(crate) fn try_open(folder: &Path) -> dfuse_kv::Result<()> {
    dfuse_index::open_store(folder, &indexes(Arc::default()), EngineOptions::default())?.0.close()
}

/// The store of the indexes, which is another one after the store was opened again.
#[derive(Clone)]
pub(crate) struct IndexStore(Arc<Mutex<Arc<dyn Store>>>);

impl IndexStore {
    /// Opens the indexes in a directory, and makes what opens them again after a failed write.
    pub(crate) fn open(
        folder: &Path,
        indexes: &[Arc<dyn Index>],
        options: EngineOptions,
    ) -> dfuse_kv::Result<(Self, Reopen)> {
        let (store, mut reopen) = dfuse_index::open_store(folder, indexes, options)?;
        let current = Self(Arc::new(Mutex::new(store)));
        let slot = current.clone();
        let reopen = move || {
            let store = reopen()?;
            *slot.slot() = store.clone();
            Ok(store)
        };
        Ok((current, Box::new(reopen)))
    }

    /// That of a process without indexes: empty, and nowhere but in memory.
    pub(crate) fn none(indexes: &[Arc<dyn Index>]) -> (Self, Reopen) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&dfuse_index::keyspaces(indexes)));
        (Self(Arc::new(Mutex::new(store.clone()))), Box::new(move || Ok(store.clone())))
    }

    /// The one that is open.
    pub(crate) fn current(&self) -> Arc<dyn Store> {
        self.slot().clone()
    }

    fn slot(&self) -> MutexGuard<'_, Arc<dyn Store>> {
        // Nothing can panic while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
