//! Memory for the writes of reversible blocks, and what happens when they can neither stay there nor go.

use std::sync::Arc;

use dfuse_blocks::BlockRef;
use dfuse_kv::WriteBatch;
use tracing::{error, info, warn};

use super::Follower;
use crate::{Delta, Error, Result, Stall, overlay::Garbage, scratch, spill::Away, tree::Node};

/// Blocks whose writes are removed from the scratch space in one commit.
const SPILLED_STEP: usize = 16;

/// When memory is full one part in so many is freed, so that no block waits for long.
const ROOM_PARTS: usize = 8;

impl Follower {
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

    /// Removes the writes of these blocks from the scratch space.
    pub(super) fn remove_spilled(&mut self, blocks: &[Node]) -> Result<()> {
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

    /// What the indexes write for a reversible block, wherever it is.
    pub(crate) fn deltas(&self, block: BlockRef) -> Result<Vec<Delta>> {
        match self.tree.get(block.id).map(|node| &node.deltas) {
            Some(Some(deltas)) => Ok(deltas.clone()),
            Some(None) => self.spill.read(&self.families, block.id),
            None => Ok(Vec::new()),
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

    pub(crate) fn stall(&mut self, failure: &dfuse_kv::Error) {
        let attempts = self.stall.as_ref().map_or(0, |stall| stall.attempts);
        error!(%failure, "the store takes no writes; serving what is there");
        self.stall = Some(Stall { error: failure.to_string(), attempts });
        self.publish_status();
    }

    /// Tries to write to the scratch space again after it has failed. Whoever drives the follower calls it after a pause, until
    /// [`Status::stall`](crate::Status::stall) is empty.
    pub fn resume(&mut self) -> Result<()> {
        let Some(attempts) = self.next_attempt() else { return Ok(()) };
        match self.reopen_scratch() {
            Ok(()) => {
                self.stall = None;
                self.replace_snapshot(self.committed.snapshot.clone(), self.committed.block);
            }
            Err(failure) => self.must_wait(failure, attempts)?,
        }
        self.publish();
        Ok(())
    }

    fn reopen_scratch(&mut self) -> dfuse_kv::Result<()> {
        let opened = self.spill.reopen();
        if !matches!(opened, Err(dfuse_kv::Error::Locked { .. })) {
            return opened;
        }
        // What is published holds a snapshot.
        self.spill.let_go();
        self.replace_snapshot(self.committed.snapshot.clone(), self.committed.block);
        self.publish();
        self.spill.reopen()
    }

    /// The number of the attempt to end the stall, if there is one.
    pub(crate) fn next_attempt(&self) -> Option<u32> {
        self.stall.as_ref().map(|stall| stall.attempts + 1)
    }

    /// It cannot be opened again, for now.
    pub(crate) fn must_wait(&mut self, failure: dfuse_kv::Error, attempts: u32) -> Result<()> {
        if matches!(failure, dfuse_kv::Error::Corrupt { .. }) {
            // Waiting does not mend it.
            return Err(failure.into());
        }
        warn!(attempts, error = %failure, "the store cannot be opened again");
        self.stall = Some(Stall { error: failure.to_string(), attempts });
        self.publish_status();
        Ok(())
    }

    /// Nobody who begins to read from now on reads from the stores, until they are opened again.
    pub(crate) fn let_go(&mut self) {
        self.spill.let_go();
        self.replace_snapshot(Arc::new(Away), self.committed.block);
        self.publish();
    }
}
