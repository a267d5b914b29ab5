//! Writing to the store, and going on when it fails.

use std::sync::Arc;

use bytes::Bytes;
use dfuse_blocks::BlockRef;
use dfuse_kv::{Keyspace, Snapshot, WriteBatch};
use tracing::{error, info, warn};

use super::Pipeline;
use crate::{
    Checkpoint, Delta, Error, Result, Stall, View, branch::Branch, families::Families, overlay::Garbage, scratch,
    spill::Away, tree::Node, view::Committed,
};

/// Blocks whose writes are removed from the scratch space in one commit.
const SPILLED_STEP: usize = 16;

/// When memory is full one part in so many is freed, so that no block waits for long.
const ROOM_PARTS: usize = 8;

impl Pipeline {
    /// Everything up to `to`, on the best chain, is final: step Irreversible. Commits it.
    ///
    /// If the store fails this returns no error: the pipeline stalls ([`Status::stall`](crate::Status::stall)), takes
    /// further steps, keeps serving, and writes everything after [`Pipeline::resume`].
    pub fn finalize(&mut self, to: BlockRef) -> Result<()> {
        let Some((root, head)) = self.root.zip(self.head) else {
            return Err(Error::unlinked(to, "there is no block yet"));
        };
        if to.number <= root.number {
            return if to.number < root.number || to == root {
                Ok(())
            } else {
                Err(Error::Conflict { found: to, committed: root.id })
            };
        }
        if !self.tree.is_ancestor(to, head) {
            return Err(Error::unlinked(to, format!("it is not before the head {}", head.id)));
        }
        if self.target.is_none_or(|target| target.number < to.number) {
            self.target = Some(to);
        }
        self.commit_target()
    }

    /// Tries to write again after the store has failed. Whoever drives the pipeline calls it after a pause, until
    /// [`Status::stall`](crate::Status::stall) is empty.
    ///
    /// Where the store can only be opened again once nobody reads from it, nothing can be read
    /// ([`dfuse_kv::Error::Closed`]) until requests at work have let go of their snapshots.
    pub fn resume(&mut self) -> Result<()> {
        let Some(attempts) = self.stall.as_ref().map(|stall| stall.attempts + 1) else { return Ok(()) };
        if let Err(failure) = self.open_again() {
            if matches!(failure, dfuse_kv::Error::Corrupt { .. }) {
                // Waiting does not mend it.
                return Err(failure.into());
            }
            warn!(attempts, error = %failure, "the store cannot be opened again");
            self.stall = Some(Stall { error: failure.to_string(), attempts });
            self.publish_status();
            return Ok(());
        }
        match self.written() {
            Ok(written) => {
                self.stall = None;
                self.settle(written)?;
                if self.stall.is_none() {
                    self.commit_target()?;
                }
            }
            Err(Error::Store(failure)) => self.stall(&failure),
            Err(error) => return Err(error),
        }
        match &mut self.stall {
            Some(stall) => stall.attempts = attempts,
            None => info!(attempts, "the store takes writes again"),
        }
        self.publish();
        Ok(())
    }

    fn open_again(&mut self) -> dfuse_kv::Result<()> {
        let mut opened = self.try_open_again();
        if matches!(opened, Err(dfuse_kv::Error::Locked { .. })) {
            // What is published holds snapshots.
            self.spill.let_go();
            self.replace_snapshot(Arc::new(Away), self.committed.block);
            self.publish();
            opened = self.try_open_again();
        }
        opened
    }

    fn try_open_again(&mut self) -> dfuse_kv::Result<()> {
        if let Some(reopen) = &mut self.reopen {
            self.store = reopen()?;
        }
        self.spill.reopen()
    }

    /// The last block that the store has of the live indexes. A failed commit may have happened.
    fn written(&self) -> Result<Option<BlockRef>> {
        let snapshot = self.store.snapshot()?;
        let mut written: Option<Option<BlockRef>> = None;
        for slot in self.slots.iter().filter(|slot| slot.is_live()) {
            let value = snapshot.get(self.checkpoints, slot.index.name().as_bytes())?;
            let block = value.map(|value| Checkpoint::decode(&value)).transpose()?.map(|checkpoint| checkpoint.block);
            if *written.get_or_insert(block) != block {
                return Err(Error::Usage("checkpoints of live indexes differ: another process writes to them".into()));
            }
        }
        let written = written.flatten();
        let known = written == self.committed.block || written.is_some_and(|block| self.tree.get(block.id).is_some());
        if known { Ok(written) } else { Err(Error::Usage("another process writes to the indexes".into())) }
    }

    fn commit_target(&mut self) -> Result<()> {
        let committed = self.commit_to_target();
        self.publish();
        committed
    }

    fn commit_to_target(&mut self) -> Result<()> {
        let path = self.target.map_or_else(Vec::new, |target| self.tree.path(target));
        let mut rest = &path[..];
        while !rest.is_empty() && self.stall.is_none() {
            let mut bytes = 0;
            let enough = |block: &BlockRef| {
                bytes += self.tree.get(block.id).map_or(0, |node| node.bytes);
                bytes >= self.options.batch_bytes
            };
            let count = rest.iter().position(enough).map_or(rest.len(), |last| last + 1);
            let (now, later) = rest.split_at(count);
            rest = later;
            self.commit_blocks(now)?;
        }
        if self.stall.is_none() {
            self.target = None;
        }
        self.enter_dumps()
    }

    fn commit_blocks(&mut self, blocks: &[BlockRef]) -> Result<()> {
        let (Some(last), Some(identity)) = (blocks.last().copied(), self.identity) else { return Ok(()) };
        let mut deltas = Vec::new();
        for block in blocks {
            match self.deltas(*block) {
                Ok(more) => deltas.extend(more),
                Err(Error::Store(failure)) => {
                    self.stall(&failure);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let mut batch = batch(&self.families, deltas.iter())?;
        for slot in self.slots.iter().filter(|slot| slot.is_live()) {
            let (schema_version, settings) = (slot.index.schema_version(), slot.index.settings());
            let checkpoint = Checkpoint { schema_version, settings, state: self.state, block: last, identity };
            batch.put(self.checkpoints, slot.index.name().as_bytes(), checkpoint.encode());
        }
        if self.write(batch)? {
            self.settle(Some(last))?;
        }
        Ok(())
    }

    /// What the indexes write for a reversible block, wherever it is.
    fn deltas(&self, block: BlockRef) -> Result<Vec<Delta>> {
        match self.tree.get(block.id).map(|node| &node.deltas) {
            Some(Some(deltas)) => Ok(deltas.clone()),
            Some(None) => self.spill.read(&self.families, block.id),
            None => Ok(Vec::new()),
        }
    }

    /// Enters the ABI dumps whose blocks are committed.
    pub(super) fn enter_dumps(&mut self) -> Result<()> {
        let root = self.root.map_or(u32::MAX, |root| root.number);
        while let Some(at) = self.dumps.iter().position(|dump| dump.block_num <= root)
            && self.stall.is_none()
        {
            let view = View::new(self.committed.clone(), Branch::committed(root), self.committed.block);
            let live = self.slots.iter().filter(|slot| slot.is_live());
            let deltas = live.map(|slot| slot.index.abi_dump(&self.dumps[at], &view)).collect::<Result<Vec<_>>>();
            drop(view);
            let deltas = match deltas {
                Err(Error::Store(failure)) => {
                    self.stall(&failure);
                    break;
                }
                deltas => deltas?,
            };
            if self.write(batch(&self.families, deltas.iter())?)? {
                self.dumps.remove(at);
                self.settle(self.committed.block)?;
            }
        }
        Ok(())
    }

    /// Whether the batch is written; if not, the pipeline stalls.
    fn write(&mut self, batch: WriteBatch) -> Result<bool> {
        match self.store.commit(batch, self.options.durability) {
            Ok(()) => Ok(true),
            Err(failure @ (dfuse_kv::Error::Invalid(_) | dfuse_kv::Error::Closed)) => Err(failure.into()),
            Err(failure) => {
                self.stall(&failure);
                Ok(false)
            }
        }
    }

    /// Whether the store takes no writes.
    pub fn is_stalled(&self) -> bool {
        self.stall.is_some()
    }

    /// Fails while the store takes no writes.
    pub(crate) fn check_stall(&self) -> Result<()> {
        match &self.stall {
            None => Ok(()),
            Some(stall) => Err(Error::Stalled(stall.error.clone())),
        }
    }

    fn stall(&mut self, failure: &dfuse_kv::Error) {
        let attempts = self.stall.as_ref().map_or(0, |stall| stall.attempts);
        error!(%failure, "the store takes no writes; serving what is there");
        self.stall = Some(Stall { error: failure.to_string(), attempts });
        self.publish_status();
    }

    /// The store has everything up to `block`: what was above it no longer needs to be.
    fn settle(&mut self, block: Option<BlockRef>) -> Result<()> {
        let snapshot = match self.store.snapshot() {
            Ok(snapshot) => snapshot,
            Err(failure) => {
                self.stall(&failure);
                return Ok(());
            }
        };
        let mut gone = Vec::new();
        if let Some(block) = block.filter(|block| Some(*block) != self.root) {
            self.root = Some(block);
            gone = self.tree.cut(block);
            if !self.forks.is_empty() {
                let forks = Arc::make_mut(&mut self.forks);
                gone.iter().for_each(|node| drop(forks.remove(&node.block.id)));
            }
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

    /// Removes the writes of these blocks from the scratch space.
    fn remove_spilled(&mut self, blocks: &[Node]) -> Result<()> {
        for step in blocks.chunks(SPILLED_STEP) {
            let mut batch = WriteBatch::new();
            for node in step {
                // What cannot be removed is of no harm, and is gone when the process begins again.
                let Ok(deltas) = self.spill.read(&self.families, node.block.id) else { continue };
                scratch::delete(&mut batch, &self.families, node.block.id, node.place, &deltas)?;
            }
            if let Err(failure) = self.spill.write(batch, std::iter::empty()) {
                self.stall(&failure);
                break;
            }
        }
        if self.tree.spilled() == 0 {
            self.spill.forget();
        }
        Ok(())
    }

    pub(super) fn replace_snapshot(&mut self, snapshot: Arc<dyn Snapshot>, block: Option<BlockRef>) {
        let generation = self.committed.generation + 1;
        let (families, overlay) = (self.families.clone(), self.overlay.clone());
        let spilled = self.spill.spilled().cloned();
        // Read after the snapshot was taken: what is gone from it is below them.
        let floors = self.floors.get();
        self.committed = Arc::new(Committed::new(snapshot, families, overlay, block, generation, spilled, floors));
    }

    /// Puts the oldest writes into the scratch space when memory is full. Fails if that cannot be done.
    pub(super) fn make_room(&mut self) -> Result<()> {
        if self.tree.bytes() < self.options.overlay_bytes {
            return Ok(());
        }
        let mut garbage = Vec::new();
        let room = self.options.overlay_bytes / ROOM_PARTS;
        while self.stall.is_none() && self.tree.bytes() > self.options.overlay_bytes - room {
            let in_memory = self.tree.nodes().filter(|node| node.deltas.is_some());
            let mut bytes = 0;
            let step: Vec<_> = in_memory
                .take_while(|node| {
                    let enough = bytes >= self.options.batch_bytes.min(room).max(1);
                    bytes += node.bytes;
                    !enough
                })
                .map(|node| (node.block.id, node.place))
                .collect();
            if step.is_empty() {
                break;
            }
            let mut batch = WriteBatch::new();
            let mut keys = Vec::new();
            for (id, place) in &step {
                let deltas = self.tree.get(*id).and_then(|node| node.deltas.as_deref()).unwrap_or_default();
                scratch::put(&mut batch, &self.families, *id, *place, deltas)?;
                for (family, writes) in deltas.iter().flat_map(Delta::families) {
                    let keyspace = self.families.keyspace(family)?;
                    keys.extend(writes.iter().map(|(key, _)| (keyspace, &key[..])));
                }
            }
            match self.spill.write(batch, keys.into_iter()) {
                Ok(()) => {
                    let spilled = step.into_iter().map(|(id, place)| (self.tree.spill(id), place));
                    garbage.extend(spilled.map(|(deltas, place)| Garbage { deltas, place, committed: 0 }));
                }
                Err(failure) => self.stall(&failure),
            }
        }
        if !garbage.is_empty() {
            info!(blocks = garbage.len(), spilled = self.tree.spilled(), "reversible blocks moved out of memory");
            // Only views from now on find them in the scratch space.
            self.overlay.forget(&self.families, self.committed.generation + 1, garbage);
            self.replace_snapshot(self.committed.snapshot.clone(), self.committed.block);
        }
        match (&self.stall, self.tree.bytes()) {
            (Some(_), bytes) if bytes >= self.options.overlay_bytes => Err(Error::Overloaded { bytes }),
            _ => Ok(()),
        }
    }
}

/// The writes of deltas, later ones over earlier ones, each key once, in the order of keyspaces and keys.
fn batch<'a>(families: &Families, deltas: impl Iterator<Item = &'a Delta>) -> Result<WriteBatch> {
    let mut writes: Vec<(Keyspace, &Bytes, &Option<Bytes>)> = Vec::new();
    for (family, entries) in deltas.flat_map(Delta::families) {
        let keyspace = families.keyspace(family)?;
        writes.extend(entries.iter().map(|(key, value)| (keyspace, key, value)));
    }
    // Stable: of writes to one key the last stays the last.
    writes.sort_by(|(keyspace, key, _), (other, other_key, _)| (keyspace, key).cmp(&(other, other_key)));
    let mut batch = WriteBatch::new();
    for (at, (keyspace, key, value)) in writes.iter().enumerate() {
        if writes.get(at + 1).is_some_and(|(next, next_key, _)| (next, next_key) == (keyspace, key)) {
            continue;
        }
        match value {
            Some(value) => batch.put(*keyspace, (*key).clone(), value.clone()),
            None => batch.delete(*keyspace, (*key).clone()),
        }
    }
    Ok(batch)
}
