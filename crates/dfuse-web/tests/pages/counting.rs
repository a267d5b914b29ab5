//! A store that counts what is read from it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use dfuse_kv::{
    Direction, DiskUsage, Durability, Entry, KeyRange, Keyspace, MemoryStore, Result, Scan, Snapshot, Store, WriteBatch,
};

/// Values that were looked up and entries that were scanned.
pub(crate) type Reads = Arc<AtomicU64>;

pub(crate) struct Counting(pub(crate) MemoryStore, pub(crate) Reads);

struct CountingSnapshot(Arc<dyn Snapshot>, Reads);

impl Snapshot for CountingSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Result<Scan> {
        let reads = self.1.clone();
        let count = move |_: &Result<Entry>| _ = reads.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(self.0.scan(keyspace, range, direction)?.inspect(count)))
    }
}

impl Store for Counting {
    fn keyspaces(&self) -> &[String] {
        self.0.keyspaces()
    }

    fn unknown_keyspaces(&self) -> &[String] {
        self.0.unknown_keyspaces()
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(CountingSnapshot(self.0.snapshot()?, self.1.clone())))
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        self.0.commit(batch, durability)
    }

    fn ingest(&self, keyspace: Keyspace, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<u64> {
        self.0.ingest(keyspace, entries)
    }

    fn flush(&self) -> Result<()> {
        self.0.flush()
    }

    fn disk_usage(&self) -> Result<DiskUsage> {
        self.0.disk_usage()
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }
}
