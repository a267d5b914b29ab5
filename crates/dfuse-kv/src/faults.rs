use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;

use crate::{
    Direction, DiskUsage, Durability, Entry, EntryScan, Error, Hint, KeyRange, Keyspace, ReadStore, Result, Scan,
    Snapshot, Store, WriteBatch,
};

/// How a write fails. To the caller all look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFault {
    /// Before anything happened.
    Before,
    /// After all of it happened.
    After,
    /// One of these, as the plan's seed says for the number of the write.
    Torn,
}

/// What fails and when. Writes (commits and ingestions) and reads (a get, a multi-get, a multi-first, a scan, an entry of a scan,
/// a skip) are counted from 1, each kind on its own. The same plan fails the same operations.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    seed: u64,
    writes: BTreeMap<u64, WriteFault>,
    no_space_from: Option<u64>,
    reads: BTreeSet<u64>,
    one_write_in: Option<u64>,
    one_read_in: Option<u64>,
    reads_pass: bool,
}

impl FaultPlan {
    /// A plan without faults.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Write number `write` fails.
    pub fn fail_write(mut self, write: u64, fault: WriteFault) -> Self {
        self.writes.insert(write, fault);
        self
    }

    /// On average one write of `writes` fails torn.
    pub fn fail_one_write_in(mut self, writes: u64) -> Self {
        self.one_write_in = Some(writes.max(1));
        self
    }

    /// From write number `write` on there is no space, until [`FaultyStore::free_space`].
    pub fn no_space_from(mut self, write: u64) -> Self {
        self.no_space_from = Some(write);
        self
    }

    /// Read number `read` fails.
    pub fn fail_read(mut self, read: u64) -> Self {
        self.reads.insert(read);
        self
    }

    /// On average one read of `reads` fails.
    pub fn fail_one_read_in(mut self, reads: u64) -> Self {
        self.one_read_in = Some(reads.max(1));
        self
    }

    /// Reads that fail do so with [`Error::Unavailable`].
    pub fn failed_reads_pass(mut self) -> Self {
        self.reads_pass = true;
        self
    }

    fn write_fault(&self, write: u64) -> Option<WriteFault> {
        let by_chance = || self.one_write_in.is_some_and(|writes| self.random("fault", write).is_multiple_of(writes));
        let fault = self.writes.get(&write).copied().or_else(|| by_chance().then_some(WriteFault::Torn))?;
        Some(match fault {
            WriteFault::Torn if self.random("torn", write).is_multiple_of(2) => WriteFault::Before,
            WriteFault::Torn => WriteFault::After,
            fault => fault,
        })
    }

    fn read_fails(&self, read: u64) -> bool {
        let by_chance = || self.one_read_in.is_some_and(|reads| self.random("read", read).is_multiple_of(reads));
        self.reads.contains(&read) || by_chance()
    }

    /// A number that depends on the seed, the use and the operation alone: FNV-1a, mixed by the finalizer of
    /// SplitMix64.
    fn random(&self, purpose: &str, number: u64) -> u64 {
        let bytes = purpose.bytes().chain(self.seed.to_le_bytes()).chain(number.to_le_bytes());
        let mut hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }
}

/// Operations that reached a [`FaultyStore`], failed ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commits and ingestions; a range delete outside a batch counts by its commits.
    pub writes: u64,
    /// Gets, multi-gets, multi-firsts, scans, entries of scans, and skips.
    pub reads: u64,
    /// Snapshots taken.
    pub snapshots: u64,
    /// Writes and reads that the plan made fail.
    pub faults: u64,
}

#[derive(Default)]
struct State {
    plan: FaultPlan,
    writes: AtomicU64,
    reads: AtomicU64,
    snapshots: AtomicU64,
    faults: AtomicU64,
    failed: AtomicBool,
    space_freed: AtomicBool,
    paused: AtomicBool,
    away: AtomicBool,
}

impl State {
    fn fault(&self) -> Error {
        self.faults.fetch_add(1, Relaxed);
        Error::Io { path: PathBuf::from("injected"), source: io::Error::other("injected fault") }
    }

    fn read(&self) -> Result<()> {
        if self.away.load(Relaxed) {
            return Err(Error::Failed);
        }
        if self.paused.load(Relaxed) || !self.plan.read_fails(self.reads.fetch_add(1, Relaxed) + 1) {
            return Ok(());
        }
        let fault = self.fault();
        Err(if self.plan.reads_pass { Error::Unavailable { why: fault.to_string() } } else { fault })
    }
}

/// A store that fails as planned. As with a real engine, writes after a failed one answer [`Error::Failed`] until the
/// store is opened again ([`FaultyStore::reopen`]).
pub struct FaultyStore {
    store: Arc<dyn Store>,
    state: Arc<State>,
}

impl FaultyStore {
    /// Wraps `store`.
    pub fn new(store: Arc<dyn Store>, plan: FaultPlan) -> Self {
        Self { store, state: Arc::new(State { plan, ..State::default() }) }
    }

    /// Takes writes again after a failed one, as if the process had started anew; counts and plan go on.
    pub fn reopen(&self) {
        self.state.failed.store(false, Relaxed);
    }

    /// Ends the lack of space.
    pub fn free_space(&self) {
        self.state.space_freed.store(true, Relaxed);
    }

    /// While reads are `paused` they neither fail nor count: for those of the test itself.
    pub fn pause_reads(&self, paused: bool) {
        self.state.paused.store(paused, Relaxed);
    }

    /// While it is `away`, as a store on another machine may be, every read answers [`Error::Failed`], also of snapshots that
    /// were taken before.
    pub fn set_away(&self, away: bool) {
        self.state.away.store(away, Relaxed);
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        let state = &self.state;
        Counts {
            writes: state.writes.load(Relaxed),
            reads: state.reads.load(Relaxed),
            snapshots: state.snapshots.load(Relaxed),
            faults: state.faults.load(Relaxed),
        }
    }

    fn write<T>(&self, write: impl FnOnce() -> Result<T>) -> Result<T> {
        let state = &self.state;
        let number = state.writes.fetch_add(1, Relaxed) + 1;
        if state.failed.load(Relaxed) {
            return Err(Error::Failed);
        }
        if state.plan.no_space_from.is_some_and(|from| number >= from) && !state.space_freed.load(Relaxed) {
            state.failed.store(true, Relaxed);
            state.faults.fetch_add(1, Relaxed);
            return Err(Error::NoSpace { path: PathBuf::from("injected") });
        }
        let Some(fault) = state.plan.write_fault(number) else { return write() };
        if fault == WriteFault::After {
            write()?;
        }
        state.failed.store(true, Relaxed);
        Err(state.fault())
    }
}

impl ReadStore for FaultyStore {
    fn keyspaces(&self) -> &[String] {
        self.store.keyspaces()
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.state.snapshots.fetch_add(1, Relaxed);
        Ok(Arc::new(FaultySnapshot { snapshot: self.store.snapshot()?, state: self.state.clone() }))
    }

    fn changes(&self) -> Result<u64> {
        self.store.changes()
    }
}

impl Store for FaultyStore {
    fn unknown_keyspaces(&self) -> &[String] {
        self.store.unknown_keyspaces()
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        self.write(|| self.store.commit(batch, durability))
    }

    fn ingest(&self, keyspace: Keyspace, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<u64> {
        self.write(|| self.store.ingest(keyspace, entries))
    }

    fn flush(&self) -> Result<()> {
        self.store.flush()
    }

    fn compact(&self) -> Result<()> {
        self.store.compact()
    }

    fn compact_keyspace(&self, keyspace: Keyspace) -> Result<()> {
        self.store.compact_keyspace(keyspace)
    }

    fn disk_usage(&self) -> Result<DiskUsage> {
        self.store.disk_usage()
    }

    fn close(&self) -> Result<()> {
        self.store.close()
    }
}

struct FaultySnapshot {
    snapshot: Arc<dyn Snapshot>,
    state: Arc<State>,
}

impl Snapshot for FaultySnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        self.state.read()?;
        self.snapshot.get(keyspace, key)
    }

    fn multi_get(&self, keyspace: Keyspace, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        self.state.read()?;
        self.snapshot.multi_get(keyspace, keys)
    }

    fn scan_hinted(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction, hint: Hint) -> Result<Scan> {
        self.state.read()?;
        let scan = self.snapshot.scan_hinted(keyspace, range, direction, hint)?;
        Ok(Box::new(FaultyScan { scan: Some(scan), state: self.state.clone() }))
    }

    fn multi_first(&self, keyspace: Keyspace, ranges: &[KeyRange], direction: Direction) -> Result<Vec<Option<Entry>>> {
        self.state.read()?;
        self.snapshot.multi_first(keyspace, ranges, direction)
    }
}

struct FaultyScan {
    /// None after an error.
    scan: Option<Scan>,
    state: Arc<State>,
}

impl Iterator for FaultyScan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.scan.as_mut()?.next()?;
        let entry = self.state.read().and(entry);
        if entry.is_err() {
            self.scan = None;
        }
        Some(entry)
    }
}

impl EntryScan for FaultyScan {
    fn skip_to(&mut self, key: &[u8]) -> Result<()> {
        let Some(scan) = &mut self.scan else { return Ok(()) };
        let skipped = self.state.read().and_then(|()| scan.skip_to(key));
        if skipped.is_err() {
            self.scan = None;
        }
        skipped
    }
}
