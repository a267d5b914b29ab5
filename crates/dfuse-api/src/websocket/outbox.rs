//! What waits for a client to read.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Takes messages of a connection. Whoever has more than there is room for waits. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    room: Arc<Semaphore>,
    bytes: u32,
    queue: mpsc::UnboundedSender<Outgoing>,
}

/// A message that waits; it takes up room as long as it is there.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) text: Utf8Bytes,
    _room: OwnedSemaphorePermit,
}

/// Room for so many bytes. A message that is longer than that goes alone.
pub(super) fn outbox(bytes: usize) -> (Outbox, mpsc::UnboundedReceiver<Outgoing>) {
    let bytes = bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize)) as u32;
    let (queue, outgoing) = mpsc::unbounded_channel();
    (Outbox { room: Arc::new(Semaphore::new(bytes as usize)), bytes, queue }, outgoing)
}

impl Outbox {
    /// Returns when there is room for the message. Messages keep the order in which they came here.
    pub(super) async fn send(&self, text: Utf8Bytes) {
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX).clamp(1, self.bytes);
        let room = self.room.clone().acquire_many_owned(bytes).await.expect("never closed");
        // Without a receiver the connection has ended, and so will the caller.
        let _ = self.queue.send(Outgoing { text, _room: room });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn room_is_bounded_and_given_back() {
        let (outbox, mut outgoing) = outbox(10);
        outbox.send("12345".into()).await;
        outbox.send("67890".into()).await;
        let mut waiting = Box::pin(outbox.send("longer than there is room".into()));
        assert!((&mut waiting).now_or_never().is_none());
        let mut last = Box::pin(outbox.send("a".into()));
        assert!((&mut last).now_or_never().is_none(), "in order");
        assert_eq!(&*outgoing.recv().await.unwrap().text, "12345");
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(&*outgoing.recv().await.unwrap().text, "67890");
        waiting.await;
        assert!((&mut last).now_or_never().is_none());
        assert_eq!(&*outgoing.recv().await.unwrap().text, "longer than there is room");
        last.await;
        drop(outgoing);
        outbox.send("nobody".into()).await;
    }
}
