use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Named conditions that must hold before clients are sent here, beside those that the API knows itself. Whoever starts
/// the server sets them.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<BTreeMap<Cow<'static, str>, Result<(), String>>>);

impl Readiness {
    /// Says that a condition holds, or why it does not.
    pub fn set(&self, name: impl Into<Cow<'static, str>>, state: Result<(), String>) {
        self.conditions().insert(name.into(), state);
    }

    /// All conditions, by name.
    pub fn all(&self) -> BTreeMap<Cow<'static, str>, Result<(), String>> {
        self.conditions().clone()
    }

    fn conditions(&self) -> MutexGuard<'_, BTreeMap<Cow<'static, str>, Result<(), String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
