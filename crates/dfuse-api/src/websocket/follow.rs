//! Streams follow the feed, but answer from the indexes, which come to a block a little later.

use dfuse_antelope::Checksum256;
use dfuse_blocks::{
    BlockRef, Cursor, Error, Step,
    feed::{FeedEvent, FeedHandle, Request, Start, Subscription},
};
use dfuse_index::{ServingSnapshot, View, blocks};

use crate::{Api, ApiError, ApiResult, Reading};

/// A stream of the feed that is never too slow: what the feed does not keep for it any more is read from files. How slow a
/// client may be is decided elsewhere.
#[derive(Debug)]
pub(crate) struct Steps {
    feed: FeedHandle,
    subscription: Subscription,
    irreversible_only: bool,
}

impl Steps {
    /// # Errors
    /// Those of [`FeedHandle::subscribe`].
    pub(crate) async fn from(start: Start, irreversible_only: bool, feed: &FeedHandle) -> Result<Self, Error> {
        let subscription = feed.subscribe(Request { start, irreversible_only, stop_block: None }).await?;
        Ok(Self { feed: feed.clone(), subscription, irreversible_only })
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
                    *self = Self::from(Start::Cursor(*cursor), self.irreversible_only, &self.feed).await?;
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

/// Reads from the first snapshot in which the step has been taken. Absent if the chain took it back before the indexes came
/// to it: the stream's next steps tell.
///
/// # Errors
/// Those of `read`.
pub(crate) async fn read_after<T: Send + 'static>(
    api: &Api,
    event: &FeedEvent,
    read: impl Fn(&ServingSnapshot, &Reading) -> ApiResult<T> + Clone + Send + 'static,
) -> ApiResult<Option<T>> {
    let mut changes = api.chain().serving.changes();
    let taken = Taken { step: event.step, block: event.block.encoded().into(), is_final: event.is_final };
    loop {
        changes.mark_unchanged();
        if taken.may_be_in(&api.chain().serving.snapshot()) {
            let read = read.clone();
            let found = api.read(
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
}

impl Taken {
    /// What is known without reading.
    fn may_be_in(&self, snapshot: &ServingSnapshot) -> bool {
        let number = self.block.number;
        let final_in = || snapshot.lib().is_some_and(|lib| lib.number >= number);
        match self.step {
            Step::New => snapshot.head().is_some_and(|head| head.number >= number) && (!self.is_final || final_in()),
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
