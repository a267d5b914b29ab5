use bytes::Bytes;

use crate::{Error, Result};

/// A keyspace of a store, by its position in the list of names that the store was opened with.
///
/// Make it a constant beside that list, or look it up with [`ReadStore::keyspace`](crate::ReadStore::keyspace).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keyspace(u16);

impl Keyspace {
    /// The keyspace at `position` of the list.
    pub const fn at(position: u16) -> Self {
        Self(position)
    }

    /// The position.
    pub const fn position(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn check(self, keyspaces: usize) -> Result<()> {
        if self.position() < keyspaces {
            return Ok(());
        }
        Err(Error::Invalid(format!("keyspace {} of {keyspaces}", self.0)))
    }
}

/// Key and value.
///
/// Cheap to clone. An engine may hand out slices of a larger block, which stays in memory as long as they do: copy what
/// is kept for long.
pub type Entry = (Bytes, Bytes);
