//! What streams want of a block, and what is kept of it for all that want the same.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use dfuse_antelope::{Checksum256, model::Block};
use dfuse_query::{
    ApiResult, ReadContext, Reading,
    outbox::PIECE_BYTES,
    streams::{Places, Recent, Weigh},
    turns::Class,
};

/// What is kept of the newest blocks, of each kind.
pub(super) const RECENT_BYTES: usize = 8 << 20;
/// Different filters and tables for which something is kept, times blocks.
const RECENT_FILTERS: usize = 16 << 10;

/// What a stream wants of every block.
pub(super) trait Selection: Clone + Ord + fmt::Debug + Send + Sync + 'static {
    /// Type of its messages.
    const KIND: &str;
    /// Something of a block, in an order in which what is wanted is easily found.
    type Item: fmt::Debug + Send + Sync;

    /// All of a block that can be wanted, in order.
    fn all(block: &Block) -> Arc<[Self::Item]>;

    /// What is wanted, in the order of execution.
    fn pick(&self, all: &[Self::Item]) -> Places;

    /// Renders the messages of a page from the place at a position on: see [`slice`].
    fn render(page: &Page<Self>, read: &ReadContext<'_>, from: usize) -> ApiResult<Slice>;
}

/// What happens to a block, as clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    New,
    Undo,
    Redo,
}

impl Change {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Undo => "undo",
            Self::Redo => "redo",
        }
    }
}

/// Some messages, in order.
pub(super) type Slice = Arc<[Bytes]>;

/// What is to be sent of a block; if it is undone, backwards.
#[derive(Debug, Clone)]
pub(super) struct Page<S> {
    pub(super) block: Arc<Block>,
    pub(super) selection: S,
    pub(super) places: Places,
    pub(super) change: Change,
}

/// Some of the messages that a block has for a selection.
#[derive(Debug, Clone, Default)]
pub(super) struct Piece {
    pub(super) messages: Slice,
    /// Position of the first place of the next piece; absent if this is the last one.
    pub(super) next: Option<usize>,
}

impl Weigh for Piece {
    fn bytes(&self) -> usize {
        // About what an entry and a message take beside their contents.
        256 + self.messages.iter().map(|message| message.len() + 64).sum::<usize>()
    }
}

/// A piece by the block's id, what happens to the block, and the position of the piece's first place.
pub(super) type PieceKey<S> = (Checksum256, S, Change, usize);

/// What was made of the blocks that were asked for last, for all streams of a kind.
#[derive(Debug)]
pub(super) struct Selected<S: Selection> {
    pub(super) items: Recent<Checksum256, Arc<[S::Item]>>,
    pub(super) pieces: Recent<PieceKey<S>, Piece>,
}

/// The same of the newest blocks, and of those that are further back.
#[derive(Debug)]
pub(super) struct Kept<S: Selection> {
    live: Arc<Selected<S>>,
    past: Arc<Selected<S>>,
}

impl<S: Selection> Kept<S> {
    /// Keeps that many bytes of blocks that are further back.
    pub(super) fn new(past_bytes: usize) -> Self {
        let live = Selected { items: Recent::new(16, RECENT_BYTES), pieces: Recent::new(RECENT_FILTERS, RECENT_BYTES) };
        let past = Selected {
            items: Recent::new(64, past_bytes / 4),
            pieces: Recent::new(RECENT_FILTERS, past_bytes / 4 * 3),
        };
        Self { live: Arc::new(live), past: Arc::new(past) }
    }

    /// Of blocks of this class.
    pub(super) fn of(&self, class: Class) -> &Arc<Selected<S>> {
        match class {
            Class::Live => &self.live,
            Class::Past => &self.past,
        }
    }
}

/// Renders a message for each place, until they make a piece. `write` appends one.
pub(super) fn slice<T>(
    reading: &Reading,
    places: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T) -> ApiResult<()>,
) -> ApiResult<Slice> {
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for place in places {
        reading.go_on()?;
        let mut text = Vec::new();
        write(&mut text, place)?;
        bytes += text.len();
        messages.push(Bytes::from(text));
        if bytes >= PIECE_BYTES {
            break;
        }
    }
    Ok(messages.into())
}
