//! What is kept on disk. Values are JSON, so that fields can be added.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `keys` | id, 32 bytes | [`ApiKey`] |
//! | `signing` | id of the signing key | [`SigningRecord`] |
//! | `usage` | day (u32, big-endian), subject | [`Usage`] |
//! | `switches` | `maintenance` | `true` or `false` |
//! | | `format` | what records mean: 1. Stores without it are of format 1, too |

use std::{
    fmt,
    fs::DirBuilder,
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dfuse_kv::{
    Direction, Durability, EngineOptions, KeyRange, Keyspace, KeyspaceOptions, Reopen, Snapshot, Store, WriteBatch,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{ApiKey, Error, Result, Usage, UsageRow};

const KEYS: Keyspace = Keyspace::at(0);
const SIGNING: Keyspace = Keyspace::at(1);
const USAGE: Keyspace = Keyspace::at(2);
const SWITCHES: Keyspace = Keyspace::at(3);
const MAINTENANCE: &[u8] = b"maintenance";
const FORMAT: &[u8] = b"format";
/// Another one is needed where a record gets another meaning, not for a new field.
const NEWEST_FORMAT: u32 = 1;

/// There are few records, all of them in memory.
const CACHE_BYTES: u64 = 1 << 20;
const MEMTABLE_BYTES: u64 = 1 << 20;
const OPEN_FILES: usize = 10;

/// A key that tokens are signed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningRecord {
    /// Its id in tokens.
    pub kid: String,
    /// The private key: PKCS #8, base64.
    pub pkcs8: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Since when another one signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<u64>,
}

impl fmt::Debug for SigningRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningRecord").field("kid", &self.kid).field("retired", &self.retired).finish_non_exhaustive()
    }
}

/// Where keys and usage are kept: on this machine, or where several share them. Calls may block.
pub trait AccessStore: fmt::Debug + Send + Sync {
    /// All keys, revoked ones too.
    fn keys(&self) -> Result<Vec<ApiKey>>;

    /// Writes a key, over one of its id. Durable when it returns.
    fn put_key(&self, key: &ApiKey) -> Result<()>;

    /// Keys that others who share the store have made or revoked since it was last asked.
    fn news(&self) -> Result<Vec<ApiKey>> {
        Ok(Vec::new())
    }

    /// Whether all that others who share the store have said of keys could be read.
    ///
    /// # Errors
    /// [`Error::DamagedObject`] if not; all else counts.
    fn must_be_whole(&self) -> Result<()> {
        Ok(())
    }

    /// The keys that tokens are signed with.
    fn signing_keys(&self) -> Result<Vec<SigningRecord>>;

    /// Writes all of these and removes all others, at once. Durable when it returns.
    fn set_signing_keys(&self, keys: &[SigningRecord]) -> Result<()>;

    /// Adds to what callers used on that day (since 1970). If this fails, it may or may not have happened.
    fn add_usage(&self, day: u32, used: &[(&str, Usage)]) -> Result<()>;

    /// What was used on these days, by day and subject.
    fn usage(&self, days: RangeInclusive<u32>) -> Result<Vec<UsageRow>>;

    /// Tells others who share the store what was used here until that day, today.
    fn tell_usage(&self, _today: u32) -> Result<()> {
        Ok(())
    }

    /// Whether the server is under maintenance.
    fn maintenance(&self) -> Result<bool>;

    /// Says whether it is. Durable when it returns.
    fn set_maintenance(&self, is_on: bool) -> Result<()>;

    /// Writes what is left, and ends.
    fn close(&self) -> Result<()>;
}

/// Keeps them in keyspaces of a store on this machine.
pub struct KvAccessStore(Mutex<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    reopen: Option<Reopen>,
    /// A write has failed: the store is opened again before the next one.
    has_failed: bool,
}

impl fmt::Debug for KvAccessStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KvAccessStore")
    }
}

impl KvAccessStore {
    /// What the store that this is over has to be opened with.
    pub const KEYSPACES: [&'static str; 4] = ["keys", "signing", "usage", "switches"];

    /// Opens them in the directory `path`, which is made for its owner only if it is not there.
    ///
    /// # Errors
    /// Those of the store: [`dfuse_kv::Error::Locked`] while another process has it open.
    pub fn open(path: &Path) -> Result<Self> {
        private_directory(path).map_err(|source| dfuse_kv::Error::Io { path: path.to_owned(), source })?;
        let keyspace = KeyspaceOptions { memtable_bytes: MEMTABLE_BYTES, ..KeyspaceOptions::default() };
        let options = EngineOptions {
            cache_bytes: CACHE_BYTES,
            open_files: OPEN_FILES,
            workers: 1,
            keyspace,
            ..EngineOptions::default()
        };
        let (store, reopen) = dfuse_kv::open(path, &Self::KEYSPACES, options)?;
        check_format(&*store.snapshot()?)?;
        Ok(Self(Mutex::new(Inner { store, reopen: Some(reopen), has_failed: false })))
    }

    /// Keeps them in a store that was opened with [`KvAccessStore::KEYSPACES`].
    ///
    /// # Errors
    /// [`dfuse_kv::Error::Invalid`] if it was opened with others.
    pub fn over(store: Arc<dyn Store>) -> Result<Self> {
        if store.keyspaces() != Self::KEYSPACES {
            return Err(dfuse_kv::Error::Invalid("a store of keys with other keyspaces".to_owned()).into());
        }
        check_format(&*store.snapshot()?)?;
        Ok(Self(Mutex::new(Inner { store, reopen: None, has_failed: false })))
    }

    /// Adds all that another store has to this one, which has nothing yet.
    ///
    /// # Errors
    /// Those of both stores.
    pub fn fill_from(&self, other: &dyn AccessStore) -> Result<()> {
        self.set_signing_keys(&other.signing_keys()?)?;
        other.keys()?.iter().try_for_each(|key| self.put_key(key))?;
        for UsageRow { day, subject, usage } in other.usage(0..=u32::MAX)? {
            self.add_usage(day, &[(&subject, usage)])?;
        }
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic of the engine leaves the data as a crash would, which it recovers from.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(self.inner().store.snapshot()?)
    }

    /// Commits what `make` puts together from the store.
    fn write(&self, durability: Durability, make: impl Fn(&dyn Snapshot, &mut WriteBatch) -> Result<()>) -> Result<()> {
        let mut inner = self.inner();
        if inner.has_failed
            && let Some(reopen) = &mut inner.reopen
        {
            let store = reopen()?;
            (inner.store, inner.has_failed) = (store, false);
        }
        let mut batch = WriteBatch::new();
        let before = inner.store.snapshot()?;
        if before.get(SWITCHES, FORMAT)?.is_none() {
            batch.put(SWITCHES, FORMAT, encode(&NEWEST_FORMAT)?);
        }
        make(&*before, &mut batch)?;
        drop(before);
        let committed = inner.store.commit(batch, durability);
        inner.has_failed |= committed.is_err();
        Ok(committed?)
    }
}

impl AccessStore for KvAccessStore {
    fn keys(&self) -> Result<Vec<ApiKey>> {
        values(&*self.snapshot()?, KEYS)
    }

    fn put_key(&self, key: &ApiKey) -> Result<()> {
        let value = encode(key)?;
        self.write(Durability::Sync, |_, batch| {
            batch.put(KEYS, key.id.0.to_vec(), value.clone());
            Ok(())
        })
    }

    fn signing_keys(&self) -> Result<Vec<SigningRecord>> {
        values(&*self.snapshot()?, SIGNING)
    }

    fn set_signing_keys(&self, keys: &[SigningRecord]) -> Result<()> {
        self.write(Durability::Sync, |_, batch| {
            batch.delete_range(SIGNING, KeyRange::new::<&[u8]>(..));
            for key in keys {
                batch.put(SIGNING, key.kid.clone().into_bytes(), encode(key)?);
            }
            Ok(())
        })
    }

    fn add_usage(&self, day: u32, used: &[(&str, Usage)]) -> Result<()> {
        self.write(Durability::Buffer, |before, batch| {
            for (subject, usage) in used {
                let key = [&day.to_be_bytes()[..], subject.as_bytes()].concat();
                let mut sum = match before.get(USAGE, &key)? {
                    Some(value) => decode(USAGE, &key, &value)?,
                    None => Usage::default(),
                };
                sum += *usage;
                batch.put(USAGE, key, encode(&sum)?);
            }
            Ok(())
        })
    }

    fn usage(&self, days: RangeInclusive<u32>) -> Result<Vec<UsageRow>> {
        let (first, last) = days.into_inner();
        let range = match last.checked_add(1) {
            Some(end) => KeyRange::new(first.to_be_bytes()..end.to_be_bytes()),
            None => KeyRange::new(first.to_be_bytes()..),
        };
        let snapshot = self.snapshot()?;
        let entries = snapshot.scan(USAGE, &range, Direction::Forward)?;
        let row = |entry: dfuse_kv::Result<dfuse_kv::Entry>| {
            let (key, value) = entry?;
            let usage = decode(USAGE, &key, &value)?;
            let (day, subject) = key.split_at_checked(4).ok_or_else(|| damaged(USAGE, &key, "its key is too short"))?;
            let day = u32::from_be_bytes(day.try_into().map_err(|_| damaged(USAGE, &key, "its key is too short"))?);
            Ok(UsageRow { day, subject: String::from_utf8_lossy(subject).into_owned(), usage })
        };
        entries.map(row).collect()
    }

    fn maintenance(&self) -> Result<bool> {
        let value = self.snapshot()?.get(SWITCHES, MAINTENANCE)?;
        value.map_or(Ok(false), |value| decode(SWITCHES, MAINTENANCE, &value))
    }

    fn set_maintenance(&self, is_on: bool) -> Result<()> {
        self.write(Durability::Sync, |_, batch| {
            batch.put(SWITCHES, MAINTENANCE, encode(&is_on)?);
            Ok(())
        })
    }

    fn close(&self) -> Result<()> {
        Ok(self.inner().store.close()?)
    }
}

/// Records that a newer version has written could be taken for something else.
fn check_format(snapshot: &dyn Snapshot) -> Result<()> {
    let format = snapshot.get(SWITCHES, FORMAT)?.map(|value| decode::<u32>(SWITCHES, FORMAT, &value)).transpose()?;
    match format.unwrap_or(NEWEST_FORMAT) {
        1..=NEWEST_FORMAT => Ok(()),
        other => {
            let why = format!("it is {other}, this version of dfuse knows those up to {NEWEST_FORMAT}");
            Err(Error::Damaged { record: "switches/format".to_owned(), why })
        }
    }
}

fn private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn values<T: DeserializeOwned>(snapshot: &dyn Snapshot, keyspace: Keyspace) -> Result<Vec<T>> {
    let entries = snapshot.scan(keyspace, &KeyRange::new::<&[u8]>(..), Direction::Forward)?;
    entries
        .map(|entry| {
            let (key, value) = entry?;
            decode(keyspace, &key, &value)
        })
        .collect()
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Invalid(error.to_string()))
}

fn decode<T: DeserializeOwned>(keyspace: Keyspace, key: &[u8], value: &[u8]) -> Result<T> {
    // What is in the value may be secret: what is wrong with it is told by its place.
    serde_json::from_slice(value).map_err(|error| damaged(keyspace, key, &format!("at byte {}", error.column())))
}

fn damaged(keyspace: Keyspace, key: &[u8], why: &str) -> Error {
    let name = KvAccessStore::KEYSPACES.get(keyspace.position()).copied().unwrap_or_default();
    Error::Damaged { record: format!("{name}/{}", const_hex::encode(key)), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use dfuse_blocks::SystemEntropy;

    use super::*;
    use crate::{KeyKind, KeyText, NewKey};

    #[test]
    fn keys_and_switches_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access");
        let store = KvAccessStore::open(&path).unwrap();
        let text = KeyText::generate(KeyKind::Server, &SystemEntropy).unwrap();
        let key = NewKey::new(KeyKind::Server, "a").make(&text, 7, &SystemEntropy).unwrap();
        store.put_key(&key).unwrap();
        assert!(!store.maintenance().unwrap());
        store.set_maintenance(true).unwrap();
        let signing = |kid: &str| SigningRecord { kid: kid.into(), pkcs8: "AA==".into(), created: 1, retired: None };
        store.set_signing_keys(&[signing("a"), signing("b")]).unwrap();
        store.set_signing_keys(&[signing("b"), signing("c")]).unwrap();
        assert!(matches!(KvAccessStore::open(&path), Err(Error::Store(dfuse_kv::Error::Locked { .. }))));
        store.close().unwrap();
        drop(store);
        let store = KvAccessStore::open(&path).unwrap();
        assert_eq!(store.keys().unwrap(), [key]);
        assert!(store.maintenance().unwrap());
        assert_eq!(store.signing_keys().unwrap(), [signing("b"), signing("c")]);
    }

    #[test]
    fn stores_of_newer_versions_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access");
        let store = KvAccessStore::open(&path).unwrap();
        store.set_maintenance(false).unwrap();
        assert_eq!(store.snapshot().unwrap().get(SWITCHES, FORMAT).unwrap().as_deref(), Some(&b"1"[..]));
        let newer = |_: &dyn Snapshot, batch: &mut WriteBatch| {
            batch.put(SWITCHES, FORMAT, encode(&2)?);
            Ok(())
        };
        store.write(Durability::Sync, newer).unwrap();
        store.close().unwrap();
        drop(store);
        let refused = KvAccessStore::open(&path).unwrap_err().to_string();
        assert!(refused.contains("it is 2, this version of dfuse knows those up to 1; use the version"), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access");
        let _store = KvAccessStore::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
