use dfuse_antelope::Checksum256;

use crate::{BlockRef, Cursor};

/// Folder for damaged files that were put aside, within that of their kind.
pub(crate) const DAMAGED: &str = "damaged";

/// How files of a store are mended that are damaged or missing.
pub const MEND: &str =
    "restore it from a copy, or write it anew from a log that has its blocks: dfuse tools merge --mend LOG STORE";

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
    /// A file is sound, but what is in it is not of an Antelope chain.
    #[error(
        "{file} is of another kind of chain: it holds \"{found}\", where blocks of an Antelope chain \
         (\"type.googleapis.com/sf.antelope.type.v1.Block\") are expected; name a store of such a chain"
    )]
    OtherType {
        /// Path of the file in the store.
        file: String,
        /// Type of what is in it.
        found: String,
    },
    /// A bundle is not there, though blocks before and after those that belong into it are: put it back from a copy.
    #[error("{file} is missing: the blocks from {first} on belong into it, and there are blocks before and after them")]
    MissingBundle {
        /// Path of the file in the store.
        file: String,
        /// Number of the first block that is missing.
        first: u32,
    },
    /// The one-block file of a block was not what its writer wrote, and was put aside: once the feed is opened again its source
    /// gives the block again.
    #[error(
        "{file} was damaged ({why}) and is put aside in {DAMAGED}; start again with a source that has block {number}: it and the \
         blocks after it are fetched again, nothing else is lost"
    )]
    PutAside {
        /// Path of the file in the store, as it was.
        file: String,
        /// Number of the block.
        number: u32,
        /// What is wrong.
        why: String,
    },
    /// A block does not continue the chain at hand: its source left something out or follows another chain.
    #[error("block {number} {id} does not follow: {why}")]
    Unlinked {
        /// Number of the refused block.
        number: u32,
        /// Id of the refused block.
        id: Checksum256,
        /// What was expected.
        why: String,
    },
    /// A block that contradicts one that is final: the source follows another chain, or a node gave up what was final. Stop:
    /// nothing that is fed after it can be right.
    #[error(
        "block {block} contradicts the final chain: {why}; use another store, this is another chain, or feed this store and \
         its data directory from the chain that they belong to"
    )]
    OtherChain {
        /// The refused block.
        block: BlockRef,
        /// What is final instead.
        why: String,
    },
    /// A subscriber fell behind what the feed keeps for live streams: subscribe again from the cursor, which reads from
    /// files. Without a cursor, nothing was delivered yet.
    #[error("the stream was read too slowly; resume it from its last cursor")]
    TooSlow {
        /// Of the last event.
        cursor: Option<Box<Cursor>>,
    },
    /// The feed has ended: the process stops, or its source failed.
    #[error("the feed has ended; resume from the last cursor when it is back")]
    Closed,
    /// Not the text of a cursor, or it was changed.
    #[error("this is not a cursor: send one as it was received")]
    CursorMalformed,
    /// A cursor of another kind, or of a later release.
    #[error("the cursor has version {0}: it is of another kind of stream, or of a later release")]
    CursorVersion(u8),
    /// A cursor that was sealed with the key of another data directory.
    #[error("the cursor was issued by another data directory (its `cursor.key`): start without it")]
    CursorForeign,
    /// The cursor's block is neither in the chain nor among the forked blocks that are kept.
    #[error("the cursor's block {0} is not known here: start from a block number")]
    CursorUnknown(BlockRef),
    /// The cursor is on a fork that was pruned, or below the first block that is kept.
    #[error("the cursor's block {0} is so old that it is not kept: start from a block number")]
    CursorTooOld(BlockRef),
    /// The block is not kept any more.
    #[error("block {number} is not kept any more; the first one that is kept is {first}")]
    NotKept {
        /// The block.
        number: u32,
        /// The first block that is kept.
        first: u32,
    },
    /// A stream of irreversible blocks cannot continue after a block that was not final when it was delivered.
    #[error("the cursor is at block {0}, which was not final then: use one from a stream of irreversible blocks")]
    CursorNotFinal(BlockRef),
    /// The feed has not come to the cursor's block: it was further before, or another process is.
    #[error("the cursor's block {cursor} is ahead of the head, block {head}: try again when the feed has come there")]
    CursorAhead {
        /// Of the cursor.
        cursor: BlockRef,
        /// Number of the head, 0 before the first block.
        head: u32,
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
    /// Whether the object store does not answer or lets nobody in, which can pass.
    pub fn is_away(&self) -> bool {
        use object_store::Error as E;
        matches!(
            self,
            Self::Store { source: E::Generic { .. } | E::PermissionDenied { .. } | E::Unauthenticated { .. }, .. }
        )
    }

    #[expect(clippy::needless_pass_by_value, reason = "any error or text, without a reference to each")]
    pub(crate) fn damaged(file: &str, offset: impl Into<Option<u64>>, why: impl ToString) -> Self {
        Self::Damaged { file: file.to_owned(), offset: offset.into(), why: why.to_string() }
    }

    pub(crate) fn unlinked(block: impl Into<BlockRef>, why: String) -> Self {
        let BlockRef { number, id } = block.into();
        Self::Unlinked { number, id, why }
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

/// An error and its causes as one text: errors of clients leave it to their causes to say why.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
