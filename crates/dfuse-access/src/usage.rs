use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Requests that were answered.
    pub requests: u64,
    /// What answers and streams consisted of: results, rows, events.
    pub documents: u64,
    /// Bytes of bodies and messages that came.
    pub ingress_bytes: u64,
    /// Bytes of bodies and messages that went, before compression.
    pub egress_bytes: u64,
    /// Requests that were refused because of a limit.
    pub rate_limited: u64,
}

impl Usage {
    /// Whether it is nothing at all.
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.documents = self.documents.saturating_add(other.documents);
        self.ingress_bytes = self.ingress_bytes.saturating_add(other.ingress_bytes);
        self.egress_bytes = self.egress_bytes.saturating_add(other.egress_bytes);
        self.rate_limited = self.rate_limited.saturating_add(other.rate_limited);
    }
}

/// Usage of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Days since 1970-01-01, UTC.
    pub day: u32,
    /// Id of the key, or what else callers are told by.
    pub subject: String,
    /// What was used.
    #[serde(flatten)]
    pub usage: Usage,
}
