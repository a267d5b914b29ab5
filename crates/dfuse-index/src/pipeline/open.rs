//! Opening: what the store has, and whether it fits.

use std::sync::Arc;

use dfuse_antelope::model::Block;
use dfuse_blocks::BlockRef;
use dfuse_kv::{Reopen, Store};

use super::{Options, Pipeline, Slot};
use crate::{
    BlockContext, ChainIdentity, Checkpoint, CheckpointState, Error, Index, IndexState, Part, Result, ScratchSpace, Serving,
    ServingSnapshot, SharedFloors, Status, View,
    branch::Branch,
    checkpoint::CHECKPOINTS,
    families::Families,
    overlay::{Garbage, Overlay},
    retention::Record,
    spill::Spill,
    tree::Tree,
    view::Committed,
};

/// Names of the keyspaces that a store of these indexes has: open it with them.
pub fn keyspaces(indexes: &[Arc<dyn Index>]) -> Vec<&'static str> {
    let families = indexes.iter().flat_map(|index| index.families());
    [CHECKPOINTS].iter().chain(families).map(|family| family.name()).collect()
}

impl Pipeline {
    /// Opens the indexes of a store, which has the [`keyspaces`] of them all.
    ///
    /// An index that has fewer blocks than others is left out until it is built ([`IndexState::Behind`]): reading from
    /// it is [`Error::NotBuilt`]. Fails with [`Error::OtherChain`], [`Error::NewerSchema`] or [`Error::OlderSchema`] if
    /// the store does not fit, the latter two unless the index is named in [`Options::rebuild`].
    pub fn open(
        store: Arc<dyn Store>,
        reopen: Option<Reopen>,
        indexes: Vec<Arc<dyn Index>>,
        options: Options,
    ) -> Result<Self> {
        options.scratch.clear()?;
        let mut found = Vec::new();
        for index in &indexes {
            let checkpoint = read_checkpoint(&*store, index.name())?;
            let rebuild = options.rebuild.iter().any(|name| name == "*" || name == index.name());
            found.push(usable(&**index, checkpoint, rebuild)?);
        }
        let newest = found.iter().flatten().filter(|it| it.state == CheckpointState::Complete);
        let newest = newest.max_by_key(|checkpoint| checkpoint.block.number).copied();
        let slots = indexes.into_iter().zip(found).map(|(index, found)| {
            let complete = found.filter(|it| it.state == CheckpointState::Complete);
            let live = complete.map(|it| it.block) == newest.map(|it| it.block);
            // Without any checkpoint everything begins with the first block.
            let fresh = newest.is_none() && found.is_none();
            let behind = found.filter(|it| it.state != CheckpointState::Dropping).map(|it| it.block);
            let live = if newest.is_none() { fresh } else { live };
            Slot { index, state: if live { IndexState::Live } else { IndexState::Behind(behind) } }
        });
        let slots = slots.collect();
        let pipeline = Self::assemble(store, reopen, slots, newest, CheckpointState::Complete, options)?;
        pipeline.warn_of_mid_chain_start();
        Ok(pipeline)
    }

    /// An index that was [built](crate::Rebuild) up to the committed block takes part from here on. `reversible` finds the
    /// blocks above that one, which are known to the pipeline.
    pub fn join(&mut self, name: &str, mut reversible: impl FnMut(BlockRef) -> Result<Arc<Block>>) -> Result<()> {
        let position = self.slots.iter().position(|slot| slot.index.name() == name && !slot.is_live());
        let position = position.ok_or_else(|| Error::Usage(format!("no index \"{name}\" is waiting to be built")))?;
        let index = self.slots[position].index.clone();
        let checkpoint = read_checkpoint(&*self.store, name)?;
        let built =
            checkpoint.filter(|it| it.state == CheckpointState::Complete && Some(it.block) == self.committed.block);
        let (Some(_), Some(root)) = (built, self.root) else {
            return Err(Error::NotBuilt { index: index.name() });
        };
        if self.tree.spilled() > 0 {
            return Err(Error::Usage("reversible blocks are out of memory; wait until finality moves on".into()));
        }
        let mut families = (*self.families).clone();
        families.set_readable(name, true);
        self.families = Arc::new(families);
        let snapshot = self.store.snapshot()?;
        self.replace_snapshot(snapshot, self.committed.block);
        let nodes: Vec<_> = self.tree.nodes().map(|node| (node.block, node.parent, node.place)).collect();
        let mut join = || {
            // Parents first: their writes are in the view of their children.
            for (block, parent, place) in &nodes {
                let content = reversible(*block)?;
                let delta = index.delta(&BlockContext::new(&content), &self.view(root, *parent))?;
                self.overlay.insert(&self.families, *place, &delta)?;
                self.tree.add_delta(block.id, position, delta);
            }
            Ok(())
        };
        let result = join();
        match result {
            Ok(()) => self.slots[position].state = IndexState::Live,
            Err(_) => {
                // Nobody has read what is there of it, and it must not be committed.
                for (block, _, place) in nodes {
                    let deltas = vec![self.tree.take_delta(block.id, position)];
                    self.overlay.remove(&self.families, &Garbage { deltas, place, committed: 0 });
                }
                let mut families = (*self.families).clone();
                families.set_readable(name, false);
                self.families = Arc::new(families);
                let snapshot = self.store.snapshot()?;
                self.replace_snapshot(snapshot, self.committed.block);
            }
        }
        self.publish();
        result
    }

    /// A pipeline of one index that others are ahead of; it reads from them, too.
    pub(crate) fn open_one(
        store: Arc<dyn Store>,
        index: Arc<dyn Index>,
        others: &[Arc<dyn Index>],
        checkpoint: Option<Checkpoint>,
        identity: Option<ChainIdentity>,
        options: Options,
    ) -> Result<Self> {
        let slots = [Slot { index, state: IndexState::Live }];
        // That of the others is theirs.
        let options = Options { scratch: ScratchSpace::in_memory(), ..options };
        let mut pipeline = Self::assemble(store, None, slots.into(), checkpoint, CheckpointState::Building, options)?;
        pipeline.identity = identity.map(|identity| identify(identity, &pipeline.options)).transpose()?;
        // What is found by it ends where the block files do; it is built from there on.
        let begins_later = pipeline.slots[0].index.is_read_with_block_files()
            && identity.is_some_and(|it| pipeline.floors.get().get(Part::BlockFiles) > it.first_parent.number + 1);
        if checkpoint.is_none() && !begins_later {
            pipeline.root = identity.map(|identity| identity.first_parent);
            pipeline.head = pipeline.root;
        }
        let mut families = (*pipeline.families).clone();
        for other in others.iter().filter(|other| other.name() != pipeline.slots[0].index.name()) {
            for family in other.families() {
                families.add(*family, pipeline.store.keyspace(family.name())?, other.name(), true);
            }
        }
        pipeline.families = Arc::new(families);
        let snapshot = pipeline.store.snapshot()?;
        pipeline.replace_snapshot(snapshot, pipeline.committed.block);
        Ok(pipeline)
    }

    fn assemble(
        store: Arc<dyn Store>,
        reopen: Option<Reopen>,
        slots: Vec<Slot>,
        checkpoint: Option<Checkpoint>,
        state: CheckpointState,
        options: Options,
    ) -> Result<Self> {
        let mut families = Families::new();
        for slot in &slots {
            for family in slot.index.families() {
                families.add(*family, store.keyspace(family.name())?, slot.index.name(), slot.is_live());
            }
        }
        let identity = match checkpoint {
            Some(checkpoint) => Some(identify(checkpoint.identity, &options)?),
            None => None,
        };
        let block = checkpoint.map(|checkpoint| checkpoint.block);
        let families = Arc::new(families);
        let overlay = Arc::new(Overlay::new(store.keyspaces().len()));
        let floors = Arc::new(SharedFloors::new(Record::read(&*store)?));
        let (snapshot, kept) = (store.snapshot()?, floors.get());
        let committed = Committed::new(snapshot, families.clone(), overlay.clone(), block, 0, None, kept);
        let committed = Arc::new(committed);
        let view = View::new(committed.clone(), Branch::committed(committed.number()), block);
        let serving = ServingSnapshot::new(view, block, Arc::default(), identity);
        let mut pipeline = Self {
            checkpoints: store.keyspace(CHECKPOINTS.name())?,
            spill: Spill::new(options.scratch.clone()),
            store,
            reopen,
            options,
            slots,
            state,
            identity,
            families,
            overlay,
            committed,
            root: block,
            tree: Tree::default(),
            head: block,
            target: None,
            stall: None,
            forks: Arc::default(),
            dumps: Vec::new(),
            serving: Arc::new(Serving::new(serving, Status::default())),
            floors,
        };
        pipeline.publish();
        Ok(pipeline)
    }
}

pub(crate) fn read_checkpoint(store: &dyn Store, index: &str) -> Result<Option<Checkpoint>> {
    let keyspace = store.keyspace(CHECKPOINTS.name())?;
    let value = store.snapshot()?.get(keyspace, index.as_bytes())?;
    value.map(|value| Checkpoint::decode(&value)).transpose()
}

/// What of an index can be built upon.
fn usable(index: &dyn Index, checkpoint: Option<Checkpoint>, rebuild: bool) -> Result<Option<Checkpoint>> {
    let Some(checkpoint) = checkpoint else { return Ok(None) };
    if checkpoint.state == CheckpointState::Loading {
        return Err(Error::LoadUnfinished { block: checkpoint.block });
    }
    let (found, known) = (checkpoint.schema_version, index.schema_version());
    let same_settings = checkpoint.settings == index.settings();
    if found == known && same_settings {
        return Ok(Some(checkpoint));
    }
    if rebuild || checkpoint.state != CheckpointState::Complete {
        let state = CheckpointState::Dropping;
        return Ok(Some(Checkpoint { state, ..checkpoint }));
    }
    Err(match found > known {
        _ if found == known => Error::OtherSettings { index: index.name() },
        true => Error::NewerSchema { index: index.name(), found, known },
        false => Error::OlderSchema { index: index.name(), found, known },
    })
}

/// The chain that the store has, which must be the one that is wanted.
fn identify(stored: ChainIdentity, options: &Options) -> Result<ChainIdentity> {
    match (stored.chain_id, options.chain_id) {
        (Some(stored), Some(wanted)) if stored != wanted => {
            Err(Error::OtherChain(format!("their chain id is {stored}, that of this chain {wanted}")))
        }
        (known, wanted) => Ok(ChainIdentity { chain_id: known.or(wanted), ..stored }),
    }
}
