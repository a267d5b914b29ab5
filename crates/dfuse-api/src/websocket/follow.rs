//! Streams follow the feed, but answer from the indexes, which come to a block a little later.

use dfuse_antelope::Checksum256;
use dfuse_blocks::{
    BlockRef, Cursor, Error, Step,
    feed::{FeedEvent, FeedHandle, Request, Start, Subscription},
};
use dfuse_index::{ServingSnapshot, View, blocks};

use crate::{Api, ApiError, ApiResult, Reading};

/// Newest blocks for which what was made for one stream is kept for others.
const SHARED_BLOCKS: u32 = 8;

/// A stream of the feed that is never too slow: what the feed does not keep for it any more is read from files. How slow a
/// client may be is decided elsewhere.
#[derive(Debug)]
pub(crate) struct Steps {
    feed: FeedHandle,
    subscription: Subscription,
    request: Request,
}

impl Steps {
    /// # Errors
    /// Those of [`FeedHandle::subscribe`].
    pub(crate) async fn from(request: impl Into<Request>, feed: &FeedHandle) -> Result<Self, Error> {
        let request = request.into();
        let subscription = feed.subscribe(request).await?;
        Ok(Self { feed: feed.clone(), subscription, request })
    }

    /// Whether the block is among the newest that such streams get: others ask for the same at about this time.
    pub(super) fn is_shared(&self, event: &FeedEvent) -> bool {
        let end = match self.request {
            Request { irreversible_only: true, .. } => event.lib.number,
            Request { confirmations, .. } => event.head.number.saturating_sub(confirmations).max(event.lib.number),
        };
        end.saturating_sub(event.block.encoded().number()) < SHARED_BLOCKS
    }

    /// The next one.
    ///
    /// # Errors
    /// Those of the feed.
    pub(crate) async fn next(&mut self) -> ApiResult<FeedEvent> {
        loop {
            match self.subscription.next().await {
                Ok(Some(event)) => return Ok(event),
                // One without a last block does not end.
                Ok(None) => return Err(ApiError::unexpected("a stream without a last block has ended")),
                Err(Error::TooSlow { cursor: Some(cursor) }) => {
                    let request = Request { start: Start::Cursor(*cursor), ..self.request };
                    *self = Self::from(request, &self.feed).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// After what a snapshot shows that ends with that block: without a gap, and with the block's own undo if the chain has left it
/// since. `lib` is the snapshot's last irreversible block, absent before there is one.
pub(crate) fn after(block: BlockRef, lib: Option<BlockRef>, feed: &FeedHandle) -> Start {
    let before_first = || feed.first_block().unwrap_or(0).saturating_sub(1);
    let lib = lib.map_or_else(before_first, |lib| lib.number).min(block.number);
    Start::Cursor(Cursor { step: Step::New, block, tip: block, lib })
}

/// The indexes at the newest block of a snapshot that is final or has so many on top; absent if there is none.
pub(super) fn confirmed_view(snapshot: &ServingSnapshot, confirmations: u32) -> ApiResult<Option<View>> {
    match confirmations {
        0 => Ok(snapshot.head().map(|_| snapshot.view().clone())),
        _ => Ok(snapshot.view_at_number(confirmed(snapshot, confirmations))?),
    }
}

/// The height of that block, whether there is one or not.
pub(super) fn confirmed(snapshot: &ServingSnapshot, confirmations: u32) -> u32 {
    let number = |block: Option<BlockRef>| block.map_or(0, |block| block.number);
    number(snapshot.head()).saturating_sub(confirmations).max(number(snapshot.lib()))
}

/// Reads from the first snapshot in which the step has been taken, by a stream of so many confirmations. Absent if the chain
/// took it back before the indexes came to it: the stream's next steps tell.
///
/// # Errors
/// Those of `read`.
pub(crate) async fn read_after<T: Send + 'static>(
    api: &Api,
    event: &FeedEvent,
    confirmations: u32,
    read: impl Fn(&ServingSnapshot, &Reading) -> ApiResult<T> + Clone + Send + 'static,
) -> ApiResult<Option<T>> {
    let mut changes = api.chain().serving.changes();
    let block = event.block.encoded().into();
    let taken = Taken { step: event.step, block, is_final: event.is_final, confirmations };
    loop {
        changes.mark_unchanged();
        if taken.may_be_in(&api.chain().serving.snapshot()) {
            let read = read.clone();
            let found =
                api.read_block(
                    move |snapshot, reading| {
                        if taken.is_in(snapshot)? { read(snapshot, reading).map(Some) } else { Ok(None) }
                    },
                );
            if let Some(found) = found.await? {
                return Ok(Some(found));
            }
        }
        if taken.is_taken_back(api) {
            return Ok(None);
        }
        changes.changed().await.map_err(|_| ApiError::unavailable("The server is going away."))?;
    }
}

/// The view to which the block belongs: at the head if it is on the best chain, else at the block. ABIs of a block that was
/// undone long ago are those of the best chain.
pub(crate) fn view_of(snapshot: &ServingSnapshot, id: Checksum256) -> ApiResult<View> {
    let head = || snapshot.view().clone();
    match blocks::by_id(snapshot.view(), id)? {
        Some(_) => Ok(head()),
        None => Ok(snapshot.view_at(id)?.unwrap_or_else(head)),
    }
}

/// A step of the feed.
#[derive(Debug, Clone, Copy)]
struct Taken {
    step: Step,
    block: BlockRef,
    is_final: bool,
    confirmations: u32,
}

impl Taken {
    /// What is known without reading.
    fn may_be_in(&self, snapshot: &ServingSnapshot) -> bool {
        let number = self.block.number;
        let final_in = || snapshot.lib().is_some_and(|lib| lib.number >= number);
        match self.step {
            Step::New if self.is_final => final_in(),
            Step::New => snapshot.head().is_some() && confirmed(snapshot, self.confirmations) >= number,
            Step::Undo => snapshot.head() != Some(self.block),
            Step::Irreversible => final_in(),
        }
    }

    fn is_in(&self, snapshot: &ServingSnapshot) -> ApiResult<bool> {
        let on_chain = || Ok::<_, ApiError>(blocks::by_id(snapshot.view(), self.block.id)?.is_some());
        Ok(self.may_be_in(snapshot)
            && match self.step {
                Step::New => on_chain()?,
                Step::Undo => !on_chain()?,
                Step::Irreversible => true,
            })
    }

    fn is_taken_back(&self, api: &Api) -> bool {
        match self.step {
            Step::New => api.chain().feed.is_off_chain(self.block),
            Step::Undo => !api.chain().feed.is_off_chain(self.block),
            Step::Irreversible => false,
        }
    }
}
