use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use crate::Family;

/// How state is loaded.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// A directory for what does not fit into memory, which is emptied first and removed at the end. It needs about as much space
    /// as the entries will take.
    pub folder: PathBuf,
    /// Memory for entries that are not ingested yet, about.
    pub memory_bytes: usize,
    /// Threads that make entries of rows.
    pub threads: usize,
    /// Once it is true, everything ends soon with [`Error::Stopped`](crate::Error::Stopped).
    pub stop: Arc<AtomicBool>,
}

impl LoadOptions {
    /// With two threads and 256 MiB.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), memory_bytes: 256 << 20, threads: 2, stop: Arc::default() }
    }
}

/// How far the entries have come, after all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// The family that is written.
    pub family: Family,
    /// Its entries so far.
    pub entries: u64,
}
