//! What is known of chain state at a block, as far as the changes of the next one need it: deltas say what a row becomes, and not
//! what it was.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt, io,
};

use super::{
    consensus::Consensus,
    key::Key,
    packed::{key_bytes, row_bytes, row_of},
};
use crate::{
    Error, Result,
    deltas::{DeltaRow, StateRow},
};

/// A key, and its value unless it is gone.
pub type RowChange = (Vec<u8>, Option<Vec<u8>>);

/// Where the rows of chain state are kept that changes of blocks are told from, with the block that they are of.
pub trait Rows: Send {
    /// The value of a key, see [`state_entry`](crate::state_entry).
    ///
    /// # Errors
    /// They cannot be read.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Writes changes, and the position that they lead to, [`Consensus::pack`]: all or nothing.
    ///
    /// # Errors
    /// They cannot be written.
    fn write(&mut self, changes: Vec<RowChange>, position: Vec<u8>) -> io::Result<()>;
}

/// Rows in memory.
#[derive(Debug, Default)]
pub struct MemoryRows(HashMap<Vec<u8>, Vec<u8>>);

impl Rows for MemoryRows {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(key).cloned())
    }

    fn write(&mut self, changes: Vec<RowChange>, _: Vec<u8>) -> io::Result<()> {
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.0.insert(key, value)),
                None => drop(self.0.remove(&key)),
            }
        }
        Ok(())
    }
}

/// What a block made of a row.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) before: Option<StateRow>,
    pub(super) after: Option<StateRow>,
}

/// A row that blocks have changed which are not settled.
#[derive(Debug, Clone)]
pub(super) struct Recent {
    row: Option<StateRow>,
    /// The last block that changed it.
    number: u32,
}

/// What a block left that is not settled.
struct Unsettled {
    consensus: Consensus,
    changes: Vec<(Key, Option<StateRow>)>,
}

/// Rows by key: those that blocks have changed lately over all others, which are kept elsewhere.
pub(super) struct Known {
    kept: Box<dyn Rows>,
    recent: HashMap<Key, Recent>,
    unsettled: VecDeque<Unsettled>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} recent rows of {} blocks", self.recent.len(), self.unsettled.len())
    }
}

impl Known {
    pub(super) fn new(kept: Box<dyn Rows>) -> Self {
        Self { kept, recent: HashMap::new(), unsettled: VecDeque::new() }
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<StateRow>> {
        if let Some(recent) = self.recent.get(key) {
            return Ok(recent.row.clone());
        }
        let Some(value) = self.kept.get(&key_bytes(key)).map_err(Error::Rows)? else { return Ok(None) };
        let row = row_of(key, value).map_err(|error| Error::Rows(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        Ok(Some(row))
    }

    /// Changes by row, in the order in which the deltas name them; rows that stay as they are left out.
    pub(super) fn changes(&self, deltas: Vec<DeltaRow>) -> Result<Vec<Change>> {
        let mut changes: Vec<Change> = Vec::with_capacity(deltas.len());
        let mut places = HashMap::new();
        for DeltaRow { present, row } in deltas {
            let Some(key) = Key::of(&row) else { continue };
            match places.entry(key) {
                Entry::Occupied(place) => {
                    let change: &mut Change = &mut changes[*place.get()];
                    change.after = present.then_some(row);
                }
                Entry::Vacant(place) => {
                    // A removed row is told as it was, even if nobody knew of it.
                    let before = self.get(place.key())?.or_else(|| (!present).then(|| row.clone()));
                    let key = place.key().clone();
                    place.insert(changes.len());
                    changes.push(Change { key, before, after: present.then_some(row) });
                }
            }
        }
        changes.retain(|change| change.before != change.after);
        Ok(changes)
    }

    /// Applies the changes of a block, and gives what takes them back.
    pub(super) fn apply(&mut self, consensus: Consensus, changes: Vec<Change>) -> Vec<(Key, Option<Recent>)> {
        let number = consensus.id().block_num();
        let changes: Vec<_> = changes.into_iter().map(|change| (change.key, change.after)).collect();
        let apply = |(key, row): &(Key, Option<StateRow>)| {
            (key.clone(), self.recent.insert(key.clone(), Recent { row: row.clone(), number }))
        };
        let before = changes.iter().map(apply).collect();
        self.unsettled.push_back(Unsettled { consensus, changes });
        before
    }

    /// Takes the changes of the newest block back.
    pub(super) fn restore(&mut self, before: Vec<(Key, Option<Recent>)>) {
        self.unsettled.pop_back();
        for (key, recent) in before {
            match recent {
                Some(recent) => drop(self.recent.insert(key, recent)),
                None => drop(self.recent.remove(&key)),
            }
        }
    }

    /// Blocks up to this one, which are final, are not taken back any more: what they changed is kept with all other rows.
    pub(super) fn settle(&mut self, up_to: u32) -> Result<()> {
        let count = self.unsettled.partition_point(|block| block.consensus.id().block_num() <= up_to);
        let Some(last) = count.checked_sub(1).and_then(|last| self.unsettled.get(last)) else { return Ok(()) };
        let (position, number) = (last.consensus.pack(), last.consensus.id().block_num());
        let changed: HashMap<&Key, &Option<StateRow>> =
            self.unsettled.iter().take(count).flat_map(|block| &block.changes).map(|(key, row)| (key, row)).collect();
        let changes = changed.iter().map(|(key, row)| (key_bytes(key), row.as_ref().map(row_bytes))).collect();
        self.kept.write(changes, position).map_err(Error::Rows)?;
        for key in changed.into_keys() {
            if let Entry::Occupied(recent) = self.recent.entry(key.clone())
                && recent.get().number <= number
            {
                recent.remove();
            }
        }
        self.unsettled.drain(..count);
        Ok(())
    }
}
