use std::collections::{BTreeMap, BTreeSet};

use dfuse_antelope::Checksum256;
use dfuse_blocks::BlockRef;

use crate::{
    Delta,
    branch::{Branch, Place},
};

/// Memory of a block in the overlay beside its writes, about; measured by `benches/reversible.rs`.
const BLOCK_OVERHEAD: usize = 1024;

/// A reversible block and what the indexes write for it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) block: BlockRef,
    pub(crate) parent: BlockRef,
    pub(crate) branch: Branch,
    pub(crate) place: Place,
    /// By position of the index; absent if they are in the scratch space.
    pub(crate) deltas: Option<Vec<Delta>>,
    /// Memory that the deltas take or took, about.
    pub(crate) bytes: usize,
    /// Whether a child goes on in the same segment.
    continued: bool,
}

/// The reversible blocks of all branches above the root, which is the last committed block.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// By id, which starts with the number.
    nodes: BTreeMap<Checksum256, Node>,
    next_segment: u32,
    bytes: usize,
    spilled: usize,
}

impl Tree {
    pub(crate) fn get(&self, id: Checksum256) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// In ascending order of numbers.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Memory of the deltas that are in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The branch that leads to a block; `root` is the last committed one.
    pub(crate) fn branch(&self, root: BlockRef, block: BlockRef) -> Branch {
        self.get(block.id).map_or_else(|| Branch::committed(root.number), |node| node.branch.clone())
    }

    /// A place for a block whose parent is in the tree or the root.
    pub(crate) fn branch_of_child(&mut self, root: BlockRef, parent: BlockRef) -> Branch {
        match self.nodes.get_mut(&parent.id) {
            Some(parent) if !parent.continued => {
                parent.continued = true;
                parent.branch.extended()
            }
            other => {
                let branch = other.map_or_else(|| Branch::committed(root.number), |parent| parent.branch.clone());
                self.next_segment += 1;
                branch.forked(self.next_segment, root.number)
            }
        }
    }

    pub(crate) fn insert(
        &mut self,
        block: BlockRef,
        parent: BlockRef,
        branch: Branch,
        place: Place,
        deltas: Vec<Delta>,
    ) {
        let bytes = BLOCK_OVERHEAD + deltas.iter().map(Delta::memory_bytes).sum::<usize>();
        self.bytes += bytes;
        self.nodes
            .insert(block.id, Node { block, parent, branch, place, deltas: Some(deltas), bytes, continued: false });
    }

    /// Adds the delta of one more index to a block whose deltas are in memory.
    pub(crate) fn add_delta(&mut self, id: Checksum256, position: usize, delta: Delta) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(slot) = node.deltas.as_mut().and_then(|deltas| deltas.get_mut(position)) else { return };
        let bytes = delta.memory_bytes();
        *slot = delta;
        node.bytes += bytes;
        self.bytes += bytes;
    }

    /// Takes out the delta of one index.
    pub(crate) fn take_delta(&mut self, id: Checksum256, position: usize) -> Delta {
        let Some(node) = self.nodes.get_mut(&id) else { return Delta::default() };
        let Some(slot) = node.deltas.as_mut().and_then(|deltas| deltas.get_mut(position)) else {
            return Delta::default();
        };
        let delta = std::mem::take(slot);
        node.bytes -= delta.memory_bytes();
        self.bytes -= delta.memory_bytes();
        delta
    }

    /// The deltas of a block are no longer kept here.
    pub(crate) fn spill(&mut self, id: Checksum256) -> Vec<Delta> {
        let Some(node) = self.nodes.get_mut(&id) else { return Vec::new() };
        let Some(deltas) = node.deltas.take() else { return Vec::new() };
        self.bytes -= node.bytes;
        self.spilled += 1;
        deltas
    }

    /// Blocks whose deltas are in the scratch space.
    pub(crate) fn spilled(&self) -> usize {
        self.spilled
    }

    fn remove(&mut self, id: Checksum256) -> Option<Node> {
        let node = self.nodes.remove(&id)?;
        match node.deltas {
            Some(_) => self.bytes -= node.bytes,
            None => self.spilled -= 1,
        }
        Some(node)
    }

    /// The blocks above the root up to `block`, in ascending order.
    pub(crate) fn path(&self, block: BlockRef) -> Vec<BlockRef> {
        let mut path: Vec<_> = self.ancestors(block).map(|node| node.block).collect();
        path.reverse();
        path
    }

    /// The block and what is before it, down to the root.
    pub(crate) fn ancestors(&self, block: BlockRef) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.get(block.id), |node| self.get(node.parent.id))
    }

    /// Whether `block` is on the branch that ends at `head`.
    pub(crate) fn is_ancestor(&self, block: BlockRef, head: BlockRef) -> bool {
        match (self.get(block.id), self.get(head.id)) {
            (Some(block), Some(head)) => head.branch.contains(block.place),
            _ => false,
        }
    }

    /// Takes out everything that does not descend from `root`, a block of the tree: what is now committed and what can
    /// no longer be.
    pub(crate) fn cut(&mut self, root: BlockRef) -> Vec<Node> {
        let mut gone = Vec::new();
        while let Some(id) = self.nodes.keys().next().copied().filter(|id| id.block_num() <= root.number) {
            gone.extend(self.remove(id));
        }
        let mut lost = BTreeSet::new();
        let mut last = root.number + 1;
        // Parents come before their children, so the search ends where no lost block has one.
        for node in self.nodes.values() {
            if node.block.number > last {
                break;
            }
            let orphaned = node.parent.number == root.number && node.parent.id != root.id;
            if orphaned || lost.contains(&node.parent.id) {
                lost.insert(node.block.id);
                last = node.block.number + 1;
            }
        }
        gone.extend(lost.into_iter().filter_map(|id| self.remove(id)));
        gone
    }
}
