use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dfuse_blocks::Clock;

/// Work between two pauses, some tens of microseconds.
const BETWEEN_PAUSES: u64 = 16;

/// How much work a search may do before it hands over what it has.
///
/// Work is counted, a unit for each read of the store and each 4 KiB that were read, so that the same search stops at the
/// same place. A search always comes on, if only by a block.
#[derive(Clone, Copy, Default)]
pub struct Budget<'a> {
    work: u64,
    spent: u64,
    next_pause: u64,
    deadline: Option<(&'a dyn Clock, Duration)>,
    pace: Option<&'a dyn Pace>,
}

/// Who may hold a search up, or end it.
pub trait Pace {
    /// Called between two pieces of work, some tens of microseconds apart. May block while others have their turn: nothing is
    /// locked meanwhile.
    fn pause(&self);

    /// Whether the search has to end.
    fn is_given_up(&self) -> bool;
}

/// Once it is set, the search ends.
impl Pace for AtomicBool {
    fn pause(&self) {}

    fn is_given_up(&self) -> bool {
        self.load(Ordering::Relaxed)
    }
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

    /// The search also ends once `pace` gives it up, and pauses for it.
    pub fn paced_by(self, pace: &'a dyn Pace) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// Work that was done.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// A read of the store that gave so many bytes.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(1 + bytes as u64 / 4096);
        if self.spent >= self.next_pause {
            self.next_pause = self.spent.saturating_add(BETWEEN_PAUSES);
            self.pause();
        }
    }

    /// Lets others have their turn, for work that is not counted.
    pub(crate) fn pause(&self) {
        if let Some(pace) = self.pace {
            pace.pause();
        }
    }

    /// Whether it is time to stop.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent >= self.work
            || self.pace.is_some_and(Pace::is_given_up)
            || self.deadline.is_some_and(|(clock, at)| clock.elapsed() >= at)
    }
}
