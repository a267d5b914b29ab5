use std::{
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dfuse_access::{Asking, Gate, Grant, KeyKind, KvAccessStore, Mode, NewKey, Options, Refusal};
use dfuse_blocks::{Clock, SystemEntropy};
use dfuse_kv::MemoryStore;
use serde_json::Value;

/// A clock that goes on when it is told to.
#[derive(Debug)]
pub(crate) struct TestClock(Mutex<Duration>);

impl TestClock {
    pub(crate) fn advance(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }

    pub(crate) fn go_back(&self, seconds: u64) {
        *self.0.lock().unwrap() -= Duration::from_secs(seconds);
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.now().as_secs()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.now()
    }
}

/// A gate with a clock of its own.
pub(crate) struct TestGate {
    pub(crate) gate: Gate,
    pub(crate) clock: Arc<TestClock>,
}

impl Deref for TestGate {
    type Target = Gate;

    fn deref(&self) -> &Gate {
        &self.gate
    }
}

impl TestGate {
    pub(crate) fn new(options: Options) -> Self {
        let store = KvAccessStore::over(Arc::new(MemoryStore::new(&KvAccessStore::KEYSPACES))).unwrap();
        let clock = Arc::new(TestClock(Mutex::new(Duration::from_secs(1_700_000_000))));
        let gate = Gate::open(Arc::new(store), clock.clone(), Arc::new(SystemEntropy), options).unwrap();
        Self { gate, clock }
    }

    /// Where everybody needs a token.
    pub(crate) fn required() -> Self {
        Self::new(Options { mode: Mode::Required, ..Options::default() })
    }

    /// The text of a new server key, and its id.
    pub(crate) fn key(&self) -> (String, String) {
        self.key_like(NewKey::new(KeyKind::Server, "test"))
    }

    pub(crate) fn key_like(&self, new: NewKey) -> (String, String) {
        let (text, key) = self.create_key(new).unwrap();
        (text.reveal().to_owned(), key.id.to_string())
    }

    /// A token for a key.
    pub(crate) fn token(&self, key: &str) -> String {
        self.issue(key, None, None).unwrap().unwrap().token
    }

    /// Asks with a token.
    pub(crate) fn with(&self, token: &str) -> Result<Grant, Refusal> {
        self.admit(&Asking { token: Some(token), ..Asking::default() })
    }

    /// Asks with a token from an address.
    pub(crate) fn at(&self, token: Option<&str>, address: &str) -> Result<Grant, Refusal> {
        self.admit(&Asking { token, address: Some(address.parse().unwrap()), ..Asking::default() })
    }
}

/// A part of a token as JSON.
pub(crate) fn part(token: &str, position: usize) -> Value {
    let part = token.split('.').nth(position).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A part of a token of JSON.
pub(crate) fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}
