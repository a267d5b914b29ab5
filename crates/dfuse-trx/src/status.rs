use std::fmt;

use dfuse_antelope::model::{TransactionLifecycle, TransactionStatus};

use crate::Outcome;

/// What has become of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It is known and can still come into a block: it was in one that was undone.
    Pending,
    /// It waits for its time.
    Delayed,
    /// It was executed.
    Executed,
    /// A deferred transaction failed, and its error handler ran.
    SoftFail,
    /// It failed.
    HardFail,
    /// A deferred transaction was not executed in time.
    Expired,
    /// A deferred transaction was cancelled before its time.
    Canceled,
    /// Its block gives a status that no chain writes.
    Unknown,
}

impl Status {
    /// The status that a lifecycle tells.
    pub fn of(lifecycle: &TransactionLifecycle) -> Self {
        lifecycle.transaction_status.into()
    }

    /// In the block model, where `None` says pending.
    pub fn in_model(self) -> TransactionStatus {
        match self {
            Self::Pending => TransactionStatus::None,
            Self::Delayed => TransactionStatus::Delayed,
            Self::Executed => TransactionStatus::Executed,
            Self::SoftFail => TransactionStatus::SoftFail,
            Self::HardFail => TransactionStatus::HardFail,
            Self::Expired => TransactionStatus::Expired,
            Self::Canceled => TransactionStatus::Canceled,
            Self::Unknown => TransactionStatus::Unknown,
        }
    }

    /// Its text in the API, for example `hard_fail`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delayed => "delayed",
            Self::Executed => "executed",
            Self::SoftFail => "soft_fail",
            Self::HardFail => "hard_fail",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
            Self::Unknown => "unknown",
        }
    }
}

impl From<TransactionStatus> for Status {
    /// In the block model, where `None` says pending.
    fn from(status: TransactionStatus) -> Self {
        match status {
            TransactionStatus::None => Self::Pending,
            TransactionStatus::Executed => Self::Executed,
            TransactionStatus::SoftFail => Self::SoftFail,
            TransactionStatus::HardFail => Self::HardFail,
            TransactionStatus::Delayed => Self::Delayed,
            TransactionStatus::Expired => Self::Expired,
            TransactionStatus::Unknown => Self::Unknown,
            TransactionStatus::Canceled => Self::Canceled,
        }
    }
}

impl From<Outcome> for Status {
    /// A trace without receipt is a failure.
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Executed => Self::Executed,
            Outcome::SoftFail => Self::SoftFail,
            Outcome::HardFail | Outcome::NoReceipt => Self::HardFail,
            Outcome::Delayed => Self::Delayed,
            Outcome::Expired => Self::Expired,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_has_every_status() {
        use Status::*;
        for status in [Pending, Delayed, Executed, SoftFail, HardFail, Expired, Canceled, Unknown] {
            let lifecycle =
                TransactionLifecycle { transaction_status: status.in_model(), ..TransactionLifecycle::default() };
            assert_eq!(Status::of(&lifecycle), status);
        }
        assert_eq!(format!("{HardFail:>10}"), " hard_fail");
    }
}
