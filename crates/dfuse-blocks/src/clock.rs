//! The only place that reads the system's clock and its randomness. Everything else takes a [`Clock`] or an [`Entropy`], so
//! that a test with a seed repeats exactly.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{Error, Result};

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Time since 1970, which the administrator may set back.
    fn now(&self) -> Duration;

    /// Time since some fixed moment; never goes back.
    fn elapsed(&self) -> Duration;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts to measure [`Clock::elapsed`].
    #[expect(
        clippy::new_without_default,
        clippy::disallowed_methods,
        reason = "this is the place; and it depends on when"
    )]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Gives random bytes fit for keys.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills all of `bytes`.
    fn fill(&self, bytes: &mut [u8]) -> Result<()>;

    /// A name that nobody else has: 16 bytes in hexadecimal.
    ///
    /// # Errors
    /// Those of [`Entropy::fill`].
    fn unique_name(&self) -> Result<String> {
        let mut bytes = [0; 16];
        self.fill(&mut bytes)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The randomness of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        getrandom::fill(bytes).map_err(|e| Error::Usage(format!("the operating system gives no random bytes: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_answers() {
        let clock = SystemClock::new();
        let before = clock.elapsed();
        assert!(clock.elapsed() >= before);
        assert!(clock.now() > Duration::from_secs(1_700_000_000));
        let (mut a, mut b) = ([0; 32], [0; 32]);
        SystemEntropy.fill(&mut a).unwrap();
        SystemEntropy.fill(&mut b).unwrap();
        assert_ne!(a, b);
    }
}
