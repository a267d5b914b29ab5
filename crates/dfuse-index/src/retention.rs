//! What is kept of the past, and from which block on.
//!
//! A [`Part`] of what is stored can have a floor: the lowest block that questions about it are answered for. Whoever decides on
//! retention raises floors ([`SharedFloors::raise`]); from the next commit on, every [`View`](crate::View) carries them. What
//! no question needs any more is then removed, bit by bit, by a [`Sweep`]. Snapshots that were taken before still have it.

mod rule;
mod sweep;

use std::sync::{Mutex, MutexGuard, PoisonError};

use dfuse_kv::{Durability, Keyspace, ReadStore, Snapshot, Store, WriteBatch};

use crate::{Error, Floors, Part, Result, checkpoint::CHECKPOINTS, codec::ValueReader};

pub use self::sweep::Sweep;
pub(crate) use self::{
    rule::Filter,
    sweep::{Entries, filters, kept},
};

/// The key of the record among the checkpoints; no index has this name.
const KEY: &[u8] = b"retention";
/// First byte of the record: version of its encoding.
const FORMAT: u8 = 1;

/// What the store remembers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) floors: Floors,
    /// Up to which floors everything superfluous is removed.
    pub(crate) swept: Floors,
}

impl Record {
    fn encode(self) -> Vec<u8> {
        let numbers = self.floors.0.into_iter().chain(self.swept.0);
        [FORMAT].into_iter().chain(numbers.flat_map(u32::to_be_bytes)).collect()
    }

    fn decode(value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(CHECKPOINTS, value);
        let [format] = reader.array()?;
        if format != FORMAT {
            return Err(
                reader.damaged(format!("format {format} of what is kept, this version of dfuse knows {FORMAT}"))
            );
        }
        let mut record = Self::default();
        for number in record.floors.0.iter_mut().chain(&mut record.swept.0) {
            *number = reader.u32()?;
        }
        reader.finish()?;
        Ok(record)
    }

    /// As of a snapshot; `checkpoints` is the keyspace of the record.
    pub(crate) fn read(snapshot: &dyn Snapshot, checkpoints: Keyspace) -> Result<Self> {
        let value = snapshot.get(checkpoints, KEY)?;
        value.map_or(Ok(Self::default()), |value| Self::decode(&value))
    }

    fn write(self, store: &dyn Store) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.put(store.keyspace(CHECKPOINTS.name())?, KEY, self.encode());
        Ok(store.commit(batch, Durability::Sync)?)
    }
}

/// The floors that a store remembers.
///
/// # Errors
/// Those of the store, and [`Error::Damaged`].
pub fn floors_of(store: &dyn ReadStore) -> Result<Floors> {
    Ok(Record::read(&*store.snapshot()?, store.keyspace(CHECKPOINTS.name())?)?.floors)
}

/// Fails if block files before those that indexes began with are not kept any more.
pub(crate) fn must_have_block_files(store: &dyn ReadStore, first: u32) -> Result<()> {
    match floors_of(store)?.get(Part::BlockFiles) {
        floor if floor > first => Err(Error::BlocksNotKept { first: floor }),
        _ => Ok(()),
    }
}

/// The floors of an open store: shared by the pipeline, whose views carry them, and by whoever raises them.
#[derive(Debug, Default)]
pub struct SharedFloors(Mutex<Record>);

impl SharedFloors {
    pub(crate) fn new(record: Record) -> Self {
        Self(Mutex::new(record))
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what another process has raised.
    pub(crate) fn follow(&self, record: Record) {
        let mut own = self.record();
        let floors = own.floors.highest_of_each(record.floors);
        *own = Record { floors, ..record };
    }

    /// As they are now.
    pub fn get(&self) -> Floors {
        self.record().floors
    }

    /// Whether something below the floors may still be there.
    pub fn is_to_be_swept(&self) -> bool {
        let record = self.record();
        record.swept != record.floors
    }

    /// Raises the floors, in the store and for all views that are published from now on. Nothing may be removed before
    /// the newest published view has them.
    ///
    /// # Errors
    /// Those of the store; the floors are as before then.
    pub fn raise(&self, store: &dyn Store, to: Floors) -> Result<()> {
        // There is one who raises them. Whoever reads them does not wait for the store.
        let record = *self.record();
        let raised = Record { floors: record.floors.highest_of_each(to), ..record };
        if raised != record {
            raised.write(store)?;
            *self.record() = raised;
        }
        Ok(())
    }

    /// Everything superfluous below these floors is removed.
    ///
    /// # Errors
    /// Those of the store: it is looked through again.
    pub fn swept(&self, store: &dyn Store, to: Floors) -> Result<()> {
        let record = *self.record();
        let swept = Record { swept: to, ..record };
        swept.write(store)?;
        *self.record() = swept;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_rise_and_those_of_block_files_bound_others() {
        let floors = Floors::default().raised(Part::Search, 7).raised(Part::BlockFiles, 5).raised(Part::Search, 6);
        let all = Part::ALL.map(|part| floors.get(part));
        assert_eq!(all, [0, 7, 5, 5]);
        assert_eq!(floors.lowest(&[Part::Search, Part::Transactions]), 5);
    }

    #[test]
    fn records_round_trip() {
        let floors = Floors::default().raised(Part::State, 1).raised(Part::BlockFiles, u32::MAX);
        let record = Record { floors, swept: Floors::default().raised(Part::Transactions, 9) };
        let value = record.encode();
        assert_eq!(Record::decode(&value).unwrap(), record);
        assert!(Record::decode(&value[1..]).is_err() && Record::decode(&[]).is_err());
        assert!(Record::decode(&[&[2], &value[1..]].concat()).unwrap_err().to_string().contains("format 2"));
    }
}
