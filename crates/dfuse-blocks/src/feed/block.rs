//! A block that many subscribers share.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use dfuse_antelope::model::{Block, BlockParts};
use tokio::sync::OnceCell;

use crate::{EncodedBlock, Result, store::blocking};

type Slot = Arc<OnceCell<Arc<Block>>>;

/// Bytes of a decoded block for one of its envelope: an estimate that is rather too high. Names and ids take half of what they
/// take as text, but structs and lists have unused room.
const DECODED_BYTES: usize = 4;

/// A block of the feed: encoded, and decoded when the first subscriber asks for it. All subscribers share both.
pub struct FeedBlock {
    encoded: EncodedBlock,
    /// Where its pieces are, once somebody asked. It shares the bytes of the encoded block.
    parts: OnceLock<Arc<BlockParts>>,
    /// Replaced by an empty one when the block is not among the last decoded ones any more.
    decoded: Mutex<Slot>,
    recent: Arc<RecentlyDecoded>,
}

impl fmt::Debug for FeedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.encoded.fmt(f)
    }
}

impl FeedBlock {
    pub(super) fn new(encoded: EncodedBlock, recent: &Arc<RecentlyDecoded>) -> Arc<Self> {
        Arc::new(Self { encoded, parts: OnceLock::new(), decoded: Mutex::default(), recent: recent.clone() })
    }

    /// For a source that has the block decoded already.
    pub(super) fn with_decoded(encoded: EncodedBlock, block: Arc<Block>, recent: &Arc<RecentlyDecoded>) -> Arc<Self> {
        let decoded = Mutex::new(Arc::new(OnceCell::new_with(Some(block))));
        let shared = Arc::new(Self { encoded, parts: OnceLock::new(), decoded, recent: recent.clone() });
        recent.push(&shared);
        shared
    }

    /// The block as block files hold it.
    pub fn encoded(&self) -> &EncodedBlock {
        &self.encoded
    }

    /// The block with its pieces located and nothing of them decoded. Located once for all who ask.
    ///
    /// # Errors
    /// Those of [`EncodedBlock::parts`].
    pub fn parts(&self) -> Result<Arc<BlockParts>> {
        if let Some(parts) = self.parts.get() {
            return Ok(parts.clone());
        }
        let parts = Arc::new(self.encoded.parts()?);
        Ok(self.parts.get_or_init(|| parts).clone())
    }

    /// The block itself. Decoded once for all who ask at about the same time, off the async threads; the feed keeps the
    /// last few.
    pub async fn block(self: &Arc<Self>) -> Result<Arc<Block>> {
        let slot = self.slot().clone();
        let decode = async || {
            let encoded = self.encoded.clone();
            let block = Arc::new(blocking(move || encoded.decode()).await?);
            self.recent.push(self);
            Ok(block)
        };
        slot.get_or_try_init(decode).await.cloned()
    }

    /// The same for threads that may block, which decode it themselves.
    ///
    /// # Errors
    /// It does not decode.
    pub fn block_here(self: &Arc<Self>) -> Result<Arc<Block>> {
        let slot = self.slot().clone();
        if let Some(block) = slot.get() {
            return Ok(block.clone());
        }
        let block = Arc::new(self.encoded.decode()?);
        // Another thread may have been quicker: then that one is shared.
        if slot.set(block.clone()).is_ok() {
            self.recent.push(self);
        }
        Ok(slot.get().unwrap_or(&block).clone())
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// About what its decoded form takes.
    fn decoded_bytes(&self) -> usize {
        self.encoded.envelope().len() * DECODED_BYTES
    }
}

/// The blocks that were decoded last: the feed keeps their decoded form, and that of no others.
#[derive(Debug)]
pub(super) struct RecentlyDecoded {
    blocks: Mutex<Decoded>,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Decoded {
    /// With what each takes.
    blocks: VecDeque<(Weak<FeedBlock>, usize)>,
    bytes: usize,
}

impl RecentlyDecoded {
    /// Keeps so many bytes of decoded blocks, and always the last one.
    pub(super) fn new(most_bytes: usize) -> Arc<Self> {
        Arc::new(Self { blocks: Mutex::default(), most_bytes })
    }

    /// What the decoded blocks take.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Decoded> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, block: &Arc<FeedBlock>) {
        let mut decoded = self.lock();
        let bytes = block.decoded_bytes();
        decoded.blocks.push_back((Arc::downgrade(block), bytes));
        decoded.bytes += bytes;
        while decoded.bytes > self.most_bytes
            && decoded.blocks.len() > 1
            && let Some((oldest, bytes)) = decoded.blocks.pop_front()
        {
            decoded.bytes -= bytes;
            if let Some(oldest) = oldest.upgrade() {
                *oldest.slot() = Slot::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::chain;

    #[tokio::test]
    async fn blocks_are_decoded_once_and_the_last_are_kept() {
        let blocks = chain(2, 3, 10);
        // Two of them fit.
        let recent = RecentlyDecoded::new(blocks[0].envelope().len() * DECODED_BYTES * 5 / 2);
        let blocks: Vec<_> = blocks.into_iter().map(|block| FeedBlock::new(block, &recent)).collect();
        let first = blocks[0].block().await.unwrap();
        assert_eq!(*first, blocks[0].encoded().decode().unwrap());
        let parts = blocks[0].parts().unwrap();
        assert_eq!((parts.id(), parts.decode().unwrap()), (blocks[0].encoded().id(), (*first).clone()));
        assert!(Arc::ptr_eq(&parts, &blocks[0].parts().unwrap()), "located once");
        let all = futures::future::try_join_all((0..50).map(|_| blocks[0].block())).await.unwrap();
        assert!(all.iter().all(|block| Arc::ptr_eq(block, &first)));
        blocks[1].block().await.unwrap();
        assert!(Arc::ptr_eq(&blocks[0].block().await.unwrap(), &first));
        blocks[2].block().await.unwrap();
        assert!(!Arc::ptr_eq(&blocks[0].block().await.unwrap(), &first));
        assert!(Arc::ptr_eq(&blocks[2].block_here().unwrap(), &blocks[2].block().await.unwrap()));
        let here = blocks[1].block_here().unwrap();
        assert!(Arc::ptr_eq(&blocks[1].block().await.unwrap(), &here));
        let given = Arc::new(blocks[0].encoded().decode().unwrap());
        let shared = FeedBlock::with_decoded(blocks[0].encoded().clone(), given.clone(), &recent);
        assert!(Arc::ptr_eq(&shared.block().await.unwrap(), &given));
        // One that is too large for all of it is kept as long as it is the last one.
        let none = RecentlyDecoded::new(0);
        let alone = FeedBlock::new(blocks[0].encoded().clone(), &none);
        assert!(Arc::ptr_eq(&alone.block().await.unwrap(), &alone.block().await.unwrap()));
    }
}
