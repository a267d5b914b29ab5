//! Keeps every version of a key that a live snapshot can still see, so that snapshots cost nothing to take and commits
//! copy nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use crate::{
    Direction, DiskUsage, Durability, Entry, EntryScan, Error, Hint, KeyRange, Keyspace, ReadStore, Result, Scan,
    Snapshot, Store, WriteBatch,
    batch::{Write, check_ascending},
};

/// Entries that a scan takes per lock.
fn step(hint: Hint) -> usize {
    match hint {
        Hint::One => 1,
        Hint::Few => 16,
        Hint::Many => 128,
    }
}

/// What a memory store keeps its contents on: open it again after closing or dropping the store, as after a restart.
/// Clones share the contents.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Disk>);

#[derive(Default)]
struct Disk {
    locked: AtomicBool,
    data: RwLock<Data>,
    /// How many snapshots see each sequence.
    readers: Mutex<BTreeMap<u64, usize>>,
}

#[derive(Default)]
struct Data {
    keyspaces: Vec<(String, BTreeMap<Bytes, Versions>)>,
    /// Of the last write.
    sequence: u64,
    /// Keys with versions to forget once every reader is at or after the sequence.
    superseded: VecDeque<(u64, usize, Bytes)>,
}

/// Values of a key with the sequences that wrote them, ascending; `None` is a deletion.
type Versions = Vec<(u64, Option<Bytes>)>;

fn visible(versions: &Versions, sequence: u64) -> Option<&Bytes> {
    versions.iter().rev().find(|(written, _)| *written <= sequence)?.1.as_ref()
}

impl Disk {
    // No write can panic halfway, so the data are whole even if a lock is poisoned.
    fn read(&self) -> RwLockReadGuard<'_, Data> {
        self.data.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Data> {
        self.data.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn readers(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    fn set(&mut self, keyspace: usize, key: Bytes, value: Option<Bytes>) {
        let sequence = self.sequence;
        let map = &mut self.keyspaces[keyspace].1;
        if value.is_none() && !map.contains_key(&key) {
            return;
        }
        let versions = map.entry(key.clone()).or_default();
        if value.is_none() || !versions.is_empty() {
            self.superseded.push_back((sequence, keyspace, key));
        }
        versions.pop_if(|(written, _)| *written == sequence);
        versions.push((sequence, value));
    }

    fn forget(&mut self, oldest_reader: u64) {
        while let Some((_, keyspace, key)) = self.superseded.pop_front_if(|(since, ..)| *since <= oldest_reader) {
            let map = &mut self.keyspaces[keyspace].1;
            let Some(versions) = map.get_mut(&key) else { continue };
            let needed = versions.iter().rposition(|(written, _)| *written <= oldest_reader);
            versions.drain(..needed.unwrap_or_default());
            if let [(written, None)] = versions[..]
                && written <= oldest_reader
            {
                map.remove(&key);
            }
        }
    }
}

/// The store belongs to one owner until the last of these is dropped.
struct Lease(MemoryDisk);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.0.locked.store(false, Ordering::Release);
    }
}

/// Engine for tests: everything in memory, the same contract. Every write is as durable as its [`MemoryDisk`].
pub struct MemoryStore {
    names: Vec<String>,
    unknown: Vec<String>,
    /// Position among the disk's keyspaces by position among `names`.
    places: Arc<[usize]>,
    /// Absent once closed.
    lease: RwLock<Option<Arc<Lease>>>,
}

impl MemoryStore {
    /// Opens the disk with the named keyspaces; those that do not exist yet are made.
    ///
    /// Fails with [`Error::Locked`] while another store or a snapshot of one lives.
    pub fn open(disk: &MemoryDisk, keyspaces: &[&str]) -> Result<Self> {
        if disk.0.locked.swap(true, Ordering::AcqRel) {
            return Err(Error::Locked { path: "memory".into() });
        }
        let lease = Arc::new(Lease(disk.clone()));
        let mut data = disk.0.write();
        let place = |name: &&str| {
            data.keyspaces.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                data.keyspaces.push(((*name).to_owned(), BTreeMap::new()));
                data.keyspaces.len() - 1
            })
        };
        let places = keyspaces.iter().map(place).collect();
        let names: Vec<String> = keyspaces.iter().map(|name| (*name).to_owned()).collect();
        let mut unknown: Vec<_> = data.keyspaces.iter().map(|(name, _)| name.clone()).collect();
        unknown.retain(|name| !names.contains(name));
        unknown.sort_unstable();
        drop(data);
        Ok(Self { names, unknown, places, lease: RwLock::new(Some(lease)) })
    }

    /// An empty store of its own.
    pub fn new(keyspaces: &[&str]) -> Self {
        Self::open(&MemoryDisk::default(), keyspaces).expect("nobody else knows this disk")
    }

    fn lease(&self) -> Result<Arc<Lease>> {
        self.lease.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)
    }

    fn change(&self, change: impl FnOnce(&mut Data)) -> Result<()> {
        let lease = self.lease.read().unwrap_or_else(PoisonError::into_inner);
        let disk = &*lease.as_ref().ok_or(Error::Closed)?.0.0;
        let mut data = disk.write();
        data.sequence += 1;
        change(&mut data);
        let oldest_reader = disk.readers().first_key_value().map_or(data.sequence, |(sequence, _)| *sequence);
        data.forget(oldest_reader);
        Ok(())
    }
}

impl ReadStore for MemoryStore {
    fn keyspaces(&self) -> &[String] {
        &self.names
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        let lease = self.lease()?;
        let disk = &*lease.0.0;
        let data = disk.read();
        let sequence = data.sequence;
        *disk.readers().entry(sequence).or_default() += 1;
        drop(data);
        Ok(Arc::new(MemorySnapshot(Arc::new(View { lease, places: self.places.clone(), sequence }))))
    }

    fn changes(&self) -> Result<u64> {
        Ok(self.lease()?.0.0.read().sequence)
    }
}

impl Store for MemoryStore {
    fn unknown_keyspaces(&self) -> &[String] {
        &self.unknown
    }

    fn commit(&self, batch: WriteBatch, _: Durability) -> Result<()> {
        let writes = batch.into_checked(self.places.len())?;
        self.change(|data| {
            for write in writes {
                match write {
                    Write::Put { keyspace, key, value } => data.set(self.places[keyspace.position()], key, Some(value)),
                    Write::Delete { keyspace, key } => data.set(self.places[keyspace.position()], key, None),
                    Write::DeleteRange { keyspace, range } if !range.is_empty() => {
                        let place = self.places[keyspace.position()];
                        let bounds = (range.start_bound(), range.end_bound());
                        let keys = data.keyspaces[place].1.range::<[u8], _>(bounds).map(|(key, _)| key.clone());
                        for key in keys.collect::<Vec<_>>() {
                            data.set(place, key, None);
                        }
                    }
                    Write::DeleteRange { .. } => {}
                }
            }
        })
    }

    fn ingest(&self, keyspace: Keyspace, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<u64> {
        keyspace.check(self.places.len())?;
        let mut run: Vec<Entry> = Vec::new();
        for entry in entries {
            let (key, value) = entry?;
            check_ascending(run.last().map(|(key, _)| key), &key, &value)?;
            run.push((key, value));
        }
        let written = run.len() as u64;
        self.change(|data| {
            for (key, value) in run {
                data.set(self.places[keyspace.position()], key, Some(value));
            }
        })?;
        Ok(written)
    }

    fn flush(&self) -> Result<()> {
        self.lease().map(drop)
    }

    fn disk_usage(&self) -> Result<DiskUsage> {
        let lease = self.lease()?;
        let data = lease.0.0.read();
        let bytes = |map: &BTreeMap<Bytes, Versions>| {
            let values = map.values().flatten().flat_map(|(_, value)| value).map(Bytes::len);
            (map.keys().map(Bytes::len).sum::<usize>() + values.sum::<usize>()) as u64
        };
        let keyspaces = data.keyspaces.iter().map(|(name, map)| (name.clone(), bytes(map))).collect();
        Ok(DiskUsage { keyspaces, journal: 0 })
    }

    fn close(&self) -> Result<()> {
        self.lease.write().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }
}

struct MemorySnapshot(Arc<View>);

/// Holds the versions that it sees.
struct View {
    lease: Arc<Lease>,
    places: Arc<[usize]>,
    sequence: u64,
}

impl View {
    fn disk(&self) -> &Disk {
        &self.lease.0.0
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let mut readers = self.disk().readers();
        if let Some(count) = readers.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.sequence);
            }
        }
    }
}

impl Snapshot for MemorySnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        keyspace.check(self.0.places.len())?;
        let data = self.0.disk().read();
        let versions = data.keyspaces[self.0.places[keyspace.position()]].1.get(key);
        Ok(versions.and_then(|versions| visible(versions, self.0.sequence)).cloned())
    }

    fn scan_hinted(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction, hint: Hint) -> Result<Scan> {
        keyspace.check(self.0.places.len())?;
        let place = self.0.places[keyspace.position()];
        let (view, rest, ready) = (self.0.clone(), range.clone(), VecDeque::new());
        Ok(Box::new(MemoryScan { view, place, rest, direction, step: step(hint), ready }))
    }
}

struct MemoryScan {
    view: Arc<View>,
    place: usize,
    /// What has not been looked at.
    rest: KeyRange,
    direction: Direction,
    step: usize,
    ready: VecDeque<Entry>,
}

impl MemoryScan {
    fn refill(&mut self) {
        let data = self.view.disk().read();
        let range = data.keyspaces[self.place].1.range::<[u8], _>((self.rest.start_bound(), self.rest.end_bound()));
        let seen = |(key, versions): (&Bytes, &Versions)| {
            visible(versions, self.view.sequence).map(|value| (key.clone(), value.clone()))
        };
        match self.direction {
            Direction::Forward => self.ready.extend(range.filter_map(seen).take(self.step)),
            Direction::Reverse => self.ready.extend(range.rev().filter_map(seen).take(self.step)),
        }
        if let Some((last, _)) = self.ready.back() {
            self.rest = match self.direction {
                Direction::Forward => self.rest.after(last.clone()),
                Direction::Reverse => self.rest.before(last.clone()),
            };
        }
    }
}

impl Iterator for MemoryScan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() && !self.rest.is_empty() {
            self.refill();
        }
        self.ready.pop_front().map(Ok)
    }
}

impl EntryScan for MemoryScan {
    fn skip_to(&mut self, key: &[u8]) -> Result<()> {
        let passed = self.ready.iter().take_while(|(ready, _)| !self.direction.reaches(ready, key)).count();
        self.ready.drain(..passed);
        if self.ready.is_empty() {
            self.rest = self.rest.skipped_to(key, self.direction);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: Keyspace = Keyspace::at(0);

    fn put(store: &MemoryStore, key: &'static str, value: &'static str) {
        let mut batch = WriteBatch::new();
        batch.put(KEYS, key, value);
        store.commit(batch, Durability::Buffer).unwrap();
    }

    fn versions(store: &MemoryStore) -> usize {
        store.lease().unwrap().0.0.read().keyspaces[0].1.values().map(Vec::len).sum()
    }

    #[test]
    fn versions_live_as_long_as_someone_can_see_them() {
        let store = MemoryStore::new(&["keys"]);
        put(&store, "a", "1");
        let first = store.snapshot().unwrap();
        put(&store, "a", "2");
        put(&store, "a", "3");
        assert_eq!(versions(&store), 3);
        drop(first);
        put(&store, "b", "1");
        assert_eq!(versions(&store), 2);
        assert_eq!(store.delete_range(KEYS, &KeyRange::all(), Durability::Sync).unwrap(), 2);
        put(&store, "c", "1");
        assert_eq!(versions(&store), 1);
    }
}
