//! The writes of reversible blocks, of all branches, in one sorted map a family.
//!
//! Every write is held once, with the place of its block. A point read is a look-up in the map and a binary search among
//! the versions of one key, so it does not grow with the number of reversible blocks. A map for each block that shares
//! structure with its parent's would copy nodes of wide trees for every write of every block, and all those versions
//! stay as long as their blocks do; runs of several blocks merged in levels would hold every write once for each level
//! and ask each level at every read. Here the price is a lock, held for some microseconds at a time, and that what a
//! living view may still read is removed later: see [`Overlay::forget`].

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use bytes::Bytes;
use dfuse_kv::{Direction, KeyRange, Keyspace};

use crate::{
    Delta, Result,
    branch::Place,
    families::Families,
    sight::{LayerScan, Layered, Sight},
};

/// Keys that are written, or looked at by a scan, while the lock is held.
const STEP: usize = 256;

#[derive(Debug, Clone)]
struct Version {
    place: Place,
    value: Option<Bytes>,
}

/// Versions by key, in the order of places.
type Versions = BTreeMap<Bytes, Vec<Version>>;

#[derive(Debug)]
pub(crate) struct Overlay {
    /// By position of the keyspace.
    families: Vec<RwLock<Versions>>,
    /// How many committed states of each generation are read from.
    pins: Mutex<BTreeMap<u64, usize>>,
    /// What nobody reads once every generation below the first number is gone.
    garbage: Mutex<VecDeque<(u64, Garbage)>>,
}

/// Writes that new views do not read.
#[derive(Debug)]
pub(crate) struct Garbage {
    pub(crate) deltas: Vec<Delta>,
    pub(crate) place: Place,
    /// All versions up to this number go, on every branch.
    pub(crate) committed: u32,
}

/// The newest version in sight.
fn newest<'a>(sight: &Sight, versions: &'a [Version]) -> Option<&'a Version> {
    let tip = sight.branch.tip();
    let end = match versions.last() {
        Some(last) if last.place.number <= tip => versions.len(),
        _ => versions.partition_point(|version| version.place.number <= tip),
    };
    versions[..end].iter().rev().find(|version| sight.sees(version.place))
}

impl Overlay {
    pub(crate) fn new(keyspaces: usize) -> Self {
        Self {
            families: (0..keyspaces).map(|_| RwLock::default()).collect(),
            pins: Mutex::default(),
            garbage: Mutex::default(),
        }
    }

    fn write<T>(&self, keyspace: Keyspace, change: impl FnOnce(&mut Versions) -> T) -> T {
        // No change can panic halfway, so the map is whole even if the lock is poisoned.
        change(&mut self.families[keyspace.position()].write().unwrap_or_else(PoisonError::into_inner))
    }

    fn read<T>(&self, keyspace: Keyspace, look: impl FnOnce(&Versions) -> T) -> T {
        look(&self.families[keyspace.position()].read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds the writes of the block at `place`. Nobody sees them before its branch is published.
    pub(crate) fn insert(&self, families: &Families, place: Place, delta: &Delta) -> Result<()> {
        for (family, writes) in delta.families() {
            let keyspace = families.keyspace(family)?;
            for step in writes.chunks(STEP) {
                self.write(keyspace, |map| {
                    for (key, value) in step {
                        let version = Version { place, value: value.clone() };
                        // Most keys have one version.
                        let versions = map.entry(key.clone()).or_insert_with(|| Vec::with_capacity(1));
                        match versions.last() {
                            Some(last) if last.place >= place => {
                                let at = versions.partition_point(|version| version.place < place);
                                let known = versions.get(at).is_some_and(|version| version.place == place);
                                versions.splice(at..at + usize::from(known), [version]);
                            }
                            _ => versions.push(version),
                        }
                    }
                });
            }
        }
        Ok(())
    }

    /// The newest write to `key` that is in sight: a value, or nothing for a deletion.
    pub(crate) fn get(&self, keyspace: Keyspace, key: &[u8], sight: &Sight) -> Option<Option<Bytes>> {
        if sight.is_empty() {
            return None;
        }
        self.read(keyspace, |map| Some(newest(sight, map.get(key)?)?.value.clone()))
    }

    /// The first key of the range that is in sight.
    pub(crate) fn first(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        direction: Direction,
        sight: &Sight,
    ) -> Option<Layered> {
        if sight.is_empty() {
            return None;
        }
        // Most of what is held is in sight, so one step suffices as a rule.
        let mut scan = OverlayScan::new(keyspace, range.clone(), direction, sight.clone());
        scan.step = 8;
        scan.next(self)
    }

    /// Counts a committed state as read from.
    pub(crate) fn pin(&self, generation: u64) {
        *self.pins.lock().unwrap_or_else(PoisonError::into_inner).entry(generation).or_default() += 1;
    }

    /// Ends [`Overlay::pin`].
    pub(crate) fn unpin(&self, generation: u64) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pins.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&generation);
            }
        }
    }

    /// Removes the writes once no view of a generation below `generation` lives, but only when this is called again.
    pub(crate) fn forget(&self, families: &Families, generation: u64, garbage: Vec<Garbage>) {
        let oldest = self.pins.lock().unwrap_or_else(PoisonError::into_inner).keys().next().copied();
        let mut waiting = self.garbage.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(garbage.into_iter().map(|garbage| (generation, garbage)));
        while let Some((_, garbage)) = waiting.pop_front_if(|(until, _)| oldest.is_none_or(|oldest| oldest >= *until)) {
            self.remove(families, &garbage);
        }
    }

    /// Removes the writes at once.
    pub(crate) fn remove(&self, families: &Families, garbage: &Garbage) {
        for (family, writes) in garbage.deltas.iter().flat_map(Delta::families) {
            // Families of an insertion that succeeded.
            let Ok(keyspace) = families.keyspace(family) else { continue };
            for step in writes.chunks(STEP) {
                self.write(keyspace, |map| {
                    for (key, _) in step {
                        let Some(versions) = map.get_mut(key) else { continue };
                        let committed = versions.partition_point(|it| it.place.number <= garbage.committed);
                        versions.drain(..committed);
                        if let Some(at) = versions.iter().position(|it| it.place == garbage.place) {
                            versions.remove(at);
                        }
                        if versions.is_empty() {
                            map.remove(key);
                        }
                    }
                });
            }
        }
    }
}

/// A scan over what is in sight, in steps.
pub(crate) struct OverlayScan {
    keyspace: Keyspace,
    /// What has not been looked at.
    rest: KeyRange,
    direction: Direction,
    sight: Sight,
    ready: VecDeque<Layered>,
    step: usize,
    done: bool,
}

impl OverlayScan {
    pub(crate) fn new(keyspace: Keyspace, range: KeyRange, direction: Direction, sight: Sight) -> Self {
        let done = range.is_empty() || sight.is_empty();
        Self { keyspace, rest: range, direction, sight, ready: VecDeque::new(), step: STEP, done }
    }

    /// The next key in sight.
    pub(crate) fn next(&mut self, overlay: &Overlay) -> Option<Layered> {
        while self.ready.is_empty() && !self.done {
            overlay.read(self.keyspace, |map| {
                let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (self.rest.start_bound(), self.rest.end_bound());
                let range = map.range::<[u8], _>(bounds);
                let last = match self.direction {
                    Direction::Forward => take_step(range, self.step, &self.sight, &mut self.ready),
                    Direction::Reverse => take_step(range.rev(), self.step, &self.sight, &mut self.ready),
                };
                match last {
                    Some(last) if self.direction == Direction::Forward => self.rest = self.rest.after(last),
                    Some(last) => self.rest = self.rest.before(last),
                    None => self.done = true,
                }
            });
            self.done |= self.rest.is_empty();
            self.step = STEP;
        }
        self.ready.pop_front()
    }
}

impl OverlayScan {
    /// Goes on with the first key in sight that is at `key` or after it.
    fn skip_to(&mut self, key: &[u8]) {
        let passed = self.ready.iter().take_while(|(ready, _)| !self.direction.reaches(ready, key)).count();
        self.ready.drain(..passed);
        if self.ready.is_empty() && !self.done {
            self.rest = self.rest.skipped_to(key, self.direction);
            self.done = self.rest.is_empty();
        }
    }
}

/// Looks at up to `step` keys. The last one, if there may be more.
fn take_step<'a>(
    mut keys: impl Iterator<Item = (&'a Bytes, &'a Vec<Version>)>,
    step: usize,
    sight: &Sight,
    ready: &mut VecDeque<Layered>,
) -> Option<Bytes> {
    for left in (0..step).rev() {
        let (key, versions) = keys.next()?;
        if let Some(version) = newest(sight, versions) {
            ready.push_back((key.clone(), version.value.clone()));
        }
        if left == 0 {
            return Some(key.clone());
        }
    }
    None
}

/// A scan that holds what it reads.
pub(crate) struct HeldScan<T> {
    pub(crate) scan: OverlayScan,
    pub(crate) overlay: Arc<Overlay>,
    /// Keeps what is in sight from being removed.
    pub(crate) _pin: T,
}

impl<T> Iterator for HeldScan<T> {
    type Item = Result<Layered>;

    fn next(&mut self) -> Option<Self::Item> {
        self.scan.next(&self.overlay).map(Ok)
    }
}

impl<T> LayerScan for HeldScan<T> {
    fn skip_to(&mut self, key: &[u8]) -> Result<()> {
        self.scan.skip_to(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dfuse_antelope::model::{Block, BlockHeader};
    use dfuse_kv::MemoryStore;

    use super::*;
    use crate::{BlockRef, Options, Pipeline, blocks::Blocks, keyspaces};

    #[test]
    fn nothing_stays_that_nobody_reads() {
        let indexes: Vec<Arc<dyn crate::Index>> = vec![Arc::new(Blocks)];
        let store = Arc::new(MemoryStore::new(&keyspaces(&indexes)));
        let mut pipeline = Pipeline::open(store, None, indexes, Options::default()).unwrap();
        let held = |pipeline: &Pipeline| {
            pipeline.overlay().families.iter().map(|map| map.read().unwrap().len()).sum::<usize>()
        };
        let id = |number: u32, branch: u8| {
            let mut id = dfuse_antelope::Checksum([branch; 32]);
            id.0[..4].copy_from_slice(&number.to_be_bytes());
            id
        };
        let block = |number, branch, parent| Block {
            id: id(number, branch),
            number,
            header: BlockHeader { previous: id(number - 1, parent), ..Default::default() },
            ..Default::default()
        };
        let reference = |number, branch| BlockRef { number, id: id(number, branch) };
        pipeline.apply(&block(5, 0, 0)).unwrap();
        let first = pipeline.serving().snapshot();
        // A branch that is lost, and outlives the block where it begins.
        for number in 6..9 {
            pipeline.apply(&block(number, 1, u8::from(number > 6))).unwrap();
        }
        for number in (6..9).rev() {
            pipeline.undo(reference(number, 1)).unwrap();
        }
        for number in 6..10 {
            pipeline.apply(&block(number, 0, 0)).unwrap();
        }
        let forked = pipeline.serving().snapshot().view_at(id(8, 1)).unwrap().unwrap();
        pipeline.finalize(reference(6, 0)).unwrap();
        drop(first);
        assert_eq!(crate::blocks::by_id(&forked, id(7, 1)).unwrap().unwrap().id, id(7, 1));
        drop(forked);
        pipeline.finalize(reference(9, 0)).unwrap();
        assert_eq!(held(&pipeline), 0);
    }
}
