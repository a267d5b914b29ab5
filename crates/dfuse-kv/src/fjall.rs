//! The embedded engine.
//!
//! A store is a directory with a lock file and the engine's own directory `fjall`. That one is made under another name
//! and renamed, so that a process killed at its first start leaves nothing that looks like a damaged store, and other
//! files beside it (`lost+found` of a mounted volume) do no harm.

mod damage;
mod errors;
mod examine;
mod inventory;
mod journal;
mod layout;
mod lock;
mod manifest;
mod options;
mod snapshot;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ::fjall::{AbstractTree as _, Database, PersistMode, Readable};

pub use self::{
    damage::Damage,
    examine::find_damage,
    options::{EngineOptions, KeyspaceOptions},
};
use self::{
    errors::{corrupt, engine_error},
    examine::{JournalEnd, examine, examine_end},
    inventory::Inventory,
    layout::{DIRECTORY, VERSION_FILE},
    lock::{DirectoryLock, lock},
    snapshot::FjallSnapshot,
};
use crate::{
    DiskUsage, Durability, Entry, Error, Keyspace, ReadStore, Result, Snapshot, Store, WriteBatch,
    batch::{Write, check_ascending},
};

/// How long to wait before looking again whether the workers are done; the engine has no event for it.
const FLUSH_POLL: Duration = Duration::from_millis(2);

/// A write waits while a keyspace has so many memtables, or tables in its first level, that wait for the workers. Fewer than
/// the engine puts up with (4 and 30), and two may come while a write is at work: the engine would wait for ever for workers
/// that have failed meanwhile.
const MAX_WAITING: (usize, usize) = (2, 27);

/// Bytes that must be free before the engine is opened again after a failed write: about a memtable, which it may have to
/// write out.
const PROBE_BYTES: usize = 16 << 20;

/// A key that nobody has: removing it puts something into the journal, and nothing into the data.
const NOTHING: &str = "nothing";

/// A journal of fewer bytes is read soon enough.
const SHORT_JOURNAL: u64 = 8_000_000;

/// Longest name of a keyspace in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Store on a local directory, owned by one process; see [`EngineOptions`].
///
/// - [`Durability::Sync`] syncs the journal file. With [`Durability::Buffer`] a power cut loses a suffix of the commits,
///   on file systems that keep the order of appended data; on one that does not, the journal's end can be damaged in
///   a way that makes opening fail with [`Error::Corrupt`].
/// - Entries of a failed or interrupted ingestion are not visible.
/// - Range deletes look up the keys: there are no range tombstones.
pub struct FjallStore {
    path: Arc<Path>,
    names: Vec<String>,
    unknown: Vec<String>,
    /// Held over every commit: the keys of a range delete must not change between look-up and commit.
    writer: Mutex<()>,
    closing: AtomicBool,
    /// Absent once closed.
    inner: RwLock<Option<Inner>>,
}

struct Inner {
    database: Database,
    keyspaces: Arc<[::fjall::Keyspace]>,
    /// Those that the store was not opened with.
    unknown: Vec<::fjall::Keyspace>,
    lock: Arc<DirectoryLock>,
    /// Bytes in the journal at the start and committed since: about what the next start has to read at most.
    journaled: AtomicU64,
    /// Writes since the start.
    changes: AtomicU64,
    /// As it was written at the start.
    inventory: Inventory,
}

impl Inner {
    fn all_keyspaces(&self) -> impl Iterator<Item = &::fjall::Keyspace> {
        self.keyspaces.iter().chain(&self.unknown)
    }
}

impl FjallStore {
    /// Opens the store in the directory `path` with the named keyspaces; directory and keyspaces that do not exist yet
    /// are made.
    ///
    /// Replays the journal unless the store was closed properly. Fails with [`Error::Locked`] while another process has
    /// it open or a snapshot in this one lives, with [`Error::Format`] if it was written by another version of the
    /// engine, with [`Error::Corrupt`] if it is damaged where opening looks (blocks of data are checked when they are
    /// read), with [`Error::Io`] if `path` is no directory or cannot be written to.
    pub fn open(path: impl AsRef<Path>, keyspaces: &[&str], options: &EngineOptions) -> Result<Self> {
        let path = std::path::absolute(path.as_ref()).map_err(|source| Error::io(path.as_ref(), source))?;
        if let Some(name) = keyspaces.iter().find(|name| name.is_empty() || name.len() > MAX_NAME_BYTES) {
            return Err(Error::Invalid(format!("keyspace name \"{name}\": 1 to {MAX_NAME_BYTES} bytes")));
        }
        let lock = lock(&path)?;
        let known = Inventory::read(&path)?;
        let is_there = path.join(DIRECTORY).try_exists().map_err(|source| Error::io(&path, source))?;
        let end = match is_there {
            true => examine(&path, known.as_ref(), &options.discard)?,
            false => JournalEnd::Unknown,
        };
        let database = open_database(&path, options)?;
        // It was cut to what is in it when it was read.
        let journaled = database.journal_disk_space().map_err(|error| engine_error(&path, error))?.into();
        let fail = |error| engine_error(&path, error);
        let open_keyspace =
            |name: &&str| database.keyspace(name, || options.create(name)).map_err(|error| engine_error(&path, error));
        let there = database.list_keyspace_names();
        let there = there.iter().map(|name| open_keyspace(&&**name)).collect::<Result<Vec<_>>>()?;
        examine_end(&path, &end, there.iter().filter_map(|it| it.tree.get_highest_persisted_seqno()).max())?;
        if let Some(mut known) = known {
            // What is given up here is not missed by the next start if this one comes to its end before.
            known.keyspaces.retain(|name, _| !options.discard.contains(name));
            known.write(&path)?;
        }
        drop(there);
        for name in &options.discard {
            if database.keyspace_exists(name) {
                let keyspace = database.keyspace(name, || options.create(name)).map_err(fail)?;
                database.delete_keyspace(keyspace).map_err(fail)?;
            }
        }
        let handles: Arc<[_]> = keyspaces.iter().map(open_keyspace).collect::<Result<_>>()?;
        let names: Vec<String> = keyspaces.iter().map(|name| (*name).to_owned()).collect();
        let mut unknown: Vec<_> = database.list_keyspace_names().iter().map(ToString::to_string).collect();
        unknown.retain(|name| !names.contains(name));
        unknown.sort_unstable();
        let unknown_handles: Vec<_> =
            unknown.iter().map(|name| open_keyspace(&name.as_str())).collect::<Result<_>>()?;
        begin_session(&database, &handles).map_err(fail)?;
        let all = handles.iter().chain(&unknown_handles).map(|keyspace| (keyspace.name().to_string(), keyspace.id()));
        let inventory = Inventory { is_closed: false, keyspaces: all.collect() };
        inventory.write(&path)?;
        let inner = Inner {
            database,
            keyspaces: handles,
            unknown: unknown_handles,
            lock: Arc::new(lock),
            journaled,
            changes: AtomicU64::new(0),
            inventory,
        };
        Ok(Self {
            inner: RwLock::new(Some(inner)),
            path: path.into(),
            names,
            unknown,
            writer: Mutex::new(()),
            closing: AtomicBool::new(false),
        })
    }

    /// Opens the store again after a failed write: closes this one and returns another. Keyspaces named in
    /// [`EngineOptions::discard`] are kept.
    ///
    /// # Errors
    /// [`Error::NoSpace`] or [`Error::Io`] as long as some megabytes cannot be written beside the store: it stays open for
    /// reads. After any other error it is closed: [`Error::Locked`] while a snapshot of it lives. Call this again then.
    pub fn reopen(&self, options: &EngineOptions) -> Result<Self> {
        // Once it is closed there is nothing left to lose.
        if !self.closing.load(Ordering::Acquire) {
            probe(&self.path.join("probe"))?;
        }
        // That it cannot be flushed is why it is opened again; the journal has all that was committed.
        let _ = self.close();
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        Self::open(&self.path, &names, &EngineOptions { discard: Vec::new(), ..options.clone() })
    }

    /// Removes the store in the directory `path` with all that it holds, whatever is wrong with it, so that it can be opened
    /// anew. Other files in the directory stay.
    ///
    /// # Errors
    /// [`Error::Locked`] while it is open, and [`Error::Io`].
    pub fn remove(path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let _lock = lock(path)?;
        let absent = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        };
        // Once it has another name nothing takes what is left of it for a store.
        let (directory, leaving) = (path.join(DIRECTORY), path.join("fjall.old"));
        let remove = || {
            fs::remove_dir_all(&leaving).or_else(absent)?;
            fs::remove_file(path.join(inventory::FILE)).or_else(absent)?;
            fs::rename(&directory, &leaving).or_else(absent)?;
            fs::remove_dir_all(&leaving).or_else(absent)
        };
        remove().map_err(|source| Error::io(&directory, source))
    }

    /// Runs `operation`, which holds off closing.
    fn with<T>(&self, operation: impl FnOnce(&Inner) -> Result<T>) -> Result<T> {
        // Who waits to close waits for writes in progress; who comes later must not queue up behind it.
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let inner: RwLockReadGuard<'_, _> = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        operation(inner.as_ref().ok_or(Error::Closed)?)
    }

    fn error(&self, error: ::fjall::Error) -> Error {
        engine_error(&self.path, error)
    }

    fn flush_inner(&self, inner: &Inner) -> Result<()> {
        inner.database.persist(PersistMode::SyncAll).map_err(|error| self.error(error))?;
        for keyspace in inner.all_keyspaces() {
            keyspace.rotate_memtable().map_err(|error| self.error(error))?;
        }
        self.wait_for_workers(inner, |keyspace| keyspace.sealed_memtable_count() > 0)
    }

    /// Waits until all keyspaces are below [`MAX_WAITING`].
    fn wait_for_room(&self, inner: &Inner) -> Result<()> {
        let (memtables, tables) = MAX_WAITING;
        self.wait_for_workers(inner, |keyspace| {
            keyspace.sealed_memtable_count() >= memtables || keyspace.l0_table_count() >= tables
        })
    }

    fn wait_for_workers(&self, inner: &Inner, at_work: impl Fn(&::fjall::Keyspace) -> bool) -> Result<()> {
        while inner.all_keyspaces().any(&at_work) {
            // Answers with an error if a worker has failed, for example for lack of space.
            inner.database.persist(PersistMode::Buffer).map_err(|error| self.error(error))?;
            #[expect(
                clippy::disallowed_methods,
                reason = "waits for threads of the engine, which has no event for it"
            )]
            std::thread::sleep(FLUSH_POLL);
        }
        Ok(())
    }
}

/// Bytes that nothing compresses (xorshift).
fn noise() -> impl Iterator<Item = u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten()
}

/// Whether there is space: writes a file, and removes it.
fn probe(file: &Path) -> Result<()> {
    let write = || {
        let mut probe = File::create(file)?;
        let mut noise = noise();
        for _ in 0..256 {
            probe.write_all(&noise.by_ref().take(PROBE_BYTES / 256).collect::<Vec<_>>())?;
        }
        probe.sync_all()
    };
    let written = write();
    let removed = fs::remove_file(file).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    });
    written.and(removed).map_err(|source| Error::io(file, source))
}

/// Opens the engine, which must be new or whole. The caller holds the lock.
fn open_database(path: &Path, options: &EngineOptions) -> Result<Database> {
    let directory = path.join(DIRECTORY);
    if !directory.try_exists().map_err(|source| Error::io(&directory, source))? {
        let draft = path.join("fjall.new");
        let prepare = || {
            fs::remove_dir_all(&draft).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
            fs::create_dir_all(&draft)
        };
        prepare().map_err(|source| Error::io(&draft, source))?;
        let database = Database::builder(&draft).worker_threads(1).open();
        drop(database.map_err(|error| engine_error(path, error))?);
        let publish = || {
            fs::rename(&draft, &directory)?;
            File::open(path)?.sync_all()
        };
        publish().map_err(|source| Error::io(&directory, source))?;
    }
    if !directory.join(VERSION_FILE).try_exists().map_err(|source| Error::io(&directory, source))? {
        return Err(corrupt(path, "the engine's version file is missing"));
    }
    // Ours keeps others away. The engine wants its own, too, and does not make it again.
    let engine_lock = directory.join("lock");
    let made = File::options().create(true).truncate(false).write(true).open(&engine_lock);
    made.map_err(|source| Error::io(&engine_lock, source))?;
    let builder = options.apply(Database::builder(&directory))?;
    // Some kinds of damage make the engine panic.
    match catch_unwind(AssertUnwindSafe(|| builder.open())) {
        Ok(database) => database.map_err(|error| engine_error(path, error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(corrupt(path, text.unwrap_or("the engine panicked at it")))
        }
    }
}

/// Writes something to the journal. Thereby it is never behind what is on disk, which is how a journal is told that has lost its
/// end. And no snapshot has the sequence number 0, that of a database to which nothing was written before it was opened again: while
/// one has, fjall 3.1.13 takes it for none and may forget what other snapshots read, whose reads then panic.
fn begin_session(database: &Database, keyspaces: &[::fjall::Keyspace]) -> ::fjall::Result<()> {
    if let Some(keyspace) = keyspaces.first() {
        keyspace.remove(NOTHING)?;
    }
    database.persist(PersistMode::SyncData)
}

impl ReadStore for FjallStore {
    fn keyspaces(&self) -> &[String] {
        &self.names
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.with(|inner| {
            let (snapshot, keyspaces) = (inner.database.snapshot(), inner.keyspaces.clone());
            let snapshot = FjallSnapshot::new(snapshot, keyspaces, self.path.clone(), inner.lock.clone());
            Ok(Arc::new(snapshot) as Arc<dyn Snapshot>)
        })
    }

    fn changes(&self) -> Result<u64> {
        self.with(|inner| Ok(inner.changes.load(Ordering::Acquire)))
    }
}

impl Store for FjallStore {
    fn unknown_keyspaces(&self) -> &[String] {
        &self.unknown
    }

    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        let writes = batch.into_checked(self.names.len())?;
        let mode = match durability {
            Durability::Buffer => PersistMode::Buffer,
            Durability::Sync => PersistMode::SyncData,
        };
        self.with(|inner| {
            let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            self.wait_for_room(inner)?;
            let mut engine = ::fjall::OwnedWriteBatch::with_capacity(inner.database.clone(), writes.len());
            engine = engine.durability(Some(mode));
            // All writes of a batch get one sequence number; of those to one key the engine keeps the last.
            for (position, write) in writes.iter().enumerate() {
                match write {
                    Write::Put { keyspace, key, value } => {
                        engine.insert(&inner.keyspaces[keyspace.position()], key.clone(), value.clone());
                    }
                    Write::Delete { keyspace, key } => {
                        engine.remove(&inner.keyspaces[keyspace.position()], key.clone());
                    }
                    Write::DeleteRange { keyspace, range } => {
                        let handle = &inner.keyspaces[keyspace.position()];
                        for put in &writes[..position] {
                            if let Write::Put { keyspace: other, key, .. } = put
                                && other == keyspace
                                && range.contains(key)
                            {
                                engine.remove(handle, key.clone());
                            }
                        }
                        if !range.is_empty() {
                            let bounds = (range.start_bound(), range.end_bound());
                            for entry in inner.database.snapshot().range::<&[u8], _>(handle, bounds) {
                                engine.remove(handle, entry.key().map_err(|error| self.error(error))?);
                            }
                        }
                    }
                }
            }
            engine.commit().map_err(|error| self.error(error))?;
            let bytes = writes.iter().map(|write| match write {
                Write::Put { key, value, .. } => key.len() + value.len(),
                Write::Delete { key, .. } => key.len(),
                Write::DeleteRange { .. } => 0,
            });
            inner.journaled.fetch_add(bytes.sum::<usize>() as u64, Ordering::Relaxed);
            inner.changes.fetch_add(1, Ordering::Release);
            Ok(())
        })
    }

    fn ingest(&self, keyspace: Keyspace, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<u64> {
        keyspace.check(self.names.len())?;
        self.with(|inner| {
            let fail = |error| self.error(error);
            let mut ingestion = inner.keyspaces[keyspace.position()].start_ingestion().map_err(fail)?;
            let mut last = None;
            let mut written = 0;
            for entry in entries {
                let (key, value) = entry?;
                check_ascending(last.as_ref(), &key, &value)?;
                ingestion.write(key.clone(), value).map_err(fail)?;
                last = Some(key);
                written += 1;
            }
            let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            // Finishing writes this keyspace's memory to disk, which must not outlive what is still in the journal only.
            inner.database.persist(PersistMode::SyncData).map_err(fail)?;
            ingestion.finish().map_err(fail)?;
            // The journal must not be behind what is on disk.
            begin_session(&inner.database, &inner.keyspaces).map_err(fail)?;
            inner.changes.fetch_add(1, Ordering::Release);
            Ok(written)
        })
    }

    fn flush(&self) -> Result<()> {
        self.with(|inner| self.flush_inner(inner))
    }

    fn compact(&self) -> Result<()> {
        // As for one keyspace.
        let (_lock, handles) = self.with(|inner| {
            self.flush_inner(inner)?;
            Ok((inner.lock.clone(), inner.all_keyspaces().cloned().collect::<Vec<_>>()))
        })?;
        handles.iter().try_for_each(|keyspace| keyspace.major_compact()).map_err(|error| self.error(error))
    }

    fn compact_keyspace(&self, keyspace: Keyspace) -> Result<()> {
        keyspace.check(self.names.len())?;
        // Rewriting takes long: it must not keep the store from being closed, but from being opened again.
        let (_lock, handle) = self.with(|inner| {
            self.flush_inner(inner)?;
            Ok((inner.lock.clone(), inner.keyspaces[keyspace.position()].clone()))
        })?;
        handle.major_compact().map_err(|error| self.error(error))
    }

    fn disk_usage(&self) -> Result<DiskUsage> {
        self.with(|inner| {
            let usage = |keyspace: &::fjall::Keyspace| (keyspace.name().to_string(), keyspace.disk_space());
            let keyspaces: BTreeMap<_, _> = inner.all_keyspaces().map(usage).collect();
            let total = inner.database.disk_space().map_err(|error| self.error(error))?;
            let journal = total.saturating_sub(keyspaces.values().sum());
            Ok(DiskUsage { keyspaces, journal })
        })
    }

    fn close(&self) -> Result<()> {
        self.closing.store(true, Ordering::Release);
        let inner = self.inner.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(inner) = inner else { return Ok(()) };
        self.flush_inner(&inner)?;
        let Inner { database, keyspaces, unknown, lock, journaled, inventory, .. } = inner;
        Inventory { is_closed: true, ..inventory }.write(&self.path)?;
        // The engine is done with its files. The lock is held until they are in order.
        drop((database, keyspaces, unknown));
        if journaled.into_inner() >= SHORT_JOURNAL {
            // The store is closed and whole without it; the next start takes longer then.
            let _ = journal::begin_anew(&self.path.join(DIRECTORY));
        }
        drop(lock);
        Ok(())
    }
}
