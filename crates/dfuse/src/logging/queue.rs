//! Lines on their way to standard error.
//!
//! Standard error may be a terminal that is paused or a pipe whose reader hangs. Whoever logs puts a line into a bounded queue
//! and goes on; one thread writes, and is the only one that such a reader holds up. Lines that find the queue full are lost,
//! counted, and told of when there is room again.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Most bytes of lines that wait: thousands of lines.
const MAX_BYTES: usize = 1 << 20;
/// How long the end of the process waits for standard error to take another line.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// The lines that wait. Cloning is cheap.
#[derive(Clone, Default)]
pub(super) struct LogQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Of the lines that wait, and of the one that is being written.
    bytes: usize,
    is_writing: bool,
    /// Lines that found no room, of which nothing was told yet.
    untold: u64,
    lost: u64,
}

/// What the writing thread does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Write this line, then say so with [`LogQueue::written`].
    Write(Vec<u8>),
    /// Tell that so many lines were lost.
    TellLost(u64),
    /// Nothing came for a while.
    Idle,
}

impl LogQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line if there is room. Never waits for standard error.
    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.bytes + line.len() > MAX_BYTES && state.bytes > 0 {
            state.untold += 1;
            state.lost += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line.to_vec());
        self.0.changed.notify_all();
    }

    /// Waits for what is to be done, for some time at most.
    pub(super) fn next(&self, patience: Duration) -> Work {
        let mut state = self.state();
        loop {
            // Half of the queue is free by then, so that this line finds room, and the next flood is not told of line by line.
            if state.untold > 0 && state.bytes <= MAX_BYTES / 2 {
                return Work::TellLost(std::mem::take(&mut state.untold));
            }
            if let Some(line) = state.lines.pop_front() {
                state.is_writing = true;
                return Work::Write(line);
            }
            let waited = self.0.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() && state.lines.is_empty() {
                return Work::Idle;
            }
        }
    }

    /// A line of so many bytes is written, or cannot be.
    pub(super) fn written(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes -= bytes;
        state.is_writing = false;
        self.0.changed.notify_all();
    }

    /// How many lines were lost.
    pub(super) fn lost(&self) -> u64 {
        self.state().lost
    }

    /// Waits until everything is written, or standard error takes nothing any more.
    pub(super) fn finish(&self) {
        let mut state = self.state();
        while state.is_writing || !state.lines.is_empty() || state.untold > 0 {
            let waited = self.0.changed.wait_timeout(state, LAST_PATIENCE).unwrap_or_else(PoisonError::into_inner);
            if waited.1.timed_out() {
                return;
            }
            state = waited.0;
        }
    }
}

impl MakeWriter<'_> for LogQueue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// An event is written with one call.
impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn line(queue: &LogQueue) -> Option<Vec<u8>> {
        match queue.next(NOW) {
            Work::Write(line) => Some(line),
            _ => None,
        }
    }

    #[test]
    fn lines_come_in_order_and_the_end_waits_for_them() {
        let queue = LogQueue::default();
        assert_eq!(queue.next(NOW), Work::Idle);
        queue.finish();
        for text in ["one", "two"] {
            queue.clone().write_all(text.as_bytes()).unwrap();
        }
        let writer = queue.clone();
        let written = std::thread::spawn(move || {
            std::iter::from_fn(|| line(&writer).inspect(|line| writer.written(line.len()))).collect::<Vec<_>>()
        });
        queue.finish();
        assert_eq!(written.join().unwrap(), [b"one", b"two"]);
        assert_eq!(queue.lost(), 0);
    }

    #[test]
    fn what_finds_no_room_is_lost_and_told_once_there_is_room() {
        let queue = LogQueue::default();
        let long = vec![b'x'; MAX_BYTES / 4];
        (0..7).for_each(|_| queue.push(&long));
        assert_eq!(queue.lost(), 3);
        for _ in 0..2 {
            let line = line(&queue).expect("not told while there is little room");
            queue.written(line.len());
        }
        assert_eq!(queue.next(NOW), Work::TellLost(3));
        queue.push(b"short");
        // What is told once is not told again.
        assert_eq!((0..3).map_while(|_| line(&queue)).last().unwrap(), b"short");
        assert_eq!((queue.next(NOW), queue.lost()), (Work::Idle, 3));
    }

    #[test]
    fn a_line_that_is_longer_than_the_queue_is_taken_alone() {
        let queue = LogQueue::default();
        let long = vec![b'x'; MAX_BYTES + 1];
        queue.push(&long);
        queue.push(b"lost");
        assert_eq!((line(&queue), queue.lost()), (Some(long), 1));
    }
}
