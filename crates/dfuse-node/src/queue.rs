//! What is read from a pipe and not decoded yet: whoever writes to the pipe waits only when the queue is full.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Bytes that are read from the pipe at once.
const CHUNK: usize = 256 << 10;
/// Memory that an empty queue keeps.
const KEPT: usize = 1 << 20;

/// A bounded queue of bytes with one writer and one reader on threads of their own.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// Bytes that were ever read from the pipe.
    total: u64,
    /// The pipe has ended; with an error if reading failed.
    ended: Option<io::Result<()>>,
    /// Nobody wants the rest.
    abandoned: bool,
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Bytes in it.
    pub bytes: usize,
    /// Bytes that came through it and are in it.
    pub total: u64,
    /// It takes no more for the moment: whoever writes to the pipe waits.
    pub is_full: bool,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}

impl Queue {
    /// An empty queue of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), limit: limit.max(CHUNK) }))
    }

    /// How full it is.
    pub fn state(&self) -> QueueState {
        let state = self.lock();
        QueueState { bytes: state.bytes.len(), total: state.total, is_full: self.is_full(&state) }
    }

    /// Fills it from `pipe` on a thread of its own, until the pipe ends.
    pub(crate) fn fill(&self, mut pipe: impl Read + Send + 'static, name: &str) -> io::Result<()> {
        let queue = self.clone();
        let fill = move || {
            let mut chunk = vec![0; CHUNK];
            let ended = loop {
                match pipe.read(&mut chunk) {
                    Ok(0) => break Ok(()),
                    Ok(count) => queue.put(&chunk[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                }
            };
            queue.lock().ended.get_or_insert(ended);
            queue.0.changed.notify_all();
        };
        thread::Builder::new().name(name.to_owned()).spawn(fill).map(drop)
    }

    /// The reader comes to the end, and what the pipe still gives is thrown away.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.bytes = VecDeque::new();
        state.ended.get_or_insert(Ok(()));
        self.0.changed.notify_all();
    }

    fn put(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.total += bytes.len() as u64;
        while self.is_full(&state) {
            state = self.wait(state);
        }
        if !state.abandoned {
            // Writing to memory cannot fail.
            let _ = state.bytes.write_all(bytes);
            self.0.changed.notify_all();
        }
    }

    fn is_full(&self, state: &State) -> bool {
        state.bytes.len() + CHUNK > self.0.limit && !state.abandoned
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing can panic while it is held.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reader's end.
impl Read for Queue {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.lock();
        while state.bytes.is_empty() && state.ended.is_none() {
            state = self.wait(state);
        }
        if state.bytes.is_empty() {
            return state.ended.replace(Ok(())).unwrap_or(Ok(())).map(|()| 0);
        }
        let was_full = self.is_full(&state);
        let count = state.bytes.read(buffer)?;
        if state.bytes.is_empty() && state.bytes.capacity() > KEPT {
            state.bytes = VecDeque::new();
        }
        if was_full {
            self.0.changed.notify_all();
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// A pipe that gives what it is sent.
    struct Pipe(Receiver<io::Result<Vec<u8>>>);

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Ok(chunk) = self.0.recv() else { return Ok(0) };
            let chunk = chunk?;
            buffer[..chunk.len()].copy_from_slice(&chunk);
            Ok(chunk.len())
        }
    }

    #[test]
    fn everything_comes_in_order_and_the_writer_waits_at_the_limit() {
        let queue = Queue::new(3 * CHUNK);
        let (sender, pipe) = channel();
        queue.fill(Pipe(pipe), "test").unwrap();
        for number in 0..10_u8 {
            sender.send(Ok(vec![number; CHUNK])).unwrap();
        }
        while !queue.state().is_full {
            thread::yield_now();
        }
        // One more is in the writer's hands.
        assert!(queue.state().bytes <= 3 * CHUNK);
        drop(sender);
        let mut all = Vec::new();
        queue.clone().read_to_end(&mut all).unwrap();
        let wanted: Vec<u8> = (0..10_u8).flat_map(|number| vec![number; CHUNK]).collect();
        assert!(all == wanted);
        assert_eq!(queue.state(), QueueState { bytes: 0, total: 10 * CHUNK as u64, is_full: false });
    }

    #[test]
    fn an_abandoned_queue_ends_and_takes_everything() {
        let queue = Queue::new(CHUNK);
        let (sender, pipe) = channel();
        queue.fill(Pipe(pipe), "test").unwrap();
        for _ in 0..3 {
            sender.send(Ok(vec![1; CHUNK])).unwrap();
        }
        while queue.state().total < 2 * CHUNK as u64 {
            thread::yield_now();
        }
        queue.abandon();
        assert_eq!(queue.clone().read(&mut [0; 10]).unwrap(), 0);
        while queue.state().total < 3 * CHUNK as u64 {
            thread::yield_now();
        }
        assert!(!queue.state().is_full);
    }

    #[test]
    fn an_error_of_the_pipe_comes_after_what_was_read() {
        let mut queue = Queue::new(CHUNK);
        let (sender, pipe) = channel();
        queue.fill(Pipe(pipe), "test").unwrap();
        sender.send(Ok(b"ab".to_vec())).unwrap();
        sender.send(Err(io::Error::other("broken"))).unwrap();
        let mut all = Vec::new();
        let error = queue.read_to_end(&mut all).unwrap_err();
        assert_eq!((all.as_slice(), error.to_string().as_str()), (&b"ab"[..], "broken"));
    }
}
