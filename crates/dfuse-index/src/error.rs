use std::path::PathBuf;

use dfuse_antelope::Checksum256;
use dfuse_blocks::BlockRef;

/// What can go wrong with indexes. A variant exists where the caller acts differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store fails. While writing, the pipeline does not return this but stalls; see
    /// [`Status::stall`](crate::Status::stall).
    #[error(transparent)]
    Store(dfuse_kv::Error),
    /// A file of the store is not as it was written, or is missing: rebuild the indexes.
    #[error(
        "the indexes in {} are damaged ({why}); nothing is lost, as they are built from the block files: start with `dfuse start \
         --rebuild-damaged`, or run `dfuse tools reindex`",
        path.display()
    )]
    StoreDamaged {
        /// Directory of the store.
        path: PathBuf,
        /// The file, where it is known, and what does not fit.
        why: String,
    },
    /// An index was to be built again from files that do not have all that is in it: it was left as it is.
    #[error("index \"{index}\" is left as it is, since it could not be built again: {why}")]
    Irreplaceable {
        /// Its name.
        index: &'static str,
        /// What is missing or damaged, and what to do about it.
        why: String,
    },
    /// The block files fail.
    #[error(transparent)]
    Blocks(#[from] dfuse_blocks::Error),
    /// A block holds what no chain writes.
    #[error(transparent)]
    Block(#[from] dfuse_antelope::Error),
    /// The indexes were built from another chain: stop, and give each chain a data directory of its own.
    #[error("the indexes are of another chain: {0}; use another data directory for this chain, or empty this one")]
    OtherChain(String),
    /// A final block differs from the committed one of the same number: the source follows another fork, or the chain
    /// was started anew.
    #[error(
        "block {} is {}, but {} of that number is committed as irreversible; connect to a node of the same chain and \
         fork, or empty the data directory",
        found.number, found.id, committed
    )]
    Conflict {
        /// What came.
        found: BlockRef,
        /// What is committed.
        committed: Checksum256,
    },
    /// Earlier blocks joined the lists of the store while a follower had reversible blocks, whose writes were made without them: open
    /// the follower anew.
    #[error("earlier blocks have joined the indexes, which must be opened anew to be followed")]
    EarlierJoined,
    /// A step does not follow the ones before: its source left something out.
    #[error("block {} {} does not follow: {why}", block.number, block.id)]
    Unlinked {
        /// The block of the step.
        block: BlockRef,
        /// What was expected.
        why: String,
    },
    /// A newer version of dfuse wrote the index.
    #[error(
        "index \"{index}\" has schema version {found}, this version of dfuse knows {known}; use the newer dfuse, or \
         rebuild the index with `dfuse tools reindex {index}`"
    )]
    NewerSchema {
        /// Its name.
        index: &'static str,
        /// The version that wrote it.
        found: u32,
        /// The version that the code has.
        known: u32,
    },
    /// An older version of dfuse wrote the index.
    #[error(
        "index \"{index}\" has schema version {found}, this version of dfuse needs {known}; rebuild it with `dfuse tools \
         reindex {index}`"
    )]
    OlderSchema {
        /// Its name.
        index: &'static str,
        /// The version that wrote it.
        found: u32,
        /// The version that the code has.
        known: u32,
    },
    /// The index was built with other settings: it has other entries than the ones that are wanted.
    #[error(
        "index \"{index}\" was built with other settings; put section [{index}] of the configuration back as it was, or \
         rebuild the index with `dfuse tools reindex {index}` and the same configuration"
    )]
    OtherSettings {
        /// Its name.
        index: &'static str,
    },
    /// The index lacks blocks that others have: build it first.
    #[error("index \"{index}\" is not built yet; run `dfuse tools reindex {index}`")]
    NotBuilt {
        /// Its name.
        index: &'static str,
    },
    /// State was being loaded when the process ended: load it again.
    #[error(
        "the state after block {} was being loaded when dfuse ended; start with the same --snapshot again, or empty the data \
         directory",
        block.number
    )]
    LoadUnfinished {
        /// The block.
        block: BlockRef,
    },
    /// The index has state that was loaded from a snapshot, and cannot be made from blocks alone.
    #[error(
        "index \"{index}\" has the state after block {} from a snapshot, and cannot be built from the blocks alone: give that \
         snapshot with --snapshot",
        block.number
    )]
    NeedsSnapshot {
        /// Its name.
        index: &'static str,
        /// The snapshot's block.
        block: BlockRef,
    },
    /// The first block files are not kept any more, so the indexes cannot be compared with them or built from them.
    #[error(
        "the block files before block {first} are not kept any more (retention.block_files), so the indexes cannot be compared with \
         them or built anew from them"
    )]
    BlocksNotKept {
        /// The first block that is kept.
        first: u32,
    },
    /// An entry of an index is not what its writer wrote: rebuild the index.
    #[error("an entry of \"{family}\" is damaged ({why}); rebuild its index with `dfuse tools reindex`")]
    Damaged {
        /// Where it is.
        family: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The store lacks ABIs that a node told, which another process puts into it. Offer the block again once a snapshot was adopted.
    #[error("the store does not have the ABIs yet that a node told at block {block}")]
    AwaitsDump {
        /// The block before the dump.
        block: u32,
    },
    /// Nothing more can wait in memory for a store that takes no writes: there is no room, or the block cannot be indexed
    /// because the store is being opened again. Offer it again after [`Pipeline::resume`](crate::Pipeline::resume).
    #[error("the store takes no writes, and {bytes} bytes of reversible blocks wait in memory for it")]
    Overloaded {
        /// What is held.
        bytes: usize,
    },
    /// The store takes no writes, for this reason: try again when it is gone.
    #[error("the store takes no writes: {0}")]
    Stalled(String),
    /// It was told to stop before its end.
    #[error("stopped before the end")]
    Stopped,
    /// The caller's use is wrong.
    #[error("invalid use of the indexes: {0}")]
    Usage(String),
}

impl From<dfuse_kv::Error> for Error {
    fn from(error: dfuse_kv::Error) -> Self {
        match error {
            dfuse_kv::Error::Corrupt { path, why } => Self::StoreDamaged { path, why },
            other => Self::Store(other),
        }
    }
}

impl Error {
    pub(crate) fn unlinked(block: BlockRef, why: impl Into<String>) -> Self {
        Self::Unlinked { block, why: why.into() }
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
