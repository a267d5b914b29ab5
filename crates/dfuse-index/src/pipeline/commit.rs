//! Writing to the store, and going on when it fails.

use std::sync::Arc;

use bytes::Bytes;
use dfuse_blocks::BlockRef;
use dfuse_kv::{Direction, Entry, KeyRange, Keyspace, Scan, Snapshot, WriteBatch};
use tracing::{error, info, warn};

use super::Pipeline;
use crate::{
    Checkpoint, Delta, Error, Result, Stall,
    overlay::Garbage,
    view::{Committed, Families},
};

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
        let Some(stall) = &mut self.stall else { return Ok(()) };
        if let Some(reopen) = &mut self.reopen {
            match reopen() {
                Ok(store) => self.store = store,
                Err(failure) => {
                    stall.attempts += 1;
                    stall.error = failure.to_string();
                    warn!(attempts = stall.attempts, error = %failure, "the store cannot be opened again");
                    if matches!(failure, dfuse_kv::Error::Locked { .. }) {
                        self.replace_snapshot(Arc::new(Unavailable), self.committed.block);
                        self.publish();
                    } else {
                        self.publish_status();
                    }
                    return Ok(());
                }
            }
        }
        let attempts = stall.attempts + 1;
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
        let Some(target) = self.target else { return Ok(()) };
        let path = self.tree.path(target);
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
        self.publish();
        Ok(())
    }

    fn commit_blocks(&mut self, blocks: &[BlockRef]) -> Result<()> {
        let (Some(last), Some(identity)) = (blocks.last().copied(), self.identity) else { return Ok(()) };
        let deltas = blocks.iter().filter_map(|block| self.tree.get(block.id)).flat_map(|node| &node.deltas);
        let mut batch = batch(&self.families, deltas)?;
        for slot in self.slots.iter().filter(|slot| slot.is_live()) {
            let checkpoint =
                Checkpoint { schema_version: slot.index.schema_version(), state: self.state, block: last, identity };
            batch.put(self.checkpoints, slot.index.name().as_bytes(), checkpoint.encode());
        }
        if self.write(batch)? {
            self.settle(Some(last))?;
        }
        Ok(())
    }

    /// Commits writes that belong to no block.
    pub(super) fn commit_deltas(&mut self, deltas: &[Delta]) -> Result<()> {
        let batch = batch(&self.families, deltas.iter())?;
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(stall) = &self.stall {
            return Err(Error::Usage(format!("the store takes no writes: {}", stall.error)));
        }
        self.store.commit(batch, self.options.durability).inspect_err(|failure| self.stall(failure))?;
        self.settle(self.committed.block)?;
        self.publish();
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
        self.replace_snapshot(snapshot, block);
        let mut garbage = Vec::new();
        if let Some(block) = block.filter(|block| Some(*block) != self.root) {
            self.root = Some(block);
            self.forks = None;
            let gone = self.tree.cut(block).into_iter();
            garbage =
                gone.map(|node| Garbage { deltas: node.deltas, place: node.place, committed: block.number }).collect();
        }
        self.overlay.forget(&self.families, self.committed.generation, garbage);
        Ok(())
    }

    pub(super) fn replace_snapshot(&mut self, snapshot: Arc<dyn Snapshot>, block: Option<BlockRef>) {
        let generation = self.committed.generation + 1;
        let (families, overlay) = (self.families.clone(), self.overlay.clone());
        self.committed = Arc::new(Committed::new(snapshot, families, overlay, block, generation));
        self.forks = None;
    }

    /// Fails if there is no memory for one block more.
    pub(super) fn make_room(&mut self) -> Result<()> {
        let bytes = self.tree.bytes();
        if self.stall.is_some() && bytes >= self.options.overlay_bytes {
            return Err(Error::Overloaded { bytes });
        }
        Ok(())
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

/// Stands for the snapshot of a store that is being opened again.
struct Unavailable;

impl Snapshot for Unavailable {
    fn get(&self, _: Keyspace, _: &[u8]) -> dfuse_kv::Result<Option<Bytes>> {
        Err(dfuse_kv::Error::Closed)
    }

    fn scan(&self, _: Keyspace, _: &KeyRange, _: Direction) -> dfuse_kv::Result<Scan> {
        Err(dfuse_kv::Error::Closed)
    }

    fn first(&self, _: Keyspace, _: &KeyRange, _: Direction) -> dfuse_kv::Result<Option<Entry>> {
        Err(dfuse_kv::Error::Closed)
    }
}
