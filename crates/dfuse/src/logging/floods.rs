//! Warnings that come again and again: the first ones are logged, the others counted.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dfuse_blocks::Clock;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// How long warnings are counted together.
const WINDOW: Duration = Duration::from_secs(10);
/// So many of the same are logged in that time.
const LOGGED: u64 = 10;
/// Different warnings that are told apart. Those beyond are all logged.
const MOST: usize = 1000;

/// Lets the first few of the same warning pass. Two are the same if target and message are, whatever their fields say.
/// Errors are never held back: clients quote the trace ids in them. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Floods {
    seen: Arc<Mutex<BTreeMap<Warning, Count>>>,
    clock: Arc<dyn Clock>,
    /// Target of what is told of floods, which is not held back itself.
    own_target: &'static str,
}

/// Target and message.
type Warning = (&'static str, String);

struct Count {
    since: Duration,
    came: u64,
}

/// A warning that was held back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) target: &'static str,
    pub(super) message: String,
    pub(super) times: u64,
}

impl Floods {
    pub(super) fn new(clock: Arc<dyn Clock>, own_target: &'static str) -> Self {
        Self { seen: Arc::default(), clock, own_target }
    }

    /// Time by the clock that counts.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<Warning, Count>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a warning, and says whether it is to be logged.
    fn passes(&self, target: &'static str, message: String) -> bool {
        let now = self.clock.elapsed();
        let mut seen = self.seen();
        if let Some(count) = seen.get_mut(&(target, message.clone())) {
            count.came += 1;
            return count.came <= LOGGED;
        }
        if seen.len() >= MOST {
            seen.retain(|_, count| count.came > LOGGED || now.saturating_sub(count.since) < WINDOW);
        }
        if seen.len() < MOST {
            seen.insert((target, message), Count { since: now, came: 1 });
        }
        true
    }

    /// What was held back and has not been told yet: of times that are over, or of all.
    pub(super) fn held(&self, all: bool) -> Vec<Held> {
        let now = self.clock.elapsed();
        let mut held = Vec::new();
        self.seen().retain(|(target, message), count| {
            let is_over = all || now.saturating_sub(count.since) >= WINDOW;
            if is_over && count.came > LOGGED {
                held.push(Held { target, message: message.clone(), times: count.came - LOGGED });
            }
            !is_over
        });
        held
    }
}

impl<S: Subscriber> Layer<S> for Floods {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() != Level::WARN || metadata.target() == self.own_target {
            return true;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.passes(metadata.target(), message.0)
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct SetClock(Mutex<Duration>);

    impl Clock for SetClock {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn elapsed(&self) -> Duration {
            self.now()
        }
    }

    #[test]
    fn the_first_of_the_same_are_logged_and_the_rest_are_counted() {
        let clock = Arc::new(SetClock::default());
        let floods = Floods::new(clock.clone(), "dfuse::log");
        let logged = |message: &str| (0..25).filter(|_| floods.passes("a", message.to_owned())).count();
        assert_eq!((logged("slow"), logged("away")), (10, 10), "each by itself");
        assert!(floods.passes("b", "slow".to_owned()), "of another part");
        assert_eq!(floods.held(false), [], "not told before its time is over");
        *clock.0.lock().unwrap() += WINDOW;
        let held = |message: &str| Held { target: "a", message: message.to_owned(), times: 15 };
        assert_eq!(floods.held(false), [held("away"), held("slow")]);
        assert_eq!(floods.held(true), [], "told once");
        assert_eq!(logged("slow"), 10, "counted anew");
        assert_eq!(floods.held(true), [held("slow")], "at the end all is told");
    }

    #[test]
    fn warnings_that_all_differ_are_logged_in_bounded_memory() {
        let clock = Arc::new(SetClock::default());
        let floods = Floods::new(clock.clone(), "dfuse::log");
        for i in 0..3 * MOST {
            assert!(floods.passes("a", i.to_string()));
        }
        assert_eq!(floods.seen().len(), MOST);
        *clock.0.lock().unwrap() += WINDOW;
        assert!(floods.passes("a", "another".to_owned()));
        assert_eq!(floods.seen().len(), 1);
    }
}
