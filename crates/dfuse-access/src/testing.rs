//! For tests of this crate.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use dfuse_blocks::Clock;
use dfuse_kv::MemoryStore;

use crate::KvAccessStore;

/// A clock that goes on when it is told to.
#[derive(Debug)]
pub(crate) struct TestClock(Mutex<Duration>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Mutex::new(Duration::from_secs(1_700_000_000)))
    }
}

impl TestClock {
    pub(crate) fn advance(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

pub(crate) fn memory_store() -> KvAccessStore {
    KvAccessStore::over(Arc::new(MemoryStore::new(&KvAccessStore::KEYSPACES))).unwrap()
}
