//! Pushes that return when the chain has the transaction.
//!
//! ```text
//! push -> the nodes, one after the other, then again now and then | Watch: the feed -> Reached
//! reached_trace -> the transaction as its block has it
//! ```
//!
//! How a transaction comes to a node is the business of [`PushNodes`].

mod guarantee;
mod options;
mod question;
mod standing;
mod watch;

use std::{future::Future, pin::Pin, time::Duration};

use dfuse_antelope::{
    Checksum256,
    model::{Block, TransactionReceiptHeader, TransactionStatus, TransactionTrace},
};
use dfuse_blocks::{
    BlockRef,
    feed::{FeedEvent, FeedStep},
};
use dfuse_index::{ServingSnapshot, View};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};

use crate::{
    ApiError, ApiResult, Reading, Service,
    streams::{Recent, read_after, view_of},
};
use watch::{Contents, Outcome, Watch};

pub use guarantee::Guarantee;
pub use options::PushOptions;
pub use question::PushQuestion;

/// How long the indexes may take to come to a block, for the ABIs of its actions; after that those of the moment do.
const INDEX_PATIENCE: Duration = Duration::from_secs(5);
/// Blocks whose transactions are kept for all who look for one.
const RECENT_BLOCKS: usize = 64;
const RECENT_BYTES: usize = 8 << 20;

/// What all pushes share.
#[derive(Debug)]
pub struct Pushes {
    places: Semaphore,
    options: PushOptions,
    contents: Contents,
}

/// Why a node did not take a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has it already, or had it.
    Duplicate,
    /// The transaction has expired.
    Expired,
    /// It is over a limit of resources: it may take the transaction later.
    Busy,
    /// It will not take the transaction.
    Refused,
    /// It did not answer.
    Away,
}

/// The nodes that one transaction is pushed to.
pub trait PushNodes: Sync {
    /// A node.
    type Node: Sync;
    /// What a node answers when it does not take the transaction, or why it does not answer.
    type Error: Send;

    /// The nodes in the order in which they are tried first.
    fn candidates(&self) -> Vec<&Self::Node>;

    /// Any node, for pushing again.
    fn random(&self) -> Option<&Self::Node>;

    /// Pushes the transaction to a node.
    fn push(&self, node: &Self::Node, time: Duration) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What an error means for the transaction.
    fn refusal(error: &Self::Error) -> Refusal;

    /// Notes how a node did, for the order in which nodes are tried.
    fn tried(&self, node: &Self::Node, result: &Result<(), Self::Error>);
}

/// A transaction of which what was wanted has happened.
#[derive(Debug)]
pub struct Reached {
    /// The transaction.
    pub id: Checksum256,
    /// Its block.
    pub block: BlockRef,
    /// The step of the feed with which it happened.
    event: Box<FeedEvent>,
}

/// Why a push failed; `E` is an error of a node.
#[derive(Debug)]
pub enum PushError<E> {
    /// No node is there to push to.
    NoNode,
    /// No block is known, so that nothing can be followed.
    NoBlock,
    /// A node refuses the transaction, or all are away.
    Node(E),
    /// The transaction is in no block, and an irreversible block is later than its expiration.
    Expired,
    /// What was wanted did not happen in time.
    TooLate {
        /// The block that has the transaction, if any.
        included: Option<BlockRef>,
        /// How often it was pushed.
        pushes: u32,
    },
    /// The server stops. The nodes have the transaction.
    Stopping,
    /// The chain could not be read.
    Read(ApiError),
}

impl<E> From<ApiError> for PushError<E> {
    fn from(error: ApiError) -> Self {
        Self::Read(error)
    }
}

impl Pushes {
    /// With room for as many as the options say.
    pub fn new(options: PushOptions) -> Self {
        Self {
            places: Semaphore::new(options.max_waiting.min(Semaphore::MAX_PERMITS)),
            options,
            contents: Recent::new(RECENT_BLOCKS, RECENT_BYTES),
        }
    }

    /// A place for a push to wait; none if too many wait.
    pub fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Pushes a transaction until what was wanted has happened, or `stopping` returns. All of it ends when the future is dropped,
    /// as when the client leaves. Ask for a [`Self::place`] before.
    ///
    /// # Errors
    /// See [`PushError`].
    pub async fn push<N: PushNodes>(
        &self,
        service: &Service,
        nodes: &N,
        question: PushQuestion,
        stopping: impl Future<Output = ()> + Send,
    ) -> Result<Reached, PushError<N::Error>> {
        if service.chain().feed.head().is_none() {
            return Err(PushError::NoBlock);
        }
        let options = &self.options;
        let (block, event) = Push { pushes: self, options, service, nodes, question }.run(stopping).await?;
        Ok(Reached { id: question.id, block, event })
    }
}

/// A push at work.
struct Push<'a, N> {
    pushes: &'a Pushes,
    options: &'a PushOptions,
    service: &'a Service,
    nodes: &'a N,
    question: PushQuestion,
}

/// What a node says of a push.
enum Said<E> {
    /// It has the transaction now.
    Accepted,
    /// It had it before: it may be on the chain already.
    Duplicate,
    /// The transaction has expired.
    Expired(PushError<E>),
    /// It is away, or busy.
    Nothing(PushError<E>),
    /// It refuses.
    Refused(PushError<E>),
}

type Sending<'a, E> = Pin<Box<dyn Future<Output = Said<E>> + Send + 'a>>;

impl<N: PushNodes> Push<'_, N> {
    /// Returns the transaction's block, and the step with which what was wanted has happened.
    async fn run(
        &self,
        stopping: impl Future<Output = ()> + Send,
    ) -> Result<(BlockRef, Box<FeedEvent>), PushError<N::Error>> {
        let (options, guarantee) = (self.options, self.question.guarantee);
        // Before the push, so that no block is missed.
        let mut watch = Watch::begin(self.service, &self.pushes.contents, self.question).await?;
        let mut stopping = Box::pin(stopping);
        let mut sending: Option<Sending<'_, N::Error>> = Some(Box::pin(self.first_push()));
        let mut pushes = 1;
        let mut is_accepted = false;
        let mut push_again = true;
        let mut deadline = Box::pin(sleep(guarantee.patience(options)));
        let mut again = interval_at(Instant::now() + options.push_again, options.push_again);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let said = tokio::select! {
                outcome = watch.outcome() => match outcome? {
                    Outcome::Reached(block, event) => return Ok((block, event)),
                    Outcome::Expired => return Err(PushError::Expired),
                },
                said = async { sending.as_mut().expect("not polled without").as_mut().await }, if sending.is_some() => said,
                _ = again.tick(), if is_accepted && push_again && sending.is_none() => {
                    if let Some(node) = self.nodes.random() {
                        pushes += 1;
                        sending = Some(Box::pin(self.send(node)));
                    }
                    continue;
                }
                () = &mut deadline, if is_accepted => {
                    return Err(PushError::TooLate { included: watch.included(), pushes });
                }
                () = &mut stopping => return Err(PushError::Stopping),
            };
            sending = None;
            if !is_accepted {
                match said {
                    Said::Accepted => {}
                    Said::Duplicate if watch.included().is_some() => {}
                    // If it is in no block, it is among those that the node waits with.
                    Said::Duplicate => drop(watch.locate().await?),
                    Said::Expired(error) => {
                        if !watch.locate().await? {
                            return Err(error);
                        }
                        push_again = false;
                    }
                    Said::Nothing(error) | Said::Refused(error) => return Err(error),
                }
                is_accepted = true;
                deadline = Box::pin(sleep(guarantee.patience(options)));
                again.reset();
            } else {
                match said {
                    Said::Accepted | Said::Duplicate | Said::Nothing(_) => {}
                    Said::Expired(_) => push_again = false,
                    // A node on another branch may not want it, but the chain has it.
                    Said::Refused(_) if watch.included().is_some() => {}
                    Said::Refused(error) => return Err(error),
                }
            }
        }
    }

    /// To one node after the other until one says something.
    async fn first_push(&self) -> Said<N::Error> {
        let candidates = self.nodes.candidates();
        let mut attempt = 0;
        loop {
            let Some(node) = candidates.get(attempt as usize % candidates.len().max(1)) else {
                return Said::Nothing(PushError::NoNode);
            };
            attempt += 1;
            let result = self.nodes.push(node, self.options.timeout).await;
            self.nodes.tried(node, &result);
            let (pause, said) = match result {
                Ok(()) => return Said::Accepted,
                Err(error) => match N::refusal(&error) {
                    Refusal::Busy => (self.options.busy_pause, Said::Refused(PushError::Node(error))),
                    Refusal::Away => (self.options.away_pause, Said::Nothing(PushError::Node(error))),
                    Refusal::Duplicate | Refusal::Expired | Refusal::Refused => return said::<N>(Err(error)),
                },
            };
            if attempt > self.options.retries {
                return said;
            }
            sleep(pause * attempt).await;
        }
    }

    async fn send(&self, node: &N::Node) -> Said<N::Error> {
        said::<N>(self.nodes.push(node, self.options.timeout).await)
    }
}

fn said<N: PushNodes>(result: Result<(), N::Error>) -> Said<N::Error> {
    let Err(error) = result else { return Said::Accepted };
    match N::refusal(&error) {
        Refusal::Duplicate => Said::Duplicate,
        Refusal::Expired => Said::Expired(PushError::Node(error)),
        Refusal::Busy | Refusal::Away => Said::Nothing(PushError::Node(error)),
        Refusal::Refused => Said::Refused(PushError::Node(error)),
    }
}

/// What `render` makes of the transaction as its block has it, in one read; the view has the ABIs of its actions.
///
/// # Errors
/// Those of `render`, and of reading.
pub async fn reached_trace<T: Send + 'static>(
    service: &Service,
    reached: &Reached,
    render: impl Fn(&Service, &View, &TransactionTrace) -> ApiResult<T> + Clone + Send + 'static,
) -> ApiResult<T> {
    let (id, block) = (reached.id, reached.block);
    let content = service.chain().feed.block(block).await?.block().await?;
    let reader = service.clone();
    let work = move |snapshot: &ServingSnapshot, _: &Reading| {
        let trace = content.transaction_traces().iter().find(|trace| trace.id == id && trace.receipt.is_some());
        let left_out = trace.is_none().then(|| left_out_trace(&content, id)).flatten();
        let trace = trace.or(left_out.as_ref());
        let trace = trace.ok_or_else(|| ApiError::unexpected(format!("block {block} does not have {id}")))?;
        render(&reader, &view_of(snapshot, block.id)?, trace)
    };
    // Its ABIs are known when the indexes have come so far.
    let step = FeedStep::from(&*reached.event);
    match timeout(INDEX_PATIENCE, read_after(service, &step, 0, work.clone())).await {
        Ok(Ok(Some(rendered))) => Ok(rendered),
        Ok(Ok(None)) | Err(_) => service.read(work).await,
        Ok(Err(error)) => Err(error),
    }
}

/// What is known of a transaction that a filter left out of its block: that it is there, and how it ended.
fn left_out_trace(block: &Block, id: Checksum256) -> Option<TransactionTrace> {
    let left_out = block.left_out.iter().find(|it| it.id == id.0 && it.status != TransactionStatus::None)?;
    Some(TransactionTrace {
        id,
        block_num: block.number.into(),
        block_time: block.header.timestamp,
        producer_block_id: Some(block.id),
        receipt: Some(TransactionReceiptHeader { status: left_out.status, ..TransactionReceiptHeader::default() }),
        ..TransactionTrace::default()
    })
}
