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

/// Messages that wait and are written together; they take up room as long as they are there.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) texts: Vec<Utf8Bytes>,
    _room: OwnedSemaphorePermit,
}

/// Most bytes that go into the queue at once, unless one message is longer.
const TOGETHER: usize = 64 << 10;

/// Room for so many bytes. A message that is longer than that goes alone.
pub(super) fn outbox(bytes: usize) -> (Outbox, mpsc::UnboundedReceiver<Outgoing>) {
    let bytes = bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize)) as u32;
    let (queue, outgoing) = mpsc::unbounded_channel();
    (Outbox { room: Arc::new(Semaphore::new(bytes as usize)), bytes, queue }, outgoing)
}

impl Outbox {
    /// Returns when there was room for the messages. Messages keep the order in which they came here.
    pub(super) async fn send(&self, texts: impl IntoIterator<Item = Utf8Bytes>) {
        let most = TOGETHER.min(self.bytes as usize);
        let (mut together, mut bytes) = (Vec::new(), 0);
        for text in texts {
            if bytes + text.len() > most && !together.is_empty() {
                self.put(std::mem::take(&mut together), bytes).await;
                bytes = 0;
            }
            bytes += text.len();
            together.push(text);
        }
        self.put(together, bytes).await;
    }

    async fn put(&self, texts: Vec<Utf8Bytes>, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.bytes);
        let room = self.room.clone().acquire_many_owned(bytes).await.expect("never closed");
        // Without a receiver the connection has ended, and so will the caller.
        let _ = self.queue.send(Outgoing { texts, _room: room });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn room_is_bounded_and_given_back() {
        let (outbox, mut outgoing) = outbox(10);
        outbox.send(["123".into(), "45".into()]).await;
        outbox.send(["67890".into()]).await;
        let mut waiting = Box::pin(outbox.send(["longer than there is room".into(), "b".into()]));
        assert!((&mut waiting).now_or_never().is_none());
        let mut last = Box::pin(outbox.send(["a".into()]));
        assert!((&mut last).now_or_never().is_none(), "in order");
        assert_eq!(outgoing.recv().await.unwrap().texts, ["123", "45"]);
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(outgoing.recv().await.unwrap().texts, ["67890"]);
        assert!((&mut waiting).now_or_never().is_none(), "the second waits for the first");
        assert_eq!(outgoing.recv().await.unwrap().texts, ["longer than there is room"]);
        last.await;
        waiting.await;
        assert_eq!(outgoing.recv().await.unwrap().texts, ["a"]);
        assert_eq!(outgoing.recv().await.unwrap().texts, ["b"]);
        drop(outgoing);
        outbox.send(["nobody".into()]).await;
    }
}
