//! Removing what is superfluous, bit by bit.

use std::{collections::VecDeque, sync::Arc};

use dfuse_kv::{Bytes, Direction, Durability, Entry, Hint, Scan, Store, WriteBatch};

use super::rule::{Filter, Taken};
use crate::{Family, Floors, Index, Result, View, blocks};

/// Entries that are looked at in one step.
const STEP: usize = 8192;
/// A family is worth rewriting if one entry of so many is gone.
const WORTH: u64 = 8;

/// Looks all entries through that may be superfluous, and removes those that are. What it has removed by then is gone if it
/// ends early; another sweep goes on.
pub struct Sweep {
    floors: Floors,
    rest: VecDeque<Filter>,
    /// The last key that was looked at, of the first family of the rest.
    passed: Option<Bytes>,
    /// Entries of that family that were looked at, and removed.
    counts: (u64, u64),
    removed: u64,
    worth_rewriting: Vec<Family>,
}

impl std::fmt::Debug for Sweep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweep").field("floors", &self.floors).field("removed", &self.removed).finish_non_exhaustive()
    }
}

/// The filters of all families that grow old.
pub(crate) fn filters(
    indexes: &[Arc<dyn Index>],
    floors: Floors,
    view: &View,
    keep_removed: bool,
) -> Result<Vec<Filter>> {
    let mut filters = Vec::new();
    for index in indexes {
        for family in index.families() {
            let Some(kept) = index.kept(*family) else { continue };
            let floor = floors.lowest(kept.parts);
            if floor > 0 {
                // Without a later action, all are of before.
                let first_sequence = blocks::first_global_sequence_from(view, floor)?.unwrap_or(0);
                filters.push(Filter::new(*family, kept.aging, floor, first_sequence, keep_removed));
            }
        }
    }
    Ok(filters)
}

impl Sweep {
    /// Of the families of these indexes, which are live. `view` knows the blocks at the floors; `keep_removed` says that
    /// state of before the indexes is unknown, so that what is certain to be gone stays so.
    ///
    /// # Errors
    /// Those of reading.
    pub fn new(indexes: &[Arc<dyn Index>], floors: Floors, view: &View, keep_removed: bool) -> Result<Self> {
        let rest = filters(indexes, floors, view, keep_removed)?.into();
        Ok(Self { floors, rest, passed: None, counts: (0, 0), removed: 0, worth_rewriting: Vec::new() })
    }

    /// Looks at some thousand entries; false when all is done.
    ///
    /// # Errors
    /// Those of the store: the sweep has ended then.
    pub fn step(&mut self, store: &dyn Store) -> Result<bool> {
        let Some(filter) = self.rest.front_mut() else { return Ok(false) };
        let keyspace = store.keyspace(filter.family().name())?;
        let range = self.passed.as_ref().map_or_else(|| filter.range(), |passed| filter.range().after(passed.clone()));
        let mut entries = store.snapshot()?.scan_hinted(keyspace, &range, Direction::Forward, Hint::Many)?;
        let mut batch = WriteBatch::new();
        let mut looked = 0;
        for entry in entries.by_ref().take(STEP) {
            // Its block of the store must not be held.
            let (key, value) = entry?;
            let (key, value) = (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value));
            self.passed = Some(key.clone());
            looked += 1;
            if let Taken { superfluous: Some(key), .. } = filter.take((key, value))? {
                batch.delete(keyspace, key);
            }
        }
        drop(entries);
        let removed = batch.len() as u64;
        if removed > 0 {
            store.commit(batch, Durability::Buffer)?;
        }
        self.removed += removed;
        self.counts = (self.counts.0 + looked as u64, self.counts.1 + removed);
        if looked < STEP {
            let (seen, gone) = std::mem::take(&mut self.counts);
            if gone > 0 && gone * WORTH >= seen {
                self.worth_rewriting.push(filter.family());
            }
            self.passed = None;
            self.rest.pop_front();
        }
        Ok(!self.rest.is_empty())
    }

    /// The floors below which it removes.
    pub fn floors(&self) -> Floors {
        self.floors
    }

    /// Entries that were removed so far.
    pub fn removed(&self) -> u64 {
        self.removed
    }

    /// Families that have lost so much that rewriting them gives space back.
    pub fn worth_rewriting(&self) -> &[Family] {
        &self.worth_rewriting
    }
}

/// Entries in order, read from a store.
pub(crate) type Entries = Box<dyn Iterator<Item = dfuse_kv::Result<Entry>> + Send>;

/// The entries of a scan that are not superfluous.
pub(crate) fn kept(mut scan: Scan, filter: Option<Filter>) -> Entries {
    let Some(mut filter) = filter else { return Box::new(scan) };
    let mut ready = VecDeque::new();
    let mut is_done = false;
    Box::new(std::iter::from_fn(move || {
        loop {
            if let Some(entry) = ready.pop_front() {
                return Some(Ok(entry));
            }
            if is_done {
                return None;
            }
            match scan.next() {
                None => {
                    is_done = true;
                    ready.extend(filter.finish());
                }
                Some(Err(error)) => {
                    is_done = true;
                    return Some(Err(error));
                }
                Some(Ok(entry)) => match filter.take(entry.clone()) {
                    Ok(Taken { kept, .. }) => ready.extend(kept.into_iter().flatten()),
                    // Shown as it is: it will differ from what it should be.
                    Err(_) => ready.push_back(entry),
                },
            }
        }
    }))
}
