use bytes::Bytes;

use crate::{Error, KeyRange, Keyspace, Result};

/// Longest key in bytes.
pub const MAX_KEY_BYTES: usize = u16::MAX as usize;

/// Longest value in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 30;

/// Writes over any number of keyspaces that become visible and durable together or not at all.
///
/// They apply in order: of two writes to one key the later one wins.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    writes: Vec<Write>,
}

/// One write of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    Put { keyspace: Keyspace, key: Bytes, value: Bytes },
    Delete { keyspace: Keyspace, key: Bytes },
    DeleteRange { keyspace: Keyspace, range: KeyRange },
}

impl WriteBatch {
    /// An empty batch. Committing one does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`. Keys have 1 to [`MAX_KEY_BYTES`] bytes, values up to [`MAX_VALUE_BYTES`].
    pub fn put(&mut self, keyspace: Keyspace, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.writes.push(Write::Put { keyspace, key: key.into(), value: value.into() });
    }

    /// Removes `key` if it is there.
    pub fn delete(&mut self, keyspace: Keyspace, key: impl Into<Bytes>) {
        self.writes.push(Write::Delete { keyspace, key: key.into() });
    }

    /// Removes every key of the range, those put earlier in this batch among them.
    ///
    /// As atomic as the rest of the batch. An engine without range tombstones looks the keys up and deletes each, so the
    /// commit costs time and memory per key removed: for more than some ten thousand use
    /// [`Store::delete_range`](crate::Store::delete_range).
    pub fn delete_range(&mut self, keyspace: Keyspace, range: KeyRange) {
        self.writes.push(Write::DeleteRange { keyspace, range });
    }

    /// Number of writes.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The writes in order, once all of them are known to be within the contract.
    pub(crate) fn into_checked(self, keyspaces: usize) -> Result<Vec<Write>> {
        for write in &self.writes {
            match write {
                Write::Put { keyspace, key, value } => {
                    keyspace.check(keyspaces)?;
                    check_entry(key, value)?;
                }
                Write::Delete { keyspace, key } => {
                    keyspace.check(keyspaces)?;
                    check_key(key)?;
                }
                Write::DeleteRange { keyspace, .. } => keyspace.check(keyspaces)?,
            }
        }
        Ok(self.writes)
    }
}

fn check_key(key: &[u8]) -> Result<()> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        0 => Err(Error::Invalid("empty key".into())),
        bytes => Err(Error::Invalid(format!("key of {bytes} bytes, limit is {MAX_KEY_BYTES}"))),
    }
}

pub(crate) fn check_entry(key: &[u8], value: &[u8]) -> Result<()> {
    check_key(key)?;
    if value.len() > MAX_VALUE_BYTES {
        return Err(Error::Invalid(format!("value of {} bytes, limit is {MAX_VALUE_BYTES}", value.len())));
    }
    Ok(())
}

/// Checks an entry to ingest, which must come after `last`.
pub(crate) fn check_ascending(last: Option<&Bytes>, key: &[u8], value: &[u8]) -> Result<()> {
    check_entry(key, value)?;
    if last.is_some_and(|last| key <= last.as_ref()) {
        return Err(Error::Invalid("entries to ingest are not in ascending order of keys".into()));
    }
    Ok(())
}
