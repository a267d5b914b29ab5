//! What the owner of the feed and its subscribers share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use futures::future::BoxFuture;
use tokio::{sync::watch, time::timeout};

use super::{
    block::{FeedBlock, RecentlyDecoded},
    faults::Faults,
    hub::{Entry, Hub, Link, Position, Standing},
    loss_log::LossLog,
    options::FeedOptions,
    past::Past,
};
use crate::{BlockRef, BlockStore, Cursor, CursorKey, EncodedBlock, Error, Result};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: BlockStore,
    pub(super) key: CursorKey,
    pub(super) options: FeedOptions,
    pub(super) suffix: Arc<str>,
    pub(super) recent: Arc<RecentlyDecoded>,
    /// What streams read of bundles.
    pub(super) past: Arc<Past>,
    /// Bundles that could not be read.
    pub(super) faults: Faults,
    /// None before the first block. Held for moments, never across an await.
    hub: RwLock<Option<Hub>>,
    /// Tells of every change of the hub that streams may have waited for; its sender goes with the owner of the feed.
    pub(super) changes: watch::Receiver<()>,
    lost: Mutex<LossLog>,
    /// What committers have committed, by the order of their registration; the name is for logs.
    acknowledged: Mutex<BTreeMap<u64, (String, u32)>>,
    /// Tells of every change of it, and of every bundle that was written.
    pub(super) acknowledgements: watch::Sender<()>,
}

impl Shared {
    pub(super) fn new(
        store: BlockStore,
        key: CursorKey,
        options: FeedOptions,
        hub: Option<Hub>,
        changes: watch::Receiver<()>,
    ) -> Self {
        Self {
            past: Arc::new(Past::new(store.clone(), &options)),
            store,
            key,
            faults: Faults::default(),
            suffix: options.suffix.as_str().into(),
            recent: RecentlyDecoded::new(options.decoded_bytes),
            options,
            hub: RwLock::new(hub),
            changes,
            lost: Mutex::default(),
            acknowledged: Mutex::default(),
            acknowledgements: watch::Sender::default(),
        }
    }

    pub(super) fn hub(&self) -> RwLockReadGuard<'_, Option<Hub>> {
        self.hub.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hub_mut(&self) -> RwLockWriteGuard<'_, Option<Hub>> {
        self.hub.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks that have lost since the start. Held for moments, never across an await.
    pub(super) fn lost(&self) -> MutexGuard<'_, LossLog> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Committers

    fn acknowledged(&self) -> MutexGuard<'_, BTreeMap<u64, (String, u32)>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, name: &str) -> u64 {
        let mut acknowledged = self.acknowledged();
        let id = acknowledged.last_key_value().map_or(0, |(last, _)| last + 1);
        acknowledged.insert(id, (name.to_owned(), 0));
        id
    }

    pub(super) fn acknowledge(&self, committer: u64, number: u32) {
        if let Some((_, committed)) = self.acknowledged().get_mut(&committer) {
            *committed = number.max(*committed);
        }
        self.acknowledgements.send_replace(());
    }

    pub(super) fn unregister(&self, committer: u64) {
        self.acknowledged().remove(&committer);
        self.acknowledgements.send_replace(());
    }

    /// What all committers have committed; no limit without committers.
    pub(super) fn committed(&self) -> Option<u32> {
        self.acknowledged().values().map(|(_, number)| *number).min()
    }

    // Reading blocks

    /// The block of an entry, from memory or from where it is by now.
    pub(super) async fn load(&self, entry: Entry) -> Result<Arc<FeedBlock>> {
        if let Some(block) = entry.payload {
            return Ok(block);
        }
        let block = FeedBlock::new(self.read(&entry).await?, &self.recent);
        let mut hub = self.hub_mut();
        let Some(hub) = &mut *hub else { return Ok(block) };
        let shared = hub.restore_payload(block);
        // One that must be written first is left to the owner of the feed.
        hub.shrink(self.options.memory_bytes, self.options.reads_only);
        Ok(shared)
    }

    /// Files move one way only: from one-block files into bundles or to the forked blocks, and are there before they
    /// leave. So whoever looks in this order finds them.
    fn read<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<EncodedBlock>> {
        Box::pin(async move {
            let mut aside = None;
            if let Some(name) = entry.file_name() {
                match self.store.read_one_block(&name).await {
                    Err(Error::NotFound(_)) => {}
                    Err(Error::Damaged { file, offset, why }) => {
                        aside = Some(Error::PutAside { file: file.clone(), number: name.number, why: why.clone() });
                        self.store.put_one_block_aside(&name, &Error::Damaged { file, offset, why }).await?;
                    }
                    other => return other,
                }
            }
            let block = BlockRef::from(entry);
            let is_final = self.hub().as_ref().is_some_and(|hub| block.number <= hub.lib().number);
            // Most of what is final and left memory is in bundles. Of blocks that others wrote the name of the file is not known.
            if entry.file.is_none()
                && is_final
                && let Some(found) = self.bundled(block).await?
            {
                return Ok(found);
            }
            if (entry.file.is_none() || aside.is_some())
                && let Some(found) = self.store.find_one_block(block).await?
            {
                return Ok(found);
            }
            if let Some(found) = self.bundled(block).await? {
                return Ok(found);
            }
            let found = self.store.find_forked_block(block).await?;
            found.ok_or_else(|| aside.unwrap_or_else(|| Error::NotFound(format!("block {block}"))))
        })
    }

    /// The block, if it is in a bundle.
    async fn bundled(&self, block: BlockRef) -> Result<Option<EncodedBlock>> {
        match self.store.read_block(block.number).await {
            Ok(found) if found.id() == block.id => Ok(Some(found)),
            Ok(_) | Err(Error::NotFound(_)) => Ok(None),
            Err(error) => {
                self.faults.note(block.number, &error, false);
                Err(error)
            }
        }
    }

    /// The block of the best chain at a height, from memory, one-block files or bundles.
    pub(super) async fn canonical_block(&self, number: u32) -> Result<Arc<FeedBlock>> {
        let entry = self.hub().as_ref().and_then(|hub| hub.canonical(number).cloned());
        match entry {
            Some(entry) => self.load(entry).await,
            None => self.past.single(number).await.map_err(|error| self.unread(number, error)),
        }
    }

    /// The error for a block of a bundle that cannot be read, which may be so because it is not kept any more. What is wrong with a
    /// file is noted.
    pub(super) fn unread(&self, number: u32, error: Error) -> Error {
        let known = self.hub().as_ref().map(|hub| (hub.kept_from, hub.first, hub.bundled()));
        let (kept_from, first, bundled) = known.unwrap_or_default();
        if matches!(error, Error::NotFound(_)) && number < kept_from {
            return Error::NotKept { number, first: kept_from };
        }
        let must_be = number >= first && number <= bundled;
        self.faults.note(number, &error, must_be);
        if must_be && matches!(error, Error::NotFound(_)) { self.store.missing_bundle(number) } else { error }
    }

    /// A block of any branch, also of one that was lost and is still kept.
    pub(super) async fn block(&self, block: BlockRef) -> Result<Arc<FeedBlock>> {
        match self.standing(block).await? {
            Standing::OnChain => {
                let found = self.canonical_block(block.number).await?;
                let same = found.encoded().id() == block.id;
                // It was forked out meanwhile, or it is there.
                if same { Ok(found) } else { Err(Error::NotFound(format!("block {block}"))) }
            }
            Standing::Lost(entry) => self.load(entry).await,
            Standing::Unknown => Err(Error::NotFound(format!("block {block}"))),
        }
    }

    /// A block of bundles, for a stream that goes on with those after it.
    pub(super) async fn past_block(&self, number: u32) -> Result<Arc<FeedBlock>> {
        let bundled = self.hub().as_ref().map_or(0, Hub::bundled);
        self.past.in_row(number, bundled).await.map_err(|error| self.unread(number, error))
    }

    /// How a block relates to the best chain, as far as hub and store know.
    pub(super) async fn standing(&self, block: BlockRef) -> Result<Standing> {
        let (standing, floor) = match &*self.hub() {
            Some(hub) => (hub.standing(block), hub.floor().number),
            None => return Ok(Standing::Unknown),
        };
        if !matches!(standing, Standing::Unknown) {
            return Ok(standing);
        }
        if block.number <= floor {
            match self.past.single(block.number).await {
                Ok(found) if found.encoded().id() == block.id => return Ok(Standing::OnChain),
                Ok(_) => {}
                Err(error) => match self.unread(block.number, error) {
                    // It is unknown: there is nothing else to say of it.
                    Error::NotFound(_) | Error::NotKept { .. } => {}
                    error => return Err(error),
                },
            }
        }
        Ok(self.lost_elsewhere(self.store.find_forked_block(block).await?))
    }

    /// The same for the block of a cursor: a branch that only other machines had may still be in one-block files.
    ///
    /// # Errors
    /// [`Error::CursorAhead`] if it is above the head: this machine comes there.
    pub(super) async fn standing_of_cursor(&self, block: BlockRef) -> Result<Standing> {
        let head = self.hub().as_ref().map_or(0, |hub| hub.head().number);
        let standing = self.standing(block).await?;
        if !matches!(standing, Standing::Unknown) {
            return Ok(standing);
        }
        // The head as it was before: it may have come there since.
        if block.number > head {
            return Err(Error::CursorAhead { cursor: block, head });
        }
        match self.store.find_one_block(block).await? {
            Some(found) => Ok(self.lost_elsewhere(Some(found))),
            // It may have been put aside, or come into a bundle, since that was looked for.
            None => self.standing(block).await,
        }
    }

    /// A block that the hub does not have.
    fn lost_elsewhere(&self, found: Option<EncodedBlock>) -> Standing {
        let Some(found) = found else { return Standing::Unknown };
        let link = Link::of(&found);
        Standing::Lost(Entry { link, arrival: 0, file: None, payload: Some(FeedBlock::new(found, &self.recent)) })
    }

    // Cursors

    /// Where a stream continues after a cursor. Everything that must be undone is known to be there.
    pub(super) fn resolve<'a>(
        &'a self,
        cursor: &'a Cursor,
        irreversible_only: bool,
    ) -> BoxFuture<'a, Result<Position>> {
        Box::pin(async move {
            if irreversible_only && !cursor.is_final() {
                return Err(Error::CursorNotFinal(cursor.block));
            }
            let mut block = if irreversible_only { cursor.block } else { cursor.tip };
            let position = Position { tip: block, lib: cursor.lib, settled: false };
            if block.number == cursor.lib && !cursor.is_final() {
                // All that was delivered is undone: it may continue on any branch.
                return Ok(position);
            }
            loop {
                match self.standing_of_cursor(block).await? {
                    Standing::OnChain => return Ok(position),
                    Standing::Lost(entry) if block.number > cursor.lib => block = entry.link.parent(),
                    Standing::Lost(_) | Standing::Unknown => return Err(self.unresolved(block)),
                }
                if block.number == cursor.lib {
                    return Ok(position);
                }
            }
        })
    }

    /// The same once this machine has come to the cursor's block, which another machine may have had before: waits for it for a
    /// while.
    pub(super) async fn resolve_in_time(&self, cursor: &Cursor, irreversible_only: bool) -> Result<Position> {
        if self.options.cursor_wait.is_zero() {
            return self.resolve(cursor, irreversible_only).await;
        }
        let mut changes = self.changes.clone();
        let come = async {
            loop {
                changes.mark_unchanged();
                match self.resolve(cursor, irreversible_only).await {
                    Err(Error::CursorAhead { .. }) => changes.changed().await.map_err(|_| Error::Closed)?,
                    resolved => return resolved,
                }
            }
        };
        match timeout(self.options.cursor_wait, come).await {
            Ok(resolved) => resolved,
            Err(_) => self.resolve(cursor, irreversible_only).await,
        }
    }

    pub(super) fn unresolved(&self, block: BlockRef) -> Error {
        let (head, lib, first) =
            self.hub().as_ref().map_or((0, 0, 0), |hub| (hub.head().number, hub.lib().number, hub.first));
        if block.number > head {
            Error::CursorAhead { cursor: block, head }
        } else if block.number < lib.saturating_sub(self.options.keep_forked).max(first) {
            Error::CursorTooOld(block)
        } else {
            Error::CursorUnknown(block)
        }
    }
}
