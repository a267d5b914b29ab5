//! What has become of a transaction, now and whenever it changes.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use dfuse_antelope::{
    Checksum, Checksum256, TimePointSec,
    model::{Block, TransactionLifecycle, TransactionStatus},
};
use dfuse_blocks::{
    Step,
    feed::{FeedStep, Request, Start},
};
use dfuse_index::View;
use dfuse_trx::Status;
use tokio::time::timeout;

use super::follow::{Steps, Taken, after, confirmed_view, read_after};
use crate::{ApiError, ApiResult, ErrorCode, ReadContext, Service, filtered::left_out_in, turns::Class};

/// How far the indexes may be behind the feed.
const PATIENCE: Duration = Duration::from_secs(300);

/// What can still happen to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleState {
    /// It is in no block, and none is known that it was in.
    Unknown,
    /// It can come into a block until then.
    Pending(TimePointSec),
    /// A later block can change what is said of it.
    Reversible,
    /// Nothing can change any more.
    Settled,
}

/// Makes what is told of a lifecycle, in the read that finds it; with the ABIs of the view.
type Render<T> = Arc<dyn Fn(&ReadContext<'_>, &View, &TransactionLifecycle) -> ApiResult<T> + Send + Sync>;

/// Follows a transaction, and tells of it as `render` makes it.
pub struct LifecycleWatch<T> {
    service: Service,
    id: Checksum256,
    confirmations: u32,
    render: Render<T>,
}

impl<T> Clone for LifecycleWatch<T> {
    fn clone(&self) -> Self {
        let Self { service, id, confirmations, render } = self;
        Self { service: service.clone(), id: *id, confirmations: *confirmations, render: render.clone() }
    }
}

impl<T> fmt::Debug for LifecycleWatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LifecycleWatch").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A transaction at one moment.
#[derive(Debug)]
pub struct LifecycleSeen<T> {
    /// What is told of it.
    pub told: T,
    /// What can still happen to it.
    pub state: LifecycleState,
    /// The number of the block that executed it; 0 if none has.
    pub execution_block: u32,
}

/// The beginning of a watch.
#[derive(Debug)]
pub struct LifecycleBegin<T> {
    /// The transaction, unless it is unknown.
    pub seen: Option<LifecycleSeen<T>>,
    /// The number of the block from which on it is followed, or of a later one that executed it.
    pub next_block: u32,
    /// What comes after that.
    pub steps: Steps,
}

impl<T: Send + 'static> LifecycleWatch<T> {
    /// Of the newest blocks that are final or have so many confirmations.
    pub fn new(
        service: &Service,
        id: Checksum256,
        confirmations: u32,
        render: impl Fn(&ReadContext<'_>, &View, &TransactionLifecycle) -> ApiResult<T> + Send + Sync + 'static,
    ) -> Self {
        Self { service: service.clone(), id, confirmations, render: Arc::new(render) }
    }

    /// What is known, and the steps after that.
    ///
    /// # Errors
    /// Those of reading and of the feed.
    pub async fn begin(&self) -> ApiResult<LifecycleBegin<T>> {
        let (watch, confirmations, feed) = (self.clone(), self.confirmations, &self.service.chain().feed);
        let begin = self.service.query_at_any_time(move |read| {
            let view = confirmed_view(read.snapshot(), confirmations)?;
            let seen = view.as_ref().map_or(Ok(None), |view| watch.look_up(read, view))?;
            Ok((seen, view.and_then(|view| view.block()), read.snapshot().lib()))
        });
        let (seen, newest, lib) = begin.await?;
        let start = newest.map_or(Start::Block(0), |newest| after(newest, lib, feed));
        let steps = Steps::from(Request { confirmations, ..start.into() }, feed).await?;
        let before_first = || feed.first_block().unwrap_or(0).saturating_sub(1);
        let next_block = lib.map_or_else(before_first, |lib| lib.number);
        let next_block = seen.as_ref().map_or(next_block, |seen| next_block.max(seen.execution_block));
        Ok(LifecycleBegin { seen, next_block, steps })
    }

    /// Whether the block of the step says something of the transaction, or ends the wait for it. Ask of every step; if it may,
    /// [`LifecycleWatch::indexed`] comes next, then [`LifecycleWatch::after`].
    ///
    /// # Errors
    /// Those of the feed.
    pub async fn may_change(&self, step: &FeedStep, state: LifecycleState) -> ApiResult<bool> {
        let service = &self.service;
        if let LifecycleState::Pending(until) = state
            && (step.is_final || step.step == Step::Irreversible)
        {
            let block = service.chain().feed.block(step.block).await?;
            if block.encoded().time().to_unix_ms() > i64::from(until.0) * 1000 {
                return Ok(true);
            }
        }
        let find = async {
            let turn = service.turns().turn(Class::Live).await;
            let block = service.chain().feed.block(step.block).await?.block().await?;
            turn.run(move |_| Ok(mentions(&block))).await
        };
        let mentions = service.mentions().get(step.block.id, find).await?;
        Ok(mentions.binary_search(&self.id).is_ok())
    }

    /// Waits until the indexes are likely to have the step: hold nothing meanwhile.
    ///
    /// # Errors
    /// `data_trx_appearance_timeout_error` when they take too long.
    pub async fn indexed(&self, step: &FeedStep) -> ApiResult<()> {
        let mut taken = Taken::new(&self.service, step, self.confirmations);
        self.patiently(step, taken.may_be()).await.map(drop)
    }

    /// The transaction after that step, also one that is unknown by then; absent if the step was taken back meanwhile.
    ///
    /// # Errors
    /// `data_trx_appearance_timeout_error` when the indexes take too long, and those of reading.
    pub async fn after(&self, step: &FeedStep) -> ApiResult<Option<LifecycleSeen<T>>> {
        let (watch, service, confirmations) = (self.clone(), self.service.clone(), self.confirmations);
        let reading = read_after(&self.service, step, confirmations, move |snapshot, reading| {
            let read = &ReadContext::new(&service, snapshot, reading);
            let view = confirmed_view(snapshot, confirmations)?.unwrap_or_else(|| snapshot.view().clone());
            watch.look_up(read, &view)?.map_or_else(|| watch.unknown(read, &view), Ok)
        });
        self.patiently(step, reading).await
    }

    fn look_up(&self, read: &ReadContext<'_>, view: &View) -> ApiResult<Option<LifecycleSeen<T>>> {
        let blocks = read.blocks();
        let lifecycle = read.lifecycles(view, &blocks).get(self.id)?;
        lifecycle.map(|lifecycle| self.seen(read, view, &lifecycle)).transpose()
    }

    fn unknown(&self, read: &ReadContext<'_>, view: &View) -> ApiResult<LifecycleSeen<T>> {
        let transaction_status = TransactionStatus::Unknown;
        let nothing = TransactionLifecycle { id: self.id, transaction_status, ..TransactionLifecycle::default() };
        Ok(LifecycleSeen { state: LifecycleState::Unknown, ..self.seen(read, view, &nothing)? })
    }

    fn seen(
        &self,
        read: &ReadContext<'_>,
        view: &View,
        lifecycle: &TransactionLifecycle,
    ) -> ApiResult<LifecycleSeen<T>> {
        let told = (self.render)(read, view, lifecycle)?;
        let trace = lifecycle.execution_trace.as_ref();
        let of_trace = trace.map(|trace| u32::try_from(trace.block_num).unwrap_or(u32::MAX));
        let execution_block = of_trace.or(left_out_in(lifecycle)).unwrap_or(0);
        Ok(LifecycleSeen { told, state: LifecycleState::of(lifecycle), execution_block })
    }

    /// Gives up when the indexes take too long.
    async fn patiently<A>(&self, step: &FeedStep, work: impl Future<Output = ApiResult<A>>) -> ApiResult<A> {
        timeout(PATIENCE, work).await.unwrap_or_else(|_| {
            let message = "The indexes did not come to a block that concerns the transaction.";
            Err(ApiError::new(ErrorCode::TransactionAppearanceTimeout, message)
                .detail("trx_id", self.id.to_string())
                .detail("last_seen_block_id", step.block.id.to_string()))
        })
    }
}

impl LifecycleState {
    /// Whether what is seen with this state is told after what was seen with that one: a transaction that stays unknown is not.
    pub fn is_told_after(self, before: Self) -> bool {
        self != Self::Unknown || before != Self::Unknown
    }

    /// Whether a transaction that was seen with that state has expired without a block if this state comes next, with a step:
    /// nothing comes after that.
    pub fn is_expiry_after(self, before: Self, step: Step) -> bool {
        matches!((before, self), (Self::Pending(_), Self::Unknown)) && step != Step::Undo
    }

    /// What can still happen to a transaction.
    pub fn of(lifecycle: &TransactionLifecycle) -> Self {
        let TransactionLifecycle { execution_trace, transaction, .. } = lifecycle;
        // The trace of pushing with a delay, or of failing on the producer alone, is not the last one.
        let is_left_out = left_out_in(lifecycle).is_some();
        let is_last = is_left_out || execution_trace.as_ref().is_some_and(|trace| trace.receipt.is_some());
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

/// The transactions that a block says something of, in the order of ids.
fn mentions(block: &Block) -> Arc<[Checksum256]> {
    let traces = block.transaction_traces();
    let of_block = block.deferred_operations_of_block().iter().map(|op| &op.dtrx_op);
    let deferred = traces.iter().flat_map(|trace| &trace.dtrx_ops).chain(of_block).map(|op| op.transaction_id);
    let receipts = block.transactions().iter().map(|receipt| receipt.id);
    let implicit = block.implicit_transaction_ops().iter().map(|op| op.transaction_id);
    let left_out = block.left_out.iter().map(|it| Checksum(it.id));
    let traces = traces.iter().map(|trace| trace.id).chain(left_out);
    let mut ids: Vec<_> = traces.chain(deferred).chain(receipts).chain(implicit).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}
