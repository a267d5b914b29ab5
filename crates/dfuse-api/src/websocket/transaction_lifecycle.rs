//! `get_transaction_lifecycle`: what has become of a transaction, now and whenever it changes.

use std::{sync::Arc, time::Duration};

use dfuse_antelope::{
    Checksum256, TimePointSec,
    model::{TransactionLifecycle, TransactionStatus},
};
use dfuse_blocks::{
    BlockRef, Step,
    feed::{FeedEvent, Request as FeedRequest, Start},
};
use dfuse_index::View;
use dfuse_trx::{Error, FeedBlocks, IdPrefix, Lifecycles, Status};
use tokio::time::timeout;

use super::{
    context::Context,
    follow::{self, Steps, confirmed_view, read_after},
    message::{Message, check, invalid},
    progress::Progress,
    request::Request,
};
use crate::{
    Api, ApiError, ApiResult, ErrorCode,
    lifecycle::{Renderer, ViewAbis, not_found},
};

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
    let api = context.api().clone();
    let found = context.api().read(move |snapshot, _| {
        // Of a chain that is shorter than its confirmations nothing is known yet.
        let confirmed = confirmed_view(snapshot, confirmations)?;
        let view = confirmed.as_ref().unwrap_or(snapshot.view());
        with_lifecycles(&api, view, |lifecycles| {
            let id = match lifecycles.find(&prefix) {
                _ if confirmed.is_none() => None,
                Err(error @ Error::AmbiguousPrefix { .. }) => return Err(invalid(error.to_string())),
                found => found?,
            };
            match id.map(|id| look_up(&api, view, id)).transpose()?.flatten() {
                Some(found) => Ok(found),
                None => Err(not_found(lifecycles, &prefix, &text)?),
            }
        })
    });
    context.send("transaction_lifecycle", &found.await?.text).await;
    Ok(())
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
        let Self { ref context, id, confirmations } = self;
        let (api, feed) = (context.api(), &context.api().chain().feed);
        let reader = api.clone();
        let begin = api.read(move |snapshot, _| {
            let view = confirmed_view(snapshot, confirmations)?;
            let found = view.as_ref().map_or(Ok(None), |view| look_up(&reader, view, id))?;
            Ok((found, view.and_then(|view| view.block()), snapshot.lib()))
        });
        let (found, newest, lib) = begin.await?;
        let start = newest.map_or(Start::Block(0), |newest| follow::after(newest, lib, feed));
        let mut steps = Steps::from(FeedRequest { confirmations, ..start.into() }, feed).await?;
        let mut state = State::Unknown;
        let before_first = || feed.first_block().unwrap_or(0).saturating_sub(1);
        let mut next_block = lib.map_or_else(before_first, |lib| lib.number);
        if let Some(found) = found {
            context.send("transaction_lifecycle", &found.text).await;
            state = found.state;
            next_block = next_block.max(found.execution_block);
        }
        context.listening(next_block).await;
        while state != State::Settled {
            let event = steps.next().await?;
            if self.may_change(&event, state).await? {
                let Some(found) = self.after(&event).await? else { continue };
                // A transaction that expires without a block is told once.
                if found.state != State::Unknown || state != State::Unknown {
                    context.send("transaction_lifecycle", &found.text).await;
                }
                if matches!((state, found.state), (State::Pending(_), State::Unknown)) && event.step != Step::Undo {
                    return Ok(());
                }
                state = found.state;
            }
            let block = BlockRef::from(event.block.encoded());
            if event.step == Step::New && progress.is_due(block.number) {
                context.progress(block).await;
            }
        }
        Ok(())
    }

    /// Whether the block of the step says something of the transaction, or ends the wait for it.
    async fn may_change(&self, event: &FeedEvent, state: State) -> ApiResult<bool> {
        if let State::Pending(until) = state
            && (event.is_final || event.step == Step::Irreversible)
            && event.block.encoded().time().to_unix_ms() > i64::from(until.0) * 1000
        {
            return Ok(true);
        }
        let mentions = async {
            let block = event.block.block().await?;
            let traces = block.transaction_traces();
            let deferred = traces.iter().flat_map(|trace| &trace.dtrx_ops).map(|op| op.transaction_id);
            let receipts = block.transactions().iter().map(|receipt| receipt.id);
            let implicit = block.implicit_transaction_ops().iter().map(|op| op.transaction_id);
            let mut ids: Vec<_> =
                traces.iter().map(|trace| trace.id).chain(deferred).chain(receipts).chain(implicit).collect();
            ids.sort_unstable();
            ids.dedup();
            Ok::<_, ApiError>(Arc::from(ids))
        };
        let mentions = self.context.shared().mentions.get(event.block.encoded().id(), mentions).await?;
        Ok(mentions.binary_search(&self.id).is_ok())
    }

    /// The transaction after that step, also one that is unknown by then; absent if the step was taken back meanwhile.
    async fn after(&self, event: &FeedEvent) -> ApiResult<Option<Found>> {
        let Self { id, confirmations, .. } = *self;
        let api = self.context.api().clone();
        let reading = read_after(self.context.api(), event, confirmations, move |snapshot, _| {
            let view = confirmed_view(snapshot, confirmations)?.unwrap_or_else(|| snapshot.view().clone());
            look_up(&api, &view, id)?.map_or_else(|| unknown(&api, &view, id), Ok)
        });
        timeout(PATIENCE, reading).await.unwrap_or_else(|_| {
            let message = "The indexes did not come to a block that concerns the transaction.";
            Err(ApiError::new(ErrorCode::TransactionAppearanceTimeout, message)
                .detail("trx_id", id.to_string())
                .detail("last_seen_block_id", event.block.encoded().id().to_string()))
        })
    }
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
