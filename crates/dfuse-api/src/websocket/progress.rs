use std::{sync::Arc, time::Duration};

use dfuse_blocks::Clock;

/// Least time between two messages of a stream.
const PAUSE: Duration = Duration::from_millis(250);

/// When a stream tells how far it is.
#[derive(Debug)]
pub(super) struct Progress {
    clock: Arc<dyn Clock>,
    /// 0 if it does not.
    every: u64,
    last: Duration,
}

impl Progress {
    /// At heights that are multiples of `with_progress`, whatever its sign; never if it is 0. The first pause begins now.
    pub(super) fn new(with_progress: i64, clock: Arc<dyn Clock>) -> Self {
        Self { every: with_progress.unsigned_abs(), last: clock.elapsed(), clock }
    }

    /// Whether it is to be told that the block of this height is done. A block within the pause is left out.
    pub(super) fn is_due(&mut self, number: u32) -> bool {
        if self.every == 0 || !u64::from(number).is_multiple_of(self.every) {
            return false;
        }
        let now = self.clock.elapsed();
        let due = now.saturating_sub(self.last) > PAUSE;
        if due {
            self.last = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Duration {
            self.elapsed()
        }

        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn at_multiples_and_not_too_often() {
        let clock = Arc::new(Hand::default());
        for every in [5, -5] {
            let mut progress = Progress::new(every, clock.clone());
            assert!(!progress.is_due(5), "the pause begins with the stream");
            clock.0.fetch_add(251, Ordering::Relaxed);
            assert!(!progress.is_due(6));
            assert!(progress.is_due(10));
            assert!(!progress.is_due(15));
            clock.0.fetch_add(250, Ordering::Relaxed);
            assert!(!progress.is_due(20));
            clock.0.fetch_add(1, Ordering::Relaxed);
            assert!(progress.is_due(25));
        }
        clock.0.fetch_add(1000, Ordering::Relaxed);
        assert!(!Progress::new(0, clock.clone()).is_due(0));
        assert!(!Progress::new(i64::MIN, clock).is_due(1));
    }
}
