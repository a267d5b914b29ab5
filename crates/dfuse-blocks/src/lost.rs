//! Blocks that contradict final ones: is it a branch that lost, or another chain?
//!
//! Sources repeat blocks, and logs contain branches that lost. A block that differs from the final one of its height, or has no
//! way to the last irreversible block, is on such a branch if its ancestors lead to a final block, and if it does not itself
//! call a block of its own branch final. If it does, two chains are final: that is another chain, or a node that gave up
//! what was final. If an ancestor is missing it cannot be told; unless it is the one before the first block of all.

use std::collections::BTreeMap;

use dfuse_antelope::Checksum256;
use futures::TryStreamExt;

use crate::{
    BlockRef, BlockStore, EncodedBlock, Error, Result,
    bundle::{BUNDLE_BLOCKS, base_of},
};

/// Lost blocks that are remembered, those of the greatest heights, so that their children need no search.
const REMEMBERED: usize = 10_000;

/// The chain that blocks are compared with.
pub(crate) trait Chain {
    /// Number of the first block that is kept.
    fn first(&self) -> u32;

    /// Number of the last irreversible block.
    fn lib(&self) -> u32;

    /// Number of the head.
    fn head(&self) -> u32;

    /// Id of the final block of this height, and of the one before the first, if it need not be read from a bundle.
    fn final_id(&self, number: u32) -> Option<Checksum256>;

    /// Id of the block before one that is not final, if it is at hand.
    fn previous(&self, id: Checksum256) -> Option<Checksum256>;
}

/// Tells lost branches from other chains.
#[derive(Debug)]
pub(crate) struct LostBranches {
    store: BlockStore,
    /// Lost blocks, with the number of the first block of their branch.
    lost: BTreeMap<Checksum256, u32>,
    /// Ids of the bundle that was read last, from this number on.
    bundle: (u32, Vec<Checksum256>),
}

impl LostBranches {
    pub(crate) fn new(store: BlockStore) -> Self {
        Self { store, lost: BTreeMap::new(), bundle: (0, vec![]) }
    }

    /// Whether a lost block is remembered.
    pub(crate) fn contains(&self, id: Checksum256) -> bool {
        self.lost.contains_key(&id)
    }

    /// Number of the first block of the lost branch that a remembered block is on.
    pub(crate) fn branch(&self, id: Checksum256) -> Option<u32> {
        self.lost.get(&id).copied()
    }

    /// A block was lost, on the branch that begins with block `first`.
    pub(crate) fn remember(&mut self, id: Checksum256, first: u32) {
        self.lost.insert(id, first);
        if self.lost.len() > REMEMBERED {
            self.lost.pop_first();
        }
    }

    /// A reversible block was lost, after its parent if that one was, too.
    pub(crate) fn remember_child(&mut self, id: Checksum256, previous: Checksum256) {
        let first = self.lost.get(&previous).copied().unwrap_or_else(|| id.block_num());
        self.remember(id, first);
    }

    /// Number of the first block of the lost branch that a block is on, which is not on the chain and cannot get there.
    ///
    /// # Errors
    /// [`Error::OtherChain`]; [`Error::Unlinked`] if it cannot be told, because blocks before it are missing.
    pub(crate) async fn first_of(&mut self, block: &EncodedBlock, chain: &impl Chain) -> Result<u32> {
        let mut parent = BlockRef { number: block.number().saturating_sub(1), id: block.previous() };
        let first = loop {
            if let Some(first) = self.lost.get(&parent.id) {
                break *first;
            }
            if parent.number <= chain.lib() {
                match self.final_id(parent.number, chain).await? {
                    Some(id) if id == parent.id => break parent.number + 1,
                    Some(id) if parent.number < chain.first() => {
                        let why = format!("it descends from block {parent}, and the chain begins after block {id}");
                        return Err(Error::OtherChain { block: block.into(), why });
                    }
                    _ => {}
                }
            }
            let previous = match chain.previous(parent.id) {
                Some(previous) => Some(previous),
                None => self.store.find_forked_block(parent).await?.map(|block| block.previous()),
            };
            let Some(previous) = previous else { return Err(missing(block, parent, chain.head())) };
            parent = BlockRef { number: parent.number.saturating_sub(1), id: previous };
        };
        if block.lib_number() < first {
            return Ok(first);
        }
        let why =
            format!("it calls block {} final, on a branch that left the chain at block {first}", block.lib_number());
        Err(Error::OtherChain { block: block.into(), why })
    }

    /// Id of the final block of a height, if the chain or its bundles have it or its child.
    pub(crate) async fn final_id(&mut self, number: u32, chain: &impl Chain) -> Result<Option<Checksum256>> {
        if let Some(id) = chain.final_id(number) {
            return Ok(Some(id));
        }
        let first = chain.first();
        if number + 1 == first {
            let block = found(self.store.read_block(first).await)?;
            return Ok(block.map(|block| block.previous()));
        }
        let at = |(first, ids): &(u32, Vec<_>)| ids.get(number.checked_sub(*first)? as usize).copied();
        if let Some(id) = at(&self.bundle) {
            return Ok(Some(id));
        }
        let base = base_of(number);
        let (from, to) = (base.max(first), base.saturating_add(BUNDLE_BLOCKS - 1));
        let ids = self.store.read_range(from..=to).map_ok(|block| block.id()).try_collect::<Vec<_>>();
        let Some(ids) = found(ids.await)? else { return Ok(None) };
        self.bundle = (from, ids);
        Ok(at(&self.bundle))
    }
}

/// Nothing where there is nothing.
fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(Error::NotFound(_)) => Ok(None),
        other => other.map(Some),
    }
}

fn missing(block: &EncodedBlock, missing: BlockRef, head: u32) -> Error {
    let (number, what) = match missing.number > head {
        true => (head + 1, format!("block {}", head + 1)),
        false => (missing.number, format!("block {missing}")),
    };
    Error::unlinked(block, format!("{what} is missing; let the source begin at block {number} or before"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Recording, chain, forked, id};

    /// Blocks 100 to 249, all final, up to 199 in bundles.
    struct Final;

    impl Chain for Final {
        fn first(&self) -> u32 {
            100
        }

        fn lib(&self) -> u32 {
            249
        }

        fn head(&self) -> u32 {
            249
        }

        fn final_id(&self, number: u32) -> Option<Checksum256> {
            (200..250).contains(&number).then(|| id(number, 0))
        }

        fn previous(&self, id: Checksum256) -> Option<Checksum256> {
            (id == crate::testing::id(220, 2)).then(|| crate::testing::id(219, 0))
        }
    }

    async fn store() -> BlockStore {
        let (store, _) = Recording::store();
        store.write_bundle(chain(100, 100, 10)).await.unwrap();
        store.write_forked_block(&forked(150, 1, 0, 100), "default").await.unwrap();
        store
    }

    #[tokio::test]
    async fn branches_that_lost_other_chains_and_what_cannot_be_told() {
        let mut lost = LostBranches::new(store().await);
        let mut first = async |block: EncodedBlock| lost.first_of(&block, &Final).await;
        // From final blocks: before the first one, in a bundle, at hand; by lost blocks at hand or aside.
        for (number, branch, parent, expected) in
            [(100, 1, 0, 100), (101, 1, 0, 101), (200, 1, 0, 200), (240, 1, 0, 240), (151, 2, 1, 150), (221, 3, 2, 220)]
        {
            let block = forked(number, branch, parent, expected - 1);
            assert_eq!(first(block).await.unwrap(), expected, "{number}");
            for lib in [expected, number] {
                let error = first(forked(number, branch, parent, lib)).await.unwrap_err();
                assert!(matches!(error, Error::OtherChain { .. }), "{error}");
            }
        }
        let error = first(forked(100, 1, 7, 10)).await.unwrap_err();
        assert!(matches!(error, Error::OtherChain { .. }), "{error}");
        for (number, branch, parent, missing) in [(160, 3, 3, 159), (153, 3, 1, 152), (260, 0, 0, 250)] {
            let error = first(forked(number, branch, parent, number)).await.unwrap_err();
            assert!(matches!(error, Error::Unlinked { .. }), "{error}");
            assert!(
                error.to_string().ends_with(&format!("let the source begin at block {missing} or before")),
                "{error}"
            );
        }
        lost.remember_child(id(152, 1), id(151, 0));
        lost.remember_child(id(153, 1), id(152, 1));
        assert_eq!(lost.first_of(&forked(154, 1, 1, 100), &Final).await.unwrap(), 152);
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let mut lost = LostBranches::new(store().await);
        (0..REMEMBERED as u32 + 10).for_each(|number| lost.remember(id(number, 1), number));
        assert_eq!(lost.lost.len(), REMEMBERED);
        assert!(!lost.contains(id(9, 1)) && lost.contains(id(10, 1)));
    }
}
