//! Cursors: where a stream continues.

use crate::BlockRef;

/// Everything that a cursor key seals: the first byte of the text. No text of one kind is taken for one of another. A kind whose
/// content changes gets another byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CursorKind {
    /// A position in a stream of blocks: [`Cursor`].
    Stream = 1,
    /// A position among the matches of a search.
    Search = b'S',
    /// A place in a list of transactions.
    Transactions = b'T',
    /// A row of a table.
    Rows = b'R',
    /// A block in the history of a row.
    RowHistory = b'H',
    /// A token in a list of tokens.
    Tokens = b'K',
    /// An account in a list of holders of a token.
    Holders = b'O',
    /// A token in a list of what an account has.
    Balances = b'B',
    /// An action in the history of an account.
    AccountActions = b'A',
}

impl CursorKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Stream,
        Self::Search,
        Self::Transactions,
        Self::Rows,
        Self::RowHistory,
        Self::Tokens,
        Self::Holders,
        Self::Balances,
        Self::AccountActions,
    ];
}

/// What happened to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// It is the new end of the chain.
    New,
    /// It was the end of the chain and is no longer in it.
    Undo,
    /// It was delivered as new before and is final now.
    Irreversible,
}

/// A position in a stream: right after one event. What the reader of the stream has by then follows from it: a chain that
/// ends at `tip`, final up to `lib`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// What happened last.
    pub step: Step,
    /// To which block.
    pub block: BlockRef,
    /// The end of the chain after it: for `New` the block itself, for `Undo` the block before it.
    pub tip: BlockRef,
    /// Up to which number blocks were delivered as final; in a stream that started above the chain's LIB, the number before
    /// its first block. Never above `tip`.
    pub lib: u32,
}

impl Cursor {
    /// Whether nothing that the stream delivered up to here can be undone.
    pub fn is_final(&self) -> bool {
        self.step != Step::Undo && self.block.number == self.lib
    }
}
