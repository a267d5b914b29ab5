use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use dfuse_antelope::Checksum256;
use dfuse_blocks::BlockRef;
use tokio::sync::watch;

use crate::{
    ChainIdentity, Floors, Part, Result, View,
    abi::{AbiCache, KeptPeriods, ViewAbis},
    blocks,
    branch::Branch,
};

/// Reversible blocks that are not on the best chain, and their branches.
pub(crate) type Forks = BTreeMap<Checksum256, (BlockRef, Branch)>;

/// What a request reads from: everything at the head of the best chain, at one moment. Take one for each request, and a
/// new one now and then in a long stream.
#[derive(Debug, Clone)]
pub struct ServingSnapshot {
    pub(crate) view: View,
    pub(crate) lib: Option<BlockRef>,
    pub(crate) forks: Arc<Forks>,
    pub(crate) identity: Option<ChainIdentity>,
    /// Made when the first request asks for an ABI: a source that catches up publishes many snapshots that nobody reads.
    kept_abis: Arc<OnceLock<KeptPeriods>>,
}

impl ServingSnapshot {
    pub(crate) fn new(view: View, lib: Option<BlockRef>, forks: Arc<Forks>, identity: Option<ChainIdentity>) -> Self {
        Self { view, lib, forks, identity, kept_abis: Arc::default() }
    }

    /// The ABIs at the head. What requests at a snapshot ask is read once for all of them.
    pub fn abis<'a>(&'a self, cache: &'a AbiCache) -> ViewAbis<'a> {
        ViewAbis::keeping(&self.view, cache, self.kept_abis.get_or_init(KeptPeriods::default))
    }

    /// Number of the first block that all indexes have, if the chain had begun before it: see [`ChainIdentity::mid_chain_start`].
    pub fn mid_chain_start(&self) -> Option<u32> {
        self.identity.and_then(|identity| identity.mid_chain_start())
    }

    /// Number of the first block that is there, with its transactions and in searches, if the chain had begun before it. It is lower
    /// than [`ServingSnapshot::mid_chain_start`] where earlier blocks joined.
    pub fn history_start(&self) -> Option<u32> {
        let identity = self.identity?;
        let first_parent = self.view.earlier().map_or(identity.first_parent, |earlier| earlier.first_parent);
        ChainIdentity { first_parent, ..identity }.mid_chain_start()
    }

    /// Number of the first block after which state is known, if the chain had begun before it: see
    /// [`ChainIdentity::state_start`]. Older state may be kept no longer.
    pub fn state_start(&self) -> Option<u32> {
        let kept = Some(self.floors().get(Part::State)).filter(|floor| *floor > 0);
        self.identity.and_then(|identity| identity.state_start()).max(kept)
    }

    /// From which blocks on it answers.
    pub fn floors(&self) -> Floors {
        self.view.floors()
    }

    /// Whether the indexes lack state that was written before their first block: they begin in mid-chain, and no snapshot was
    /// loaded.
    pub fn lacks_older_state(&self) -> bool {
        self.identity.is_some_and(|identity| !identity.is_loaded && identity.mid_chain_start().is_some())
    }

    /// The indexes at the head.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The head of the best chain; absent before the first block.
    pub fn head(&self) -> Option<BlockRef> {
        self.view.block()
    }

    /// The last irreversible block. What is committed reaches so far, or less far where another process writes.
    pub fn lib(&self) -> Option<BlockRef> {
        self.lib
    }

    /// The indexes at a reversible block of the best chain or at the last irreversible one; absent elsewhere.
    pub fn view_at_number(&self, number: u32) -> Result<Option<View>> {
        let reversible = self.lib.map_or(0, |lib| lib.number)..=self.head().map_or(0, |head| head.number);
        if !reversible.contains(&number) {
            return Ok(None);
        }
        // The block of a snapshot is not among those that are indexed.
        let block = match self.lib.filter(|lib| lib.number == number) {
            Some(lib) => Some(lib),
            None => blocks::by_number(&self.view, number)?.map(|block| BlockRef { number, id: block.id }),
        };
        Ok(block.map(|block| self.view.truncated(block)))
    }

    /// The indexes at a reversible block of any branch, or at the last irreversible one; absent for others.
    pub fn view_at(&self, id: Checksum256) -> Result<Option<View>> {
        if let Some((block, branch)) = self.forks.get(&id) {
            return Ok(Some(self.view.on_branch(branch.clone(), *block)));
        }
        Ok(self.view_at_number(id.block_num())?.filter(|view| view.block().is_some_and(|block| block.id == id)))
    }

    /// Reversible blocks that are not on the best chain, by number.
    pub fn forked_blocks(&self) -> impl Iterator<Item = BlockRef> {
        self.forks.values().map(|(block, _)| *block)
    }
}

/// How an index stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// It follows the chain.
    Live,
    /// It must be built, from the block after this one; from the first one if there is none.
    Behind(Option<BlockRef>),
}

/// An index and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexStatus {
    /// Its name.
    pub name: &'static str,
    /// Version of its schema.
    pub schema_version: u32,
    /// How it stands.
    pub state: IndexState,
}

/// Why nothing is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// What the store said last.
    pub error: String,
    /// How often [`Pipeline::resume`](crate::Pipeline::resume) was of no avail.
    pub attempts: u32,
}

/// What the pipeline is at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Head of the best chain, which may not be published yet while many final blocks are taken.
    pub head: Option<BlockRef>,
    /// The last block that is committed, as far as is seen.
    pub committed: Option<BlockRef>,
    /// The last block that is final; above `committed` while the store takes no writes, or where another process writes.
    pub irreversible: Option<BlockRef>,
    /// Whether any block has come since the start. Until then the head is what is committed.
    pub is_fed: bool,
    /// The block of the newest snapshot that waits until it is final here.
    pub waiting: Option<BlockRef>,
    /// The block of a snapshot that was refused since one was taken: the store went back.
    pub refused: Option<BlockRef>,
    /// Blocks of all branches that are not committed.
    pub reversible_blocks: usize,
    /// Memory that they take, about.
    pub overlay_bytes: usize,
    /// Those of them whose writes are in the store's scratch space.
    pub spilled_blocks: usize,
    /// Set while the store takes no writes.
    pub stall: Option<Stall>,
    /// Every index.
    pub indexes: Vec<IndexStatus>,
}

/// Hands out what the pipeline publishes. Requests share one; asking never waits for the pipeline's work.
#[derive(Debug)]
pub struct Serving {
    newest: Mutex<(Arc<ServingSnapshot>, Arc<Status>)>,
    changes: watch::Sender<()>,
}

impl Serving {
    pub(crate) fn new(snapshot: ServingSnapshot, status: Status) -> Self {
        Self { newest: Mutex::new((Arc::new(snapshot), Arc::new(status))), changes: watch::Sender::default() }
    }

    fn newest(&self) -> MutexGuard<'_, (Arc<ServingSnapshot>, Arc<Status>)> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<ServingSnapshot> {
        self.newest().0.clone()
    }

    /// The newest status.
    pub fn status(&self) -> Arc<Status> {
        self.newest().1.clone()
    }

    /// Lets requests from now on know of floors that were raised. What the pipeline publishes until its next commit may still
    /// have lower ones: it reads what was there before.
    pub fn take_floors(&self, floors: Floors) {
        let old = {
            let mut newest = self.newest();
            let ServingSnapshot { view, lib, forks, identity, .. } = &*newest.0;
            let snapshot = ServingSnapshot::new(view.with_floors(floors), *lib, forks.clone(), *identity);
            std::mem::replace(&mut newest.0, Arc::new(snapshot))
        };
        drop(old);
        self.changes.send_replace(());
    }

    /// Tells of every new snapshot from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(crate) fn publish(&self, snapshot: ServingSnapshot, status: Status) {
        let new = (Arc::new(snapshot), Arc::new(status));
        let old = std::mem::replace(&mut *self.newest(), new);
        // Freed outside of the lock.
        drop(old);
        self.changes.send_replace(());
    }

    pub(crate) fn publish_status(&self, status: Status) {
        self.newest().1 = Arc::new(status);
    }
}
