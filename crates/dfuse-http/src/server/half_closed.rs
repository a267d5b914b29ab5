//! Clients that close their side of the connection when they have sent a request, and wait for the answer, as `nc -N` does.
//!
//! The end of what a client sends looks the same when it has left. So while a request is being answered the end is kept back
//! for a while: a client that waits has its answer then, and one that has left is not worked for much longer.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::places::ConnectionPlace;

/// How long a client that sends nothing more is waited with; a search takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The end of what a client sends, which is not seen at once while its connection is at work.
#[derive(Debug)]
pub(super) struct HeldBackEnd {
    place: ConnectionPlace,
    /// Runs from the end on.
    patience: Option<Pin<Box<Sleep>>>,
    /// It is no connection of requests and answers any more.
    is_upgraded: bool,
}

impl HeldBackEnd {
    pub(super) fn new(place: ConnectionPlace) -> Self {
        Self { place, patience: None, is_upgraded: false }
    }

    /// Whether the end has come: nothing more is to be read.
    pub(super) fn has_come(&self) -> bool {
        self.patience.is_some()
    }

    /// Is ready when the end, which has come, may be seen.
    pub(super) fn poll_seen(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_upgraded && self.place.work_so_far().0 {
            let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
            ready!(patience.as_mut().poll(cx));
        }
        Poll::Ready(())
    }

    /// Takes note of what is written.
    pub(super) fn writes(&mut self, bytes: &[u8]) {
        self.is_upgraded |= bytes.starts_with(b"HTTP/1.1 101 ");
    }
}
