//! What a stream tells.

use std::{fmt, sync::Arc};

use dfuse_antelope::model::Block;
use dfuse_index::View;
use dfuse_search::{Match, Position};

/// Something that a stream tells.
#[derive(Debug, Clone)]
pub struct SearchRow {
    /// What it tells.
    pub kind: SearchRowKind,
    /// Where the stream is after it.
    pub position: Position,
    /// The newest irreversible block as this one knows it; its own number if it is final.
    pub irreversible: u32,
}

/// What a row of a stream tells.
#[derive(Debug, Clone)]
pub enum SearchRowKind {
    /// This was found.
    New(Match),
    /// This was sent before, and its block was undone.
    Undo(Match),
    /// The stream has come to this block, and nothing else.
    Marker,
}

/// Rows that are read from the same indexes.
pub struct SearchRows {
    /// The indexes, which have all blocks of the rows.
    pub view: View,
    /// The block, if all rows are of one that is in memory.
    pub block: Option<Arc<Block>>,
    /// The rows, in order.
    pub rows: Vec<SearchRow>,
}

impl fmt::Debug for SearchRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchRows").field("rows", &self.rows).finish_non_exhaustive()
    }
}
