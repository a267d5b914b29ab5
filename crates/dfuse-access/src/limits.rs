use std::{
    convert::Infallible,
    fmt,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dfuse_blocks::Clock;
use governor::{
    Quota, RateLimiter,
    clock::Clock as GovernorClock,
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};
use quick_cache::sync::Cache;

use crate::{KeyId, Rate, RouteClass};

/// Buckets that are kept, some 200 bytes each. With more, those of callers that seldom come are forgotten, who then begin anew: a
/// limit that an attacker with so many addresses escapes anyway.
const MAX_BUCKETS: usize = 65_536;

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Counts {
    /// Everybody with a key.
    Key(KeyId),
    /// One address with a key.
    KeyAt(KeyId, IpAddr),
    /// A user of another issuer, by digest.
    Foreign([u8; 32]),
    /// One address with tokens of a user of another issuer.
    ForeignAt([u8; 32], IpAddr),
    /// An address without a token.
    Address(IpAddr),
    /// Tokens and keys of an address that were wrong.
    Guesses(IpAddr),
    /// Tokens that are asked for at an address.
    Issues(IpAddr),
}

/// Where a caller stands within a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that may come at once.
    pub limit: u32,
    /// How many more may come now.
    pub remaining: u32,
    /// Seconds until all may come again; for a request that was refused, until the next may.
    pub reset_seconds: u64,
}

impl Standing {
    /// The one that leaves less.
    pub fn tighter(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.remaining < self.remaining => other,
            _ => self,
        }
    }
}

/// The buckets of all callers, in bounded memory.
pub(crate) struct Limits {
    buckets: Cache<(Counts, Option<RouteClass>), Arc<Bucket>>,
    clock: Elapsed,
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limits({})", self.buckets.len())
    }
}

impl Limits {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { buckets: Cache::new(MAX_BUCKETS), clock: Elapsed(clock) }
    }

    /// The bucket of these requests.
    pub(crate) fn bucket(&self, counts: Counts, class: Option<RouteClass>, rate: Rate) -> Arc<Bucket> {
        let made = || Ok::<_, Infallible>(Arc::new(Bucket::new(rate, self.clock.clone())));
        let Ok(bucket) = self.buckets.get_or_insert_with(&(counts, class), made);
        bucket
    }
}

/// Requests of one caller and class within their rate.
pub(crate) struct Bucket {
    limiter: RateLimiter<NotKeyed, Owed, Elapsed, StateInformationMiddleware>,
    rate: Rate,
    owed: Owed,
    started: Duration,
}

impl Bucket {
    fn new(rate: Rate, clock: Elapsed) -> Self {
        let quota = Quota::with_period(rate.interval()).map(|quota| quota.allow_burst(rate.requests()));
        let quota = quota.unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN));
        let (owed, started) = (Owed::default(), clock.now());
        let limiter = RateLimiter::new(quota, owed.clone(), clock);
        Self { limiter, rate, owed, started }
    }

    /// Takes a request, or says when the next may come.
    pub(crate) fn take(&self) -> Result<Standing, Standing> {
        let limit = self.rate.requests().get();
        match self.limiter.check() {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity().min(limit);
                let full = self.rate.interval().saturating_mul(limit - remaining);
                Ok(Standing { limit, remaining, reset_seconds: seconds(full) })
            }
            Err(until) => Err(self.refused(until.wait_time_from(self.limiter.clock().now()))),
        }
    }

    /// Charges so many requests for work that is done, whether they are there or not: what is not is taken from what comes.
    pub(crate) fn charge(&self, requests: u64) {
        let now = nanos(self.now());
        let more = nanos(self.rate.interval()).saturating_mul(requests);
        // Times add up to centuries at most, as do those of the limiter.
        let charged = |until: u64| Some(until.max(now).saturating_add(more).min(u64::MAX / 4));
        let _ = self.owed.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
    }

    /// Whether a request may come, without taking one.
    pub(crate) fn may_take(&self) -> Result<(), Standing> {
        let at_once = self.rate.interval().saturating_mul(self.rate.requests().get() - 1);
        let begins = Duration::from_nanos(self.owed.0.load(Ordering::Relaxed)).saturating_sub(at_once);
        let wait = begins.saturating_sub(self.now());
        if wait.is_zero() { Ok(()) } else { Err(self.refused(wait)) }
    }

    fn refused(&self, wait: Duration) -> Standing {
        Standing { limit: self.rate.requests().get(), remaining: 0, reset_seconds: seconds(wait).max(1) }
    }

    fn now(&self) -> Duration {
        self.limiter.clock().now().saturating_sub(self.started)
    }
}

/// Until when what was taken is paid for, in nanoseconds since the bucket was made. Kept here, as the limiter's own state cannot be
/// charged for more than there is.
#[derive(Debug, Clone, Default)]
struct Owed(Arc<AtomicU64>);

impl StateStore for Owed {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut until = self.0.load(Ordering::Relaxed);
        loop {
            let (outcome, next) = decide(Some(until).filter(|until| *until > 0).map(Nanos::new))?;
            match self.0.compare_exchange_weak(until, next.as_u64(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(outcome),
                Err(other) => until = other,
            }
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Our clock, as the limiter wants it.
#[derive(Debug, Clone)]
struct Elapsed(Arc<dyn Clock>);

impl GovernorClock for Elapsed {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestClock;

    fn bucket(rate: &str) -> (Arc<Bucket>, Arc<TestClock>) {
        let clock = Arc::new(TestClock::default());
        let limits = Limits::new(clock.clone());
        let address = Counts::Address("10.0.0.1".parse().unwrap());
        (limits.bucket(address, Some(RouteClass::Search), rate.parse().unwrap()), clock)
    }

    #[test]
    fn requests_within_a_rate() {
        let (bucket, clock) = bucket("3/s");
        for remaining in [2, 1, 0] {
            assert_eq!(bucket.take().map(|it| it.remaining), Ok(remaining));
        }
        assert_eq!(bucket.take(), Err(Standing { limit: 3, remaining: 0, reset_seconds: 1 }));
        clock.advance(Duration::from_millis(334));
        assert!(bucket.take().is_ok());
        assert!(bucket.take().is_err());
        clock.advance(Duration::from_secs(60));
        assert_eq!(bucket.take(), Ok(Standing { limit: 3, remaining: 2, reset_seconds: 1 }));
    }

    #[test]
    fn work_is_paid_before_more_is_done() {
        let (bucket, clock) = bucket("10/s");
        assert!(bucket.take().is_ok());
        bucket.charge(25);
        // With the one that comes, 27 requests of 10 a second are worth 1.7 seconds beyond the ten at once.
        assert_eq!(bucket.take().map_err(|it| it.reset_seconds), Err(2));
        assert!(bucket.may_take().is_err());
        clock.advance(Duration::from_millis(1699));
        assert!(bucket.take().is_err());
        clock.advance(Duration::from_millis(1));
        assert_eq!(bucket.may_take(), Ok(()));
        assert_eq!(bucket.take().map(|it| it.remaining), Ok(0));
        bucket.charge(u64::MAX);
        bucket.charge(u64::MAX);
        assert!(bucket.take().is_err());
    }

    #[test]
    fn what_work_costs_shows_in_what_remains() {
        let (bucket, _) = bucket("10/s");
        bucket.charge(5);
        assert_eq!(bucket.take().map(|it| it.remaining), Ok(4));
    }

    #[test]
    fn memory_is_bounded() {
        let limits = Limits::new(Arc::new(TestClock::default()));
        for number in 0..200_000_u32 {
            limits.bucket(Counts::Address(IpAddr::from(number.to_be_bytes())), None, "1/s".parse().unwrap());
        }
        assert!(limits.buckets.len() <= MAX_BUCKETS);
    }
}
