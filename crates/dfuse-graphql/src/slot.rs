//! Between a resolver of a subscription and whoever drives it.

use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use async_graphql::Context;
use dfuse_antelope::Checksum256;
use dfuse_query::streams::{RowFollow, SearchFollow};
use futures::{Stream, stream::poll_fn as stream_of};

/// What a subscription is to stream.
#[derive(Debug)]
pub(crate) enum Asked {
    /// What a query finds.
    Search(SearchFollow),
    /// What becomes of the rows of a table.
    Rows(RowFollow),
    /// What becomes of a transaction.
    Lifecycle {
        /// The transaction.
        id: Checksum256,
        /// When a block counts that is not final.
        confirmations: u32,
    },
    /// The heads of the chain.
    Head {
        /// How many blocks stand on top of each.
        confirmations: u32,
    },
}

/// Where a resolver leaves what it was asked for, and takes events.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    asked: Option<Asked>,
    event: Option<Box<dyn Any + Send>>,
    /// Of the resolver's stream: the library asks no stream again that has not been woken.
    waker: Option<Waker>,
}

impl Slot {
    /// That of the subscription a resolver works for.
    pub(crate) fn of<'a>(ctx: &Context<'a>) -> &'a Arc<Self> {
        ctx.data_unchecked()
    }

    /// Leaves what is asked for, and gives the events that come of it.
    pub(crate) fn stream<T: Any + Send>(self: &Arc<Self>, asked: Asked) -> impl Stream<Item = T> + use<T> {
        self.held().asked = Some(asked);
        let slot = self.clone();
        stream_of(move |task| {
            let mut held = slot.held();
            let event = held.event.take().and_then(|event| event.downcast().ok());
            if event.is_none() {
                held.waker = Some(task.waker().clone());
            }
            event.map_or(Poll::Pending, |event| Poll::Ready(Some(*event)))
        })
    }

    /// Gives an event to the resolver's stream.
    pub(crate) fn put(&self, event: Box<dyn Any + Send>) {
        let mut held = self.held();
        held.event = Some(event);
        let waker = held.waker.take();
        drop(held);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What was left.
    pub(crate) fn taken(&self) -> Option<Asked> {
        self.held().asked.take()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
