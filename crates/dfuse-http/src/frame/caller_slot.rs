use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use dfuse_query::Caller;

/// Digits of a key's id that the log has: as many as lists of keys show, by which every command finds it.
const DIGITS: usize = 12;

/// Whose key a request came with, for the log. Filled when they are admitted.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallerSlot(Arc<OnceLock<String>>);

impl CallerSlot {
    pub(crate) fn set(&self, caller: &Caller) {
        if let Some(id) = caller.key_id() {
            // One request is of one caller.
            let _ = self.0.set(id.to_string().chars().take(DIGITS).collect());
        }
    }

    /// The id of the key, if there is one.
    pub(super) fn key(&self) -> Option<impl fmt::Display + use<'_>> {
        self.0.get()
    }
}
