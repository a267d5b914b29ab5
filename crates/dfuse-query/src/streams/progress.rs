use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use dfuse_blocks::Clock;

/// Least time between two messages of a stream.
const PAUSE: Duration = Duration::from_millis(250);

/// When a stream tells how far it is.
#[derive(Debug)]
pub struct Progress {
    clock: Arc<dyn Clock>,
    /// 0 if it does not.
    every: u64,
    last: Duration,
}

impl Progress {
    /// At heights that are multiples of `with_progress`, whatever its sign; never if it is 0. The first pause begins now.
    pub fn new(with_progress: i64, clock: Arc<dyn Clock>) -> Self {
        Self { every: with_progress.unsigned_abs(), last: clock.elapsed(), clock }
    }

    /// Whether it is to be told that the block of this height is done. A block within the pause is left out.
    pub fn is_due(&mut self, number: u32) -> bool {
        self.last_due(number..=number).is_some()
    }

    /// Of blocks that are done all at once, the height that is to be told.
    pub fn last_due(&mut self, numbers: RangeInclusive<u32>) -> Option<u32> {
        let (first, last) = numbers.into_inner();
        let multiple = u64::from(last).checked_div(self.every)? * self.every;
        let multiple = u32::try_from(multiple).ok().filter(|multiple| (first..=last).contains(multiple))?;
        let now = self.clock.elapsed();
        if now.saturating_sub(self.last) <= PAUSE {
            return None;
        }
        self.last = now;
        Some(multiple)
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
        let mut progress = Progress::new(10, clock.clone());
        for (numbers, due) in [(1..=9, None), (11..=19, None), (11..=20, Some(20)), (20..=45, Some(40))] {
            clock.0.fetch_add(251, Ordering::Relaxed);
            assert_eq!(progress.last_due(numbers), due);
        }
        clock.0.fetch_add(251, Ordering::Relaxed);
        assert_eq!(progress.last_due(50..=60), Some(60));
        assert_eq!(progress.last_due(70..=70), None, "too soon");
        clock.0.fetch_add(1000, Ordering::Relaxed);
        assert!(!Progress::new(0, clock.clone()).is_due(0));
        assert!(!Progress::new(i64::MIN, clock).is_due(1));
    }
}
