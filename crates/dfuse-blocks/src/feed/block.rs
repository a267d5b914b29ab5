//! A block that many subscribers share.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use dfuse_antelope::model::Block;
use tokio::sync::OnceCell;

use crate::{EncodedBlock, Result, store::blocking};

type Slot = Arc<OnceCell<Arc<Block>>>;

/// A block of the feed: encoded, and decoded when the first subscriber asks for it. All subscribers share both.
pub struct FeedBlock {
    encoded: EncodedBlock,
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
        Arc::new(Self { encoded, decoded: Mutex::default(), recent: recent.clone() })
    }

    /// For a source that has the block decoded already.
    pub(super) fn with_decoded(encoded: EncodedBlock, block: Arc<Block>, recent: &Arc<RecentlyDecoded>) -> Arc<Self> {
        let decoded = Mutex::new(Arc::new(OnceCell::new_with(Some(block))));
        let shared = Arc::new(Self { encoded, decoded, recent: recent.clone() });
        recent.push(&shared);
        shared
    }

    /// The block as block files hold it.
    pub fn encoded(&self) -> &EncodedBlock {
        &self.encoded
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

    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The blocks that were decoded last: the feed keeps their decoded form, and that of no others.
#[derive(Debug)]
pub(super) struct RecentlyDecoded {
    blocks: Mutex<VecDeque<Weak<FeedBlock>>>,
    capacity: usize,
}

impl RecentlyDecoded {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { blocks: Mutex::default(), capacity })
    }

    fn push(&self, block: &Arc<FeedBlock>) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.push_back(Arc::downgrade(block));
        if blocks.len() > self.capacity
            && let Some(oldest) = blocks.pop_front().and_then(|block| block.upgrade())
        {
            *oldest.slot() = Slot::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::chain;

    #[tokio::test]
    async fn blocks_are_decoded_once_and_the_last_are_kept() {
        let recent = RecentlyDecoded::new(2);
        let blocks: Vec<_> = chain(2, 3, 10).into_iter().map(|block| FeedBlock::new(block, &recent)).collect();
        let first = blocks[0].block().await.unwrap();
        assert_eq!(*first, blocks[0].encoded().decode().unwrap());
        let all = futures::future::try_join_all((0..50).map(|_| blocks[0].block())).await.unwrap();
        assert!(all.iter().all(|block| Arc::ptr_eq(block, &first)));
        blocks[1].block().await.unwrap();
        blocks[2].block().await.unwrap();
        assert!(!Arc::ptr_eq(&blocks[0].block().await.unwrap(), &first));
        let given = Arc::new(blocks[0].encoded().decode().unwrap());
        let shared = FeedBlock::with_decoded(blocks[0].encoded().clone(), given.clone(), &recent);
        assert!(Arc::ptr_eq(&shared.block().await.unwrap(), &given));
    }
}
