//! `get_transaction_lifecycle`: what has become of a transaction, now and whenever it changes.

use std::{future::Future, sync::Arc, time::Duration};

use dfuse_antelope::{
    Checksum256, TimePointSec,
    model::{Block, TransactionLifecycle, TransactionStatus},
};
use dfuse_blocks::{
    Step,
    feed::{FeedStep, Request as FeedRequest, Start},
};
use dfuse_query::{ApiError, ApiResult, ErrorCode, transactions::not_found, turns::Class};
use dfuse_trx::{Error, FeedBlocks, IdPrefix, Lifecycles, Status};
use tokio::time::timeout;

use super::{
    context::Context,
    follow::{self, Steps, Taken, confirmed_view, read_after},
    message::{Message, check, invalid},
    progress::Progress,
    request::Request,
};
use crate::Api;
use dfuse_index::{View, abi::ViewAbis};
use dfuse_render::Renderer;

const KIND: &str = "transaction_lifecycle";
/// How far the indexes may be behind the feed.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is asked for.
pub(super) enum TransactionLifecycles {
    /// The transaction whose id begins so.
    Fetch { prefix: IdPrefix, text: String, confirmations: u32 },
    /// The transaction of that id, from now on.
    Listen { id: Checksum256, confirmations: u32, with_progress: i64 },
}

impl Request for TransactionLifecycles {
    const NAMES: &[&str] = &["get_transaction_lifecycle", "get_transaction"];

    fn read(message: &Message) -> ApiResult<Self> {
        let id = message.data.text("id")?;
        check(id.len() >= 8, "transaction id too short")?;
        check(id.len() <= 64, "transaction id too long")?;
        check(id.len().is_multiple_of(2), "transaction id odd length")?;
        let prefix = IdPrefix::from_hex(id).map_err(|_| invalid("transaction id not hexadecimal"))?;
        message.wants_something()?;
        message.takes_reversible()?;
        let Message { confirmations, with_progress, .. } = *message;
        if !message.listen {
            return Ok(Self::Fetch { prefix, text: id.to_owned(), confirmations });
        }
        let id = id.to_ascii_lowercase().parse();
        let id = id.map_err(|_| invalid("'listen' requires a whole transaction id of 64 characters"))?;
        Ok(Self::Listen { id, confirmations, with_progress })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        match self {
            Self::Fetch { prefix, text, confirmations } => fetch(&context, prefix, text, confirmations).await,
            Self::Listen { id, confirmations, with_progress } => {
                let progress = Progress::new(with_progress, context.clock());
                Listening { context, id, confirmations }.run(progress).await
            }
        }
    }
}

/// A transaction at one moment.
struct Found {
    /// The `data` of its message.
    text: Vec<u8>,
    state: State,
    execution_block: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    /// Can come into a block until then.
    Pending(TimePointSec),
    /// A later block can change what is said of it.
    Reversible,
    /// Nothing can change any more.
    Settled,
}

async fn fetch(context: &Context, prefix: IdPrefix, text: String, confirmations: u32) -> ApiResult<()> {
    let make = || find(context.api(), &prefix, &text, confirmations);
    context.send_made(KIND, make).await
}

async fn find(api: &Api, prefix: &IdPrefix, text: &str, confirmations: u32) -> ApiResult<(Option<Vec<u8>>, ())> {
    let (reader, prefix, text) = (api.clone(), prefix.clone(), text.to_owned());
    let found = api.read(move |snapshot, _| {
        // Of a chain that is shorter than its confirmations nothing is known yet.
        let confirmed = confirmed_view(snapshot, confirmations)?;
        let view = confirmed.as_ref().unwrap_or(snapshot.view());
        with_lifecycles(&reader, view, |lifecycles| {
            let id = match lifecycles.find(&prefix) {
                _ if confirmed.is_none() => None,
                Err(error @ Error::AmbiguousPrefix { .. }) => return Err(invalid(error.to_string())),
                found => found?,
            };
            match id.map(|id| look_up(&reader, view, id)).transpose()?.flatten() {
                Some(found) => Ok(found),
                None => Err(not_found(lifecycles, &prefix, &text)?),
            }
        })
    });
    Ok((Some(found.await?.text), ()))
}

/// A stream at work.
struct Listening {
    context: Context,
    id: Checksum256,
    confirmations: u32,
}

impl Listening {
    /// First what is known, then the same again after every step that changes it, until nothing can change any more.
    async fn run(self, mut progress: Progress) -> ApiResult<()> {
        let context = &self.context;
        let (mut state, next_block, mut steps) = context.send_made(KIND, || self.begin()).await?;
        context.listening(next_block).await;
        while state != State::Settled {
            let step = steps.next_step().await?;
            if self.may_change(&step, state).await? {
                self.indexed(&step).await?;
                let made = context.send_made(KIND, || self.changed(&step, state)).await?;
                let Some(now) = made else { continue };
                if matches!((state, now), (State::Pending(_), State::Unknown)) && step.step != Step::Undo {
                    return Ok(());
                }
                state = now;
            }
            if step.step == Step::New && progress.is_due(step.block.number) {
                context.progress(step.block).await;
            }
        }
        Ok(())
    }

    /// What is known, and the steps after that, of which the first block is told.
    async fn begin(&self) -> ApiResult<(Option<Vec<u8>>, (State, u32, Steps))> {
        let Self { ref context, id, confirmations } = *self;
        let (api, feed) = (context.api(), &context.api().chain().feed);
        let reader = api.clone();
        let begin = api.read(move |snapshot, _| {
            let view = confirmed_view(snapshot, confirmations)?;
            let found = view.as_ref().map_or(Ok(None), |view| look_up(&reader, view, id))?;
            Ok((found, view.and_then(|view| view.block()), snapshot.lib()))
        });
        let (found, newest, lib) = begin.await?;
        let start = newest.map_or(Start::Block(0), |newest| follow::after(newest, lib, feed));
        let steps = Steps::from(FeedRequest { confirmations, ..start.into() }, feed).await?;
        let before_first = || feed.first_block().unwrap_or(0).saturating_sub(1);
        let next_block = lib.map_or_else(before_first, |lib| lib.number);
        Ok(match found {
            Some(Found { text, state, execution_block }) => {
                (Some(text), (state, next_block.max(execution_block), steps))
            }
            None => (None, (State::Unknown, next_block, steps)),
        })
    }

    /// What is told after a step, if anything is, and the state then; no state if the step was taken back meanwhile.
    async fn changed(&self, step: &FeedStep, state: State) -> ApiResult<(Option<Vec<u8>>, Option<State>)> {
        let Some(found) = self.after(step).await? else { return Ok((None, None)) };
        // A transaction that expires without a block is told once.
        let is_told = found.state != State::Unknown || state != State::Unknown;
        Ok((is_told.then_some(found.text), Some(found.state)))
    }

    /// Whether the block of the step says something of the transaction, or ends the wait for it.
    async fn may_change(&self, step: &FeedStep, state: State) -> ApiResult<bool> {
        let api = self.context.api();
        if let State::Pending(until) = state
            && (step.is_final || step.step == Step::Irreversible)
        {
            let block = api.chain().feed.block(step.block).await?;
            if block.encoded().time().to_unix_ms() > i64::from(until.0) * 1000 {
                return Ok(true);
            }
        }
        let mentions = async {
            let turn = api.turns().turn(Class::Live).await;
            let block = api.chain().feed.block(step.block).await?.block().await?;
            turn.run(move |_| Ok(mentions(&block))).await
        };
        let mentions = self.context.shared().mentions.get(step.block.id, mentions).await?;
        Ok(mentions.binary_search(&self.id).is_ok())
    }

    /// Waits until the indexes are likely to have the step: no room is held meanwhile.
    async fn indexed(&self, step: &FeedStep) -> ApiResult<()> {
        let mut taken = Taken::new(self.context.api(), step, self.confirmations);
        self.patiently(step, taken.may_be()).await.map(drop)
    }

    /// The transaction after that step, also one that is unknown by then; absent if the step was taken back meanwhile.
    async fn after(&self, step: &FeedStep) -> ApiResult<Option<Found>> {
        let Self { id, confirmations, .. } = *self;
        let api = self.context.api().clone();
        let reading = read_after(self.context.api(), step, confirmations, move |snapshot, _| {
            let view = confirmed_view(snapshot, confirmations)?.unwrap_or_else(|| snapshot.view().clone());
            look_up(&api, &view, id)?.map_or_else(|| unknown(&api, &view, id), Ok)
        });
        self.patiently(step, reading).await
    }

    /// Gives up when the indexes take too long.
    async fn patiently<T>(&self, step: &FeedStep, work: impl Future<Output = ApiResult<T>>) -> ApiResult<T> {
        timeout(PATIENCE, work).await.unwrap_or_else(|_| {
            let message = "The indexes did not come to a block that concerns the transaction.";
            Err(ApiError::new(ErrorCode::TransactionAppearanceTimeout, message)
                .detail("trx_id", self.id.to_string())
                .detail("last_seen_block_id", step.block.id.to_string()))
        })
    }
}

/// The transactions that a block says something of, in the order of ids.
fn mentions(block: &Block) -> Arc<[Checksum256]> {
    let traces = block.transaction_traces();
    let deferred = traces.iter().flat_map(|trace| &trace.dtrx_ops).map(|op| op.transaction_id);
    let receipts = block.transactions().iter().map(|receipt| receipt.id);
    let implicit = block.implicit_transaction_ops().iter().map(|op| op.transaction_id);
    let mut ids: Vec<_> = traces.iter().map(|trace| trace.id).chain(deferred).chain(receipts).chain(implicit).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}

fn look_up(api: &Api, view: &View, id: Checksum256) -> ApiResult<Option<Found>> {
    let lifecycle = with_lifecycles(api, view, |lifecycles| Ok(lifecycles.get(id)?))?;
    lifecycle.map(|lifecycle| render(api, view, &lifecycle)).transpose()
}

fn unknown(api: &Api, view: &View, id: Checksum256) -> ApiResult<Found> {
    let transaction_status = TransactionStatus::Unknown;
    let nothing = TransactionLifecycle { id, transaction_status, ..TransactionLifecycle::default() };
    Ok(Found { state: State::Unknown, ..render(api, view, &nothing)? })
}

fn with_lifecycles<T>(api: &Api, view: &View, read: impl FnOnce(&Lifecycles<'_>) -> ApiResult<T>) -> ApiResult<T> {
    let chain = api.chain();
    let blocks = FeedBlocks::new(chain.feed.clone());
    read(&Lifecycles { view, forked: &chain.forked, blocks: &blocks, chain_id: chain.chain_id })
}

fn render(api: &Api, view: &View, lifecycle: &TransactionLifecycle) -> ApiResult<Found> {
    let mut text = Vec::new();
    let abis = ViewAbis::new(view, api.abis());
    let mut renderer = Renderer::new(&mut text, &abis);
    renderer.json().begin_object();
    renderer.json().key("lifecycle");
    renderer.lifecycle(lifecycle)?;
    renderer.json().end_object();
    let trace = lifecycle.execution_trace.as_ref();
    let execution_block = trace.map_or(0, |trace| u32::try_from(trace.block_num).unwrap_or(u32::MAX));
    Ok(Found { text, state: State::of(lifecycle), execution_block })
}

impl State {
    fn of(lifecycle: &TransactionLifecycle) -> Self {
        let TransactionLifecycle { execution_trace, transaction, .. } = lifecycle;
        // The trace of pushing with a delay, or of failing on the producer alone, is not the last one.
        let is_last = execution_trace.as_ref().is_some_and(|trace| trace.receipt.is_some());
        match Status::of(lifecycle) {
            Status::Pending => transaction
                .as_ref()
                .map_or(Self::Reversible, |transaction| Self::Pending(transaction.transaction.header.expiration)),
            Status::Delayed => Self::Reversible,
            Status::Canceled if lifecycle.cancelation_irreversible => Self::Settled,
            _ if lifecycle.execution_irreversible && is_last => Self::Settled,
            _ => Self::Reversible,
        }
    }
}
