//! A transaction, told whenever something becomes of it.

use dfuse_antelope::{Checksum256, model::TransactionLifecycle};
use dfuse_blocks::feed::FeedStep;
use dfuse_index::View;

use super::{
    follow::Steps,
    lifecycle::{LifecycleBegin, LifecycleSeen, LifecycleState, LifecycleWatch},
};
use crate::{ApiResult, ReadContext, Service};

/// A transaction from what is known of it on, until nothing can change any more.
///
/// [`LifecycleStream::next`] tells it again after every step that changes it. Whoever makes messages that may have to be made again
/// takes the steps one by one instead: [`LifecycleStream::next_step`], [`LifecycleStream::look`], [`LifecycleStream::take`].
#[derive(Debug)]
pub struct LifecycleStream<T> {
    watch: LifecycleWatch<T>,
    state: LifecycleState,
    steps: Steps,
    next_block: u32,
    /// What is known as it begins; taken when it is told.
    first: Option<T>,
}

/// A step of the chain while a transaction is followed.
#[derive(Debug)]
pub struct LifecycleStep {
    /// The step.
    pub step: FeedStep,
    /// Whether it may change what is told: then [`LifecycleStream::look`] comes next.
    pub may_change: bool,
}

/// What is seen of a transaction after a step.
#[derive(Debug)]
pub struct LifecycleLook<T> {
    /// What is told of it; absent if there is nothing to tell.
    pub told: Option<T>,
    /// For [`LifecycleStream::take`].
    pub state: LifecycleState,
}

impl<T: Send + 'static> LifecycleStream<T> {
    /// Of the newest blocks that are final or have so many confirmations. `render` makes what is told, with the ABIs of the view.
    ///
    /// # Errors
    /// Those of reading and of the feed.
    pub async fn begin(
        service: &Service,
        id: Checksum256,
        confirmations: u32,
        render: impl Fn(&ReadContext<'_>, &View, &TransactionLifecycle) -> ApiResult<T> + Send + Sync + 'static,
    ) -> ApiResult<Self> {
        let watch = LifecycleWatch::new(service, id, confirmations, render);
        let LifecycleBegin { seen, steps, next_block } = watch.begin().await?;
        let (first, state) = match seen {
            Some(LifecycleSeen { told, state, .. }) => (Some(told), state),
            None => (None, LifecycleState::Unknown),
        };
        Ok(Self { watch, state, steps, next_block, first })
    }

    /// What is known as it begins; absent if the transaction is unknown. It is told once.
    pub fn take_first(&mut self) -> Option<T> {
        self.first.take()
    }

    /// The number of the block from which on it is followed, or of a later one that executed it.
    pub fn next_block(&self) -> u32 {
        self.next_block
    }

    /// The next step; none when nothing can change any more, or the transaction has expired without a block.
    ///
    /// # Errors
    /// Those of the feed, and `data_trx_appearance_timeout_error` when the indexes take too long.
    pub async fn next_step(&mut self) -> ApiResult<Option<LifecycleStep>> {
        if self.state == LifecycleState::Settled {
            return Ok(None);
        }
        let step = self.steps.next_step().await?;
        let may_change = self.watch.may_change(&step, self.state).await?;
        if may_change {
            self.watch.indexed(&step).await?;
        }
        Ok(Some(LifecycleStep { step, may_change }))
    }

    /// The transaction after that step; absent if the step was taken back meanwhile. It may be asked again.
    ///
    /// # Errors
    /// Those of reading, and `data_trx_appearance_timeout_error` when the indexes take too long.
    pub async fn look(&self, step: &FeedStep) -> ApiResult<Option<LifecycleLook<T>>> {
        let seen = self.watch.after(step).await?;
        Ok(seen.map(|LifecycleSeen { told, state, .. }| {
            let told = Some(told).filter(|_| state.is_told_after(self.state));
            LifecycleLook { told, state }
        }))
    }

    /// Goes on from what was seen after that step. Says whether the transaction has expired without a block: nothing comes then.
    pub fn take(&mut self, step: &FeedStep, seen: LifecycleState) -> bool {
        let is_expired = seen.is_expiry_after(self.state, step.step);
        self.state = if is_expired { LifecycleState::Settled } else { seen };
        is_expired
    }

    /// What is told next; none when nothing can change any more, or the transaction has expired without a block.
    ///
    /// # Errors
    /// Those of reading and of the feed, and `data_trx_appearance_timeout_error` when the indexes take too long.
    pub async fn next(&mut self) -> ApiResult<Option<T>> {
        if let Some(first) = self.take_first() {
            return Ok(Some(first));
        }
        while let Some(LifecycleStep { step, may_change }) = self.next_step().await? {
            if may_change && let Some(LifecycleLook { told, state }) = self.look(&step).await? {
                self.take(&step, state);
                if told.is_some() {
                    return Ok(told);
                }
            }
        }
        Ok(None)
    }
}
