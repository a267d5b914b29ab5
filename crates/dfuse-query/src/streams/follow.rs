//! Steps of the feed, and what the indexes have of them: streams follow the feed, but answer from the indexes, which come to a block a little later.

use dfuse_antelope::Checksum256;
use dfuse_blocks::{
    BlockRef, Cursor, Error, Step,
    feed::{FeedEvent, FeedHandle, FeedStep, Next, Request, Start, Subscription},
};
use dfuse_index::{ServingSnapshot, View, blocks};
use tokio::sync::watch;

use crate::{ApiError, ApiResult, Reading, Service, turns::Class};

/// Newest blocks for which what was made for one stream is kept for others.
const SHARED_BLOCKS: u32 = 8;

/// A stream of the feed that is never too slow: what the feed does not keep for it any more is read from files. How slow a
/// client may be is decided elsewhere.
#[derive(Debug)]
pub struct Steps {
    feed: FeedHandle,
    subscription: Subscription,
    request: Request,
}

impl Steps {
    /// # Errors
    /// Those of [`FeedHandle::subscribe`].
    pub async fn from(request: impl Into<Request>, feed: &FeedHandle) -> Result<Self, Error> {
        let request = request.into();
        let subscription = feed.subscribe(request).await?;
        Ok(Self { feed: feed.clone(), subscription, request })
    }

    /// Whose turn it is to work at the block: the newest ones are for many who ask for the same at about this time.
    pub fn class(&self, step: &FeedStep) -> Class {
        let end = match self.request {
            Request { irreversible_only: true, .. } => step.lib.number,
            Request { confirmations, .. } => step.head.number.saturating_sub(confirmations).max(step.lib.number),
        };
        if end.saturating_sub(step.block.number) < SHARED_BLOCKS { Class::Live } else { Class::Past }
    }

    /// The next one, with its block: for those who follow the head.
    ///
    /// # Errors
    /// Those of the feed.
    pub async fn next(&mut self) -> ApiResult<FeedEvent> {
        loop {
            match self.subscription.next().await {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => return Err(has_ended()),
                Err(error) => self.resume(error).await?,
            }
        }
    }

    /// Returns when there is a next step. Until then the stream is nothing but its place.
    ///
    /// # Errors
    /// Those of the feed.
    pub async fn ready(&mut self) -> ApiResult<()> {
        while let Err(error) = self.subscription.ready().await {
            self.resume(error).await?;
        }
        Ok(())
    }

    /// The next step, if there is one: it may be gone since [`Self::ready`] said so.
    ///
    /// # Errors
    /// Those of the feed.
    pub async fn try_next(&mut self) -> ApiResult<Option<FeedStep>> {
        loop {
            match self.subscription.try_next().await {
                Ok(Next::Step(step)) => return Ok(Some(step)),
                Ok(Next::Nothing) => return Ok(None),
                Ok(Next::End) => return Err(has_ended()),
                Err(error) => self.resume(error).await?,
            }
        }
    }

    /// The next step. Whoever sends something of every block waits for room before, with [`Self::ready`].
    ///
    /// # Errors
    /// Those of the feed.
    pub async fn next_step(&mut self) -> ApiResult<FeedStep> {
        loop {
            self.ready().await?;
            if let Some(step) = self.try_next().await? {
                return Ok(step);
            }
        }
    }

    /// The same for a stream with a last block: none after it.
    ///
    /// # Errors
    /// Those of the feed.
    pub async fn next_or_end(&mut self) -> ApiResult<Option<FeedStep>> {
        loop {
            self.ready().await?;
            match self.subscription.try_next().await {
                Ok(Next::Step(step)) => return Ok(Some(step)),
                Ok(Next::Nothing) => {}
                Ok(Next::End) => return Ok(None),
                Err(error) => self.resume(error).await?,
            }
        }
    }

    /// Goes on from files with what the feed does not keep any more.
    async fn resume(&mut self, error: Error) -> ApiResult<()> {
        let Error::TooSlow { cursor: Some(cursor) } = error else { return Err(error.into()) };
        let request = Request { start: Start::Cursor(*cursor), ..self.request };
        *self = Self::from(request, &self.feed).await?;
        Ok(())
    }
}

/// The next step of a stream of the feed, which may be too slow; none after its last block.
///
/// # Errors
/// Those of the feed.
pub async fn next_step(subscription: &mut Subscription) -> Result<Option<FeedStep>, Error> {
    loop {
        subscription.ready().await?;
        match subscription.try_next().await? {
            Next::Step(step) => return Ok(Some(step)),
            Next::Nothing => {}
            Next::End => return Ok(None),
        }
    }
}

/// One without a last block does not end.
fn has_ended() -> ApiError {
    ApiError::unexpected("a stream without a last block has ended")
}

/// After what a snapshot shows that ends with that block: without a gap, and with the block's own undo if the chain has left it
/// since. `lib` is the snapshot's last irreversible block, absent before there is one.
pub fn after(block: BlockRef, lib: Option<BlockRef>, feed: &FeedHandle) -> Start {
    let before_first = || feed.first_block().unwrap_or(0).saturating_sub(1);
    let lib = lib.map_or_else(before_first, |lib| lib.number).min(block.number);
    Start::Cursor(Cursor { step: Step::New, block, tip: block, lib })
}

/// The indexes at the newest block of a snapshot that is final or has so many on top; absent if there is none.
pub fn confirmed_view(snapshot: &ServingSnapshot, confirmations: u32) -> ApiResult<Option<View>> {
    match confirmations {
        0 => Ok(snapshot.head().map(|_| snapshot.view().clone())),
        _ => Ok(snapshot.view_at_number(confirmed(snapshot, confirmations))?),
    }
}

/// The height of that block, whether there is one or not.
pub fn confirmed(snapshot: &ServingSnapshot, confirmations: u32) -> u32 {
    let number = |block: Option<BlockRef>| block.map_or(0, |block| block.number);
    number(snapshot.head()).saturating_sub(confirmations).max(number(snapshot.lib()))
}

/// Reads from the first snapshot in which the step has been taken, by a stream of so many confirmations. Absent if the chain
/// took it back before the indexes came to it: the stream's next steps tell.
///
/// # Errors
/// Those of `read`.
pub async fn read_after<T: Send + 'static>(
    service: &Service,
    step: &FeedStep,
    confirmations: u32,
    read: impl Fn(&ServingSnapshot, &Reading) -> ApiResult<T> + Clone + Send + 'static,
) -> ApiResult<Option<T>> {
    let mut taken = Taken::new(service, step, confirmations);
    loop {
        if !taken.may_be().await? {
            return Ok(None);
        }
        let (read, check) = (read.clone(), taken.check());
        let found = service.at_turn(service.turns().turn(Class::Live).await, move |snapshot, reading| {
            if check.is_in(snapshot)? { read(snapshot, reading).map(Some) } else { Ok(None) }
        });
        if let Some(found) = found.await? {
            return Ok(Some(found));
        }
        if !taken.later().await? {
            return Ok(None);
        }
    }
}

/// The view to which the block belongs: at the head if it is on the best chain, else at the block. ABIs of a block that was
/// undone long ago are those of the best chain.
pub fn view_of(snapshot: &ServingSnapshot, id: Checksum256) -> ApiResult<View> {
    let head = || snapshot.view().clone();
    match blocks::by_id(snapshot.view(), id)? {
        Some(_) => Ok(head()),
        None => Ok(snapshot.view_at(id)?.unwrap_or_else(head)),
    }
}

/// Waits for the indexes to take a step of the feed.
#[derive(Debug)]
pub struct Taken<'a> {
    service: &'a Service,
    changes: watch::Receiver<()>,
    check: Check,
}

impl<'a> Taken<'a> {
    /// For a stream of so many confirmations.
    pub fn new(service: &'a Service, step: &FeedStep, confirmations: u32) -> Self {
        let FeedStep { step, block, is_final, .. } = *step;
        Self {
            service,
            changes: service.chain().serving.changes(),
            check: Check { step, block, is_final, confirmations, undoes_at_once: false },
        }
    }

    /// The same for a stream that tells what each block has. An undo does not wait: it must be told even if the chain comes back to
    /// the block before the indexes have left it, since the block is then new once more.
    pub fn of_block(service: &'a Service, step: &FeedStep, confirmations: u32) -> Self {
        let mut taken = Self::new(service, step, confirmations);
        taken.check.undoes_at_once = true;
        taken
    }

    /// Waits until the newest snapshot is likely to have it: [`Check::is_in`] tells. False if the chain took it back before.
    pub async fn may_be(&mut self) -> ApiResult<bool> {
        loop {
            // What changes from here on ends the waiting.
            self.changes.mark_unchanged();
            if self.check.may_be_in(&self.service.chain().serving.snapshot()) {
                return Ok(true);
            }
            if self.check.is_taken_back(self.service) {
                return Ok(false);
            }
            self.changed().await?;
        }
    }

    /// After a snapshot that did not have it, waits for another one. False if the chain took it back.
    pub async fn later(&mut self) -> ApiResult<bool> {
        if self.check.is_taken_back(self.service) {
            return Ok(false);
        }
        self.changed().await?;
        Ok(true)
    }

    async fn changed(&mut self) -> ApiResult<()> {
        self.changes.changed().await.map_err(|_| ApiError::unavailable("The server is going away."))
    }

    /// What to ask a snapshot.
    pub fn check(&self) -> Check {
        self.check
    }
}

/// Whether a snapshot has a step of the feed.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    step: Step,
    block: BlockRef,
    is_final: bool,
    confirmations: u32,
    undoes_at_once: bool,
}

impl Check {
    /// What is known without reading.
    pub fn may_be_in(&self, snapshot: &ServingSnapshot) -> bool {
        let number = self.block.number;
        let final_in = || snapshot.lib().is_some_and(|lib| lib.number >= number);
        match self.step {
            Step::New if self.is_final => final_in(),
            Step::New => snapshot.head().is_some() && confirmed(snapshot, self.confirmations) >= number,
            Step::Undo => self.undoes_at_once || snapshot.head() != Some(self.block),
            Step::Irreversible => final_in(),
        }
    }

    /// Whether it has the step.
    ///
    /// # Errors
    /// Those of reading.
    pub fn is_in(&self, snapshot: &ServingSnapshot) -> ApiResult<bool> {
        let on_chain = || Ok::<_, ApiError>(blocks::by_id(snapshot.view(), self.block.id)?.is_some());
        Ok(self.may_be_in(snapshot)
            && match self.step {
                Step::New => on_chain()?,
                Step::Undo => self.undoes_at_once || !on_chain()?,
                Step::Irreversible => true,
            })
    }

    fn is_taken_back(&self, service: &Service) -> bool {
        match self.step {
            Step::New => service.chain().feed.is_off_chain(self.block),
            Step::Undo => !service.chain().feed.is_off_chain(self.block),
            Step::Irreversible => false,
        }
    }
}
