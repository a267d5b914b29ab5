//! What waits for a client to read, and the memory that it takes: bounded for each connection, and for all of them together.
//!
//! Whoever makes messages asks for [`Room`] before. So a stream that waits has made nothing yet.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedSemaphorePermit, Semaphore, mpsc};

/// What is made at a time for a client to read; one message more may come on top. A connection that has nothing else in its
/// queue may always have so much.
pub const PIECE_BYTES: usize = 32 << 10;
/// Messages that are longer take their memory from a share of their own.
const LARGE_BYTES: usize = 256 << 10;
/// A connection may have this part of what is free: with one, or few, that is as much as a connection may have at all. With
/// many, each has less, and there is always something left for the next one.
const PART: usize = 8;
/// About what a message takes beside its text.
const MESSAGE_BYTES: usize = 64;

/// The memory of all queues.
#[derive(Debug)]
pub struct Memory {
    bytes: usize,
    used: AtomicUsize,
    large: Arc<Semaphore>,
    large_bytes: usize,
}

impl Memory {
    /// So many bytes for what is queued, and so many for messages that are long.
    pub fn new(bytes: usize, large_bytes: usize) -> Arc<Self> {
        let large_bytes = large_bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let large = Arc::new(Semaphore::new(large_bytes));
        Arc::new(Self { bytes, used: AtomicUsize::new(0), large, large_bytes })
    }

    /// What is queued, and what was set aside for what is being made.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed) + self.large_bytes - self.large.available_permits()
    }

    /// What a connection may have.
    fn allowance(&self) -> usize {
        self.bytes.saturating_sub(self.used.load(Ordering::Relaxed)) / PART
    }
}

/// Takes messages of a connection, in whichever form its surface writes them. Cloning is cheap.
#[derive(Debug)]
pub struct Outbox<T>(Arc<Queue<T>>);

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Queue<T> {
    memory: Arc<Memory>,
    /// Most bytes of this connection.
    most: usize,
    used: Mutex<usize>,
    /// The one that comes next waits for room, all others for it.
    line: AsyncMutex<()>,
    freed: Notify,
    sender: mpsc::UnboundedSender<Outgoing<T>>,
}

/// Room for what is going to be made. It is free again when it is dropped, or when what was put there is written.
#[derive(Debug)]
pub struct Room<T> {
    queue: Arc<Queue<T>>,
    bytes: usize,
    /// For what is long.
    large: Option<OwnedSemaphorePermit>,
}

/// Messages that wait and are written together; they take up room as long as they are there.
#[derive(Debug)]
pub struct Outgoing<T> {
    /// The messages.
    pub texts: Vec<T>,
    /// Their room: drop it when they are written.
    pub room: Room<T>,
}

/// Room for so many bytes of a connection, within the memory of all.
pub fn outbox<T>(bytes: usize, memory: &Arc<Memory>) -> (Outbox<T>, mpsc::UnboundedReceiver<Outgoing<T>>) {
    let (sender, outgoing) = mpsc::unbounded_channel();
    let (used, line, freed) = (Mutex::new(0), AsyncMutex::new(()), Notify::new());
    (Outbox(Arc::new(Queue { memory: memory.clone(), most: bytes, used, line, freed, sender })), outgoing)
}

impl<T> Outbox<T> {
    /// Returns when there is room for so many bytes, to each in the order in which they came. There always is if nothing of the
    /// connection waits, so that no connection waits for another.
    pub async fn room(&self, bytes: usize) -> Room<T> {
        let _next = self.0.line.lock().await;
        loop {
            let freed = self.0.freed.notified();
            if let Some(room) = self.0.take(bytes) {
                return room;
            }
            freed.await;
        }
    }
}

impl<T> Queue<T> {
    fn used(&self) -> MutexGuard<'_, usize> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Room<T>> {
        let mut used = self.used();
        if *used > 0 && *used + bytes > self.most.min(self.memory.allowance()) {
            return None;
        }
        *used += bytes;
        self.memory.used.fetch_add(bytes, Ordering::Relaxed);
        Some(Room { queue: self.clone(), bytes, large: None })
    }
}

impl<T> Room<T> {
    /// Makes it as large as the messages that were made. If they are so long that they need memory which is not there, returns
    /// how much: let go of them, and make them again after [`Self::wait_for_large`].
    pub fn fit(&mut self, texts_bytes: usize, messages: usize) -> Result<(), usize> {
        let bytes = texts_bytes + messages * MESSAGE_BYTES;
        if bytes > LARGE_BYTES {
            let wanted = self.queue.memory.large_permits(bytes);
            if self.large.as_ref().is_none_or(|permit| permit.num_permits() < wanted as usize) {
                self.large = None;
                let permit = self.queue.memory.large.clone().try_acquire_many_owned(wanted);
                self.large = Some(permit.map_err(|_| bytes)?);
            }
            return Ok(());
        }
        self.large = None;
        let mut used = self.queue.used();
        *used = *used + bytes - self.bytes;
        self.queue.memory.used.fetch_add(bytes, Ordering::Relaxed);
        self.queue.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
        let is_smaller = bytes < self.bytes;
        self.bytes = bytes;
        drop(used);
        if is_smaller {
            self.queue.freed.notify_one();
        }
        Ok(())
    }

    /// Returns when there is memory for messages of so many bytes.
    pub async fn wait_for_large(&mut self, bytes: usize) {
        self.large = None;
        let memory = &self.queue.memory;
        // What is made again may be a little longer.
        let permits = memory.large_permits(bytes + bytes / 8);
        self.large = Some(memory.large.clone().acquire_many_owned(permits).await.expect("never closed"));
    }

    /// Puts messages there, which must fit. Without a receiver the connection has ended, and so will the caller.
    pub fn put(self, texts: Vec<T>) {
        let sender = self.queue.sender.clone();
        let _ = sender.send(Outgoing { texts, room: self });
    }
}

impl Memory {
    fn large_permits(&self, bytes: usize) -> u32 {
        bytes.min(self.large_bytes) as u32
    }
}

impl<T> Drop for Room<T> {
    fn drop(&mut self) {
        *self.queue.used() -= self.bytes;
        self.queue.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.queue.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const KIB: usize = 1 << 10;

    /// Room for a piece, if there is some.
    fn room_now(outbox: &Outbox<String>) -> Option<Room<String>> {
        // Whatever the runtime thinks of a task that never waits.
        tokio::task::unconstrained(outbox.room(PIECE_BYTES)).now_or_never()
    }

    fn put(mut room: Room<String>, bytes: usize) {
        room.fit(bytes - MESSAGE_BYTES, 1).unwrap();
        room.put(vec!["x".repeat(bytes - MESSAGE_BYTES)]);
    }

    #[tokio::test]
    async fn room_is_bounded_and_given_back_in_order() {
        let memory = Memory::new(1 << 30, KIB);
        let (outbox, mut outgoing) = outbox(10 * KIB, &memory);
        put(outbox.room(8 * KIB).await, 4 * KIB);
        put(outbox.room(6 * KIB).await, 6 * KIB);
        assert_eq!(memory.used(), 10 * KIB);
        let mut waiting = Box::pin(outbox.room(7 * KIB));
        assert!((&mut waiting).now_or_never().is_none());
        let mut last = Box::pin(outbox.room(KIB));
        assert!((&mut last).now_or_never().is_none());
        let first = outgoing.recv().await.unwrap();
        assert_eq!(first.texts[0].len() + MESSAGE_BYTES, 4 * KIB);
        drop(first);
        assert!((&mut waiting).now_or_never().is_none());
        assert!((&mut last).now_or_never().is_none(), "there is room, but another is before it");
        drop(outgoing.recv().await.unwrap());
        let room = waiting.await;
        let last = last.await;
        assert_eq!(memory.used(), 8 * KIB);
        // Whoever gives up holds nobody up.
        let mut given_up = Box::pin(outbox.room(9 * KIB));
        assert!((&mut given_up).now_or_never().is_none());
        drop(given_up);
        drop(outbox.room(2 * KIB).await);
        drop((room, last));
        assert_eq!(memory.used(), 0);
        // What is longer than all of it goes alone.
        put(outbox.room(20 * KIB).await, 200 * KIB);
        assert!(outbox.room(1).now_or_never().is_none());
        drop(outgoing);
        assert_eq!(memory.used(), 0, "the connection has ended");
        put(outbox.room(1).await, KIB);
        assert_eq!(memory.used(), 0);
    }

    /// Connections whose clients read nothing fill the memory, and never more; another one has its room all the same.
    #[tokio::test]
    async fn all_connections_together_are_bounded() {
        for connections in [1, 10, 100, 1000] {
            let total = 16 << 20;
            let memory = Memory::new(total, KIB);
            let mut all: Vec<_> = (0..connections).map(|_| outbox(4 << 20, &memory)).collect();
            let mut is_full = false;
            while !is_full {
                is_full = true;
                for (outbox, _) in &all {
                    if let Some(room) = room_now(outbox) {
                        put(room, PIECE_BYTES);
                        is_full = false;
                    }
                }
            }
            let least = total.saturating_sub(2 * connections * PIECE_BYTES).max(connections * PIECE_BYTES);
            let fair = total / (PART + connections);
            assert!(memory.used() <= total.max(connections * PIECE_BYTES), "{connections}: {}", memory.used());
            assert!(
                memory.used() >= (connections * fair.min(4 << 20)).min(least) / 2,
                "{connections}: {}",
                memory.used()
            );
            // Somebody new.
            let (other, mut outgoing) = outbox(4 << 20, &memory);
            for _ in 0..10 {
                put(room_now(&other).expect("room at once"), PIECE_BYTES);
                outgoing.try_recv().unwrap();
            }
            // One who reads goes on, whatever the others do.
            let (outbox, outgoing) = &mut all[0];
            for _ in 0..1000 {
                while outgoing.try_recv().is_ok() {}
                put(room_now(outbox).expect("room after all was read"), PIECE_BYTES);
            }
            drop(all);
            assert_eq!(memory.used(), 0);
        }
    }

    #[tokio::test]
    async fn long_messages_have_a_share_of_their_own() {
        let memory = Memory::new(1 << 30, 1 << 20);
        let (one, mut outgoing) = outbox(4 << 20, &memory);
        let (other, mut others) = outbox(4 << 20, &memory);
        let mut room = one.room(PIECE_BYTES).await;
        room.fit(900 * KIB, 1).unwrap();
        room.put(vec!["x".repeat(900 * KIB)]);
        let mut room = other.room(PIECE_BYTES).await;
        let needed = room.fit(500 * KIB, 1).unwrap_err();
        let mut waiting = Box::pin(room.wait_for_large(needed));
        assert!((&mut waiting).now_or_never().is_none());
        // What is short need not wait for it.
        put(other.room(PIECE_BYTES).await, KIB);
        drop(outgoing.recv().await.unwrap());
        waiting.await;
        room.fit(510 * KIB, 1).unwrap();
        room.put(vec!["x".repeat(510 * KIB)]);
        // One that is longer than all of it goes alone.
        let mut room = one.room(PIECE_BYTES).await;
        let needed = room.fit(5 << 20, 1).unwrap_err();
        others.recv().await.unwrap();
        drop(others.recv().await.unwrap());
        room.wait_for_large(needed).await;
        room.fit(5 << 20, 1).unwrap();
        drop(room);
        assert_eq!(memory.used(), 0);
    }
}
