//! How fast blocks come: a chain that is replayed at its own pace will never come to the present.

use std::time::Duration;

/// How long blocks are looked at together.
const WINDOW: Duration = Duration::from_secs(10);
/// A source that catches up with a chain gives more seconds of it a second than this.
const CATCHING_UP: u32 = 2;

/// Tells when a source has given all that it has, though its blocks are old: they come about as fast as they were made, and
/// most of the time is spent waiting for them.
#[derive(Debug, Default)]
pub(super) struct Pace {
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    began: Duration,
    /// Of its first block.
    block_ms: i64,
    waited: Duration,
}

impl Pace {
    /// A block came at `now`, after it was waited for so long. True if its source has no older ones to give faster.
    pub(super) fn is_that_of_the_chain(&mut self, now: Duration, waited: Duration, block_ms: i64) -> bool {
        let Some(window) = &mut self.window else {
            self.window = Some(Window { began: now, block_ms, waited: Duration::ZERO });
            return false;
        };
        window.waited += waited;
        let taken = now.saturating_sub(window.began);
        if taken < WINDOW {
            return false;
        }
        let of_chain = Duration::from_millis((block_ms - window.block_ms).max(0).cast_unsigned());
        let (is_slow, mostly_waits) = (of_chain <= taken * CATCHING_UP, window.waited * 2 >= taken);
        self.window = Some(Window { began: now, block_ms, waited: Duration::ZERO });
        is_slow && mostly_waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether 60 blocks that are `made` milliseconds apart, come `taken` milliseconds apart and are waited for `waited`
    /// milliseconds count as coming at the chain's pace.
    fn is_at_pace(made: u32, taken: u32, waited: u32) -> bool {
        let mut pace = Pace::default();
        let ms = |time: u32| Duration::from_millis(time.into());
        (0..60).any(|i| pace.is_that_of_the_chain(ms(taken) * i, ms(waited), 1_500_000_000_000 + i64::from(made * i)))
    }

    #[test]
    fn old_blocks_at_their_own_pace_are_all_that_there_is() {
        assert!(is_at_pace(500, 500, 490));
        assert!(is_at_pace(500, 400, 300), "somewhat faster");
        assert!(is_at_pace(500, 3000, 2900), "slower");
        assert!(!is_at_pace(500, 100, 0), "too few to tell");
        assert!(!is_at_pace(500, 200, 199), "a source that catches up itself");
        assert!(!is_at_pace(500, 1000, 100), "this process is what is slow");
    }
}
