use std::sync::Arc;

use dfuse_kv::{
    Direction, Durability, EngineOptions, Entry, FaultPlan, FaultyStore, FjallStore, Hint, KeyRange, Keyspace,
    KeyspaceOptions, MemoryDisk, MemoryStore, Result, Snapshot, Store, WriteBatch,
};

pub(crate) const NAMES: [&str; 2] = ["first", "second"];
pub(crate) const FIRST: Keyspace = Keyspace::at(0);
pub(crate) const SECOND: Keyspace = Keyspace::at(1);

/// Where the data of an engine live, to be opened again and again.
pub(crate) enum Home {
    Memory(MemoryDisk),
    Faultless(MemoryDisk),
    Fjall(tempfile::TempDir),
}

impl Home {
    pub(crate) fn memory() -> Self {
        Self::Memory(MemoryDisk::default())
    }

    pub(crate) fn faultless() -> Self {
        Self::Faultless(MemoryDisk::default())
    }

    pub(crate) fn fjall() -> Self {
        Self::Fjall(tempfile::tempdir().unwrap())
    }

    pub(crate) fn open(&self) -> Arc<dyn Store> {
        self.try_open(&NAMES).unwrap()
    }

    pub(crate) fn try_open(&self, names: &[&str]) -> Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Memory(disk) => Arc::new(MemoryStore::open(disk, names)?),
            Self::Faultless(disk) => {
                Arc::new(FaultyStore::new(Arc::new(MemoryStore::open(disk, names)?), FaultPlan::new(1)))
            }
            Self::Fjall(directory) => Arc::new(FjallStore::open(directory.path(), names, &small())?),
        })
    }
}

/// Options that make the engine write out and compact early.
pub(crate) fn small() -> EngineOptions {
    let keyspace = KeyspaceOptions { memtable_bytes: 64 << 10, block_bytes: 1 << 10, ..KeyspaceOptions::default() };
    EngineOptions { keyspace, ..EngineOptions::default() }
}

pub(crate) fn commit(store: &dyn Store, fill: impl FnOnce(&mut WriteBatch)) {
    let mut batch = WriteBatch::new();
    fill(&mut batch);
    store.commit(batch, Durability::Buffer).unwrap();
}

/// Sets each of the keys to itself.
pub(crate) fn put_keys(store: &dyn Store, keyspace: Keyspace, keys: &[&'static [u8]]) {
    commit(store, |batch| keys.iter().for_each(|key| batch.put(keyspace, *key, *key)));
}

pub(crate) fn entries(
    snapshot: &dyn Snapshot,
    keyspace: Keyspace,
    range: &KeyRange,
    direction: Direction,
) -> Vec<Entry> {
    snapshot.scan(keyspace, range, direction).unwrap().collect::<Result<_>>().unwrap()
}

/// What a scan gives that skips to each of the keys, where it takes one entry.
pub(crate) fn skipping(
    snapshot: &dyn Snapshot,
    keyspace: Keyspace,
    range: &KeyRange,
    direction: Direction,
    keys: &[Vec<u8>],
) -> Vec<Entry> {
    let mut scan = snapshot.scan_hinted(keyspace, range, direction, Hint::Many).unwrap();
    let mut next = |key: &Vec<u8>| {
        scan.skip_to(key).unwrap();
        scan.next().transpose().unwrap()
    };
    keys.iter().map_while(&mut next).collect()
}

/// The same by a new scan for each key.
pub(crate) fn by_new_scans(
    snapshot: &dyn Snapshot,
    keyspace: Keyspace,
    range: &KeyRange,
    direction: Direction,
    keys: &[Vec<u8>],
) -> Vec<Entry> {
    let mut rest = range.clone();
    let mut next = |key: &Vec<u8>| {
        rest = rest.skipped_to(key, direction);
        let entry = snapshot.scan(keyspace, &rest, direction).unwrap().next()?.unwrap();
        rest = match direction {
            Direction::Forward => rest.after(entry.0.clone()),
            Direction::Reverse => rest.before(entry.0.clone()),
        };
        Some(entry)
    };
    keys.iter().map_while(&mut next).collect()
}

/// Keys of a forward scan, which a reverse scan must mirror.
pub(crate) fn keys(store: &dyn Store, keyspace: Keyspace, range: &KeyRange) -> Vec<Vec<u8>> {
    let snapshot = store.snapshot().unwrap();
    let forward = entries(&*snapshot, keyspace, range, Direction::Forward);
    let mut reverse = entries(&*snapshot, keyspace, range, Direction::Reverse);
    reverse.reverse();
    assert_eq!(forward, reverse);
    forward.into_iter().map(|(key, _)| key.to_vec()).collect()
}

pub(crate) fn get(store: &dyn Store, keyspace: Keyspace, key: &[u8]) -> Option<Vec<u8>> {
    store.snapshot().unwrap().get(keyspace, key).unwrap().map(Into::into)
}
