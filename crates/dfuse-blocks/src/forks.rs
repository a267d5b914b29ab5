use std::collections::{BTreeMap, VecDeque};

use dfuse_antelope::Checksum256;

use crate::{BlockRef, EncodedBlock, Linked};

/// What became of a block that was added to a [`ForkDb`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is the head now.
    Head,
    /// It is on a branch that is not longer than the best one.
    Side,
    /// Its parent is not known yet.
    Orphan,
    /// It was there already.
    Known,
    /// It is not above the last irreversible block: final already, or lost.
    Late,
}

/// Blocks that became final, and those that can no longer become so.
#[derive(Debug)]
pub struct Finalized<B = EncodedBlock> {
    /// In ascending order, each the parent of the next.
    pub irreversible: Vec<B>,
    /// In ascending order; from other branches.
    pub stalled: Vec<B>,
}

impl<B> Default for Finalized<B> {
    fn default() -> Self {
        Self { irreversible: vec![], stalled: vec![] }
    }
}

#[derive(Debug)]
struct Node<B> {
    block: B,
    /// Whether its ancestors lead to the last irreversible block.
    linked: bool,
}

/// The reversible blocks, of all branches, above the last irreversible one (LIB).
///
/// Fork choice: the longest branch by number, and of equal ones the first seen. The LIB is the one that the head names,
/// on the head's own branch.
#[derive(Debug)]
pub struct ForkDb<B = EncodedBlock> {
    /// By id, which starts with the number: blocks are in ascending order of numbers.
    nodes: BTreeMap<Checksum256, Node<B>>,
    lib: BlockRef,
    /// The LIB, while no block above it is linked.
    head: BlockRef,
    /// Ids from the one above the LIB to the head.
    best: VecDeque<Checksum256>,
}

impl<B: Linked> ForkDb<B> {
    /// No blocks above `lib`.
    pub fn new(lib: BlockRef) -> Self {
        Self { nodes: BTreeMap::new(), lib, head: lib, best: VecDeque::new() }
    }

    /// The last irreversible block.
    pub fn lib(&self) -> BlockRef {
        self.lib
    }

    /// The best block; the LIB while there is none above it.
    pub fn head(&self) -> BlockRef {
        self.head
    }

    /// A reversible block by id.
    pub fn get(&self, id: Checksum256) -> Option<&B> {
        self.nodes.get(&id).map(|node| &node.block)
    }

    /// The same to change, but for what links it.
    pub(crate) fn get_mut(&mut self, id: Checksum256) -> Option<&mut B> {
        self.nodes.get_mut(&id).map(|node| &mut node.block)
    }

    /// Id of the reversible block of this height on the best branch.
    pub fn best(&self, number: u32) -> Option<Checksum256> {
        let above_lib = number.checked_sub(self.lib.number)?.checked_sub(1)?;
        self.best.get(above_lib as usize).copied()
    }

    /// Whether the ancestors of a reversible block lead to the last irreversible one: it can still win.
    pub(crate) fn is_linked(&self, id: Checksum256) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.linked)
    }

    /// All blocks above the LIB, of all branches and orphans too, in ascending order of numbers.
    pub fn blocks(&self) -> impl Iterator<Item = &B> {
        self.nodes.values().map(|node| &node.block)
    }

    /// Adds a block. Parents may come after their children.
    pub fn add(&mut self, block: B) -> Added {
        let (id, number, previous) = (block.id(), block.number(), block.previous());
        if number <= self.lib.number {
            return Added::Late;
        }
        if self.nodes.contains_key(&id) {
            return Added::Known;
        }
        let linked = previous == self.lib.id || self.nodes.get(&previous).is_some_and(|parent| parent.linked);
        self.nodes.insert(id, Node { block, linked });
        if !linked {
            return Added::Orphan;
        }
        let mut best = BlockRef { number, id };
        self.set_linked(id, true, |descendant| best = best_of(best, descendant));
        if best.number > self.head.number {
            self.set_head(best);
            return Added::Head;
        }
        Added::Side
    }

    fn set_head(&mut self, head: BlockRef) {
        let (mut branch, mut block) = (vec![], head);
        while block.number > self.lib.number && self.best(block.number) != Some(block.id) {
            branch.push(block.id);
            let Some(previous) = self.get(block.id).map(B::previous) else { break };
            block = BlockRef { number: block.number - 1, id: previous };
        }
        self.best.truncate((block.number - self.lib.number) as usize);
        self.best.extend(branch.into_iter().rev());
        self.head = head;
    }

    /// Marks all descendants of a block, parents first, and visits those whose mark changes.
    fn set_linked(&mut self, ancestor: Checksum256, linked: bool, mut visit: impl FnMut(BlockRef)) {
        let mut generation = vec![ancestor];
        while let Some(number) = generation.first().map(Checksum256::block_num) {
            let Some(next) = number.checked_add(1) else { return };
            let mut children = vec![];
            for (id, node) in self.nodes.range_mut(first_id(next)..=last_id(next)) {
                if node.linked != linked && generation.contains(&node.block.previous()) {
                    node.linked = linked;
                    visit(BlockRef { number: next, id: *id });
                    children.push(*id);
                }
            }
            generation = children;
        }
    }

    /// Moves the LIB to where the head sees it and takes out what that decides: the new irreversible blocks, and those of
    /// other branches at or below the new LIB.
    pub fn finalize(&mut self) -> Finalized<B> {
        let target = self.get(self.head.id).map(|head| head.lib_number().min(head.number()));
        let Some(count @ 1..) = target.and_then(|target| target.checked_sub(self.lib.number)) else {
            return Finalized::default();
        };
        let ids = self.best.drain(..count as usize);
        let irreversible: Vec<_> = ids.filter_map(|id| self.nodes.remove(&id)).map(|node| node.block).collect();
        if let Some(last) = irreversible.last() {
            self.lib = last.into();
        }
        let above = self.nodes.split_off(&first_id(self.lib.number.saturating_add(1)));
        let stalled: Vec<_> = std::mem::replace(&mut self.nodes, above).into_values().map(|node| node.block).collect();
        for block in &stalled {
            self.set_linked(block.id(), false, |_| {});
        }
        Finalized { irreversible, stalled }
    }
}

/// The longer one, the first on a tie.
fn best_of(first: BlockRef, second: BlockRef) -> BlockRef {
    if second.number > first.number { second } else { first }
}

fn first_id(number: u32) -> Checksum256 {
    let mut id = Checksum256::default();
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}

fn last_id(number: u32) -> Checksum256 {
    let mut id = dfuse_antelope::Checksum([0xff; 32]);
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{forked, id};

    fn lib(number: u32) -> BlockRef {
        BlockRef { number, id: id(number, 0) }
    }

    fn numbers(blocks: &[EncodedBlock]) -> Vec<u32> {
        blocks.iter().map(EncodedBlock::number).collect()
    }

    #[test]
    fn the_longest_branch_wins_and_the_first_of_equals() {
        let mut forks = ForkDb::new(lib(1));
        assert_eq!(forks.head(), lib(1));
        assert_eq!(forks.add(forked(2, 0, 0, 1)), Added::Head);
        assert_eq!(forks.add(forked(3, 0, 0, 1)), Added::Head);
        assert_eq!(forks.add(forked(3, 1, 0, 1)), Added::Side);
        assert_eq!(forks.head().id, id(3, 0));
        assert_eq!(forks.add(forked(4, 1, 1, 1)), Added::Head);
        assert_eq!(forks.add(forked(4, 0, 0, 1)), Added::Side);
        assert_eq!(forks.head().id, id(4, 1));
        assert_eq!(forks.add(forked(4, 0, 0, 1)), Added::Known);
    }

    #[test]
    fn the_lib_is_that_of_the_heads_branch() {
        let mut forks = ForkDb::new(lib(1));
        for (number, branch, parent) in [(2, 0, 0), (3, 0, 0), (3, 1, 0), (4, 1, 1), (4, 0, 0)] {
            forks.add(forked(number, branch, parent, 1));
        }
        assert!(forks.finalize().irreversible.is_empty());
        forks.add(forked(5, 0, 0, 3));
        let done = forks.finalize();
        assert_eq!(numbers(&done.irreversible), [2, 3]);
        assert_eq!(done.stalled.iter().map(EncodedBlock::id).collect::<Vec<_>>(), [id(3, 1)]);
        assert_eq!(forks.lib().id, id(3, 0));
        // The lost branch is still known but can no longer win.
        assert_eq!(forks.add(forked(5, 1, 1, 1)), Added::Orphan);
        assert_eq!(forks.add(forked(6, 1, 1, 1)), Added::Orphan);
        assert_eq!(forks.head().id, id(5, 0));
        assert_eq!(forks.add(forked(3, 2, 0, 1)), Added::Late);
        forks.add(forked(6, 0, 0, 5));
        assert_eq!(numbers(&forks.finalize().stalled), [4, 5]);
        assert_eq!(numbers(&forks.blocks().cloned().collect::<Vec<_>>()), [6, 6]);
    }

    #[test]
    fn orphans_link_when_their_parent_comes() {
        let mut forks = ForkDb::new(lib(1));
        assert_eq!(forks.add(forked(3, 0, 0, 2)), Added::Orphan);
        assert_eq!(forks.add(forked(4, 0, 0, 2)), Added::Orphan);
        assert_eq!(forks.add(forked(2, 0, 0, 1)), Added::Head);
        assert_eq!(forks.head().number, 4);
        assert_eq!(numbers(&forks.finalize().irreversible), [2]);
    }

    proptest! {
        /// Whatever the order of arrival, the final chain is linked, and every block ends in one place only.
        #[test]
        fn every_block_has_one_fate(order in Just((2u32..40).flat_map(|n| [(n, 0u8), (n, 1)]).collect::<Vec<_>>()).prop_shuffle()) {
            let mut forks = ForkDb::new(lib(1));
            let (mut chain, mut fates) = (vec![lib(1)], 0);
            for (number, branch) in order {
                // Branch 1 leaves the chain at every block and is one block long each time.
                let added = forks.add(forked(number, branch, 0, number.saturating_sub(6)));
                fates += usize::from(added == Added::Late);
                let done = forks.finalize();
                fates += done.stalled.len() + done.irreversible.len();
                for block in &done.irreversible {
                    prop_assert_eq!(block.previous(), chain.last().unwrap().id);
                    chain.push(block.into());
                }
                prop_assert_eq!(forks.lib(), *chain.last().unwrap());
                prop_assert!(forks.blocks().all(|block| block.number() > forks.lib().number));
            }
            prop_assert_eq!(fates + forks.blocks().count(), 76);
            prop_assert!(forks.lib().number >= 33);
        }
    }
}
