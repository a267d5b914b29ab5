use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dfuse_blocks::{Clock, Entropy};
use serde::{Serialize, Serializer};

/// Names one request among all ever: 128 random bits, 32 hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 32];
        f.pad(const_hex::encode_to_str(self.0, &mut text).expect("32 digits for 16 bytes"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Makes trace ids.
#[derive(Debug)]
pub struct TraceIds {
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    without_entropy: AtomicU64,
}

impl TraceIds {
    /// Out of that entropy, or of the time if there is none.
    pub fn new(entropy: Arc<dyn Entropy>, clock: Arc<dyn Clock>) -> Self {
        Self { entropy, clock, without_entropy: AtomicU64::new(0) }
    }

    /// A new one.
    pub fn next(&self) -> TraceId {
        let mut bytes = [0; 16];
        if self.entropy.fill(&mut bytes).is_err() {
            // Time and a count are as unique in one process; an answer without an id is worse than one that can be guessed.
            let count = self.without_entropy.fetch_add(1, Ordering::Relaxed);
            bytes[..8].copy_from_slice(&(self.clock.now().as_nanos() as u64).to_be_bytes());
            bytes[8..].copy_from_slice(&count.to_be_bytes());
        }
        TraceId(bytes)
    }
}
