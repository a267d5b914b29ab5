//! The streams of a connection, and the order in which requests of the same `req_id` are answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dfuse_query::{ApiError, ApiResult, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// The streams of a connection, and whose turn it is for each `req_id`.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Registered>);

#[derive(Debug, Default)]
struct Registered {
    /// Rises with every entry.
    serial: u64,
    streams: BTreeMap<Arc<str>, Stream>,
    turns: BTreeMap<Arc<str>, (u64, oneshot::Receiver<()>)>,
}

/// An open stream as others see it.
#[derive(Debug)]
struct Stream {
    serial: u64,
    /// Ends the stream when dropped.
    end: oneshot::Sender<()>,
    /// Is ready when the stream has ended.
    ended: oneshot::Receiver<()>,
}

/// An open stream as it sees itself.
pub(super) struct Place {
    registry: Arc<Registry>,
    req_id: Arc<str>,
    serial: u64,
    /// Is ready when the stream is to end.
    pub(super) end: oneshot::Receiver<()>,
    ended: Option<oneshot::Sender<()>>,
}

/// The turn of a request to be answered; ends when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    registry: Arc<Registry>,
    req_id: Arc<str>,
    serial: u64,
    before: Option<oneshot::Receiver<()>>,
    _end: oneshot::Sender<()>,
    _at_work: OwnedSemaphorePermit,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stands in line behind the last request of the same `req_id`.
    pub(super) fn turn(self: &Arc<Self>, req_id: &str, at_work: OwnedSemaphorePermit) -> Turn {
        let mut registered = self.lock();
        registered.serial += 1;
        let (req_id, serial): (Arc<str>, _) = (req_id.into(), registered.serial);
        let (end, ended) = oneshot::channel();
        let before = registered.turns.insert(req_id.clone(), (serial, ended)).map(|(_, before)| before);
        Turn { registry: self.clone(), req_id, serial, before, _end: end, _at_work: at_work }
    }

    /// The `req_id`s of all open streams.
    pub(super) fn open(&self) -> Vec<Arc<str>> {
        self.lock().streams.keys().cloned().collect()
    }

    pub(super) fn begin(self: Arc<Self>, req_id: &str, most: usize) -> ApiResult<Place> {
        let mut registered = self.lock();
        if registered.streams.contains_key(req_id) {
            let message = "A stream of this req_id is open: end it first, or choose another req_id.";
            return Err(ApiError::new(ErrorCode::WsStreamAlreadyExists, message).detail("request_id", req_id));
        }
        let open = registered.streams.len();
        if open >= most {
            return Err(ApiError::new(ErrorCode::WsTooManyStreams, "Too many streams are open on this connection.")
                .detail("actual_listener_count", open)
                .detail("maximum_listener_count", most));
        }
        registered.serial += 1;
        let (req_id, serial): (Arc<str>, _) = (req_id.into(), registered.serial);
        let (end, to_end) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel();
        registered.streams.insert(req_id.clone(), Stream { serial, end, ended: has_ended });
        drop(registered);
        Ok(Place { registry: self, req_id, serial, end: to_end, ended: Some(ended) })
    }

    /// Tells a stream to end; it is none any more.
    pub(super) fn end(&self, req_id: &str) -> ApiResult<oneshot::Receiver<()>> {
        match self.lock().streams.remove(req_id) {
            Some(Stream { end, ended, .. }) => {
                drop(end);
                Ok(ended)
            }
            None => {
                Err(ApiError::new(ErrorCode::WsStreamNotFound, "No stream of this req_id is open on this connection.")
                    .detail("request_id", req_id))
            }
        }
    }
}

impl Place {
    /// Frees the place. What is returned tells of the end when dropped.
    pub(super) fn release(&mut self) -> Option<oneshot::Sender<()>> {
        let mut registered = self.registry.lock();
        if registered.streams.get(&self.req_id).is_some_and(|stream| stream.serial == self.serial) {
            registered.streams.remove(&self.req_id);
        }
        self.ended.take()
    }
}

impl Turn {
    /// Returns when it is this request's turn.
    pub(super) async fn come(mut self) -> Self {
        if let Some(before) = self.before.take() {
            // An error says that it is gone.
            let _ = before.await;
        }
        self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut registered = self.registry.lock();
        if registered.turns.get(&self.req_id).is_some_and(|(serial, _)| *serial == self.serial) {
            registered.turns.remove(&self.req_id);
        }
    }
}
