//! Reading at one moment.

use std::{ops::Bound, path::Path, sync::Arc};

use ::fjall::{Iter, Readable};
use bytes::Bytes;

use super::{errors::engine_error, lock::DirectoryLock};
use crate::{Direction, Entry, EntryScan, Error, Hint, KeyRange, Keyspace, Result, Scan, Snapshot};

/// Entries that a scan looks at before it is made anew at the key that it is to skip to, which costs about as much.
const PASSED: usize = 24;
/// The same where the last key was farther than that: then the next one often is, too.
const PASSED_AGAIN: usize = 4;
/// Bytes of entries that it looks at, at the most: those in the blocks after its own are far.
const PASSED_BYTES: usize = 8 << 10;

pub(super) struct FjallSnapshot(Arc<Seen>);

/// What scans keep alive. The lock goes last.
struct Seen {
    snapshot: ::fjall::Snapshot,
    keyspaces: Arc<[::fjall::Keyspace]>,
    path: Arc<Path>,
    _lock: Arc<DirectoryLock>,
}

impl FjallSnapshot {
    pub(super) fn new(
        snapshot: ::fjall::Snapshot,
        keyspaces: Arc<[::fjall::Keyspace]>,
        path: Arc<Path>,
        lock: Arc<DirectoryLock>,
    ) -> Self {
        Self(Arc::new(Seen { snapshot, keyspaces, path, _lock: lock }))
    }
}

impl Seen {
    /// An error of reading, with the folder of the files that were read.
    fn error(&self, keyspace: Keyspace, error: ::fjall::Error) -> Error {
        match engine_error(&self.path, error) {
            Error::Corrupt { path, why } => {
                let folder = self.keyspaces[keyspace.position()].path();
                Error::Corrupt { path, why: format!("{}: {why}", folder.display()) }
            }
            other => other,
        }
    }

    /// Entries between bounds that do not cross each other.
    fn entries(&self, keyspace: Keyspace, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Iter {
        self.snapshot.range::<&[u8], _>(&self.keyspaces[keyspace.position()], bounds)
    }

    fn next(&self, keyspace: Keyspace, entries: &mut Iter, direction: Direction) -> Option<Result<Entry>> {
        let next = match direction {
            Direction::Forward => entries.next(),
            Direction::Reverse => entries.next_back(),
        };
        let entry = next?.into_inner().map(|(key, value)| (Bytes::from(key), Bytes::from(value)));
        Some(entry.map_err(|error| self.error(keyspace, error)))
    }
}

impl Snapshot for FjallSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        keyspace.check(self.0.keyspaces.len())?;
        let value = self.0.snapshot.get(&self.0.keyspaces[keyspace.position()], key);
        Ok(value.map_err(|error| self.0.error(keyspace, error))?.map(Bytes::from))
    }

    fn scan_hinted(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction, _: Hint) -> Result<Scan> {
        keyspace.check(self.0.keyspaces.len())?;
        if range.is_empty() {
            return Ok(Box::new(std::iter::empty()));
        }
        let far = match direction {
            Direction::Forward => range.end_bound(),
            Direction::Reverse => range.start_bound(),
        };
        Ok(Box::new(FjallScan {
            entries: Some(self.0.entries(keyspace, (range.start_bound(), range.end_bound()))),
            next: None,
            seen: self.0.clone(),
            keyspace,
            direction,
            far: far.map(Box::from),
            patience: PASSED,
        }))
    }

    fn first(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Result<Option<Entry>> {
        keyspace.check(self.0.keyspaces.len())?;
        if range.is_empty() {
            return Ok(None);
        }
        let mut entries = self.0.entries(keyspace, (range.start_bound(), range.end_bound()));
        self.0.next(keyspace, &mut entries, direction).transpose()
    }
}

struct FjallScan {
    /// None after an error.
    entries: Option<Iter>,
    /// An entry that was looked at and is still to come.
    next: Option<Entry>,
    seen: Arc<Seen>,
    keyspace: Keyspace,
    direction: Direction,
    /// Where the range ends.
    far: Bound<Box<[u8]>>,
    /// Entries that the next skip looks at before it searches.
    patience: usize,
}

impl FjallScan {
    fn read(&mut self) -> Option<Result<Entry>> {
        let entry = self.seen.next(self.keyspace, self.entries.as_mut()?, self.direction);
        if let Some(Err(_)) = entry {
            self.entries = None;
        }
        entry
    }
}

impl Iterator for FjallScan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next.take() {
            Some(entry) => Some(Ok(entry)),
            None => self.read(),
        }
    }
}

impl EntryScan for FjallScan {
    fn skip_to(&mut self, key: &[u8]) -> Result<()> {
        let mut bytes = 0;
        for _ in 0..self.patience {
            let Some((passed, value)) = self.next().transpose()? else { return Ok(()) };
            if self.direction.reaches(&passed, key) {
                self.next = Some((passed, value));
                self.patience = PASSED;
                return Ok(());
            }
            bytes += passed.len() + value.len();
            if bytes > PASSED_BYTES {
                break;
            }
        }
        self.patience = PASSED_AGAIN;
        let (near, far) = (Bound::Included(key), self.far.as_ref().map(|far| &**far));
        let bounds = match self.direction {
            Direction::Forward => (near, far),
            Direction::Reverse => (far, near),
        };
        // The engine does not know what to do with bounds that cross each other.
        let is_within = match far {
            Bound::Included(far) => self.direction.reaches(far, key),
            Bound::Excluded(far) => far != key && self.direction.reaches(far, key),
            Bound::Unbounded => true,
        };
        self.entries = is_within.then(|| self.seen.entries(self.keyspace, bounds));
        Ok(())
    }
}
