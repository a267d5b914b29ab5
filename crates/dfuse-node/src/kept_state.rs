//! Where rows of chain state are kept, for the source that keeps them and for those who copy them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dfuse_kv::{EngineOptions, Store};

use crate::{Error, Result};

pub(crate) const ROWS: &str = "row";
pub(crate) const POSITION: &str = "position";

/// Where a source of state history keeps rows, and the store that they are in while it has that open. Its copies are the same place:
/// the source is given one, and whoever makes backups another.
#[derive(Clone)]
pub struct KeptState(Arc<Place>);

struct Place {
    folder: PathBuf,
    store: Mutex<Option<Arc<dyn Store>>>,
}

impl KeptState {
    /// In that folder, which is made when there is something to be kept.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self(Arc::new(Place { folder, store: Mutex::default() }))
    }

    /// Copies the rows, with the block that they are of, as they are at one moment into a folder that is not there yet. The source goes
    /// on meanwhile. Returns how many entries were copied; nothing is made if there are none.
    ///
    /// # Errors
    /// The rows cannot be read, or not be written there.
    pub fn copy_to(&self, folder: &Path) -> Result<u64> {
        let failed = |error| failed(folder, error);
        let open = self.lock();
        if let Some(store) = open.clone() {
            drop(open);
            return dfuse_kv::copy(&*store, folder, EngineOptions::default()).map_err(failed);
        }
        if !self.0.folder.exists() {
            return Ok(0);
        }
        // No source opens it as long as it is held.
        let store = open_rows(&self.0.folder)?;
        let copied = dfuse_kv::copy(&*store, folder, EngineOptions::default());
        store.close().map_err(failed)?;
        copied.map_err(failed)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// The store, as long as a source has it open.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Arc<dyn Store>>> {
        self.0.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for KeptState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeptState").field(&self.0.folder).finish()
    }
}

pub(crate) fn open_rows(folder: &Path) -> Result<Arc<dyn Store>> {
    let opened = dfuse_kv::open(folder, &[ROWS, POSITION], EngineOptions::default());
    opened.map(|(store, _)| store).map_err(|error| failed(folder, error))
}

pub(crate) fn failed(folder: &Path, error: dfuse_kv::Error) -> Error {
    Error::Open { place: folder.display().to_string(), source: io::Error::other(error) }
}
