//! A newer snapshot in place of the deltas of its blocks.

use std::sync::Arc;

use dfuse_antelope::AbiDump;
use dfuse_blocks::BlockRef;
use dfuse_kv::Snapshot;
use tracing::{info, warn};

use super::{Adopted, Follower, Writer, open::identify};
use crate::{
    ChainIdentity, Checkpoint, CheckpointState, Earlier, Error, Result, View, branch::Branch,
    checkpoint::checkpoint_in, overlay::Garbage, retention::Record, view::Committed,
};

/// Snapshots that may wait: the first, so that memory is freed while blocks come more slowly than snapshots, and the newest.
const MAX_WAITING: usize = 2;

impl Follower {
    /// Adopts a new snapshot of the store if there may be one with something new: to be called every few seconds.
    ///
    /// # Errors
    /// Those of [`Follower::adopt`] and of the store. After [`dfuse_kv::Error::Unavailable`] views read from what was there before.
    pub fn adopt_newest(&mut self) -> Result<Option<Adopted>> {
        let changes = self.store.changes()?;
        if self.seen == Some(changes) {
            return Ok(None);
        }
        let adopted = self.adopt(self.store.snapshot()?)?;
        self.seen = Some(changes);
        Ok(Some(adopted))
    }

    /// Views are to read from this snapshot of the store if its block, of which its own checkpoints tell, is final here and not
    /// below that of the one before. No answer changes, and neither that block nor the head ever goes back.
    ///
    /// Before any block has come, the head goes to the snapshot's block.
    ///
    /// # Errors
    /// [`Error::OtherChain`] if the store has another block at a height that is final here: stop. [`Error::EarlierJoined`] if the
    /// follower must be opened anew. Those of reading leave everything as it was.
    pub fn adopt(&mut self, snapshot: Arc<dyn Snapshot>) -> Result<Adopted> {
        let checkpoint = self.checkpoint_of(&*snapshot)?;
        let adopted = self.try_adopt(snapshot, checkpoint)?;
        self.publish();
        Ok(adopted)
    }

    fn try_adopt(&mut self, snapshot: Arc<dyn Snapshot>, checkpoint: Option<Checkpoint>) -> Result<Adopted> {
        let block = checkpoint.map(|checkpoint| checkpoint.block);
        let identity = match checkpoint {
            Some(checkpoint) => Some(self.identify(checkpoint.identity)?),
            None => self.identity,
        };
        match self.standing(block)? {
            Adopted::Taken => {
                self.must_have_lists_of(&*snapshot, block)?;
                self.floors.follow(Record::read(&*snapshot, self.checkpoints)?);
                self.identity = identity;
                self.refused = None;
                self.settle(snapshot, block)?;
                self.forget_known_dumps()?;
                Ok(Adopted::Taken)
            }
            Adopted::Waiting => {
                self.waiting.extend(block.map(|block| (block, snapshot)));
                if self.waiting.len() > MAX_WAITING {
                    self.waiting.remove(MAX_WAITING - 1);
                }
                Ok(Adopted::Waiting)
            }
            Adopted::Refused => {
                let committed = self.root.map(|root| root.number);
                let found = block.map(|block| block.number);
                warn!(
                    found,
                    committed,
                    "the store of the indexes went back, as after it was restored from a copy: what was read before stays"
                );
                self.refused = block;
                Ok(Adopted::Refused)
            }
        }
    }

    /// Adopts the newest of the snapshots that waited for what is final now.
    pub(super) fn adopt_waiting(&mut self) -> Result<()> {
        let is_final = |block: BlockRef| self.target.is_some_and(|target| block.number <= target.number);
        let Some(at) = self.waiting.iter().rposition(|(block, _)| is_final(*block)) else { return Ok(()) };
        let Some((_, snapshot)) = self.waiting.drain(..=at).next_back() else { return Ok(()) };
        let checkpoint = self.checkpoint_of(&*snapshot)?;
        self.try_adopt(snapshot, checkpoint).map(drop)
    }

    /// The writes of reversible blocks were made with the lists of the store. If earlier blocks have joined these since, they would
    /// hide what came with them.
    fn must_have_lists_of(&self, snapshot: &dyn Snapshot, block: Option<BlockRef>) -> Result<()> {
        let parts = |earlier: Option<&Earlier>| earlier.map_or(0, |earlier| earlier.parts.len());
        let found = Earlier::read(snapshot, self.checkpoints)?;
        let stays = |number: u32| block.is_none_or(|block| number > block.number);
        match self.tree.nodes().any(|node| stays(node.block.number)) {
            true if parts(found.as_ref()) > parts(self.committed.earlier.as_deref()).max(1) => {
                Err(Error::EarlierJoined)
            }
            _ => Ok(()),
        }
    }

    /// What is to be done with a snapshot of a block.
    fn standing(&self, block: Option<BlockRef>) -> Result<Adopted> {
        let Some(block) = block else {
            // Only what comes before the first commit can be new.
            return Ok(if self.committed.block.is_none() { Adopted::Taken } else { Adopted::Refused });
        };
        let Some(root) = self.root else { return Ok(Adopted::Taken) };
        let other = |own: BlockRef| {
            let why = format!("their block {} is {}, that of this chain {}", block.number, block.id, own.id);
            Err(Error::OtherChain(why))
        };
        if block.number <= root.number {
            return match block.number < root.number {
                true => Ok(Adopted::Refused),
                false if block == root => Ok(Adopted::Taken),
                false => other(root),
            };
        }
        if !self.is_fed {
            return Ok(Adopted::Taken);
        }
        let last = self.target.filter(|target| target.number >= block.number);
        match last.and_then(|last| self.tree.ancestors(last).find(|node| node.block.number == block.number)) {
            Some(own) if own.block == block => Ok(Adopted::Taken),
            Some(own) => other(own.block),
            None => Ok(Adopted::Waiting),
        }
    }

    /// The checkpoint of the live indexes in a snapshot.
    pub(crate) fn checkpoint_of(&self, snapshot: &dyn Snapshot) -> Result<Option<Checkpoint>> {
        let mut common: Option<Option<Checkpoint>> = None;
        for slot in self.slots.iter().filter(|slot| slot.is_live()) {
            let found = checkpoint_in(snapshot, self.checkpoints, slot.index.name())?;
            if self.writer == Writer::Other && found.is_some_and(|found| found.state != CheckpointState::Complete) {
                return Err(Error::NotBuilt { index: slot.index.name() });
            }
            let block = |found: &Option<Checkpoint>| found.map(|found| found.block);
            if block(common.get_or_insert(found)) != block(&found) {
                return Err(Error::Usage("checkpoints of live indexes differ: another process writes to them".into()));
            }
        }
        Ok(common.flatten())
    }

    /// The chain of the store, which must be the one that is followed.
    fn identify(&self, stored: ChainIdentity) -> Result<ChainIdentity> {
        let stored = identify(stored, &self.options)?;
        let Some(own) = self.identity else { return Ok(stored) };
        let (theirs, ours) = (stored.first_parent, own.first_parent);
        // It may have been given earlier blocks.
        if theirs.number == ours.number && theirs.id != ours.id {
            return Err(Error::OtherChain(format!("they begin after block {}, not {}", theirs.id, ours.id)));
        }
        Ok(ChainIdentity { chain_id: stored.chain_id.or(own.chain_id), ..stored })
    }

    /// The snapshot has everything up to `block`: what was above it no longer needs to be.
    pub(crate) fn settle(&mut self, snapshot: Arc<dyn Snapshot>, block: Option<BlockRef>) -> Result<()> {
        let mut gone = Vec::new();
        if let Some(block) = block.filter(|block| Some(*block) != self.root) {
            self.root = Some(block);
            gone = self.tree.cut(block);
            if !self.is_fed {
                self.head = Some(block);
            }
            if !self.forks.is_empty() {
                let forks = Arc::make_mut(&mut self.forks);
                gone.iter().for_each(|node| drop(forks.remove(&node.block.id)));
            }
        }
        if self.target.is_some_and(|target| block.is_some_and(|block| target.number <= block.number)) {
            self.target = None;
        }
        let (spilled, held): (Vec<_>, Vec<_>) = gone.into_iter().partition(|node| node.deltas.is_none());
        self.remove_spilled(&spilled)?;
        self.replace_snapshot(snapshot, block);
        let committed = self.committed.number();
        let held =
            held.into_iter().filter_map(|node| Some(Garbage { deltas: node.deltas?, place: node.place, committed }));
        self.overlay.forget(&self.families, self.committed.generation, held.collect());
        Ok(())
    }

    pub(crate) fn replace_snapshot(&mut self, snapshot: Arc<dyn Snapshot>, block: Option<BlockRef>) {
        let irreversible = match self.writer {
            Writer::Pipeline => block,
            Writer::Other => self.target.or(block),
        };
        // What a store that is being opened again does not say is as it was.
        let earlier = match Earlier::read(&*snapshot, self.checkpoints) {
            Ok(found) => found.map(Arc::new),
            Err(_) => self.committed.earlier.clone(),
        };
        let committed = Committed {
            snapshot,
            families: self.families.clone(),
            overlay: self.overlay.clone(),
            block,
            irreversible,
            generation: self.committed.generation + 1,
            // Read after the snapshot was taken: what is gone from it is below them.
            floors: self.floors.get(),
            earlier,
            spilled: self.spill.spilled().cloned(),
        };
        self.committed = Arc::new(committed.pinned());
    }

    /// A node told the ABIs that it had when it started, which whoever writes the store puts into it. Deltas follow from them, so
    /// no block is taken until a snapshot has those of a block that is committed.
    ///
    /// # Errors
    /// Those of reading.
    pub fn abi_dump(&mut self, dump: AbiDump) -> Result<()> {
        self.dumps.push(dump);
        self.forget_known_dumps()
    }

    /// Position of a dump that the store must have now, and a view of what is committed.
    pub(crate) fn due_dump(&self) -> Option<(usize, View)> {
        let root = self.root.map_or(u32::MAX, |root| root.number);
        let at = self.dumps.iter().position(|dump| dump.block_num <= root)?;
        Some((at, View::new(self.committed.clone(), Branch::committed(root), self.committed.block)))
    }

    /// Forgets dumps of which the store has everything.
    fn forget_known_dumps(&mut self) -> Result<()> {
        while let Some((at, view)) = self.due_dump() {
            for slot in self.slots.iter().filter(|slot| slot.is_live()) {
                if !slot.index.abi_dump(&self.dumps[at], &view)?.is_empty() {
                    return Ok(());
                }
            }
            info!(block = self.dumps[at].block_num, "the store has the ABIs that a node told");
            self.dumps.remove(at);
        }
        Ok(())
    }

    pub(super) fn must_have_dumps(&self) -> Result<()> {
        match self.due_dump() {
            Some((at, _)) => Err(Error::AwaitsDump { block: self.dumps[at].block_num }),
            None => Ok(()),
        }
    }
}
