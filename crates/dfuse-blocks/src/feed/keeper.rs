//! From one-block files to bundles, and aside.

use std::{sync::Arc, time::Duration};

use futures::{
    StreamExt, TryStreamExt,
    future::{BoxFuture, Either, select},
    stream,
};
use tokio::time::timeout;
use tracing::debug;

use super::{
    hub::{Entry, Hub},
    shared::Shared,
};
use crate::{
    BlockRef, Error, OneBlockName, Result,
    bundle::{BUNDLE_BLOCKS, BundleEncoder, base_of},
};

/// Blocks that are read or moved at the same time.
const PARALLEL: usize = 8;

/// Bundles from one pruning of forked blocks to the next.
const PRUNE_EVERY: u32 = 10;

/// How often it is looked whether another process has written a bundle that is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Writes bundles of what is final and committed, deletes the one-block files of what is in bundles, and puts blocks that
/// lost aside. Runs beside the owner of the feed, which never waits for it.
///
/// Order: a bundle is durable before its one-block files are deleted. After a failure, whatever it left half done, the next
/// step does the same again.
///
/// Of a feed that only reads its store it writes nothing, and looks for the bundles of those who do.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    /// Superfluous since their bundle was written.
    superfluous: Vec<OneBlockName>,
    /// The next bundle as far as its blocks are final and committed: to compress them all when the last one comes would keep a
    /// core busy, while somebody waits for the newest block.
    begun: Option<BundleEncoder>,
    prune: bool,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, superfluous: vec![], begun: None, prune: true }
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
            let something = select(changed, acknowledged);
            if self.shared.options.reads_only && self.is_due().is_some() {
                // What others do is not told.
                let _ = timeout(LOOK_EVERY, something).await;
                continue;
            }
            match something.await {
                Either::Left(_) | Either::Right(_) => {}
            }
        }
    }

    /// Does what is due, at most one bundle; tells whether there was anything.
    pub fn step(&mut self) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async move {
            if self.shared.options.reads_only {
                return self.find_bundle().await;
            }
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
        })
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

    /// What may be in the next bundle: its blocks are final and committed up to the first number, and it ends with the second.
    fn due(&self, hub: &Hub) -> Option<(u32, u32)> {
        let end = hub.next_bundle_end()?;
        let limit = self.shared.committed().map_or(hub.lib().number, |number| number.min(hub.lib().number));
        Some((limit.min(end), end))
    }

    /// The last block of the next bundle, if all that belongs into it is final and committed.
    fn is_due(&self) -> Option<BlockRef> {
        self.shared.hub().as_ref().and_then(|hub| {
            let (to, end) = self.due(hub)?;
            (to == end).then(|| hub.canonical(end).map(BlockRef::from)).flatten()
        })
    }

    /// Adds what is due to the next bundle, and writes it when it is full; tells whether it was.
    async fn write_bundle(&mut self) -> Result<bool> {
        // What was begun is forgotten after an error.
        let mut begun = self.begun.take();
        let Some((last, more)) = self.shared.hub_mut().as_mut().and_then(|hub| {
            let (to, end) = self.due(hub)?;
            let first = hub.bundled().saturating_add(1);
            begun = begun.take().filter(|begun| begun.first().is_some_and(|block| block.number == first));
            let from = begun.as_ref().and_then(BundleEncoder::last).map_or(first, |last| last.number.saturating_add(1));
            let more = if from > to { vec![] } else { hub.final_blocks(from..=to)? };
            hub.writes_bundle(to == end);
            Some(((to == end).then_some(end), more))
        }) else {
            return Ok(false);
        };
        let written = self.write_due(begun, more, last).await;
        if last.is_some() && written.is_err() {
            if let Some(hub) = &mut *self.shared.hub_mut() {
                hub.writes_bundle(false);
            }
            self.shared.acknowledgements.send_replace(());
        }
        written
    }

    async fn write_due(&mut self, begun: Option<BundleEncoder>, more: Vec<Entry>, last: Option<u32>) -> Result<bool> {
        let more = stream::iter(more).map(|entry| self.shared.load(entry)).buffered(PARALLEL);
        let more: Vec<_> = more.map_ok(|block| block.encoded().clone()).try_collect().await?;
        let bundle = match begun {
            Some(begun) if more.is_empty() => begun,
            begun => self.shared.store.extend_bundle(begun, more).await?,
        };
        let Some(last) = last else {
            self.begun = Some(bundle);
            return Ok(false);
        };
        let is_new = match self.shared.store.create_begun_bundle(bundle).await {
            // That of another machine, which is damaged: its blocks are here.
            Err(error @ Error::Damaged { .. }) => {
                self.shared.store.put_bundle_aside(base_of(last), &error).await?;
                return Ok(true);
            }
            is_new => is_new?,
        };
        debug!(last, is_new, "bundle written");
        self.superfluous = self.bundle_is_there(last);
        self.prune |= (last / BUNDLE_BLOCKS).is_multiple_of(PRUNE_EVERY);
        Ok(true)
    }

    /// Looks whether others have written the next bundle; tells whether they have.
    async fn find_bundle(&self) -> Result<bool> {
        if let Some(hub) = &mut *self.shared.hub_mut() {
            hub.all_put_aside();
        }
        let Some(last) = self.is_due() else { return Ok(false) };
        let found = match self.shared.store.has_bundle_to(last).await {
            // Whoever writes the store writes it anew, or somebody mends it: until then its blocks are kept.
            Err(error @ Error::Damaged { .. }) => {
                self.shared.store.forget_tables();
                self.shared.faults.note(last.number, &error, true);
                false
            }
            found => found?,
        };
        if found {
            self.bundle_is_there(last.number);
        }
        Ok(found)
    }

    /// Returns the one-block files that are superfluous now.
    fn bundle_is_there(&self, last: u32) -> Vec<OneBlockName> {
        let mut superfluous = Vec::new();
        if let Some(hub) = &mut *self.shared.hub_mut() {
            superfluous = hub.bundle_written(last, &self.shared.suffix);
            hub.trim(self.shared.options.live_window);
        }
        self.shared.acknowledgements.send_replace(());
        superfluous
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
