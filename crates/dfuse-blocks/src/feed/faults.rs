//! Bundles that were wanted and could not be read: told until they can.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Error, bundle::base_of};

/// Most of them that are remembered.
const MOST: usize = 20;

/// A bundle that is damaged, or is not there though it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Number of the block that was wanted.
    pub number: u32,
    /// The file, and what is wrong with it.
    pub why: String,
}

/// Those that were met, by the first number of each bundle.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<BTreeMap<u32, Fault>>);

impl Faults {
    /// A block could not be read. One that is not found counts if it `must_be` there.
    pub(super) fn note(&self, number: u32, error: &Error, must_be: bool) {
        let base = base_of(number);
        let why = match error {
            Error::Damaged { .. } | Error::MissingBundle { .. } => error.to_string(),
            Error::NotFound(_) if must_be => format!("merged-blocks/{base:010}.dbin.zst is missing"),
            _ => return,
        };
        let mut faults = self.lock();
        if faults.len() < MOST || faults.contains_key(&base) {
            faults.insert(base, Fault { number, why });
        }
    }

    pub(super) fn all(&self) -> Vec<Fault> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn forget(&self, number: u32) {
        self.lock().remove(&base_of(number));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts() {
        let faults = Faults::default();
        let not_found = Error::NotFound("block 5".to_owned());
        faults.note(5, &not_found, false);
        faults.note(5, &Error::Closed, true);
        assert_eq!(faults.all(), []);
        faults.note(205, &not_found, true);
        faults.note(250, &Error::damaged("merged-blocks/0000000200.dbin.zst", 7, "cut"), true);
        let all = faults.all();
        assert!(
            all.len() == 1 && all[0].number == 250 && all[0].why.contains("0000000200.dbin.zst is damaged"),
            "{all:?}"
        );
        (3..100).for_each(|bundle| faults.note(bundle * 100, &not_found, true));
        assert_eq!(faults.all().len(), MOST);
        faults.forget(299);
        assert_eq!(faults.all().len(), MOST - 1);
    }
}
