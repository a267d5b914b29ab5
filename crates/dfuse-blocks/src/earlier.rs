//! Blocks of before the first one of a store: gathered beside it, then moved into it.

use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use crate::{BlockStore, EncodedBlock, Error, Result, bundle::base_of, feed::FeedHandle};

/// The folder that such blocks are gathered in.
const EARLIER: &str = "earlier";

impl BlockStore {
    /// The store beside this one that earlier blocks are gathered in.
    #[must_use]
    pub fn earlier(&self) -> Self {
        self.within(EARLIER)
    }

    /// Takes in blocks that end with the parent of the first block of the store, and are of that block's bundle. A feed that runs on
    /// the store takes part. Blocks that are there are passed over.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn precede(&self, blocks: Vec<EncodedBlock>, feed: Option<&FeedHandle>) -> Result<()> {
        let Some(last) = blocks.last() else { return Ok(()) };
        let (next, base) = (last.number().saturating_add(1), base_of(last.number()));
        let is_bundled = match self.read_block(next).await {
            Ok(_) => true,
            Err(Error::NotFound(_)) => false,
            Err(error) => return Err(error),
        };
        if is_bundled {
            return self.precede_in_bundle(base, blocks).await;
        }
        let mut names = Vec::new();
        // From the last one down, so that those that are there have no gap before the first one, whenever this ends.
        for block in blocks.iter().rev() {
            names.push(self.write_one_block(block, EARLIER).await?);
        }
        let Some(feed) = feed else { return Ok(()) };
        if !feed.precede(&blocks, EARLIER).await? {
            // It was written meanwhile.
            self.precede_in_bundle(base, blocks).await?;
            self.delete_one_blocks(names).await?;
        }
        Ok(())
    }

    async fn precede_in_bundle(&self, base: u32, mut blocks: Vec<EncodedBlock>) -> Result<()> {
        let own: Vec<_> = self.read_bundle_blocks(base, 0..=u32::MAX).try_collect().await?;
        let Some(first) = own.first().map(EncodedBlock::number) else { return Ok(()) };
        blocks.retain(|block| block.number() < first);
        if blocks.is_empty() {
            return Ok(());
        }
        blocks.extend(own);
        if let Some(pair) = blocks.windows(2).find(|pair| pair[0].id() != pair[1].previous()) {
            return Err(Error::unlinked(&pair[1], format!("the block before it is {}", pair[0].id())));
        }
        self.write_bundle(blocks).await
    }

    /// Moves a bundle from another folder of the same store here, unless it is here already.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn adopt_bundle(&self, from: &Self, base: u32) -> Result<()> {
        let (from, to) = (from.bundle_path(base), self.bundle_path(base));
        self.may_write(&to)?;
        match self.objects.rename(&from, &to).await.map_err(|e| Error::store(&from, e)) {
            Err(Error::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// Deletes all that is in the store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_all(&self) -> Result<()> {
        self.may_write(self.root())?;
        let listed: Vec<_> =
            self.objects.list(Some(self.root())).try_collect().await.map_err(|e| Error::store(self.root(), e))?;
        for object in listed {
            match self.objects.delete(&object.location).await.map_err(|e| Error::store(&object.location, e)) {
                Ok(()) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
