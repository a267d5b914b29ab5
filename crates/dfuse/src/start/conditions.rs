//! How the parts of the process say what operators should know.

use std::borrow::Cow;

use dfuse_query::{Readiness, Service};
use metrics::{describe_gauge, gauge};

const WARNING: &str = "dfuse_warning";

/// Where the state of the parts is told.
pub(crate) struct Conditions(pub(crate) Service);

impl Conditions {
    fn readiness(&self) -> &Readiness {
        self.0.readiness()
    }

    /// Whether no part fails.
    pub(crate) fn all_hold(&self) -> bool {
        self.readiness().all().values().all(Result::is_ok)
    }

    /// Says that a condition holds, or why it does not.
    pub(crate) fn set(&self, name: impl Into<Cow<'static, str>>, state: Result<(), String>) {
        self.readiness().set(name, state);
    }

    /// Warns of what an operator should mend, though it keeps no client away.
    pub(crate) fn warn(&self, name: &'static str, warning: String) {
        self.readiness().warn(name, warning);
        self.count_warning(name, true);
    }

    /// For alerts, which do not read `/healthz`.
    fn count_warning(&self, name: &'static str, is_given: bool) {
        self.0.metrics().record(|| {
            describe_gauge!(WARNING, "1 while /healthz gives the warning, 0 when it is over.");
            gauge!(WARNING, "warning" => name).set(u32::from(is_given));
        });
    }

    /// The same, or that there is no reason for it any more.
    pub(super) fn set_warning(&self, name: &'static str, warning: Option<String>) {
        match warning {
            Some(warning) => self.warn(name, warning),
            None => {
                self.readiness().unwarn(name);
                self.count_warning(name, false);
            }
        }
    }

    /// Whether nothing is warned of by that name yet.
    pub(super) fn is_new_warning(&self, name: &str) -> bool {
        !self.readiness().warnings().contains_key(name)
    }

    /// Why a condition does not hold, if it does not.
    pub(super) fn is_failing(&self, name: &str) -> Option<String> {
        self.readiness().all().remove(name)?.err()
    }

    pub(super) fn holds(&self, name: &'static str) {
        self.set(name, Ok(()));
    }

    pub(super) fn fails(&self, name: &'static str, why: String) {
        self.set(name, Err(why));
    }
}
