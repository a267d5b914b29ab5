use dfuse_antelope::Checksum256;
use dfuse_index::BlockRef;

use crate::ParseError;

/// Why a search was refused or failed. A variant exists where the caller acts differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The indexes fail.
    #[error(transparent)]
    Index(#[from] dfuse_index::Error),
    /// The text is not a query.
    #[error("invalid query: {error} (query: \"{query}\")")]
    InvalidQuery {
        /// What is wrong, and where.
        error: ParseError,
        /// The text.
        query: String,
    },
    /// The query has fields that are not indexed.
    #[error(
        "The following fields you are trying to search are not currently indexed: {}. Contact our support team for more.",
        quoted(.0)
    )]
    UnknownFields(
        /// Sorted, each once.
        Vec<String>,
    ),
    /// A value with `*` stands for too many values: give more of it.
    #[error(
        "{field}:{prefix}* is too broad: it stands for more than {limit} values, or all beginnings of values in the query for \
         more than {in_query}; give a longer beginning"
    )]
    TooBroad {
        /// Name of the field.
        field: String,
        /// What is before the star.
        prefix: String,
        /// How many values there may be.
        limit: usize,
        /// How many in all of a query.
        in_query: usize,
    },
    /// The range of blocks is not one; says why.
    #[error("{0}")]
    InvalidRange(String),
    /// The range, or the cursor in it, has a block that is not there yet, or not final: try again when the indexes have come there.
    #[error("{message}")]
    NotYet {
        /// Number of the block.
        number: u32,
        /// Whether it must be final.
        is_final: bool,
        /// What is wrong with the range.
        message: String,
    },
    /// The text is not a cursor of a search, or was changed.
    #[error("invalid cursor")]
    InvalidCursor,
    /// A descending search cannot go on in a branch that lost: begin again.
    #[error(
        "cursor is not valid anymore: it points to block {}, which was forked out. The correct block ID at this height is \
         {correct}",
        found.id
    )]
    CursorForkedOut {
        /// The block of the cursor.
        found: BlockRef,
        /// The block of that number.
        correct: Checksum256,
    },
    /// The cursor's block is neither in the chain nor among the blocks that lost and are kept: begin from a block number.
    #[error("the cursor's block {0} is not known here: start from a block number")]
    CursorUnknown(BlockRef),
    /// The cursor's block is above the head: try again when the indexes have come there.
    #[error(
        "the cursor's block {cursor} is ahead of the head, block {head}: try again when the indexes have come there"
    )]
    CursorAhead {
        /// Of the cursor.
        cursor: BlockRef,
        /// Number of the head.
        head: u32,
    },
}

/// The names in single quotes, with commas.
fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
