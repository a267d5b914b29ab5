use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

type Name = Cow<'static, str>;

/// Named conditions that must hold before clients are sent here, beside those that the API knows itself, and warnings to
/// operators that keep no client away. Whoever starts the server sets them.
#[derive(Debug, Default)]
pub struct Readiness {
    conditions: Mutex<BTreeMap<Name, Result<(), String>>>,
    warnings: Mutex<BTreeMap<Name, String>>,
}

impl Readiness {
    /// Says that a condition holds, or why it does not.
    pub fn set(&self, name: impl Into<Name>, state: Result<(), String>) {
        locked(&self.conditions).insert(name.into(), state);
    }

    /// All conditions, by name.
    pub fn all(&self) -> BTreeMap<Name, Result<(), String>> {
        locked(&self.conditions).clone()
    }

    /// Warns of what an operator should mend.
    pub fn warn(&self, name: impl Into<Name>, warning: String) {
        locked(&self.warnings).insert(name.into(), warning);
    }

    /// There is no reason for a warning any more.
    pub fn unwarn(&self, name: &str) {
        locked(&self.warnings).remove(name);
    }

    /// All warnings, by name.
    pub fn warnings(&self) -> BTreeMap<Name, String> {
        locked(&self.warnings).clone()
    }
}

fn locked<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}
