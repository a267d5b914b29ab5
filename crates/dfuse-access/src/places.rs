use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Counted, limits::Counts};

type Held = BTreeMap<(Counts, Counted), u32>;

/// How many connections and streams callers have open. As large as what is open.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Held>>);

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Places({})", self.held().len())
    }
}

impl Places {
    /// A place, or how many there are if all are taken.
    pub(crate) fn take(&self, counts: Counts, counted: Counted, limit: u32) -> Result<Place, u32> {
        let mut held = self.held();
        let taken = held.entry((counts, counted)).or_default();
        if *taken >= limit {
            if *taken == 0 {
                held.remove(&(counts, counted));
            }
            return Err(limit);
        }
        *taken += 1;
        drop(held);
        Ok(Place(Some((self.clone(), counts, counted))))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing can panic while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a place until it is dropped.
#[derive(Debug, Default)]
pub struct Place(Option<(Places, Counts, Counted)>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some((places, counts, counted)) = self.0.take() else { return };
        let mut held = places.held();
        if let Some(taken) = held.get_mut(&(counts, counted)) {
            *taken -= 1;
            if *taken == 0 {
                held.remove(&(counts, counted));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let places = Places::default();
        let address = Counts::Address("10.0.0.1".parse().unwrap());
        let one = places.take(address, Counted::Streams, 2).unwrap();
        let two = places.take(address, Counted::Streams, 2).unwrap();
        assert_eq!(places.take(address, Counted::Streams, 2).unwrap_err(), 2);
        let other = places.take(address, Counted::Connections, 1).unwrap();
        drop(one);
        drop(places.take(address, Counted::Streams, 2).unwrap());
        drop((two, other));
        assert!(places.held().is_empty());
        assert_eq!(places.take(address, Counted::Streams, 0).unwrap_err(), 0);
        assert!(places.held().is_empty());
    }
}
