use std::path::{Path, PathBuf};

/// Why a store could not be opened, read or written. A variant exists where the caller acts differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process (or another store in this one) owns the data: stop, or wait until it is closed. An engine over
    /// a network answers so too when another writer has taken over.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The store that was to be opened.
        path: PathBuf,
    },
    /// The data was written by another version of the engine: use that version, or rebuild the store.
    #[error("{} has another format than this version reads: {why}", path.display())]
    Format {
        /// The store that was to be opened.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The data is damaged: rebuild the store.
    #[error("{} is damaged: {why}", path.display())]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// No space is left: free some, then open the store again.
    #[error("no space left at {}", path.display())]
    NoSpace {
        /// The store.
        path: PathBuf,
    },
    /// The operating system refused: a wrong path, missing rights or failing hardware, as `source` says.
    #[error("{}: {source}", path.display())]
    Io {
        /// The store, or the file or directory of it that was being used.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The store does not answer, or refuses for the moment, as one over a network may: ask again after a pause. Nothing is wrong
    /// with the data.
    #[error("the store does not answer for now: {why}")]
    Unavailable {
        /// What was tried, and what came of it.
        why: String,
    },
    /// An earlier write failed, so the engine takes no more: open the store again and read what is there.
    #[error("the store takes no more writes because an earlier one failed; open it again")]
    Failed,
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// The caller broke the contract: unknown keyspace, empty or overlong key, unsorted ingestion. Nothing was done.
    #[error("invalid use of the store: {0}")]
    Invalid(String),
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the operating system, with lack of space told apart.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded => Self::NoSpace { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}
