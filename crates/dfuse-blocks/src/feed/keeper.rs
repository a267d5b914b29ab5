//! From one-block files to bundles, and aside.

use std::sync::Arc;

use futures::{
    StreamExt, TryStreamExt,
    future::{Either, select},
    stream,
};
use tracing::debug;

use super::shared::Shared;
use crate::{BlockRef, OneBlockName, Result, bundle::BUNDLE_BLOCKS};

/// Blocks that are read or moved at the same time.
const PARALLEL: usize = 8;

/// Bundles from one pruning of forked blocks to the next.
const PRUNE_EVERY: u32 = 10;

/// Writes bundles of what is final and committed, deletes the one-block files of what is in bundles, and puts blocks that
/// lost aside. Runs beside the owner of the feed, which never waits for it.
///
/// Order: a bundle is durable before its one-block files are deleted. After a failure, whatever it left half done, the next
/// step does the same again.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    /// Superfluous since their bundle was written.
    superfluous: Vec<OneBlockName>,
    prune: bool,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, superfluous: vec![], prune: true }
    }

    /// Works until the feed ends and all is done, or until the store fails: run it again when it may work.
    pub async fn run(&mut self) -> Result<()> {
        let mut changes = self.shared.changes.clone();
        let mut acknowledgements = self.shared.acknowledgements.subscribe();
        loop {
            // What changes from here on is waited for below.
            let ended = changes.has_changed().is_err();
            changes.mark_unchanged();
            acknowledgements.mark_unchanged();
            while self.step().await? {}
            if ended {
                return Ok(());
            }
            let (changed, acknowledged) =
                (std::pin::pin!(changes.changed()), std::pin::pin!(acknowledgements.changed()));
            match select(changed, acknowledged).await {
                Either::Left(_) | Either::Right(_) => {}
            }
        }
    }

    /// Does what is due, at most one bundle; tells whether there was anything.
    pub async fn step(&mut self) -> Result<bool> {
        let aside = self.put_aside().await?;
        if !self.superfluous.is_empty() {
            self.shared.store.delete_one_blocks(self.superfluous.clone()).await?;
            self.superfluous.clear();
        }
        let bundled = self.write_bundle().await?;
        if self.prune {
            self.prune_forked().await?;
            self.prune = false;
        }
        Ok(aside || bundled)
    }

    async fn put_aside(&self) -> Result<bool> {
        let Some(lost) = self.shared.hub().as_ref().map(|hub| hub.to_put_aside()) else { return Ok(false) };
        for entry in &lost {
            match (entry.file_name(), &entry.payload) {
                (Some(name), _) => self.shared.store.move_to_forked(vec![name]).await?,
                (None, Some(block)) => {
                    self.shared.store.write_forked_block(block.encoded(), &self.shared.suffix).await?;
                }
                (None, None) => {}
            }
            if let Some(hub) = &mut *self.shared.hub_mut() {
                hub.put_aside(entry.link.id, &self.shared.suffix);
            }
        }
        Ok(!lost.is_empty())
    }

    async fn write_bundle(&mut self) -> Result<bool> {
        let committed = self.shared.committed();
        let due = self.shared.hub().as_ref().and_then(|hub| {
            let last = hub.next_bundle_end()?;
            let limit = committed.map_or(hub.lib().number, |number| number.min(hub.lib().number));
            (last <= limit).then(|| hub.next_bundle(last)).flatten().map(|blocks| (last, blocks))
        });
        let Some((last, entries)) = due else { return Ok(false) };
        let blocks = stream::iter(entries).map(|entry| self.shared.load(entry)).buffered(PARALLEL);
        let blocks = blocks.map_ok(|block| block.encoded().clone()).try_collect().await?;
        self.shared.store.write_bundle(blocks).await?;
        debug!(last, "bundle written");
        if let Some(hub) = &mut *self.shared.hub_mut() {
            self.superfluous = hub.bundle_written(last);
            hub.trim(self.shared.options.live_window);
        }
        self.shared.acknowledgements.send_replace(());
        self.prune |= (last / BUNDLE_BLOCKS).is_multiple_of(PRUNE_EVERY);
        Ok(true)
    }

    async fn prune_forked(&self) -> Result<()> {
        let lib = self.shared.hub().as_ref().map_or(0, |hub| hub.lib().number);
        if let Some(below) = lib.checked_sub(self.shared.options.keep_forked) {
            let pruned = self.shared.store.prune_forked_blocks(below).await?;
            debug!(pruned, below, "forked blocks pruned");
        }
        Ok(())
    }
}

/// Holds bundles back until it has committed what goes into them; the blocks that it has not seen stay in the hub and in
/// one-block files. Goes when it is dropped.
#[derive(Debug)]
pub struct Committer {
    shared: Arc<Shared>,
    id: u64,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, name: &str) -> Self {
        let id = shared.register(name);
        Self { shared, id }
    }

    /// Everything up to this final block is committed.
    pub fn acknowledge(&self, block: BlockRef) {
        self.shared.acknowledge(self.id, block.number);
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.unregister(self.id);
    }
}
