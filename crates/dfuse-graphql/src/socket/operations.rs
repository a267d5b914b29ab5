//! Which operations of a connection are at work, by the ids that the client gives them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::extract::ws::Utf8Bytes;
use dfuse_query::outbox::Room;
use tokio::sync::oneshot;

/// The operations of a connection.
#[derive(Debug, Default)]
pub(super) struct Operations(Mutex<Registered>);

#[derive(Debug, Default)]
struct Registered {
    /// Rises with every operation.
    serial: u64,
    open: BTreeMap<Arc<str>, Open>,
}

#[derive(Debug)]
struct Open {
    serial: u64,
    is_subscription: bool,
    /// Stops the operation when dropped.
    _stop: oneshot::Sender<()>,
}

/// An operation at work. Its id is free when it is dropped.
#[derive(Debug)]
pub(super) struct Operation {
    operations: Arc<Operations>,
    pub(super) id: Arc<str>,
    serial: u64,
}

impl Operations {
    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one, with what is ready when it was stopped. The client hears nothing more of another one with this id.
    pub(super) fn begin(self: &Arc<Self>, id: &str, is_subscription: bool) -> (Operation, oneshot::Receiver<()>) {
        let (stop, stopped) = oneshot::channel();
        let id: Arc<str> = id.into();
        let mut registered = self.lock();
        registered.serial += 1;
        let serial = registered.serial;
        registered.open.insert(id.clone(), Open { serial, is_subscription, _stop: stop });
        drop(registered);
        (Operation { operations: self.clone(), id, serial }, stopped)
    }

    /// Stops one; nothing happens if there is none.
    pub(super) fn stop(&self, id: &str) {
        self.lock().open.remove(id);
    }

    pub(super) fn is_open(&self, id: &str) -> bool {
        self.lock().open.contains_key(id)
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.lock().open.values().filter(|open| open.is_subscription).count()
    }

    /// The ids of all.
    pub(super) fn ids(&self) -> Vec<Arc<str>> {
        self.lock().open.keys().cloned().collect()
    }
}

impl Operation {
    /// Puts messages for the client, unless the operation was stopped. The id is free before the client learns of the end.
    pub(super) fn put(&self, room: Room<Utf8Bytes>, texts: Vec<Utf8Bytes>, is_end: bool) {
        let mut registered = self.operations.lock();
        if registered.open.get(&self.id).is_none_or(|open| open.serial != self.serial) {
            return;
        }
        if is_end {
            registered.open.remove(&self.id);
        }
        room.put(texts);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let mut registered = self.operations.lock();
        if registered.open.get(&self.id).is_some_and(|open| open.serial == self.serial) {
            registered.open.remove(&self.id);
        }
    }
}
