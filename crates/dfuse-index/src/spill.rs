//! The scratch space: a store of its own on this machine, whatever store the indexes are in. It is opened when memory is full for
//! the first time, which most processes never see.

use std::{path::PathBuf, sync::Arc};

use dfuse_antelope::Checksum256;
use dfuse_kv::{
    Direction, Durability, EngineOptions, Hint, KeyRange, Keyspace, MemoryStore, Reopen, Scan, Snapshot, Store,
    WriteBatch,
};

use crate::{
    Delta, Result,
    families::Families,
    filter::KeyFilter,
    scratch::{self, SCRATCH},
};

/// Files of it that are kept open.
const OPEN_FILES: usize = 64;

/// Where the writes of reversible blocks go that do not fit into memory. What is there is of use to one process only.
#[derive(Clone)]
pub struct ScratchSpace(Place);

#[derive(Clone)]
enum Place {
    Memory,
    Directory(PathBuf),
    Made(Arc<Make>),
}

/// Makes an empty store, and what opens it again after a failed write.
type Make = dyn Fn() -> dfuse_kv::Result<(Arc<dyn Store>, Reopen)> + Send + Sync;

impl ScratchSpace {
    /// Its keyspace.
    pub const KEYSPACES: [&str; 1] = [SCRATCH.name()];

    /// In memory, so that nothing is won: for those who hold few reversible blocks.
    pub const fn in_memory() -> Self {
        Self(Place::Memory)
    }

    /// In a directory, which is this space's own. What an earlier process left there is removed.
    pub const fn in_directory(path: PathBuf) -> Self {
        Self(Place::Directory(path))
    }

    /// In a store that is made when it is needed, with [`ScratchSpace::KEYSPACES`] and nothing in them.
    pub fn made_by(make: impl Fn() -> dfuse_kv::Result<(Arc<dyn Store>, Reopen)> + Send + Sync + 'static) -> Self {
        Self(Place::Made(Arc::new(make)))
    }

    /// Removes what an earlier process left.
    pub(crate) fn clear(&self) -> dfuse_kv::Result<()> {
        match &self.0 {
            Place::Directory(path) if path.exists() => dfuse_kv::remove(path),
            Place::Directory(_) | Place::Memory | Place::Made(_) => Ok(()),
        }
    }

    fn make(&self) -> dfuse_kv::Result<(Arc<dyn Store>, Reopen)> {
        match &self.0 {
            Place::Memory => {
                let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&Self::KEYSPACES));
                Ok((store.clone(), Box::new(move || Ok(store.clone()))))
            }
            Place::Directory(path) => {
                let options = EngineOptions { open_files: OPEN_FILES, ..EngineOptions::default() };
                dfuse_kv::open(path, &Self::KEYSPACES, options)
            }
            Place::Made(make) => make(),
        }
    }
}

impl std::fmt::Debug for ScratchSpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Place::Memory => f.write_str("Memory"),
            Place::Directory(path) => path.fmt(f),
            Place::Made(_) => f.write_str("Made"),
        }
    }
}

/// What is in the scratch space at one moment.
#[derive(Clone)]
pub(crate) struct Spilled {
    pub(crate) snapshot: Arc<dyn Snapshot>,
    /// The keys of which there are versions.
    pub(crate) keys: Arc<KeyFilter>,
}

/// The scratch space of one who writes to it.
pub(crate) struct Spill {
    space: ScratchSpace,
    opened: Option<(Arc<dyn Store>, Reopen)>,
    spilled: Option<Spilled>,
}

impl Spill {
    pub(crate) fn new(space: ScratchSpace) -> Self {
        Self { space, opened: None, spilled: None }
    }

    /// What is there as of the last write; nothing where all was removed.
    pub(crate) fn spilled(&self) -> Option<&Spilled> {
        self.spilled.as_ref()
    }

    /// Applies the batch, which puts versions of these keys.
    pub(crate) fn write<'a>(
        &mut self,
        batch: WriteBatch,
        keys: impl Iterator<Item = (Keyspace, &'a [u8])>,
    ) -> dfuse_kv::Result<()> {
        let (store, _) = match &mut self.opened {
            Some(opened) => opened,
            closed => closed.insert(self.space.make()?),
        };
        store.commit(batch, Durability::Buffer)?;
        let known = self.spilled.as_ref().map_or_else(Arc::default, |spilled| spilled.keys.clone());
        keys.for_each(|(keyspace, key)| known.add(keyspace, key));
        self.spilled = Some(Spilled { snapshot: store.snapshot()?, keys: known });
        Ok(())
    }

    /// Nothing of what is there is of use any more. Older views keep theirs.
    pub(crate) fn forget(&mut self) {
        self.spilled = None;
    }

    /// Reads a block's writes back.
    pub(crate) fn read(&self, families: &Families, id: Checksum256) -> Result<Vec<Delta>> {
        match &self.spilled {
            Some(spilled) => scratch::read(&*spilled.snapshot, families, id),
            None => Err(scratch::damaged("a block is missing")),
        }
    }

    /// Nobody reads it from now on, until it is opened again.
    pub(crate) fn let_go(&mut self) {
        if let Some(spilled) = &mut self.spilled {
            spilled.snapshot = Arc::new(Away);
        }
    }

    /// Opens it again after a failed write.
    pub(crate) fn reopen(&mut self) -> dfuse_kv::Result<()> {
        let Some((store, reopen)) = &mut self.opened else { return Ok(()) };
        *store = reopen()?;
        if let Some(spilled) = &mut self.spilled {
            spilled.snapshot = store.snapshot()?;
        }
        Ok(())
    }
}

/// Stands for the snapshot of a store that is being opened again.
pub(crate) struct Away;

impl Snapshot for Away {
    fn get(&self, _: Keyspace, _: &[u8]) -> dfuse_kv::Result<Option<dfuse_kv::Bytes>> {
        Err(dfuse_kv::Error::Closed)
    }

    fn scan_hinted(&self, _: Keyspace, _: &KeyRange, _: Direction, _: Hint) -> dfuse_kv::Result<Scan> {
        Err(dfuse_kv::Error::Closed)
    }
}
