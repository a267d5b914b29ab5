use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{Direction, Entry, Error, Hint, KeyRange, Keyspace, Result, Scan, WriteBatch};

/// Keys that [`Store::delete_range`] removes in one commit.
const DELETE_RANGE_STEP: usize = 4096;

/// What a commit has survived when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Handed to the operating system: the end of the process at any moment loses nothing. A power cut may lose the
    /// latest commits, always a suffix of them and each as a whole, up to the last one that was [`Durability::Sync`], a
    /// flush or an ingestion.
    Buffer,
    /// On the disk (or replicated, for an engine over a network), with everything committed before.
    Sync,
}

/// Bytes on disk, before what compaction may still free. What has not left memory is counted in the journal only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// By name of the keyspace, those that the store was not opened with among them.
    pub keyspaces: BTreeMap<String, u64>,
    /// Write-ahead journal, shared by all keyspaces; as long as its files, which the engine may allocate ahead.
    pub journal: u64,
}

impl DiskUsage {
    /// Bytes of everything.
    pub fn total(&self) -> u64 {
        self.journal + self.keyspaces.values().sum::<u64>()
    }
}

/// A consistent view of all keyspaces at one moment, whatever is written later.
///
/// Old versions of what is overwritten stay on disk as long as it lives: drop it within minutes. It keeps answering
/// after the store is closed, but the data stay locked until it is dropped.
pub trait Snapshot: Send + Sync {
    /// The value of `key`.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>>;

    /// The values of `keys`, in their order. Sorted keys may be faster.
    fn multi_get(&self, keyspace: Keyspace, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        keys.iter().map(|key| self.get(keyspace, key)).collect()
    }

    /// Entries of the range in the order of their keys' bytes. Making a scan costs about as much as reading tens of
    /// entries from it.
    fn scan_hinted(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction, hint: Hint) -> Result<Scan>;

    /// A scan of which some tens of entries will be read.
    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Result<Scan> {
        self.scan_hinted(keyspace, range, direction, Hint::Few)
    }

    /// The first entry of the range in that direction: one seek.
    fn first(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Result<Option<Entry>> {
        self.scan_hinted(keyspace, range, direction, Hint::One)?.next().transpose()
    }

    /// The first entry of each range in that direction, in the order of the ranges. An engine over a network looks for all of them
    /// at once, so that they cost one wait. Sorted ranges may be faster.
    fn multi_first(&self, keyspace: Keyspace, ranges: &[KeyRange], direction: Direction) -> Result<Vec<Option<Entry>>> {
        ranges.iter().map(|range| self.first(keyspace, range, direction)).collect()
    }
}

/// What can be read of an ordered key-value store of several keyspaces. It may be written by another process.
///
/// Synchronous: call it from threads that may block. Reads wait for no write. [`Error::Unavailable`] passes by itself.
pub trait ReadStore: Send + Sync {
    /// Names of the keyspaces that the store was opened with, in that order.
    fn keyspaces(&self) -> &[String];

    /// The keyspace with that name among [`ReadStore::keyspaces`].
    fn keyspace(&self, name: &str) -> Result<Keyspace> {
        let position = self.keyspaces().iter().position(|known| known == name);
        let position = position.and_then(|position| u16::try_from(position).ok());
        position.map(Keyspace::at).ok_or_else(|| Error::Invalid(format!("no keyspace \"{name}\"")))
    }

    /// A view of everything that is to be seen of it now. Here that is all that was committed; of another process what it has
    /// published, each time a whole number of its commits.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>>;

    /// A number that is another one once a new snapshot may show something new. Cheap: to be asked every few seconds.
    fn changes(&self) -> Result<u64>;
}

/// An ordered key-value store of several keyspaces, to be read and written. Synchronous: call it from threads that may block.
///
/// Writes wait for each other and may stall for half a second while the engine catches up with itself: never write from
/// a thread that serves. Snapshots and reads wait for no write.
///
/// When a write returns an error other than [`Error::Invalid`] or [`Error::Closed`], it may or may not have happened
/// (a batch never by half), and the engine may answer [`Error::Failed`] to all that follow: close the store, open it
/// again and read what is there. Reads go on meanwhile.
pub trait Store: ReadStore {
    /// Names of keyspaces that exist beside those that it was opened with, sorted: left by another version, for example. They are
    /// kept.
    fn unknown_keyspaces(&self) -> &[String];

    /// Applies the batch: all of it or nothing, for readers and after any crash.
    fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<()>;

    /// Writes entries past the journal, much faster than commits for large sorted runs. Keys must ascend strictly;
    /// existing keys are overwritten. Returns how many were written.
    ///
    /// When it returns, everything is visible and durable as by [`Durability::Sync`], with everything committed before.
    /// If it fails or the process ends, none or, depending on the engine, some of the entries are there: ingest again,
    /// and commit the checkpoint that covers them afterwards. To other writers it counts as one write at its return.
    /// An error of `entries` is passed on. Each run costs reads until it is compacted: few large ones, not many small.
    fn ingest(&self, keyspace: Keyspace, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<u64>;

    /// Removes every key of the range that was committed before the call, in bounded memory. Returns how many.
    ///
    /// Not atomic: ascending, some thousand keys a commit, so that a reader or a crash can find the lower part of the
    /// range gone and the upper part whole; run it again. Keys written meanwhile may be removed or not.
    fn delete_range(&self, keyspace: Keyspace, range: &KeyRange, durability: Durability) -> Result<u64> {
        let snapshot = self.snapshot()?;
        let mut keys = snapshot.scan_hinted(keyspace, range, Direction::Forward, Hint::Many)?.map(|entry| Ok(entry?.0));
        let mut removed = 0;
        loop {
            let mut batch = WriteBatch::new();
            for key in keys.by_ref().take(DELETE_RANGE_STEP) {
                batch.delete(keyspace, key?);
            }
            if batch.is_empty() {
                return Ok(removed);
            }
            removed += batch.len() as u64;
            self.commit(batch, durability)?;
        }
    }

    /// Makes everything committed so far durable and writes it to its final place, so that the next open has little to
    /// replay. For planned stops; takes as long as writing the engine's memory buffers to disk.
    fn flush(&self) -> Result<()>;

    /// Merges everything that was written to its final place, which takes minutes for a large store. The engine does so by
    /// itself, bit by bit; this is for measuring what is left then.
    fn compact(&self) -> Result<()> {
        self.flush()
    }

    /// The same for one keyspace, to give back the space of what was removed from it. It is written anew, which takes as much
    /// space for that time.
    fn compact_keyspace(&self, keyspace: Keyspace) -> Result<()> {
        let _ = keyspace;
        self.flush()
    }

    /// Bytes on disk.
    fn disk_usage(&self) -> Result<DiskUsage>;

    /// Flushes, stops the engine's threads and unlocks the data once no snapshot lives. Waits for writes in progress.
    /// The store is closed even if this returns an error; closing twice does nothing. Dropping a store without closing
    /// it loses nothing but makes the next open replay the journal.
    fn close(&self) -> Result<()>;
}
