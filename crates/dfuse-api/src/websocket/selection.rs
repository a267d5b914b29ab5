//! What streams send of a block: found and rendered once for all that select the same, piece by piece on CPU threads.
//!
//! A stream holds no block and nothing that was made of one while it waits, neither for its client nor for its turn: it knows
//! which block and which piece of it comes next, and finds them again among what was used last, or makes them again.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
use dfuse_antelope::{Checksum256, model::Block};
use dfuse_blocks::{BlockRef, Step, feed::FeedStep};
use dfuse_index::ServingSnapshot;
use dfuse_query::{
    ApiError, ApiResult, Reading,
    outbox::PIECE_BYTES,
    streams::{Places, Recent, Taken, Weigh},
    turns::{Class, Turn},
};
use metrics::counter;

use super::{RECENT_BYTES, RECENT_FILTERS, Room, Shared, context::Context};
use crate::{Api, metrics::WS_RENDERED};

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
    fn render(
        page: &Page<Self>,
        api: &Api,
        snapshot: &ServingSnapshot,
        reading: &Reading,
        from: usize,
    ) -> ApiResult<Slice>;

    /// Where that of blocks of this class is.
    fn selected(shared: &Shared, class: Class) -> &Arc<Selected<Self>>;
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
    messages: Slice,
    /// Position of the first place of the next piece; absent if this is the last one.
    next: Option<usize>,
}

impl Weigh for Piece {
    fn bytes(&self) -> usize {
        // About what an entry and a message take beside their contents.
        256 + self.messages.iter().map(|message| message.len() + 64).sum::<usize>()
    }
}

/// A piece by the block's id, what happens to the block, and the position of the piece's first place.
type PieceKey<S> = (Checksum256, S, Change, usize);

/// What was made of the blocks that were asked for last, for all streams of a kind.
#[derive(Debug)]
pub(super) struct Selected<S: Selection> {
    items: Recent<Checksum256, Arc<[S::Item]>>,
    pieces: Recent<PieceKey<S>, Piece>,
}

impl<S: Selection> Selected<S> {
    /// Of the newest blocks.
    pub(super) fn live() -> Arc<Self> {
        Arc::new(Self { items: Recent::new(16, RECENT_BYTES), pieces: Recent::new(RECENT_FILTERS, RECENT_BYTES) })
    }

    /// Of blocks that are further back.
    pub(super) fn past(bytes: usize) -> Arc<Self> {
        Arc::new(Self { items: Recent::new(64, bytes / 4), pieces: Recent::new(RECENT_FILTERS, bytes / 4 * 3) })
    }
}

/// Why a block is not sent.
enum NotFound {
    /// The chain left it before the indexes came to it: its contents cannot be decoded any more.
    TakenBack,
    Failed(ApiError),
}

impl<E: Into<ApiError>> From<E> for NotFound {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
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

/// A block, and what is to be told of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) block: BlockRef,
    pub(super) change: Change,
    pub(super) class: Class,
}

/// Sends blocks on one stream.
#[derive(Debug)]
pub(super) struct Blocks<S> {
    pub(super) context: Context,
    pub(super) selection: S,
    confirmations: u32,
    /// Blocks that were undone before they were sent.
    unsent: BTreeSet<Checksum256>,
}

impl<S: Selection> Blocks<S> {
    pub(super) fn new(context: Context, selection: S, confirmations: u32) -> Self {
        Self { context, selection, confirmations, unsent: BTreeSet::new() }
    }

    /// Sends what the step's block has, where there is room already. False if nothing is told of the block, neither that it
    /// came nor that it went.
    pub(super) async fn send_step(
        &mut self,
        room: Room,
        step: &FeedStep,
        change: Change,
        class: Class,
    ) -> ApiResult<bool> {
        let told = Told { block: step.block, change, class };
        let id = step.block.id;
        if change == Change::Undo && self.unsent.remove(&id) {
            return Ok(false);
        }
        // What is undone was sent when the indexes had it.
        let is_new = step.step != Step::Undo;
        match self.send(room, told, is_new.then_some(step)).await {
            Ok(()) => Ok(true),
            Err(NotFound::Failed(error)) => Err(error),
            Err(NotFound::TakenBack) => {
                self.unsent.insert(id);
                Ok(false)
            }
        }
    }

    /// Sends what a block has that is final and known to the indexes.
    pub(super) async fn send_final(&self, room: Room, block: BlockRef) -> ApiResult<()> {
        let told = Told { block, change: Change::New, class: Class::Past };
        match self.send(room, told, None).await {
            Ok(()) => Ok(()),
            Err(NotFound::Failed(error)) => Err(error),
            Err(NotFound::TakenBack) => Err(ApiError::unexpected("a final block was undone")),
        }
    }

    /// Sends all pieces; before the first one, the indexes must have taken the step.
    async fn send(&self, room: Room, told: Told, step: Option<&FeedStep>) -> Result<(), NotFound> {
        let (mut room, mut first) = (room, step);
        if let Some(step) = step {
            let mut taken = Taken::new(self.context.api(), step, self.confirmations);
            if !taken.check().may_be_in(&self.context.api().chain().serving.snapshot()) {
                // Room is not held for what cannot be made yet.
                drop(room);
                if !taken.may_be().await? {
                    return Err(NotFound::TakenBack);
                }
                room = self.context.room().await;
            }
        }
        let mut from = 0;
        loop {
            let piece = self.piece(told, first, from).await?;
            // Another one need not be asked whether the block is there: it was.
            first = None;
            if !piece.messages.is_empty()
                && let Err((mut given_back, bytes)) = self.context.put(room, S::KIND, &piece.messages)
            {
                drop(piece);
                given_back.wait_for_large(bytes).await;
                room = given_back;
                continue;
            }
            match piece.next {
                None => return Ok(()),
                Some(next) => from = next,
            }
            drop(piece);
            room = self.context.room().await;
        }
    }

    /// A piece, made by the first stream that asks for it.
    async fn piece(&self, told: Told, step: Option<&FeedStep>, from: usize) -> Result<Piece, NotFound> {
        let selected = S::selected(self.context.shared(), told.class);
        let key = (told.block.id, self.selection.clone(), told.change, from);
        selected.pieces.get(key, self.make(told, step, from)).await
    }

    async fn make(&self, told: Told, step: Option<&FeedStep>, from: usize) -> Result<Piece, NotFound> {
        let api = self.context.api();
        let Some(step) = step else {
            let turn = api.turns().turn(told.class).await;
            return Ok(self.render(turn, told, from, |_| Ok(true)).await?.unwrap_or_default());
        };
        let mut taken = Taken::new(api, step, self.confirmations);
        loop {
            if !taken.may_be().await? {
                return Err(NotFound::TakenBack);
            }
            let (turn, check) = (api.turns().turn(told.class).await, taken.check());
            if let Some(piece) = self.render(turn, told, from, move |snapshot| check.is_in(snapshot)).await? {
                return Ok(piece);
            }
            if !taken.later().await? {
                return Err(NotFound::TakenBack);
            }
        }
    }

    /// Renders a piece in this stream's turn, in which alone the block is in memory for it; absent if the snapshot does not
    /// have what it takes.
    async fn render(
        &self,
        turn: Turn,
        told: Told,
        from: usize,
        has_it: impl Fn(&ServingSnapshot) -> ApiResult<bool> + Send + 'static,
    ) -> ApiResult<Option<Piece>> {
        let api = self.context.api().clone();
        let block = api.chain().feed.block(told.block).await?.block().await?;
        let selected = S::selected(self.context.shared(), told.class).clone();
        let (selection, reader) = (self.selection.clone(), api.clone());
        let work = move |snapshot: &ServingSnapshot, reading: &Reading| {
            if !has_it(snapshot)? {
                return Ok(None);
            }
            let items = selected.items.get_or_make(&block.id, || S::all(&block));
            let mut places = selection.pick(&items);
            if places.is_empty() {
                return Ok(Some(Piece::default()));
            }
            if told.change == Change::Undo {
                Arc::make_mut(&mut places).reverse();
            }
            if from == 0 {
                reader.metrics().record(|| counter!(WS_RENDERED).increment(1));
            }
            let page = Page { block, selection, places, change: told.change };
            let messages = S::render(&page, &reader, snapshot, reading, from)?;
            let next = from + messages.len();
            Ok(Some(Piece { messages, next: (next < page.places.len()).then_some(next) }))
        };
        api.at_turn(turn, work).await
    }
}
