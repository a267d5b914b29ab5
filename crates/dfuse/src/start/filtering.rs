//! Blocks of the source without what the filter leaves out, before they are written.

use std::sync::Arc;

use anyhow::Context;
use dfuse_antelope::{AbiDump, Checksum256, model::Block};
use dfuse_blocks::{
    BlockRef, EncodedBlock,
    feed::{Arrivals, FeedHandle},
};
use dfuse_index::Serving;
use dfuse_search::Filter;
use tokio::task::spawn_blocking;

use crate::filtering::{BranchAbis, filtered};

/// Applies the filter to blocks as they come.
pub(super) struct Filtering {
    filter: Filter,
    /// Absent where no expression looks at data.
    abis: Option<BranchAbis>,
    feed: FeedHandle,
    /// Blocks that the feed took, whose ABIs later ones may need.
    arrivals: Option<Arrivals>,
}

impl Filtering {
    pub(super) fn new(filter: Filter, serving: Arc<Serving>, feed: FeedHandle) -> Self {
        let abis = filter.reads_data().then(|| BranchAbis::new(Some(serving)));
        Self { filter, abis, feed, arrivals: None }
    }

    /// The source said which ABIs were in force before its next block.
    pub(super) fn take_dump(&mut self, dump: &AbiDump) {
        if let Some(abis) = &mut self.abis {
            abis.take_dump(dump);
        }
    }

    /// The block without what the filter leaves out. One that is final already is not looked at.
    ///
    /// # Errors
    /// The block does not decode, or the ABIs of its actions cannot be read.
    pub(super) async fn apply(
        &mut self,
        block: Option<Arc<Block>>,
        encoded: &EncodedBlock,
    ) -> anyhow::Result<(Option<Arc<Block>>, EncodedBlock)> {
        let number = encoded.number();
        if self.feed.lib().is_some_and(|lib| number <= lib.number) {
            return Ok((block, encoded.clone()));
        }
        if self.filter.is_idle_at(number) {
            self.forget();
            return Ok((block, encoded.clone()));
        }
        self.see_parents(encoded.previous()).await?;
        let (filter, mut abis, encoded) = (self.filter.clone(), self.abis.take(), encoded.clone());
        let work = move || {
            let result = filtered(&filter, abis.as_mut(), block, encoded);
            (abis, result)
        };
        let (abis, result) = spawn_blocking(work).await?;
        self.abis = abis;
        result.with_context(|| format!("block {number} cannot be filtered"))
    }

    /// Blocks of now are not looked at: later ones begin with what the indexes have by then.
    fn forget(&mut self) {
        self.arrivals = None;
        if let Some(abis) = &mut self.abis {
            abis.anew();
        }
    }

    /// Takes the ABIs that blocks before this one set.
    async fn see_parents(&mut self, parent: Checksum256) -> anyhow::Result<()> {
        let Some(abis) = &mut self.abis else { return Ok(()) };
        if !abis.has_begun() {
            let base = self.feed.lib().map_or(0, |lib| lib.number);
            abis.begin(base).await?;
            self.arrivals = Some(self.feed.arrivals(base + 1));
        }
        let Some(arrivals) = &mut self.arrivals else { return Ok(()) };
        while abis.lacks(parent) {
            // The feed decides later about a block whose parent it does not have.
            if self.feed.block(BlockRef { number: parent.block_num(), id: parent }).await.is_err() {
                break;
            }
            let arrived = arrivals.next().await?.block().await?;
            abis.see(&arrived);
        }
        Ok(())
    }
}
