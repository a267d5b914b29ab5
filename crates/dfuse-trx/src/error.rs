use dfuse_index::BlockRef;

/// What can go wrong with transactions. A variant exists where the caller acts differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The indexes fail.
    #[error(transparent)]
    Index(#[from] dfuse_index::Error),
    /// The source of blocks fails.
    #[error("block {} {} cannot be read: {source}", block.number, block.id)]
    Source {
        /// Which one.
        block: BlockRef,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Index and block are not of the same block files.
    #[error(
        "block {} {} does not have what the index of transactions says ({what}); compare them with `dfuse tools check \
         index`",
        block.number, block.id
    )]
    Mismatch {
        /// The block.
        block: BlockRef,
        /// What is not there.
        what: &'static str,
    },
    /// The text is no id and no beginning of one.
    #[error("\"{text}\" is not a transaction id or the beginning of one: {why}")]
    InvalidPrefix {
        /// The text, shortened.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Several transactions have ids that begin so: give more digits.
    #[error("several transactions begin with {prefix}")]
    AmbiguousPrefix {
        /// The digits.
        prefix: String,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
