//! Writing to the store, and going on when it fails.

use bytes::Bytes;
use dfuse_blocks::BlockRef;
use dfuse_kv::{Keyspace, WriteBatch};
use tracing::info;

use super::Pipeline;
use crate::{Checkpoint, Delta, Error, Result, families::Families};

impl Pipeline {
    /// Everything up to `to`, on the best chain, is final: step Irreversible. Commits it.
    ///
    /// If the store fails this returns no error: the pipeline stalls ([`Status::stall`](crate::Status::stall)), takes
    /// further steps, keeps serving, and writes everything after [`Pipeline::resume`].
    pub fn finalize(&mut self, to: BlockRef) -> Result<()> {
        self.follower.mark_final(to)?;
        match self.follower.target {
            Some(_) => self.commit_target(),
            None => Ok(()),
        }
    }

    /// Tries to write again after the store has failed. Whoever drives the pipeline calls it after a pause, until
    /// [`Status::stall`](crate::Status::stall) is empty.
    ///
    /// Where the store can only be opened again once nobody reads from it, nothing can be read
    /// ([`dfuse_kv::Error::Closed`]) until requests at work have let go of their snapshots.
    pub fn resume(&mut self) -> Result<()> {
        let Some(attempts) = self.follower.next_attempt() else { return Ok(()) };
        if let Err(failure) = self.open_again() {
            return self.follower.must_wait(failure, attempts);
        }
        match self.settle_what_is_written() {
            Ok(()) if self.is_stalled() => {}
            Ok(()) => self.commit_target()?,
            Err(Error::Store(failure)) => self.follower.stall(&failure),
            Err(error) => return Err(error),
        }
        match &mut self.follower.stall {
            Some(stall) => stall.attempts = attempts,
            None => info!(attempts, "the store takes writes again"),
        }
        self.follower.publish();
        Ok(())
    }

    fn open_again(&mut self) -> dfuse_kv::Result<()> {
        let mut opened = self.try_open_again();
        if matches!(opened, Err(dfuse_kv::Error::Locked { .. })) {
            // What is published holds snapshots.
            self.follower.let_go();
            opened = self.try_open_again();
        }
        opened
    }

    fn try_open_again(&mut self) -> dfuse_kv::Result<()> {
        if let Some(reopen) = &mut self.reopen {
            self.store = reopen()?;
            self.follower.store = self.store.clone();
        }
        self.follower.spill.reopen()
    }

    /// Adopts what the store has, which a failed commit may have brought there.
    fn settle_what_is_written(&mut self) -> Result<()> {
        let snapshot = self.store.snapshot()?;
        let written = self.follower.checkpoint_of(&*snapshot)?.map(|checkpoint| checkpoint.block);
        let is_known = |block: BlockRef| self.follower.tree.get(block.id).is_some();
        if written != self.committed() && !written.is_some_and(is_known) {
            return Err(Error::Usage("another process writes to the indexes".into()));
        }
        self.follower.stall = None;
        self.follower.settle(snapshot, written)
    }

    fn commit_target(&mut self) -> Result<()> {
        let committed = self.commit_to_target();
        self.follower.publish();
        committed
    }

    fn commit_to_target(&mut self) -> Result<()> {
        let path = self.follower.target.map_or_else(Vec::new, |target| self.follower.tree.path(target));
        let mut rest = &path[..];
        while !rest.is_empty() && !self.is_stalled() {
            let mut bytes = 0;
            let enough = |block: &BlockRef| {
                bytes += self.follower.tree.get(block.id).map_or(0, |node| node.bytes);
                bytes >= self.follower.options.batch_bytes
            };
            let count = rest.iter().position(enough).map_or(rest.len(), |last| last + 1);
            let (now, later) = rest.split_at(count);
            rest = later;
            self.commit_blocks(now)?;
        }
        if !self.is_stalled() {
            self.follower.target = None;
        }
        self.enter_dumps()
    }

    fn commit_blocks(&mut self, blocks: &[BlockRef]) -> Result<()> {
        let (Some(last), Some(identity)) = (blocks.last().copied(), self.follower.identity) else { return Ok(()) };
        let mut deltas = Vec::new();
        for block in blocks {
            match self.follower.deltas(*block) {
                Ok(more) => deltas.extend(more),
                Err(Error::Store(failure)) => {
                    self.follower.stall(&failure);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let mut batch = batch(&self.follower.families, deltas.iter())?;
        for slot in self.follower.slots.iter().filter(|slot| slot.is_live()) {
            let (schema_version, settings) = (slot.index.schema_version(), slot.index.settings());
            let checkpoint = Checkpoint { schema_version, settings, state: self.follower.state, block: last, identity };
            batch.put(self.follower.checkpoints, slot.index.name().as_bytes(), checkpoint.encode());
        }
        if self.write(batch)? {
            self.settle(Some(last))?;
        }
        Ok(())
    }

    /// Enters the ABI dumps whose blocks are committed.
    pub(super) fn enter_dumps(&mut self) -> Result<()> {
        while !self.is_stalled()
            && let Some((at, view)) = self.follower.due_dump()
        {
            let live = self.follower.slots.iter().filter(|slot| slot.is_live());
            let deltas = live.map(|slot| slot.index.abi_dump(&self.follower.dumps[at], &view));
            let deltas = deltas.collect::<Result<Vec<_>>>();
            drop(view);
            let deltas = match deltas {
                Err(Error::Store(failure)) => {
                    self.follower.stall(&failure);
                    break;
                }
                deltas => deltas?,
            };
            if self.write(batch(&self.follower.families, deltas.iter())?)? {
                self.follower.dumps.remove(at);
                self.settle(self.committed())?;
            }
        }
        Ok(())
    }

    /// Whether the batch is written; if not, the pipeline stalls.
    pub(super) fn write(&mut self, batch: WriteBatch) -> Result<bool> {
        match self.store.commit(batch, self.follower.options.durability) {
            Ok(()) => Ok(true),
            Err(failure @ (dfuse_kv::Error::Invalid(_) | dfuse_kv::Error::Closed)) => Err(failure.into()),
            Err(failure) => {
                self.follower.stall(&failure);
                Ok(false)
            }
        }
    }

    /// The store has everything up to `block`.
    fn settle(&mut self, block: Option<BlockRef>) -> Result<()> {
        match self.store.snapshot() {
            Ok(snapshot) => self.follower.settle(snapshot, block),
            Err(failure) => {
                self.follower.stall(&failure);
                Ok(())
            }
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
