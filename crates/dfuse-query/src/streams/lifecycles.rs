//! A transaction, told whenever something becomes of it.

use dfuse_antelope::{Checksum256, model::TransactionLifecycle};
use dfuse_index::View;

use super::{
    follow::Steps,
    lifecycle::{LifecycleBegin, LifecycleSeen, LifecycleState, LifecycleWatch},
};
use crate::{ApiResult, ReadContext, Service};

/// What is known of a transaction first, then the same again after every step that changes it, until nothing can change any
/// more.
#[derive(Debug)]
pub struct LifecycleStream<T> {
    watch: LifecycleWatch<T>,
    state: LifecycleState,
    steps: Steps,
    /// What is known as it begins; taken when it is told.
    first: Option<T>,
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
        let LifecycleBegin { seen, steps, .. } = watch.begin().await?;
        let (first, state) = match seen {
            Some(LifecycleSeen { told, state, .. }) => (Some(told), state),
            None => (None, LifecycleState::Unknown),
        };
        Ok(Self { watch, state, steps, first })
    }

    /// What is told next; none when nothing can change any more, or the transaction has expired without a block.
    ///
    /// # Errors
    /// Those of reading and of the feed, and `data_trx_appearance_timeout_error` when the indexes take too long.
    pub async fn next(&mut self) -> ApiResult<Option<T>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        while self.state != LifecycleState::Settled {
            let step = self.steps.next_step().await?;
            if !self.watch.may_change(&step, self.state).await? {
                continue;
            }
            self.watch.indexed(&step).await?;
            let Some(LifecycleSeen { told, state: now, .. }) = self.watch.after(&step).await? else { continue };
            let before = self.state;
            // Nothing comes after an expiry, which is told.
            self.state = if now.is_expiry_after(before, step.step) { LifecycleState::Settled } else { now };
            if now.is_told_after(before) {
                return Ok(Some(told));
            }
        }
        Ok(None)
    }
}
