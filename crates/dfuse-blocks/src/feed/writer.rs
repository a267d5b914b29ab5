//! The owner's side: blocks come in.

use std::{ops::RangeInclusive, sync::Arc};

use dfuse_antelope::{Checksum256, model::Block};
use futures::{StreamExt, future::BoxFuture, stream};
use tokio::sync::watch;
use tracing::info;

use super::{
    aside::Aside,
    block::FeedBlock,
    handle::FeedHandle,
    hub::{Entry, Hub, Link},
    index::HubIndex,
    keeper::Keeper,
    options::{FeedOptions, Mode, Publish},
    restore::restore,
    shared::Shared,
};
use crate::{
    Added, BlockStore, Clock, CursorKey, EncodedBlock, Error, Linked, Result,
    lost::{Chain, LostBranches},
    merge::may_start,
    names::check_suffix,
};

/// Blocks that are read at once at the start.
const PARALLEL: usize = 8;

/// Blocks below the head that are in memory after a start; more come when they are wanted.
const PRELOADED: u32 = 360;

/// The owner of the feed, through which blocks come in.
///
/// # What a stream sends
///
/// A stream is a sequence of steps. Replayed onto a stack, `New` pushes a block, whose parent is on top, `Undo` takes it off
/// again, and `Irreversible` tells that the lowest block that was not final is so now. Whatever a reader missed meanwhile, a
/// stream goes from where it is to the best chain: it first undoes what is off the chain, highest block first, and then
/// sends what is missing as new, blocks of that branch that were sent before among them.
///
/// A block that is final before it is sent comes once, as `New` with `is_final`; all blocks before it have become final
/// by then. `Irreversible` comes for those only that were sent as reversible. A stream never undoes a block below its start.
/// With `irreversible_only` there is nothing but `Irreversible`, one for every block.
///
/// A stream continued from a cursor sends what an uninterrupted one would have sent; only branches that came and lost in
/// between are left out, and blocks that became final in between are sent once.
///
/// # Order of durability
///
/// One-block file durable, then `New` is published, then committers acknowledge, then the bundle of 100 blocks is
/// written, then its one-block files are deleted. [`Mode::CatchUp`] leaves out the first for sources that can be replayed,
/// and [`Publish::OnArrival`] changes the order of the first two.
///
/// Streams end with [`Error::Closed`] when it is dropped.
#[derive(Debug)]
pub struct Feed {
    shared: Arc<Shared>,
    changed: watch::Sender<()>,
    mode: Mode,
    /// A block that was published and could not be written, and what became of it.
    owed: Option<(Checksum256, Added)>,
    index: Option<HubIndex>,
    next_arrival: u64,
    /// Lost blocks at or below the LIB.
    lost: LostBranches,
    /// Lost blocks that were put aside since the start.
    aside: Aside,
    skipped: u64,
}

impl Feed {
    /// Opens the feed of a store, with head, LIB and reversible branches as they were. The second is to be run beside it.
    ///
    /// # Errors
    /// [`Error::Usage`] for wrong options, [`Error::Damaged`] if the last bundle is short, and errors of the store.
    pub fn open<'a>(
        store: BlockStore,
        key: CursorKey,
        options: FeedOptions,
        clock: &'a dyn Clock,
    ) -> BoxFuture<'a, Result<(Self, Keeper)>> {
        Box::pin(async move {
            check_suffix(&options.suffix)?;
            let start = clock.elapsed();
            let (feed, read) = loop {
                let (hub, read) = restore(&store, &options).await?;
                let feed = Self::with_hub(store.clone(), key.clone(), options.clone(), hub);
                if !feed.preload().await? {
                    break (feed, read);
                }
                // Without the blocks that were put aside the chain ends earlier.
            };
            let mut feed = feed;
            feed.index = options.data_dir.map(|folder| HubIndex::create(&folder, feed.links_of_files().into_iter()));
            if let (Some(head), Some(lib)) = (feed.handle().head(), feed.handle().lib()) {
                let milliseconds = (clock.elapsed() - start).as_millis() as u64;
                info!(%head, lib = lib.number, unbundled = feed.next_arrival, read, milliseconds, "feed opened");
            }
            let shared = feed.shared.clone();
            Ok((feed, Keeper::new(shared)))
        })
    }

    fn with_hub(store: BlockStore, key: CursorKey, options: FeedOptions, hub: Option<Hub>) -> Self {
        let (changed, changes) = watch::channel(());
        let mode = options.mode;
        let shared = Arc::new(Shared::new(store, key, options, hub, changes));
        let lost = LostBranches::new(shared.store.clone());
        let (index, aside) = (None, Aside::default());
        let mut feed = Self { shared, changed, mode, owed: None, index, next_arrival: 0, lost, aside, skipped: 0 };
        feed.next_arrival = feed.links_of_files().len() as u64;
        feed
    }

    /// For subscribers.
    pub fn handle(&self) -> FeedHandle {
        FeedHandle { shared: self.shared.clone() }
    }

    /// Blocks that were passed over because they had come before, or had lost already.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The first number that is not in bundles. A source that begins with a block of this number, or before it, repeats
    /// everything that a kill may have lost in [`Mode::CatchUp`].
    pub fn resume_number(&self) -> u32 {
        self.shared.hub().as_ref().map_or(self.shared.options.first_streamable, |hub| hub.bundled().saturating_add(1))
    }

    /// Whether a feed without blocks may begin with this one; a feed that has blocks has begun.
    ///
    /// # Errors
    /// [`Error::Usage`] says where history may begin.
    pub fn may_begin_with(&self, block: &EncodedBlock) -> Result<()> {
        let is_empty = self.shared.hub().is_none();
        if is_empty { may_start(block, self.shared.options.first_streamable) } else { Ok(()) }
    }

    /// Numbers of the blocks that are in no file yet, from the lowest to the highest.
    pub fn unwritten(&self) -> Option<RangeInclusive<u32>> {
        if self.reads_only() {
            return None;
        }
        let unwritten = self.shared.hub().as_ref().map(Hub::unwritten).unwrap_or_default();
        let numbers = unwritten.iter().map(|block| block.encoded().number());
        Some(numbers.clone().min()?..=numbers.max()?)
    }

    /// Takes a block. Blocks come in the order in which the node had them, forks included, each after its parent; a source
    /// may begin again at any block that the feed has, or the one after its head.
    ///
    /// # Errors
    /// [`Error::Unlinked`] when blocks before it are missing, [`Error::OtherChain`], and errors of the store. The block was not
    /// taken then and can be pushed again.
    pub async fn push(&mut self, block: EncodedBlock) -> Result<Added> {
        self.take(block, None).await
    }

    /// The same with the decoded block, which the source has at hand, for subscribers that want it.
    pub async fn push_decoded(&mut self, block: EncodedBlock, decoded: Arc<Block>) -> Result<Added> {
        self.take(block, Some(decoded)).await
    }

    /// Waits until all bundles that are full and final are written, for which committers must have committed them: what is
    /// in bundles need not be written block by block when a feed that caught up goes live or ends. The [`Keeper`] must run.
    pub async fn bundles_written(&self) -> Result<()> {
        let mut written = self.shared.acknowledgements.subscribe();
        while !self.reads_only() && self.shared.hub().as_ref().is_some_and(Hub::has_full_bundle) {
            // The sender is in `shared`.
            written.changed().await.map_err(|_| Error::Closed)?;
        }
        Ok(())
    }

    /// From now on blocks are durable before they are seen; writes those that are not.
    pub async fn go_live(&mut self) -> Result<()> {
        self.flush().await?;
        self.mode = Mode::Live;
        Ok(())
    }

    /// From now on the source promises to repeat what is lost; see [`Mode::CatchUp`].
    pub fn catch_up(&mut self) {
        self.mode = Mode::CatchUp;
    }

    /// Ends the feed; writes blocks that are in no file yet.
    pub async fn close(mut self) -> Result<()> {
        self.flush().await
    }

    /// Whether others write the store.
    fn reads_only(&self) -> bool {
        self.shared.options.reads_only
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if self.reads_only() {
                return Ok(());
            }
            let unwritten = self.shared.hub().as_ref().map(Hub::unwritten).unwrap_or_default();
            for block in unwritten {
                self.write(&block).await?;
            }
            Ok(())
        })
    }

    fn take(&mut self, block: EncodedBlock, decoded: Option<Arc<Block>>) -> BoxFuture<'_, Result<Added>> {
        Box::pin(async move {
            self.make_room().await?;
            if let Some((id, added)) = self.owed {
                self.flush().await?;
                self.owed = None;
                if id == block.id() {
                    return Ok(added);
                }
            }
            if let Some(skipped) = self.examine(&block).await? {
                self.skipped += 1;
                return Ok(skipped);
            }
            let link = Link::of(&block);
            let recent = &self.shared.recent;
            let block = match decoded {
                Some(decoded) => FeedBlock::with_decoded(block, decoded, recent),
                None => FeedBlock::new(block, recent),
            };
            let is_live = self.mode == Mode::Live && !self.reads_only();
            let is_durable = is_live && self.shared.options.publish == Publish::WhenDurable;
            let unwritten = (is_live && !is_durable).then(|| block.clone());
            if is_durable {
                self.write(&block).await?;
            } else if self.reads_only() {
                self.remember(&link);
            }
            let file = is_durable.then(|| self.shared.suffix.clone());
            let entry = Entry { link, arrival: self.next_arrival, file, payload: Some(block) };
            self.next_arrival += 1;
            let (added, lost) = {
                let mut hub = self.shared.hub_mut();
                let hub = hub.get_or_insert_with(|| Hub::new(link.number(), link.parent()));
                let added = hub.add(entry);
                hub.trim(self.shared.options.live_window);
                added
            };
            for link in lost {
                self.shared.lost().add((&link).into());
                self.lost.remember_child(link.id, link.previous);
            }
            self.changed.send_replace(());
            if let Some(block) = unwritten {
                self.owed = Some((link.id, added));
                self.write(&block).await?;
                self.owed = None;
            }
            Ok(added)
        })
    }

    /// Makes a block durable.
    async fn write(&mut self, block: &Arc<FeedBlock>) -> Result<()> {
        let Shared { store, suffix, .. } = &*self.shared;
        store.write_one_block(block.encoded(), suffix).await?;
        let link = Link::of(block.encoded());
        if let Some(hub) = &mut *self.shared.hub_mut() {
            hub.written(link.id, suffix);
        }
        self.remember(&link);
        Ok(())
    }

    /// Notes a block whose one-block file need not be read at the next start.
    fn remember(&mut self, link: &Link) {
        if let Some(index) = &mut self.index {
            index.append(link);
        }
        if self.index.as_ref().is_some_and(HubIndex::is_stale) {
            let links = self.links_of_files();
            self.index.iter_mut().for_each(|index| index.rewrite(links.iter().copied().chain([*link])));
        }
    }

    /// Blocks that are in one-block files, in the order in which they came.
    fn links_of_files(&self) -> Vec<Link> {
        let hub = self.shared.hub();
        let Some(hub) = &*hub else { return vec![] };
        let is_in_file = |entry: &&Entry| entry.file.is_some() || self.reads_only();
        let mut entries: Vec<_> = hub.unbundled().chain(hub.reversible()).filter(is_in_file).collect();
        entries.sort_by_key(|entry| entry.arrival);
        entries.into_iter().map(|entry| entry.link).collect()
    }

    /// Keeps memory within its budget, and committers within reach of a source that catches up.
    async fn make_room(&mut self) -> Result<()> {
        loop {
            let shrink = |hub: &mut Hub| hub.shrink(self.shared.options.memory_bytes, self.reads_only());
            let unwritten = self.shared.hub_mut().as_mut().and_then(shrink);
            let Some(block) = unwritten else { break };
            self.write(&block).await?;
        }
        let mut acknowledgements = self.shared.acknowledgements.subscribe();
        while (self.mode == Mode::CatchUp || self.reads_only()) && self.committers_are_behind() {
            // The sender is in `shared`.
            acknowledgements.changed().await.map_err(|_| Error::Closed)?;
        }
        Ok(())
    }

    fn committers_are_behind(&self) -> bool {
        let lib = self.shared.hub().as_ref().map_or(0, |hub| hub.lib().number);
        self.shared.committed().is_some_and(|number| lib.saturating_sub(number) > self.shared.options.committer_lag)
    }

    /// Reads the end of the best chain; tells whether damaged files were put aside.
    async fn preload(&self) -> Result<bool> {
        let entries: Vec<_> = match &*self.shared.hub() {
            Some(hub) => {
                let head = hub.head().number;
                (head.saturating_sub(PRELOADED) + 1..=head).filter_map(|n| hub.canonical(n).cloned()).collect()
            }
            None => return Ok(false),
        };
        let mut loads = stream::iter(entries).map(|entry| self.shared.load(entry)).buffered(PARALLEL);
        let mut put_aside = false;
        while let Some(loaded) = loads.next().await {
            match loaded {
                Err(Error::PutAside { .. }) => put_aside = !self.reads_only(),
                loaded => drop(loaded?),
            }
        }
        Ok(put_aside)
    }

    // Which blocks are taken

    /// Whether a block is to be passed over, and why.
    async fn examine(&mut self, block: &EncodedBlock) -> Result<Option<Added>> {
        let number = block.number();
        let (first, lib, known, linked) = match &*self.shared.hub() {
            Some(hub) => (
                hub.first,
                hub.lib().number,
                hub.get(block.id()).is_some() || self.lost.contains(block.id()),
                hub.is_linked(block.previous()),
            ),
            None => return may_start(block, self.shared.options.first_streamable).map(|()| None),
        };
        if known {
            return Ok(Some(Added::Known));
        }
        if number > lib {
            if !linked {
                // It can never win; kept with the others of its branch until they are put aside.
                self.lost.first_of(block, &*self.shared).await?;
            }
            return Ok(None);
        }
        match self.lost.final_id(number, &*self.shared).await? {
            Some(id) if id == block.id() => return Ok(Some(Added::Known)),
            // History before that of the store.
            _ if number < first => return Ok(Some(Added::Late)),
            Some(_) => {}
            // All final blocks are in bundles or at hand.
            None => return Err(self.shared.store.missing_bundle(number)),
        }
        let first = match self.lost.first_of(block, &*self.shared).await {
            Err(error @ Error::OtherChain { .. }) => {
                // What was taken for a lost branch of this chain until now is of the other one.
                if let Some(first) = self.lost.branch(block.previous()) {
                    self.aside.remove(&self.shared.store, first).await?;
                }
                return Err(error);
            }
            first => first?,
        };
        if number >= lib.saturating_sub(self.shared.options.keep_forked) && !self.reads_only() {
            let name = self.shared.store.write_forked_block(block, &self.shared.suffix).await?;
            self.aside.put(first, name);
        }
        self.lost.remember(block.id(), first);
        self.shared.lost().add(block.into());
        self.changed.send_replace(());
        Ok(Some(Added::Late))
    }
}

impl Chain for Shared {
    fn first(&self) -> u32 {
        self.hub().as_ref().map_or(0, |hub| hub.first)
    }

    fn lib(&self) -> u32 {
        self.hub().as_ref().map_or(0, |hub| hub.lib().number)
    }

    fn head(&self) -> u32 {
        self.hub().as_ref().map_or(0, |hub| hub.head().number)
    }

    fn final_id(&self, number: u32) -> Option<Checksum256> {
        self.hub().as_ref().and_then(|hub| hub.canonical_id(number))
    }

    fn previous(&self, id: Checksum256) -> Option<Checksum256> {
        self.hub().as_ref().and_then(|hub| hub.get(id).map(|entry| entry.link.previous))
    }
}
