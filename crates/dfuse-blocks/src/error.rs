use crate::EncodedBlock;

/// What can go wrong with block files. A variant exists if the caller acts differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not in the store.
    #[error("{0} is not in the store")]
    NotFound(String),
    /// A file is there but is not what its writer wrote, or was never a block file: replace it from another copy, or
    /// write it again from the source of its blocks.
    #[error("{file} is damaged{}: {why}", offset.map(|at| format!(" at byte {at}")).unwrap_or_default())]
    Damaged {
        /// Path of the file in the store.
        file: String,
        /// Where in the dbin stream, that is after decompression.
        offset: Option<u64>,
        /// What is wrong.
        why: String,
    },
    /// A block does not continue the chain at hand: its source left something out or follows another chain.
    #[error("block {number} {id} does not follow: {why}")]
    Unlinked {
        /// Number of the refused block.
        number: u32,
        /// Id of the refused block.
        id: dfuse_antelope::Checksum256,
        /// What was expected.
        why: String,
    },
    /// A block that contradicts itself.
    #[error(transparent)]
    Invalid(#[from] dfuse_antelope::Error),
    /// The store does not do what it is asked for; the object store's own error says why.
    #[error("{path}: {source}")]
    Store {
        /// Path in the store.
        path: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// The caller's configuration or use is wrong; says what to change.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "any error or text, without a reference to each")]
    pub(crate) fn damaged(file: &str, offset: impl Into<Option<u64>>, why: impl ToString) -> Self {
        Self::Damaged { file: file.to_owned(), offset: offset.into(), why: why.to_string() }
    }

    pub(crate) fn unlinked(block: &EncodedBlock, why: String) -> Self {
        Self::Unlinked { number: block.number(), id: block.id(), why }
    }

    pub(crate) fn store(path: &object_store::path::Path, source: object_store::Error) -> Self {
        match source {
            object_store::Error::NotFound { .. } => Self::NotFound(path.to_string()),
            source => Self::Store { path: path.to_string(), source },
        }
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
