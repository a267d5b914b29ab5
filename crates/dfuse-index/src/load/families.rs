//! The entries of all families, sorted and ingested.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use dfuse_kv::{EntryBuffer, SortMemory, Sorter, Store};

use super::options::{LoadOptions, LoadProgress};
use crate::{Error, Family, Index, Result};

/// Entries between two reports.
const REPORT: u64 = 1 << 16;

struct FamilySorter {
    family: Family,
    index: Arc<dyn Index>,
    sorter: Sorter,
}

/// A sorter for each family.
#[derive(Default)]
pub(super) struct Sorters {
    families: Vec<FamilySorter>,
    folder: Folder,
}

/// The directory of all sorters' files, which goes with them.
#[derive(Default)]
struct Folder(Option<std::path::PathBuf>);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            // What is left behind is removed when loading begins again.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Sorters {
    pub(super) fn new(store: &Arc<dyn Store>, indexes: &[Arc<dyn Index>], options: &LoadOptions) -> Result<Self> {
        let folder = Folder(Some(options.folder.clone()));
        match std::fs::remove_dir_all(&options.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(dfuse_kv::Error::Io { path: options.folder.clone(), source: error }.into());
            }
            _ => {}
        }
        let memory = SortMemory::new(options.memory_bytes);
        let mut families = Vec::new();
        for index in indexes.iter().filter(|index| index.holds_state()) {
            for family in index.families() {
                store.keyspace(family.name())?;
                let sorter = Sorter::new(options.folder.clone(), family.name(), memory.clone());
                families.push(FamilySorter { family: *family, index: index.clone(), sorter });
            }
        }
        Ok(Self { families, folder })
    }

    pub(super) fn add(&self, family: Family, entries: EntryBuffer) -> Result<()> {
        let of = self.families.iter().find(|it| it.family == family);
        let of = of.ok_or_else(|| Error::Usage(format!("no index has a family \"{}\"", family.name())))?;
        Ok(of.sorter.add(entries)?)
    }

    /// Writes the families, some at a time.
    pub(super) fn ingest(
        self,
        store: &Arc<dyn Store>,
        options: &LoadOptions,
        progress: impl Fn(LoadProgress) + Sync,
    ) -> Result<()> {
        let Self { families, folder: _folder } = self;
        let left = Mutex::new(families.into_iter());
        let (failure, failed) = (Mutex::new(None), AtomicBool::new(false));
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some(family) = next().filter(|_| !failed.load(Ordering::Relaxed)) {
                if let Err(error) = family.ingest(&**store, &options.stop, &progress) {
                    failed.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..options.threads {
                scope.spawn(work);
            }
            work();
        });
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

impl FamilySorter {
    fn ingest(self, store: &dyn Store, stop: &AtomicBool, progress: &(impl Fn(LoadProgress) + Sync)) -> Result<()> {
        let Self { family, index, sorter } = self;
        let combine = |first: &[u8], second: &[u8]| {
            // Entries were made by this process: only a fault of ours can be the reason.
            let joined = index.join_loaded(family, first, second);
            joined.map_err(|error| dfuse_kv::Error::Invalid(error.to_string()))
        };
        let mut entries = sorter.entries(&combine)?.peekable();
        if entries.peek().is_none() {
            return Ok(());
        }
        let mut count = 0;
        let mut counted = entries.map(|entry| {
            count += 1;
            if count % REPORT == 0 {
                if stop.load(Ordering::Relaxed) {
                    return Err(dfuse_kv::Error::Closed);
                }
                progress(LoadProgress { family, entries: count });
            }
            entry
        });
        match store.ingest(store.keyspace(family.name())?, &mut counted) {
            Err(dfuse_kv::Error::Closed) if stop.load(Ordering::Relaxed) => return Err(Error::Stopped),
            written => written?,
        };
        progress(LoadProgress { family, entries: count });
        Ok(())
    }
}
