//! Rows of chain state on disk: what a source of state history compares the next block with, and after which block.
//!
//! State history says what rows become, and not what they were. Only what blocks changed that are not final, or that nobody has for
//! good, is held in memory; all else is here, and a start goes on from it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use dfuse_kv::{Durability, EntryBuffer, Keyspace, Snapshot, SortMemory, Sorter, Store, WriteBatch};
use dfuse_ship::{Assembler, Consensus, MemoryRows, RowChange, Rows, StateRow, state_entry};

use crate::{
    Error, KeptState, Result, SourceOptions,
    kept_state::{POSITION, ROWS, failed, open_rows},
};

/// The only key beside the rows.
const HEAD: &[u8] = b"head";
/// Bytes of entries that are sorted at once.
const SORTED_BYTES: usize = 16 << 20;
/// Memory for the entries that are sorted.
const SORT_MEMORY: usize = 64 << 20;

/// Where a source of state history begins.
pub(crate) enum Beginning {
    /// After the block that the rows are of.
    GoesOn(Box<Assembler>),
    /// Where the chain does. There are no rows.
    Anew(Box<dyn Rows>),
}

/// Where a source begins by what is kept, given the first block that is wanted.
pub(crate) fn beginning(options: &SourceOptions) -> Result<Beginning> {
    let Some(state) = &options.state else { return Ok(Beginning::Anew(Box::<MemoryRows>::default())) };
    let rows = KeptRows::open(state)?;
    let found = rows.position()?;
    let is_usable = |position: &Consensus| position.id().block_num() < options.start_block.max(2);
    match (found, options.loaded) {
        (Some(position), _) if is_usable(&position) => {
            tracing::info!(block = position.id().block_num(), "state history goes on from the rows that are kept");
            Ok(Beginning::GoesOn(Box::new(Assembler::after(position, Box::new(rows)))))
        }
        (found, Some(loaded)) => {
            let rows =
                found.map_or("gone".to_owned(), |it| format!("of block {}, which is later", it.id().block_num()));
            Err(Error::HistoryMissing(format!(
                "the blocks of this data directory begin after block {loaded}, and block {} is wanted, but the rows in {} are \
                 {rows}: begin again with the same state in an empty data directory",
                options.start_block,
                state.folder().display()
            )))
        }
        (None, None) => Ok(Beginning::Anew(Box::new(rows))),
        (Some(position), None) => {
            let block = position.id().block_num();
            tracing::warn!(
                block,
                wanted = options.start_block,
                "the rows that are kept are later than the blocks; state history is read from its first block"
            );
            drop(rows);
            remove(state.folder())?;
            Ok(Beginning::Anew(Box::new(KeptRows::open(state)?)))
        }
    }
}

/// Lets final blocks go that whoever takes blocks has for good.
pub(crate) fn settle(assembler: &mut Assembler, options: &SourceOptions) -> dfuse_ship::Result<()> {
    assembler.settle(options.durable.load(Ordering::Relaxed))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() { dfuse_kv::remove(folder).map_err(|error| failed(folder, error)) } else { Ok(()) }
}

/// Rows in a store of their own.
struct KeptRows {
    state: KeptState,
    store: Arc<dyn Store>,
    rows: Keyspace,
    positions: Keyspace,
    /// What is read from; made anew after each write.
    snapshot: Option<Arc<dyn Snapshot>>,
}

impl KeptRows {
    fn open(state: &KeptState) -> Result<Self> {
        let failed = |error| failed(state.folder(), error);
        // Kept until it is said that it is open: somebody may copy what is in it.
        let mut open = state.lock();
        let store = open_rows(state.folder())?;
        let (rows, positions) = (store.keyspace(ROWS).map_err(failed)?, store.keyspace(POSITION).map_err(failed)?);
        let snapshot = Some(store.snapshot().map_err(failed)?);
        *open = Some(store.clone());
        drop(open);
        Ok(Self { state: state.clone(), store, rows, positions, snapshot })
    }

    fn read(&self, keyspace: Keyspace, key: &[u8]) -> dfuse_kv::Result<Option<Vec<u8>>> {
        let snapshot = self.snapshot.as_ref().ok_or(dfuse_kv::Error::Closed)?;
        Ok(snapshot.get(keyspace, key)?.map(Vec::from))
    }

    /// The block that the rows are of.
    fn position(&self) -> Result<Option<Consensus>> {
        let kept = |source| Error::History { place: "the rows that are kept".to_owned(), source };
        let packed = self.read(self.positions, HEAD);
        let packed = packed.map_err(|error| kept(dfuse_ship::Error::Rows(io::Error::other(error))))?;
        let position = packed.map(|packed| Consensus::unpack(&packed)).transpose();
        position.map_err(|error| kept(dfuse_ship::Error::Rows(io::Error::other(error))))
    }

    fn put_position(
        &mut self,
        changes: Vec<RowChange>,
        position: Vec<u8>,
        durability: Durability,
    ) -> dfuse_kv::Result<()> {
        let mut batch = WriteBatch::new();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(self.rows, key, value),
                None => batch.delete(self.rows, key),
            }
        }
        batch.put(self.positions, HEAD, position);
        self.store.commit(batch, durability)?;
        self.snapshot = Some(self.store.snapshot()?);
        Ok(())
    }
}

impl Rows for KeptRows {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.read(self.rows, key).map_err(io::Error::other)
    }

    fn write(&mut self, changes: Vec<RowChange>, position: Vec<u8>) -> io::Result<()> {
        self.put_position(changes, position, Durability::Buffer).map_err(io::Error::other)
    }
}

impl Drop for KeptRows {
    fn drop(&mut self) {
        self.snapshot = None;
        let mut open = self.state.lock();
        *open = None;
        // Without it the next open takes longer.
        let _ = self.store.close();
    }
}

/// Loads rows of the state after a block, for a source to go on from. What was there is removed.
pub struct StateLoader {
    folder: PathBuf,
    sorter: Sorter,
    buffer: EntryBuffer,
}

impl StateLoader {
    /// Begins to load into a folder; see [`SourceOptions::state`].
    ///
    /// # Errors
    /// What was there cannot be removed.
    pub fn begin(folder: &Path) -> Result<Self> {
        remove(folder)?;
        let sorter = Sorter::new(folder.with_extension("loading"), ROWS, SortMemory::new(SORT_MEMORY));
        Ok(Self { folder: folder.to_owned(), sorter, buffer: EntryBuffer::default() })
    }

    /// Takes a row, of any kind.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn push(&mut self, row: &StateRow) -> Result<()> {
        let Some((key, value)) = state_entry(row) else { return Ok(()) };
        self.buffer.put(&[&key], &[&value]);
        if self.buffer.memory_bytes() >= SORTED_BYTES {
            self.sort()?;
        }
        Ok(())
    }

    fn sort(&mut self) -> Result<()> {
        self.sorter.add(std::mem::take(&mut self.buffer)).map_err(|error| failed(&self.folder, error))
    }

    /// Writes everything, and then the block that it is the state after.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self, position: &Consensus) -> Result<()> {
        self.sort()?;
        let Self { folder, sorter, .. } = self;
        let failed = |error| failed(&folder, error);
        let mut kept = KeptRows::open(&KeptState::in_folder(folder.clone()))?;
        // Rows have a key of their own each; a permission that a snapshot has twice would be damage elsewhere.
        let last = |_: &[u8], second: &[u8]| Ok(dfuse_kv::Bytes::copy_from_slice(second));
        let mut entries = sorter.entries(&last).map_err(failed)?.peekable();
        if entries.peek().is_some() {
            kept.store.ingest(kept.rows, &mut entries).map_err(failed)?;
        }
        drop(entries);
        kept.put_position(vec![], position.pack(), Durability::Sync).map_err(failed)?;
        // Its files are gone; the folder may never have been made.
        let _ = std::fs::remove_dir(folder.with_extension("loading"));
        Ok(())
    }
}
