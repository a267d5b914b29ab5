use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dfuse_blocks::Clock;

/// How much work a search may do before it hands over what it has.
///
/// Work is counted, a unit for each read of the store and each 4 KiB that were read, so that the same search stops at the
/// same place. A search always comes on, if only by a block.
#[derive(Clone, Copy, Default)]
pub struct Budget<'a> {
    work: u64,
    spent: u64,
    deadline: Option<(&'a dyn Clock, Duration)>,
    cancelled: Option<&'a AtomicBool>,
}

impl fmt::Debug for Budget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("work", &self.work).field("spent", &self.spent).finish_non_exhaustive()
    }
}

impl<'a> Budget<'a> {
    /// So many units of work; a unit is some microseconds.
    pub fn new(work: u64) -> Self {
        Self { work, ..Self::default() }
    }

    /// Without end.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// The search also ends when `clock` has come to `at`, by [`Clock::elapsed`].
    pub fn until(self, clock: &'a dyn Clock, at: Duration) -> Self {
        Self { deadline: Some((clock, at)), ..self }
    }

    /// The search also ends once the flag is set.
    pub fn cancelled_by(self, flag: &'a AtomicBool) -> Self {
        Self { cancelled: Some(flag), ..self }
    }

    /// Work that was done.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// A read of the store that gave so many bytes.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(1 + bytes as u64 / 4096);
    }

    /// Whether it is time to stop.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent >= self.work
            || self.cancelled.is_some_and(|flag| flag.load(Ordering::Relaxed))
            || self.deadline.is_some_and(|(clock, at)| clock.elapsed() >= at)
    }
}
