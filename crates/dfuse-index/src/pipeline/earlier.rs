//! Earlier blocks join between two steps of the chain.

use std::sync::Arc;

use bytes::Bytes;
use dfuse_antelope::model::Block;
use dfuse_blocks::BlockRef;
use dfuse_kv::{Snapshot, WriteBatch};

use super::Pipeline;
use crate::{
    BlockContext, Earlier, EarlierStage, EarlierWay, Error, Family, Follower, IndexedPart, JoinPass, Result, UnderWay,
    View, branch::Branch, overlay::Overlay, serving::Forks, tree::Tree,
};

impl Pipeline {
    /// Has the lists of earlier blocks join where blocks at hand write, too, and makes the writes of reversible blocks anew, since
    /// they were made without those lists. `reversible` finds these blocks. `abis_known` says whether the ABIs are known that were
    /// set before the first of the earlier blocks.
    ///
    /// # Errors
    /// [`Error::Usage`] while reversible blocks are out of memory, while the store fails, or if no lists are joining: nothing has
    /// changed then. After any other error this pipeline is of no use any more.
    pub fn join_earlier(
        &mut self,
        earlier: &View,
        abis_known: bool,
        reversible: impl FnMut(BlockRef) -> Result<Arc<Block>>,
    ) -> Result<()> {
        if self.follower.tree.spilled() > 0 || self.is_stalled() {
            return Err(Error::Usage("reversible blocks are out of memory; wait until finality moves on".into()));
        }
        let record = Earlier::of(&*self.store)?;
        let joining = record.and_then(|record| record.under_way.map(|under_way| (record, under_way)));
        let Some((mut record, under_way)) = joining.filter(|(_, it)| it.stage == EarlierStage::Lists) else {
            return Err(Error::Usage("no lists of earlier blocks are joining".into()));
        };
        self.follower.replace_snapshot(self.store.snapshot()?, self.committed());
        let committed = self.follower.committed.clone();
        let own = View::new(committed.clone(), Branch::committed(committed.number()), committed.block);
        let mut batch = WriteBatch::new();
        for slot in self.follower.slots.iter().filter(|slot| slot.index.earlier_way() == EarlierWay::Lists) {
            let mut put = |family: Family, key: Bytes, value: Option<Bytes>| {
                let keyspace = self.follower.families.keyspace(family)?;
                match value {
                    Some(value) => batch.put(keyspace, key, value),
                    None => batch.delete(keyspace, key),
                }
                Ok(())
            };
            slot.index.join_earlier(earlier, &own, JoinPass::Between, &mut put)?;
        }
        drop(own);
        record.parts.insert(0, IndexedPart { first: under_way.first, abis_known });
        record.under_way = Some(UnderWay { stage: EarlierStage::Blocks, ..under_way });
        record.put(&mut batch, self.follower.checkpoints);
        if !self.write(batch)? {
            return Err(Error::Usage("the store of the indexes takes no writes; try again when it does".into()));
        }
        self.follower.make_anew(self.store.snapshot()?, reversible)
    }

    /// Publishes what the store has by now of earlier blocks.
    ///
    /// # Errors
    /// Those of the store.
    pub fn take_earlier(&mut self) -> Result<()> {
        self.take_floors()
    }
}

impl Follower {
    /// Makes the writes of all reversible blocks anew, over a snapshot with the same committed block as before.
    fn make_anew(
        &mut self,
        snapshot: Arc<dyn Snapshot>,
        mut reversible: impl FnMut(BlockRef) -> Result<Arc<Block>>,
    ) -> Result<()> {
        // Parents first.
        let blocks = self.tree.nodes().map(|node| reversible(node.block)).collect::<Result<Vec<_>>>()?;
        self.tree = Tree::default();
        self.overlay = Arc::new(Overlay::new(self.store.keyspaces().len()));
        self.replace_snapshot(snapshot, self.committed.block);
        if let Some(root) = self.root {
            for block in &blocks {
                self.enter(&BlockContext::new(block), root)?;
            }
            let forks = self.forks.values().map(|(block, _)| (block.id, (*block, self.tree.branch(root, *block))));
            self.forks = Arc::new(forks.collect::<Forks>());
        }
        self.publish();
        Ok(())
    }
}
