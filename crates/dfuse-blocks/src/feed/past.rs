//! Final blocks of bundles, read once for all streams that are at about the same place.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
};

use futures::future::BoxFuture;
use tokio::sync::{Mutex, Semaphore};

use super::{
    block::{FeedBlock, RecentlyDecoded},
    options::FeedOptions,
};
use crate::{
    BlockStore, EncodedBlock, Error, Result,
    bundle::{BUNDLE_BLOCKS, base_of},
    range::RangeReader,
};

/// Pieces that are read at a time. Most of the time a read waits for a disk or for another machine.
const READS: usize = 8;
/// Bundles without tables that stay open, so that whoever goes on with one need not unpack it from its start.
const OPEN_BUNDLES: usize = 4;

/// The blocks that were used last, encoded, and some of them decoded. Both are bounded in bytes, so a stream that waits may let
/// go of its block: it finds it here again, or reads it again.
#[derive(Debug)]
pub(super) struct Past {
    store: BlockStore,
    decoded: Arc<RecentlyDecoded>,
    most_bytes: usize,
    piece_bytes: usize,
    kept: StdMutex<Kept>,
    bundles: StdMutex<BTreeMap<u32, Arc<Mutex<Option<Open>>>>>,
    reads: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Kept {
    /// With when each was used last.
    blocks: BTreeMap<u32, (Arc<FeedBlock>, u64)>,
    by_use: BTreeMap<u64, u32>,
    uses: u64,
    bytes: usize,
}

/// A bundle that can only be read from its start, unpacked up to a block.
struct Open {
    next: u32,
    reader: RangeReader,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "open at block {}", self.next)
    }
}

impl Past {
    pub(super) fn new(store: BlockStore, options: &FeedOptions) -> Self {
        let most_bytes = options.history_bytes / 2;
        Self {
            store,
            decoded: RecentlyDecoded::new(options.history_bytes / 2),
            most_bytes,
            piece_bytes: options.history_piece_bytes.min(most_bytes / 4).max(1),
            kept: StdMutex::default(),
            bundles: StdMutex::default(),
            reads: Arc::new(Semaphore::new(READS)),
        }
    }

    /// The block, if it is in memory.
    pub(super) fn get(&self, number: u32) -> Option<Arc<FeedBlock>> {
        self.kept().get(number)
    }

    /// The encoded bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.kept().bytes
    }

    /// What the decoded blocks take.
    pub(super) fn decoded_bytes(&self) -> usize {
        self.decoded.bytes()
    }

    /// A block that is read by itself.
    pub(super) async fn single(&self, number: u32) -> Result<Arc<FeedBlock>> {
        match self.get(number) {
            Some(block) => Ok(block),
            None => self.read_single(number).await,
        }
    }

    fn read_single(&self, number: u32) -> BoxFuture<'_, Result<Arc<FeedBlock>>> {
        Box::pin(async move {
            let _read = self.reads.acquire().await.map_err(|_| Error::Closed)?;
            let block = self.store.read_block(number).await?;
            Ok(self.keep(vec![block])?.remove(0))
        })
    }

    /// A block for whoever will want those after it, too, up to `last`: a piece of its bundle is read, by one for all who wait
    /// for it.
    pub(super) fn in_row<'a>(self: &'a Arc<Self>, number: u32, last: u32) -> BoxFuture<'a, Result<Arc<FeedBlock>>> {
        Box::pin(async move {
            let (block, after) = self.piece(number).await?;
            // Only whoever had to wait for a piece asks for the next one ahead, and only if nobody waits for a read.
            if let Some(after) = after.filter(|after| *after <= last && self.get(*after).is_none())
                && let Ok(idle) = self.reads.clone().try_acquire_owned()
            {
                let past = self.clone();
                drop(idle);
                tokio::spawn(async move {
                    // An error comes again when the block is due.
                    let _ = past.piece(after).await;
                });
            }
            Ok(block)
        })
    }

    /// The block, and if a piece was read for it, the number after that piece.
    async fn piece(&self, number: u32) -> Result<(Arc<FeedBlock>, Option<u32>)> {
        if let Some(block) = self.get(number) {
            return Ok((block, None));
        }
        let base = base_of(number);
        let bundle = self.bundles().entry(base).or_default().clone();
        let result = {
            let mut open = bundle.lock().await;
            match self.get(number) {
                Some(block) => Ok((block, None)),
                None => self.read(number, &mut open).await,
            }
        };
        drop(bundle);
        self.close_bundles();
        result
    }

    async fn read(&self, number: u32, open: &mut Option<Open>) -> Result<(Arc<FeedBlock>, Option<u32>)> {
        let _read = self.reads.acquire().await.map_err(|_| Error::Closed)?;
        // One whose reading is given up is not used again.
        let mut reader = match open.take().filter(|open| open.next == number) {
            Some(open) => open.reader,
            None => {
                let last = base_of(number).saturating_add(BUNDLE_BLOCKS - 1);
                RangeReader::new(self.store.clone(), number..=last, self.piece_bytes)
            }
        };
        let piece = reader.piece().await?.unwrap_or_default();
        let next = piece.last().map_or(number, |last| last.number().saturating_add(1));
        let mut blocks = self.keep(piece)?;
        if blocks.is_empty() {
            return Err(Error::NotFound(format!("block {number}")));
        }
        if reader.is_open_stream() {
            *open = Some(Open { next, reader });
        }
        Ok((blocks.swap_remove(0), Some(next)))
    }

    /// Forgets bundles that nobody reads, but for the last few that are open.
    fn close_bundles(&self) {
        let mut bundles = self.bundles();
        let mut open = 0;
        let mut is_wanted = |bundle: &Arc<Mutex<Option<Open>>>| {
            if Arc::strong_count(bundle) > 1 {
                return true;
            }
            let is_open = bundle.try_lock().is_ok_and(|open| open.is_some());
            open += usize::from(is_open);
            is_open && open <= OPEN_BUNDLES
        };
        // The newest ones are the most likely to be gone on with.
        let unwanted: Vec<_> =
            bundles.iter().rev().filter(|(_, bundle)| !is_wanted(bundle)).map(|(base, _)| *base).collect();
        for base in unwanted {
            bundles.remove(&base);
        }
    }

    /// Keeps blocks that were read in a row; returns them as they are shared.
    fn keep(&self, piece: Vec<EncodedBlock>) -> Result<Vec<Arc<FeedBlock>>> {
        let mut kept = self.kept();
        let mut blocks = Vec::with_capacity(piece.len());
        for block in piece {
            if let Some(same) = kept.get(block.number()).filter(|same| same.encoded().id() == block.id()) {
                blocks.push(same);
                continue;
            }
            let before = block.number().checked_sub(1).and_then(|before| kept.blocks.get(&before));
            if let Some((before, _)) = before.filter(|(before, _)| before.encoded().id() != block.previous()) {
                let why = format!("its parent is {}, not {}", block.previous(), before.encoded().id());
                return Err(Error::unlinked(&block, why));
            }
            let block = FeedBlock::new(block, &self.decoded);
            kept.insert(block.clone());
            blocks.push(block);
        }
        kept.shrink(self.most_bytes);
        Ok(blocks)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bundles(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Mutex<Option<Open>>>>> {
        self.bundles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn get(&mut self, number: u32) -> Option<Arc<FeedBlock>> {
        let (block, used) = self.blocks.get_mut(&number)?;
        self.uses += 1;
        self.by_use.remove(used);
        *used = self.uses;
        self.by_use.insert(self.uses, number);
        Some(block.clone())
    }

    fn insert(&mut self, block: Arc<FeedBlock>) {
        let (number, bytes) = (block.encoded().number(), block.encoded().envelope().len());
        self.uses += 1;
        self.bytes += bytes;
        self.by_use.insert(self.uses, number);
        if let Some((replaced, used)) = self.blocks.insert(number, (block, self.uses)) {
            self.by_use.remove(&used);
            self.bytes -= replaced.encoded().envelope().len();
        }
    }

    /// Lets those go that were not used for longest.
    fn shrink(&mut self, most_bytes: usize) {
        while self.bytes > most_bytes
            && let Some((_, number)) = self.by_use.pop_first()
        {
            if let Some((block, _)) = self.blocks.remove(&number) {
                self.bytes -= block.encoded().envelope().len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory, path::Path};

    use super::*;
    use crate::testing::{chain, dbin_stream, forked};

    /// A store with the blocks 2 to 299 in bundles, those of the second one as others write it, without tables.
    async fn store() -> (BlockStore, Vec<EncodedBlock>) {
        let objects = Arc::new(InMemory::new());
        let store = BlockStore::new(objects.clone(), Path::default());
        let blocks = chain(2, 298, 10);
        for bundle in blocks.chunk_by(|a, b| base_of(a.number()) == base_of(b.number())) {
            store.write_bundle(bundle.to_vec()).await.unwrap();
        }
        let foreign: Vec<_> = blocks.iter().filter(|block| base_of(block.number()) == 100).cloned().collect();
        let file = dbin_stream(&foreign);
        objects.put(&store.bundle_path(100), file.into()).await.unwrap();
        // One that has not seen the bundle as it was.
        (BlockStore::new(objects, Path::default()), blocks)
    }

    fn past(store: &BlockStore, history_bytes: usize, history_piece_bytes: usize) -> Arc<Past> {
        let options = FeedOptions { history_bytes, history_piece_bytes, ..FeedOptions::default() };
        Arc::new(Past::new(store.clone(), &options))
    }

    #[tokio::test]
    async fn blocks_are_shared_and_bounded() {
        let (store, blocks) = store().await;
        let bytes = blocks[0].envelope().len();
        for (kept, piece) in [(0, 1), (20 * bytes, 3 * bytes), (1 << 30, 1 << 20)] {
            let past = past(&store, kept, piece);
            for (block, at) in blocks.iter().zip(0..) {
                let found = past.in_row(block.number(), 299).await.unwrap();
                assert_eq!(found.encoded(), block);
                assert!(past.bytes() <= kept / 2, "{} of {kept}", past.bytes());
                // Whoever comes with it or a little later has the same.
                if kept > 0 {
                    let again = past.in_row(block.number(), 299).await.unwrap();
                    assert!(Arc::ptr_eq(&found, &again));
                }
                if at % 7 == 0 {
                    let other = &blocks[at * 31 % blocks.len()];
                    assert_eq!(past.single(other.number()).await.unwrap().encoded(), other);
                }
                found.block().await.unwrap();
                assert!(past.decoded_bytes() <= (kept / 2).max(8 * bytes));
            }
            assert!(past.bundles().len() <= OPEN_BUNDLES);
        }
    }

    #[tokio::test]
    async fn many_at_once_have_the_same_block() {
        let (store, blocks) = store().await;
        for number in [2, 50, 100, 150, 299] {
            let past = past(&store, 1 << 30, 1 << 20);
            let all = futures::future::try_join_all((0..50).map(|_| past.in_row(number, 299))).await.unwrap();
            assert!(all.iter().all(|block| Arc::ptr_eq(block, &all[0])));
            assert_eq!(all[0].encoded(), &blocks[number as usize - 2]);
        }
    }

    #[tokio::test]
    async fn what_is_not_there_or_not_of_the_chain_is_told() {
        let (store, _) = store().await;
        let past = past(&store, 1 << 30, 1);
        for number in [0, 1, 300, 5000] {
            assert!(matches!(past.in_row(number, 299).await, Err(Error::NotFound(_))), "{number}");
            assert!(matches!(past.single(number).await, Err(Error::NotFound(_))), "{number}");
        }
        assert!(past.in_row(199, 199).await.is_ok());
        // Another chain's bundle.
        let other = (200..300).map(|number| forked(number, 1, 1, number - 3)).collect();
        store.write_bundle(other).await.unwrap();
        assert!(matches!(past.in_row(200, 299).await, Err(Error::Unlinked { .. })));
    }
}
