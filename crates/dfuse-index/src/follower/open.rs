//! Opening: what the store has, and whether it fits.

use std::sync::Arc;

use dfuse_kv::{ReadStore, Snapshot};

use super::{Follower, Slot, Writer};
use crate::{
    ChainIdentity, Checkpoint, CheckpointState, Earlier, Error, Index, IndexState, Options, Result, Serving,
    ServingSnapshot, SharedFloors, Status, View,
    branch::Branch,
    checkpoint::{CHECKPOINTS, checkpoint_in},
    families::Families,
    overlay::Overlay,
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

impl Follower {
    /// Begins with what another process has put into a store, which has the [`keyspaces`] of these indexes.
    ///
    /// An index that has fewer blocks than others is left out ([`IndexState::Behind`]). Fails as
    /// [`Pipeline::open`](crate::Pipeline::open) does if the store does not fit.
    pub fn open(store: Arc<dyn ReadStore>, indexes: Vec<Arc<dyn Index>>, options: Options) -> Result<Self> {
        Self::begin(store, indexes, options, Writer::Other)
    }

    pub(crate) fn begin(
        store: Arc<dyn ReadStore>,
        indexes: Vec<Arc<dyn Index>>,
        options: Options,
        writer: Writer,
    ) -> Result<Self> {
        options.scratch.clear()?;
        let (snapshot, checkpoints) = (store.snapshot()?, store.keyspace(CHECKPOINTS.name())?);
        let mut found = Vec::new();
        for index in &indexes {
            let checkpoint = checkpoint_in(&*snapshot, checkpoints, index.name())?;
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
        let follower = Self::assemble(store, snapshot, slots, newest, options, writer)?;
        follower.warn_of_mid_chain_start();
        Ok(follower)
    }

    /// With these indexes, of which the live ones are at the checkpoint.
    pub(crate) fn assemble(
        store: Arc<dyn ReadStore>,
        snapshot: Arc<dyn Snapshot>,
        slots: Vec<Slot>,
        checkpoint: Option<Checkpoint>,
        options: Options,
        writer: Writer,
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
        let checkpoints = store.keyspace(CHECKPOINTS.name())?;
        let floors = Arc::new(SharedFloors::new(Record::read(&*snapshot, checkpoints)?));
        let earlier = Earlier::read(&*snapshot, checkpoints)?.map(Arc::new);
        let committed = Committed {
            snapshot,
            families: families.clone(),
            overlay: overlay.clone(),
            block,
            irreversible: block,
            generation: 0,
            floors: floors.get(),
            earlier,
            spilled: None,
        };
        let committed = Arc::new(committed.pinned());
        let view = View::new(committed.clone(), Branch::committed(committed.number()), block);
        let serving = ServingSnapshot::new(view, block, Arc::default(), identity);
        let mut follower = Self {
            checkpoints,
            state: CheckpointState::Complete,
            spill: Spill::new(options.scratch.clone()),
            store,
            writer,
            options,
            slots,
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
            is_fed: false,
            waiting: Default::default(),
            refused: None,
            seen: None,
        };
        follower.publish();
        Ok(follower)
    }
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
pub(crate) fn identify(stored: ChainIdentity, options: &Options) -> Result<ChainIdentity> {
    match (stored.chain_id, options.chain_id) {
        (Some(stored), Some(wanted)) if stored != wanted => {
            Err(Error::OtherChain(format!("their chain id is {stored}, that of this chain {wanted}")))
        }
        (known, wanted) => Ok(ChainIdentity { chain_id: known.or(wanted), ..stored }),
    }
}
