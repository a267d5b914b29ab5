//! Sorting more entries than memory holds, for [`Store::ingest`](crate::Store::ingest).

mod buffer;
mod memory;
mod merge;
mod run;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

pub use self::{
    buffer::EntryBuffer,
    memory::{Combine, SortMemory},
};
use self::{merge::Merge, run::Run};
use crate::{Entry, Error, Result};

/// Runs that are merged at a time: each takes the buffer of a file.
const MAX_RUNS: usize = 256;

/// Collects entries in any order, from any number of threads, and gives them back in the order of their keys.
///
/// What does not fit into memory is written to files of the folder, which are removed when it is dropped.
#[derive(Debug)]
pub struct Sorter {
    folder: PathBuf,
    name: String,
    memory: Arc<SortMemory>,
    runs: Mutex<Vec<Run>>,
    files: AtomicUsize,
}

impl Sorter {
    /// A sorter whose files stand in `folder` and have names that begin with `name`. The folder is made if it is needed.
    pub fn new(folder: PathBuf, name: &str, memory: Arc<SortMemory>) -> Self {
        Self { folder, name: name.to_owned(), memory, runs: Mutex::default(), files: AtomicUsize::new(0) }
    }

    /// Sorts the entries of a buffer and keeps them.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn add(&self, buffer: EntryBuffer) -> Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let size = buffer.memory_bytes();
        let run = Run::of(buffer.sorted(), size);
        let run = if self.memory.take(size) { run } else { run.into_file(&self.next_path()?)? };
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
        Ok(())
    }

    fn next_path(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.folder).map_err(|error| Error::io(&self.folder, error))?;
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        Ok(self.folder.join(format!("{}-{number}.run", self.name)))
    }

    /// All entries, each key once: values of one key are combined, those of one buffer in their order.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn entries<'a>(self, combine: &'a Combine<'a>) -> Result<impl Iterator<Item = Result<Entry>> + use<'a>> {
        let mut runs = std::mem::take(&mut *self.runs.lock().unwrap_or_else(PoisonError::into_inner));
        while runs.len() > MAX_RUNS {
            // Those in memory come last: they cost nothing to merge.
            runs.sort_by_key(Run::is_in_memory);
            let first: Vec<_> = runs.drain(..MAX_RUNS).collect();
            let merged = Merge::new(first, self.memory.clone(), combine)?;
            runs.push(Run::write(&self.next_path()?, merged)?);
        }
        Merge::new(runs, self.memory, combine)
    }
}

#[cfg(test)]
mod tests;
