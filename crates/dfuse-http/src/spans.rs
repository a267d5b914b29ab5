//! Requests that were answered, for whoever collects traces.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::Answered;

/// A request that was answered, as part of a trace.
#[derive(Debug, Clone)]
pub struct SpanRecord {
    /// What it was, when it ended, and how long it took.
    pub answered: Answered,
    /// The route that it took, such as `/v0/blocks/{id}`; `none` for unknown ones.
    pub route: String,
    /// The span of the client that it is part of, as W3C Trace Context writes it, if the client said so.
    pub traceparent: Option<String>,
}

/// Where requests that were answered are offered. Requests never wait for it: what finds no room is counted. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Spans {
    sender: Sender<SpanRecord>,
    lost: Arc<AtomicU64>,
}

impl Spans {
    /// With room for so many, and where they come out.
    pub fn new(room: usize) -> (Self, Receiver<SpanRecord>) {
        let (sender, receiver) = channel(room);
        (Self { sender, lost: Arc::default() }, receiver)
    }

    /// How many found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    pub(crate) fn offer(&self, record: impl FnOnce() -> SpanRecord) {
        match self.sender.try_reserve() {
            Ok(room) => room.send(record()),
            Err(_) => {
                self.lost.fetch_add(1, Relaxed);
            }
        }
    }
}
