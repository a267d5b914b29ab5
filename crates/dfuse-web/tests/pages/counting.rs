//! A store that counts what is read from it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use dfuse_kv::{
    Direction, DiskUsage, Durability, Entry, EntryScan, Hint, KeyRange, Keyspace, MemoryStore, ReadStore, Result, Scan,
    Snapshot, Store, WriteBatch,
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

    fn scan_hinted(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction, hint: Hint) -> Result<Scan> {
        Ok(Box::new(CountingScan(self.0.scan_hinted(keyspace, range, direction, hint)?, self.1.clone())))
    }
}

struct CountingScan(Scan, Reads);

impl Iterator for CountingScan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.0.next()?;
        self.1.fetch_add(1, Ordering::Relaxed);
        Some(entry)
    }
}

impl EntryScan for CountingScan {
    fn skip_to(&mut self, key: &[u8]) -> Result<()> {
        self.0.skip_to(key)
    }
}

impl ReadStore for Counting {
    fn keyspaces(&self) -> &[String] {
        self.0.keyspaces()
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(CountingSnapshot(self.0.snapshot()?, self.1.clone())))
    }

    fn changes(&self) -> Result<u64> {
        self.0.changes()
    }
}

impl Store for Counting {
    fn unknown_keyspaces(&self) -> &[String] {
        self.0.unknown_keyspaces()
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
