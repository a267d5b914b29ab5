use std::{collections::BTreeSet, future::ready, ops::RangeInclusive, pin::pin, sync::Arc};

use dfuse_antelope::AbiDump;
use futures::{
    Stream, StreamExt, TryStreamExt,
    future::{Either, select},
    stream,
};

use super::{
    arrivals::Arrivals,
    block::FeedBlock,
    faults::Fault,
    hub::{self, PrecedingBlocks},
    keeper::Committer,
    losses::Losses,
    shared::Shared,
    subscription::{Request, Subscription},
};
use crate::{BlockRef, Cursor, CursorKey, EncodedBlock, Error, Linked, OneBlockName, Result};

/// A handle for those who follow the chain. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct FeedHandle {
    pub(super) shared: Arc<Shared>,
}

impl FeedHandle {
    /// Begins a stream. In an empty feed it waits for the first block.
    ///
    /// # Errors
    /// The `Cursor...` variants of [`Error`]; [`Error::NotFound`] for a block below the first of the store;
    /// [`Error::Usage`] if it stops before it begins.
    pub async fn subscribe(&self, request: impl Into<Request>) -> Result<Subscription> {
        Subscription::new(self.shared.clone(), request.into()).await
    }

    /// Blocks as they come, those of forks included, from that height or the lowest that is in memory on.
    pub fn arrivals(&self, from: u32) -> Arrivals {
        Arrivals::new(self.shared.clone(), from)
    }

    /// Blocks that lose from now on, as it shows. Those of before are [`Self::lost_blocks`].
    pub fn losses(&self) -> Losses {
        Losses::new(self.shared.clone())
    }

    /// Registers one who commits final blocks elsewhere: from now on bundles hold only what it has acknowledged.
    pub fn committer(&self, name: &str) -> Committer {
        Committer::new(self.shared.clone(), name)
    }

    /// The best block; none before the first one.
    pub fn head(&self) -> Option<BlockRef> {
        self.shared.hub().as_ref().map(|hub| hub.head())
    }

    /// The last irreversible block; before any is, the one before the first.
    pub fn lib(&self) -> Option<BlockRef> {
        self.shared.hub().as_ref().map(|hub| hub.lib())
    }

    /// Number of the newest block that is final or has so many on top; none before the first block.
    pub fn confirmed(&self, confirmations: u32) -> Option<u32> {
        self.shared.hub().as_ref().map(|hub| hub.confirmed(confirmations))
    }

    /// Waits until the block of that number is irreversible.
    ///
    /// # Errors
    /// [`Error::Closed`] if the feed ends before.
    pub async fn finalizes(&self, number: u32) -> Result<()> {
        let mut changes = self.shared.changes.clone();
        while self.lib().is_none_or(|lib| lib.number < number) {
            changes.changed().await.map_err(|_| Error::Closed)?;
        }
        Ok(())
    }

    /// Waits until the head is at that height or above.
    ///
    /// # Errors
    /// [`Error::Closed`] if the feed ends before.
    pub async fn reaches(&self, number: u32) -> Result<()> {
        let mut changes = self.shared.changes.clone();
        while self.head().is_none_or(|head| head.number < number) {
            changes.changed().await.map_err(|_| Error::Closed)?;
        }
        Ok(())
    }

    /// Number of the first block that can be read; none before there is one.
    pub fn first_block(&self) -> Option<u32> {
        self.shared.hub().as_ref().map(|hub| hub.first)
    }

    /// Earlier blocks joined those of the store: it has them from that number on.
    pub fn begins_with(&self, number: u32) {
        if let Some(hub) = self.shared.hub_mut().as_mut() {
            hub.first = hub.first.min(number);
        }
    }

    /// Takes note of one-block files of blocks that precede the first one, in its bundle. Tells whether they go into that bundle:
    /// it may have been written without them.
    ///
    /// # Errors
    /// [`Error::Closed`] if the feed ends before its bundle is written.
    pub(crate) async fn precede(&self, blocks: &[EncodedBlock], suffix: &str) -> Result<bool> {
        let links: Vec<_> = blocks.iter().map(hub::Link::of).collect();
        let (mut acknowledgements, mut changes) =
            (self.shared.acknowledgements.subscribe(), self.shared.changes.clone());
        loop {
            acknowledgements.mark_unchanged();
            changes.mark_unchanged();
            let found = self.shared.hub_mut().as_mut().map(|hub| hub.precede(&links, &suffix.into()));
            match found {
                None | Some(PrecedingBlocks::Kept) => return Ok(true),
                Some(PrecedingBlocks::BundleIsThere) => return Ok(false),
                Some(PrecedingBlocks::BundleIsWritten) => {}
            }
            let (acknowledged, changed) = (pin!(acknowledgements.changed()), pin!(changes.changed()));
            if let Either::Right((Err(_), _)) = select(acknowledged, changed).await {
                return Err(Error::Closed);
            }
        }
    }

    /// Takes the blocks below that number out of what is kept, as far as whole bundles of them can be deleted: the last one
    /// stays. Streams may be at them: delete the bundles somewhat later, with [`crate::BlockStore::delete_bundles_below`].
    /// Returns the number of the first block that is kept; none before there is one.
    pub fn forget_below(&self, number: u32) -> Option<u32> {
        self.shared.hub_mut().as_mut().map(|hub| hub.forget_below(number))
    }

    /// Tells that blocks below that number were removed before the feed was opened, if it is not 0: whoever asks for one hears so.
    pub fn was_kept_from(&self, number: u32) {
        if let Some(hub) = self.shared.hub_mut().as_mut() {
            hub.kept_from = hub.kept_from.max(number);
        }
    }

    /// What blocks of history take that are in memory for streams: encoded, and decoded.
    pub fn history_bytes(&self) -> (usize, usize) {
        (self.shared.past.bytes(), self.shared.past.decoded_bytes())
    }

    /// What the encoded blocks in memory take.
    pub fn memory_bytes(&self) -> usize {
        self.shared.hub().as_ref().map_or(0, |hub| hub.resident_bytes())
    }

    /// Whether the best chain has another block at that height, or none. `false` for heights that are in bundles only.
    pub fn is_off_chain(&self, block: BlockRef) -> bool {
        self.shared.hub().as_ref().is_some_and(|hub| match hub.canonical_id(block.number) {
            Some(id) => id != block.id,
            None => block.number > hub.head().number,
        })
    }

    /// The block of the best chain at a height, from memory, one-block files or bundles.
    pub async fn canonical_block(&self, number: u32) -> Result<Arc<FeedBlock>> {
        self.shared.canonical_block(number).await
    }

    /// The same for whoever will want the blocks after it, too: those of bundles are read together.
    ///
    /// # Errors
    /// Those of the store; [`Error::NotFound`] for a block that is not there.
    pub async fn block_in_row(&self, number: u32) -> Result<Arc<FeedBlock>> {
        let entry = self.shared.hub().as_ref().and_then(|hub| hub.canonical(number).cloned());
        match entry {
            Some(entry) => self.shared.load(entry).await,
            None => self.shared.past_block(number).await,
        }
    }

    /// A block of any branch, also of one that was lost and is still kept.
    pub async fn block(&self, block: BlockRef) -> Result<Arc<FeedBlock>> {
        self.shared.block(block).await
    }

    /// The blocks at these heights that are kept and off the best chain, each after its parent.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn lost_blocks(
        &self,
        numbers: RangeInclusive<u32>,
    ) -> Result<impl Stream<Item = Result<Arc<FeedBlock>>> + Send + use<>> {
        let mut entries = self.shared.hub().as_ref().map(hub::Hub::off_chain).unwrap_or_default();
        entries.retain(|entry| numbers.contains(&entry.link.number()));
        entries.sort_by_key(|entry| entry.link.number());
        let known: BTreeSet<_> = entries.iter().map(|entry| OneBlockName::new(&entry.link, "").id).collect();
        let mut names = self.shared.store.forked_blocks_of(numbers).await?;
        names.retain(|name| !known.contains(&name.id));
        names.sort_unstable();
        // Each machine that takes blocks writes its own file.
        names.dedup_by(|next, name| next.is_same_block(name));
        let shared = self.shared.clone();
        let aside = stream::iter(names).then(move |name| {
            let shared = shared.clone();
            async move {
                match shared.store.read_forked_block(&name).await {
                    Ok(block) => Ok(Some(FeedBlock::new(block, &shared.recent))),
                    // What it held is told of forks only: no reason to do without everything else.
                    Err(error @ Error::Damaged { .. }) => {
                        shared.store.put_forked_block_aside(&name, &error).await.map(|()| None)
                    }
                    // One that was pruned meanwhile is not kept any more.
                    Err(Error::NotFound(_)) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        });
        let kept = aside.try_filter_map(|block| ready(Ok(block)));
        let shared = self.shared.clone();
        let recent = stream::iter(entries).then(move |entry| {
            let shared = shared.clone();
            async move { shared.load(entry).await }
        });
        Ok(kept.chain(recent))
    }

    /// Blocks at which a node dumped its ABIs.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn abi_dumps(&self) -> Result<Vec<u32>> {
        self.shared.store.abi_dumps().await
    }

    /// The dump at a block.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn abi_dump(&self, block_number: u32) -> Result<AbiDump> {
        self.shared.store.read_abi_dump(block_number).await
    }

    /// Bundles that somebody wanted and that cannot be read. Those that were mended meanwhile are forgotten.
    pub async fn faults(&self) -> Vec<Fault> {
        let Shared { store, faults, .. } = &*self.shared;
        let known = faults.all();
        if !known.is_empty() {
            // Files may be others by now.
            store.forget_tables();
        }
        for fault in &known {
            if store.read_block(fault.number).await.is_ok() {
                faults.forget(fault.number);
            }
        }
        faults.all()
    }

    /// What cursors are sealed with, for positions of other kinds.
    pub fn cursor_key(&self) -> &CursorKey {
        &self.shared.key
    }

    /// The text of a cursor, for clients.
    pub fn seal(&self, cursor: &Cursor) -> String {
        self.shared.key.seal(cursor)
    }

    /// Reads the text of a cursor; errors as [`crate::CursorKey::open_cursor`].
    pub fn open_cursor(&self, text: &str) -> Result<Cursor> {
        self.shared.key.open_cursor(text)
    }
}
