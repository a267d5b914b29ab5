use std::time::Duration;

/// Pauses between attempts at something that fails: each is twice the one before, up to the longest.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    pause: Duration,
}

impl Backoff {
    /// Pauses from the first to the longest.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, pause: first }
    }

    /// The pause before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        let next = self.pause.saturating_mul(2).min(self.longest);
        std::mem::replace(&mut self.pause, next)
    }

    /// Begins again with the first pause: an attempt was successful.
    pub fn reset(&mut self) {
        self.pause = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(5));
        for pause in [1, 2, 4, 5, 5] {
            assert_eq!(backoff.next_pause(), seconds(pause));
        }
        backoff.reset();
        assert_eq!(backoff.next_pause(), seconds(1));
        assert_eq!(Backoff::new(seconds(1), Duration::MAX).next_pause(), seconds(1));
    }
}
