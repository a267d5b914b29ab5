//! What the resolvers of a request read from.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use async_graphql::Context;
use dfuse_query::{ApiError, ApiResult, ErrorCode, OwnedRead, ReadContext, RouteClass};

/// The read of a request, and what the request used by now.
#[derive(Debug)]
pub(crate) struct Request {
    read: OwnedRead,
    documents: AtomicU64,
    /// Bytes that the answer may still have.
    room: AtomicUsize,
    limit: usize,
    /// Whether what is asked counts among the caller's requests.
    counts: bool,
}

impl Request {
    pub(crate) fn new(read: OwnedRead, answer_bytes: usize, counts: bool) -> Self {
        let (documents, room) = (AtomicU64::new(0), AtomicUsize::new(answer_bytes));
        Self { read, documents, room, limit: answer_bytes, counts }
    }

    /// The one that a resolver works for.
    pub(crate) fn of<'a>(ctx: &Context<'a>) -> &'a Self {
        Self::shared(ctx)
    }

    /// The same, for what outlives the resolver.
    pub(crate) fn shared<'a>(ctx: &Context<'a>) -> &'a Arc<Self> {
        ctx.data_unchecked()
    }

    /// What use cases take.
    pub(crate) fn read(&self) -> ReadContext<'_> {
        self.read.context()
    }

    /// As [`Self::read`], for a field of the root: its class is counted among the caller's requests.
    ///
    /// # Errors
    /// `auth_invalid_tier_error`, `rate_limit_exceeded_error`, and `app_not_ready_error` before the first block.
    pub(crate) fn begin(&self, class: RouteClass) -> ApiResult<ReadContext<'_>> {
        if self.counts {
            self.read.service().caller().take(class)?;
        }
        let read = self.read();
        read.ready()?;
        Ok(read)
    }

    /// Counts documents, for metering.
    pub(crate) fn count(&self, documents: usize) {
        self.documents.fetch_add(documents as u64, Ordering::Relaxed);
    }

    pub(crate) fn documents(&self) -> u64 {
        self.documents.load(Ordering::Relaxed)
    }

    /// Takes room for so many bytes of the answer.
    ///
    /// # Errors
    /// `graphql_answer_too_large_error`, and `service_unavailable_error` when nobody waits for the answer any more.
    pub(crate) fn take_room(&self, bytes: usize) -> ApiResult<()> {
        self.read().go_on()?;
        let taken = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(bytes));
        taken.map(drop).map_err(|_| {
            let message = format!("The answer would have more than {} bytes: ask for less at a time.", self.limit);
            ApiError::new(ErrorCode::GraphqlAnswerTooLarge, message).detail("limit", self.limit)
        })
    }
}
