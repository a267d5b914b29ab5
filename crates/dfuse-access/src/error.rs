/// Why keys could not be read, written or made. A variant exists where the caller acts differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused: see what it says.
    #[error("the keys cannot be kept: {0}")]
    Store(#[from] dfuse_kv::Error),
    /// The store that machines share refused: see what it says.
    #[error("the keys that machines share cannot be reached: {0}")]
    Shared(Box<dfuse_blocks::Error>),
    /// What the store has is not what this version writes: use the version that wrote it, or restore a copy.
    #[error(
        "the record \"{record}\" of the keys cannot be read: {why}; use the version of dfuse that wrote it, or restore a copy"
    )]
    Damaged {
        /// Which record.
        record: String,
        /// What does not fit.
        why: String,
    },
    /// An object of the store that machines share is damaged, or of a newer version. What it says of a key is not known here.
    #[error(
        "a record of the API keys that machines share, the object {object} in access, keys of the block store, cannot be read: {why}; put it \
         back from a copy. Without one, copy any other object of that folder over it, and compare `dfuse keys list` with the keys that are to \
         count: start a machine again that knew them all, or create and revoke what is missing"
    )]
    DamagedObject {
        /// Its name in the folder of the keys.
        object: String,
        /// What does not fit.
        why: String,
    },
    /// An argument or a setting is wrong, as the text says with what is expected.
    #[error("{0}")]
    Invalid(String),
    /// No key has this id.
    #[error("there is no key with the id {0}; `dfuse keys list` names all")]
    UnknownKey(String),
    /// Several keys have ids that begin so.
    #[error("{count} keys have ids that begin with {prefix}; give more digits")]
    AmbiguousKey {
        /// What was given.
        prefix: String,
        /// How many keys.
        count: usize,
    },
    /// The operating system gives no randomness, or the cryptography fails.
    #[error("no key can be made: {0}")]
    Crypto(String),
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
