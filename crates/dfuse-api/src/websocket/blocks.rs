//! Sends what streams want of blocks, piece by piece, rendered once for all that want the same, on CPU threads.
//!
//! A stream holds no block and nothing that was made of one while it waits, neither for its client nor for its turn: it knows
//! which block and which piece of it comes next, and finds them again among what was used last, or makes them again.

use std::{collections::BTreeSet, sync::Arc};

use dfuse_antelope::Checksum256;
use dfuse_blocks::{BlockRef, feed::FeedStep};
use dfuse_index::ServingSnapshot;
use dfuse_query::{
    ApiError, ApiResult, ReadContext, Reading,
    streams::Taken,
    turns::{Class, Turn},
};
use metrics::counter;

use super::{
    context::{Context, Room},
    selection::{Change, Kept, Page, Piece, Selection},
};
use crate::metrics::WS_RENDERED;

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

/// A block, and what is to be told of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) block: BlockRef,
    pub(super) change: Change,
    pub(super) class: Class,
}

/// Sends blocks on one stream.
#[derive(Debug)]
pub(super) struct Blocks<S: Selection> {
    pub(super) context: Context,
    pub(super) selection: S,
    kept: Arc<Kept<S>>,
    confirmations: u32,
    /// Blocks that were undone before they were sent.
    unsent: BTreeSet<Checksum256>,
}

impl<S: Selection> Blocks<S> {
    pub(super) fn new(context: Context, kept: Arc<Kept<S>>, selection: S, confirmations: u32) -> Self {
        Self { context, selection, kept, confirmations, unsent: BTreeSet::new() }
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
        match self.send(room, told, Some(step)).await {
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
            let mut taken = Taken::of_block(self.context.api(), step, self.confirmations);
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
        let selected = self.kept.of(told.class);
        let key = (told.block.id, self.selection.clone(), told.change, from);
        selected.pieces.get(key, self.make(told, step, from)).await
    }

    async fn make(&self, told: Told, step: Option<&FeedStep>, from: usize) -> Result<Piece, NotFound> {
        let api = self.context.api();
        let Some(step) = step else {
            let turn = api.turns().turn(told.class).await;
            return Ok(self.render(turn, told, from, |_| Ok(true)).await?.unwrap_or_default());
        };
        let mut taken = Taken::of_block(api, step, self.confirmations);
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
        let selected = self.kept.of(told.class).clone();
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
            let messages = S::render(&page, &ReadContext::new(&reader, snapshot, reading), from)?;
            let next = from + messages.len();
            Ok(Some(Piece { messages, next: (next < page.places.len()).then_some(next) }))
        };
        api.at_turn(turn, work).await
    }
}
