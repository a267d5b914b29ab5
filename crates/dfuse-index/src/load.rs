//! The state of the chain at one block, loaded into empty indexes.
//!
//! Rows come in any order, from a snapshot or from the first deltas of a log of state history. Threads make entries of them, which
//! are sorted, on disk where they do not fit into memory, and ingested family by family.

mod entries;
mod families;
mod options;
mod workers;

use std::sync::{Arc, atomic::Ordering};

use dfuse_antelope::Checksum256;
use dfuse_blocks::BlockRef;
use dfuse_kv::{Durability, KeyRange, Store, WriteBatch};
use dfuse_ship::StateRow;

pub use self::{
    entries::LoadedEntries,
    options::{LoadOptions, LoadProgress},
};
use self::{families::Sorters, workers::Workers};
use crate::{
    ChainIdentity, Checkpoint, CheckpointState, Earlier, EarlierWay, Error, Index, Result,
    checkpoint::{CHECKPOINTS, read_checkpoint},
};

/// Rows that a thread is given at once, and bytes of them, about.
const PIECE_ROWS: usize = 16_384;
const PIECE_BYTES: usize = 4 << 20;

/// What a store has of state that was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadedState {
    /// There are no indexes yet.
    Empty,
    /// The process ended while the state after this block was loaded.
    Unfinished(BlockRef),
    /// The indexes begin with the state after this block.
    Loaded(BlockRef),
    /// The indexes begin without any.
    None,
}

impl LoadedState {
    /// Of these indexes in a store.
    pub fn of(store: &dyn Store, indexes: &[Arc<dyn Index>]) -> Result<Self> {
        let mut found = Self::Empty;
        for index in indexes {
            match read_checkpoint(store, index.name())? {
                None => {}
                Some(it) if it.state == CheckpointState::Loading => return Ok(Self::Unfinished(it.block)),
                Some(it) if it.identity.is_loaded => found = Self::Loaded(it.identity.first_parent),
                Some(_) => found = Self::None,
            }
        }
        Ok(found)
    }
}

/// Refuses to build an index from blocks alone that begins with state that was loaded: the blocks do not have it.
///
/// # Errors
/// [`Error::NeedsSnapshot`], and those of the store.
pub fn must_not_hold_loaded_state(store: &dyn Store, index: &dyn Index) -> Result<()> {
    match loaded_state(store, index)? {
        Some(block) => Err(Error::NeedsSnapshot { index: index.name(), block }),
        None => Ok(()),
    }
}

/// Gives up an index that begins with state that was loaded, so that a [`Loader`] takes it again. The block of that state; nothing
/// happens to other indexes.
///
/// # Errors
/// Those of the store.
pub fn give_up_loaded_state(store: &dyn Store, index: &dyn Index) -> Result<Option<BlockRef>> {
    let Some(found) = of_loaded(store, index)? else { return Ok(None) };
    if index.earlier_way() != EarlierWay::Never && Earlier::of(store)?.is_some() {
        return Err(Error::Usage(format!(
            "index \"{}\" has blocks of before the snapshot, which joined it, and cannot be built with the snapshot alone",
            index.name()
        )));
    }
    let checkpoints = store.keyspace(CHECKPOINTS.name())?;
    let mut batch = WriteBatch::new();
    let given_up = Checkpoint { state: CheckpointState::Dropping, ..found };
    batch.put(checkpoints, index.name().as_bytes(), given_up.encode());
    store.commit(batch, Durability::Sync)?;
    Ok(Some(found.identity.first_parent))
}

/// The block whose state an index begins with, if it does.
///
/// # Errors
/// Those of the store.
pub fn loaded_state(store: &dyn Store, index: &dyn Index) -> Result<Option<BlockRef>> {
    Ok(of_loaded(store, index)?.map(|found| found.identity.first_parent))
}

fn of_loaded(store: &dyn Store, index: &dyn Index) -> Result<Option<Checkpoint>> {
    Ok(read_checkpoint(store, index.name())?.filter(|found| found.identity.is_loaded && index.holds_state()))
}

/// Loads the state after a block. Killed or dropped before its end, it is begun anew: until then the indexes cannot be opened.
pub struct Loader {
    store: Arc<dyn Store>,
    indexes: Vec<Arc<dyn Index>>,
    block: BlockRef,
    options: LoadOptions,
    sorters: Arc<Sorters>,
    workers: Workers,
    piece: Vec<StateRow>,
    piece_bytes: usize,
    rows: u64,
}

impl Loader {
    /// Begins to load the state after `block` into `indexes`, which have nothing or what an unfinished load left.
    pub fn open(
        store: Arc<dyn Store>,
        indexes: Vec<Arc<dyn Index>>,
        block: BlockRef,
        options: LoadOptions,
    ) -> Result<Self> {
        for index in &indexes {
            match read_checkpoint(&*store, index.name())? {
                None => {}
                // The same entries are written again.
                Some(found) if found.state == CheckpointState::Loading && found.block == block => {}
                Some(found) if matches!(found.state, CheckpointState::Loading | CheckpointState::Dropping) => {
                    for family in index.families() {
                        let keyspace = store.keyspace(family.name())?;
                        store.delete_range(keyspace, &KeyRange::all(), Durability::Buffer)?;
                    }
                }
                Some(_) => {
                    return Err(Error::Usage(format!(
                        "state is to be loaded, but index \"{}\" has some",
                        index.name()
                    )));
                }
            }
        }
        let sorters = Arc::new(Sorters::new(&store, &indexes, &options)?);
        let workers = Workers::begin(&indexes, block.number, &sorters, options.threads);
        let loader = Self {
            store,
            indexes,
            block,
            options,
            sorters,
            workers,
            piece: Vec::with_capacity(PIECE_ROWS),
            piece_bytes: 0,
            rows: 0,
        };
        loader.write_checkpoints(CheckpointState::Loading, None)?;
        Ok(loader)
    }

    /// The block.
    pub fn block(&self) -> BlockRef {
        self.block
    }

    /// Rows that were pushed.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes a row: of all kinds, in any order, each once.
    pub fn push(&mut self, row: StateRow) -> Result<()> {
        self.rows += 1;
        self.piece_bytes += match &row {
            StateRow::Contract(row) => row.value.len(),
            StateRow::Account(row) => row.abi.len(),
            // No index holds them.
            StateRow::Secondary(_) | StateRow::Chain(..) | StateRow::Code(_) => return Ok(()),
            _ => 0,
        };
        self.piece.push(row);
        if self.piece.len() >= PIECE_ROWS || self.piece_bytes >= PIECE_BYTES {
            self.hand_on()?;
        }
        Ok(())
    }

    fn hand_on(&mut self) -> Result<()> {
        self.check_stop()?;
        self.piece_bytes = 0;
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_ROWS));
        self.workers.take(piece)
    }

    fn check_stop(&self) -> Result<()> {
        if self.options.stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Writes everything. From then on the indexes go on with the block after. If other indexes of the store have more blocks,
    /// `state` is [`CheckpointState::Building`].
    pub fn finish(
        mut self,
        chain_id: Option<Checksum256>,
        state: CheckpointState,
        progress: impl Fn(LoadProgress) + Sync,
    ) -> Result<u64> {
        self.hand_on()?;
        let workers = std::mem::take(&mut self.workers);
        workers.end()?;
        let sorters = std::mem::take(&mut self.sorters);
        let sorters = Arc::into_inner(sorters).ok_or_else(|| Error::Usage("threads still load".into()))?;
        sorters.ingest(&self.store, &self.options, progress)?;
        self.write_checkpoints(state, chain_id)?;
        Ok(self.rows)
    }

    fn write_checkpoints(&self, state: CheckpointState, chain_id: Option<Checksum256>) -> Result<()> {
        let identity = ChainIdentity { chain_id, first_parent: self.block, is_loaded: true };
        let checkpoints = self.store.keyspace(CHECKPOINTS.name())?;
        let mut batch = WriteBatch::new();
        for index in &self.indexes {
            let (schema_version, settings) = (index.schema_version(), index.settings());
            let checkpoint = Checkpoint { schema_version, settings, state, block: self.block, identity };
            batch.put(checkpoints, index.name().as_bytes(), checkpoint.encode());
        }
        Ok(self.store.commit(batch, Durability::Sync)?)
    }
}
