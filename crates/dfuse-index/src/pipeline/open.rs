//! Opening, and an index that is built while others serve.

use std::sync::Arc;

use dfuse_antelope::model::Block;
use dfuse_blocks::BlockRef;
use dfuse_kv::{Reopen, Store};

use super::Pipeline;
use crate::{
    BlockContext, ChainIdentity, Checkpoint, CheckpointState, EarlierWay, Error, Follower, Index, IndexState, Options,
    Part, Result, ScratchSpace,
    checkpoint::read_checkpoint,
    follower::{Slot, Writer, open::identify},
    overlay::Garbage,
};

impl Pipeline {
    /// Opens the indexes of a store, which has the [`keyspaces`](crate::keyspaces) of them all.
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
        let follower = Follower::begin(store.clone(), indexes, options, Writer::Pipeline)?;
        Ok(Self { follower, store, reopen })
    }

    /// An index that was [built](crate::Rebuild) up to the committed block takes part from here on. `reversible` finds the
    /// blocks above that one, which are known to the pipeline.
    pub fn join(&mut self, name: &str, mut reversible: impl FnMut(BlockRef) -> Result<Arc<Block>>) -> Result<()> {
        let position = self.follower.slots.iter().position(|slot| slot.index.name() == name && !slot.is_live());
        let position = position.ok_or_else(|| Error::Usage(format!("no index \"{name}\" is waiting to be built")))?;
        let index = self.follower.slots[position].index.clone();
        let checkpoint = read_checkpoint(&*self.store, name)?;
        let built = checkpoint.filter(|it| it.state == CheckpointState::Complete && Some(it.block) == self.committed());
        let (Some(_), Some(root)) = (built, self.follower.root) else {
            return Err(Error::NotBuilt { index: index.name() });
        };
        if self.follower.tree.spilled() > 0 {
            return Err(Error::Usage("reversible blocks are out of memory; wait until finality moves on".into()));
        }
        let mut families = (*self.follower.families).clone();
        families.set_readable(name, true);
        self.follower.families = Arc::new(families);
        let snapshot = self.store.snapshot()?;
        self.follower.replace_snapshot(snapshot, self.committed());
        let nodes: Vec<_> = self.follower.tree.nodes().map(|node| (node.block, node.parent, node.place)).collect();
        let mut join = || {
            // Parents first: their writes are in the view of their children.
            for (block, parent, place) in &nodes {
                let content = reversible(*block)?;
                let delta = index.delta(&BlockContext::new(&content), &self.follower.view(root, *parent))?;
                self.follower.overlay.insert(&self.follower.families, *place, &delta)?;
                self.follower.tree.add_delta(block.id, position, delta);
            }
            Ok(())
        };
        let result = join();
        match result {
            Ok(()) => self.follower.slots[position].state = IndexState::Live,
            Err(_) => {
                // Nobody has read what is there of it, and it must not be committed.
                for (block, _, place) in nodes {
                    let deltas = vec![self.follower.tree.take_delta(block.id, position)];
                    self.follower.overlay.remove(&self.follower.families, &Garbage { deltas, place, committed: 0 });
                }
                let mut families = (*self.follower.families).clone();
                families.set_readable(name, false);
                self.follower.families = Arc::new(families);
                let snapshot = self.store.snapshot()?;
                self.follower.replace_snapshot(snapshot, self.committed());
            }
        }
        self.follower.publish();
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
        let (snapshot, slots) = (store.snapshot()?, slots.into());
        let mut follower = Follower::assemble(store.clone(), snapshot, slots, checkpoint, options, Writer::Pipeline)?;
        follower.state = CheckpointState::Building;
        follower.identity = identity.map(|identity| identify(identity, &follower.options)).transpose()?;
        // What is found by it ends where the block files do; it is built from there on.
        let begins_later = follower.slots[0].index.is_read_with_block_files()
            && identity.is_some_and(|it| follower.floors.get().get(Part::BlockFiles) > it.first_parent.number + 1);
        if checkpoint.is_none() && !begins_later {
            let takes_earlier = follower.slots[0].index.earlier_way() != EarlierWay::Never;
            let earlier = follower.committed.earlier.as_ref().filter(|_| takes_earlier);
            let joined = earlier.map(|earlier| earlier.first_parent);
            follower.root = joined.or(identity.map(|identity| identity.first_parent));
            follower.head = follower.root;
        }
        let mut families = (*follower.families).clone();
        for other in others.iter().filter(|other| other.name() != follower.slots[0].index.name()) {
            for family in other.families() {
                families.add(*family, follower.store.keyspace(family.name())?, other.name(), true);
            }
        }
        follower.families = Arc::new(families);
        let snapshot = follower.store.snapshot()?;
        follower.replace_snapshot(snapshot, follower.committed.block);
        Ok(Self { follower, store, reopen: None })
    }
}
