//! What streams send of a block: found and rendered once for all that select the same, slice by slice on CPU threads.

use std::{collections::BTreeSet, fmt, future::Future, sync::Arc};

use bytes::Bytes;
use dfuse_antelope::{Checksum256, model::Block};
use dfuse_blocks::{Step, feed::FeedEvent};
use dfuse_index::ServingSnapshot;
use metrics::counter;

use super::{
    RECENT_BYTES, RECENT_FILTERS, Shared,
    context::Context,
    follow::read_after,
    recent::{Recent, Weigh},
};
use crate::{Api, ApiError, ApiResult, Reading, metrics::WS_RENDERED};

/// JSON that is rendered at a time.
const SLICE_BYTES: usize = 256 << 10;

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

    /// Where that of the newest blocks is.
    fn selected(shared: &Shared) -> &Selected<Self>;
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

/// Positions of transactions, and of something within each.
pub(super) type Places = Arc<[(usize, usize)]>;

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

/// What a block has for a selection: where, and the first of the messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) places: Places,
    pub(super) first: Slice,
}

impl Weigh for Found {
    fn bytes(&self) -> usize {
        // About what an entry and a message take beside their contents.
        let messages = self.first.iter().map(|message| message.len() + 64);
        256 + self.places.bytes() + messages.sum::<usize>()
    }
}

/// What was made of the newest blocks, for all streams of a kind.
#[derive(Debug)]
pub(super) struct Selected<S: Selection> {
    items: Recent<Checksum256, Arc<[S::Item]>>,
    found: Recent<(Checksum256, S, Change), Found>,
}

impl<S: Selection> Default for Selected<S> {
    fn default() -> Self {
        Self { items: Recent::new(16, RECENT_BYTES), found: Recent::new(RECENT_FILTERS, RECENT_BYTES) }
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

/// Renders a message for each place, until they are many bytes. `write` appends one.
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
        if bytes > SLICE_BYTES {
            break;
        }
    }
    Ok(messages.into())
}

impl<S: Selection> Page<S> {
    /// Sends all of it, of which the first messages are there.
    pub(super) async fn send(&self, context: &Context, first: Slice) -> ApiResult<()> {
        let (mut next, mut done) = (first, 0);
        loop {
            context.send_all(S::KIND, &next).await;
            done += next.len();
            if done >= self.places.len() {
                return Ok(());
            }
            next = self.slice(context.api(), done).await?;
        }
    }

    fn slice(&self, api: &Api, from: usize) -> impl Future<Output = ApiResult<Slice>> + use<S> {
        let (page, api) = (self.clone(), api.clone());
        async move {
            let reader = api.clone();
            api.read_block(move |snapshot, reading| S::render(&page, &reader, snapshot, reading, from)).await
        }
    }
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

    /// Sends what the event's block has. `is_shared` says that others ask for the same at about this time. False if nothing
    /// is told of the block, neither that it came nor that it went.
    pub(super) async fn send(&mut self, event: &FeedEvent, change: Change, is_shared: bool) -> ApiResult<bool> {
        let id = event.block.encoded().id();
        if change == Change::Undo && self.unsent.remove(&id) {
            return Ok(false);
        }
        let find = self.find(event, change, is_shared);
        let found = if is_shared {
            let selected = S::selected(self.context.shared());
            selected.found.get((id, self.selection.clone(), change), find).await
        } else {
            find.await
        };
        match found {
            Ok(found) if found.places.is_empty() => {}
            Ok(Found { places, first }) => {
                let (block, selection) = (event.block.block().await?, self.selection.clone());
                Page { block, selection, places, change }.send(&self.context, first).await?;
            }
            Err(NotFound::Failed(error)) => return Err(error),
            Err(NotFound::TakenBack) => {
                self.unsent.insert(id);
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn find(&self, event: &FeedEvent, change: Change, is_shared: bool) -> Result<Found, NotFound> {
        let (api, shared) = (self.context.api(), self.context.shared());
        let block = event.block.block().await?;
        let all = async { Ok::<_, ApiError>(S::all(&block)) };
        let all = if is_shared { S::selected(shared).items.get(block.id, all).await? } else { all.await? };
        let mut places = self.selection.pick(&all);
        if places.is_empty() {
            return Ok(Found::default());
        }
        if change == Change::Undo {
            Arc::make_mut(&mut places).reverse();
        }
        api.metrics().record(|| counter!(WS_RENDERED).increment(1));
        let page = Page { block, selection: self.selection.clone(), places: places.clone(), change };
        let first = if event.step == Step::Undo {
            page.slice(api, 0).await?
        } else {
            let (page, reader) = (Arc::new(page), api.clone());
            let render =
                move |snapshot: &ServingSnapshot, reading: &Reading| S::render(&page, &reader, snapshot, reading, 0);
            read_after(api, event, self.confirmations, render).await?.ok_or(NotFound::TakenBack)?
        };
        Ok(Found { places, first })
    }
}
