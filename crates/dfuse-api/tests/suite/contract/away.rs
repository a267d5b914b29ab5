//! A store that is away when the test says so.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use dfuse_kv::{
    Direction, DiskUsage, Durability, Entry, Error, Hint, KeyRange, Keyspace, ReadStore, Result, Scan, Snapshot, Store,
    WriteBatch,
};

/// While it is set, nothing can be read.
pub(crate) type IsAway = Arc<AtomicBool>;

/// A store, or a snapshot of it.
pub(crate) struct Away<T: ?Sized> {
    pub(crate) is_away: IsAway,
    pub(crate) inner: Arc<T>,
}

impl ReadStore for Away<dyn Store> {
    fn keyspaces(&self) -> &[String] {
        self.inner.keyspaces()
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(Away { is_away: self.is_away.clone(), inner: self.inner.snapshot()? }))
    }

    fn changes(&self) -> Result<u64> {
        self.inner.changes()
    }
}

impl Store for Away<dyn Store> {
    fn unknown_keyspaces(&self) -> &[String] {
        self.inner.unknown_keyspaces()
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        self.inner.commit(batch, durability)
    }

    fn ingest(&self, keyspace: Keyspace, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<u64> {
        self.inner.ingest(keyspace, entries)
    }

    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }

    fn disk_usage(&self) -> Result<DiskUsage> {
        self.inner.disk_usage()
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

impl Away<dyn Snapshot> {
    fn check(&self) -> Result<&dyn Snapshot> {
        if self.is_away.load(Relaxed) { Err(Error::Failed) } else { Ok(&*self.inner) }
    }
}

impl Snapshot for Away<dyn Snapshot> {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        self.check()?.get(keyspace, key)
    }

    fn scan_hinted(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction, hint: Hint) -> Result<Scan> {
        self.check()?.scan_hinted(keyspace, range, direction, hint)
    }
}
