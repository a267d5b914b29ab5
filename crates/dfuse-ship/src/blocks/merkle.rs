//! The incremental Merkle tree of block ids, of which only the nodes are kept that later ids need.

use sha2::{Digest, Sha256};

/// Such a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IncrementalMerkle {
    /// Complete left subtrees, the smallest first, and the root at the end.
    pub(crate) nodes: Vec<[u8; 32]>,
    /// Leaves.
    pub(crate) count: u64,
}

impl IncrementalMerkle {
    /// Adds a leaf.
    pub(crate) fn append(&mut self, leaf: [u8; 32]) {
        let levels = (self.count + 1).next_power_of_two().trailing_zeros();
        let mut lefts = self.nodes.iter();
        let mut nodes = Vec::with_capacity(levels as usize + 1);
        let (mut top, mut is_complete) = (leaf, true);
        for level in 0..levels {
            if self.count >> level & 1 == 0 {
                // There is nothing to the right yet: the left stands for it.
                if is_complete {
                    nodes.push(top);
                }
                top = pair(&top, &top);
                is_complete = false;
            } else {
                // A node that is missing would be a tree that nobody built: the leaf stands in.
                let left = lefts.next().copied().unwrap_or(top);
                if !is_complete {
                    nodes.push(left);
                }
                top = pair(&left, &top);
            }
        }
        nodes.push(top);
        self.nodes = nodes;
        self.count += 1;
    }
}

/// The digest of two nodes, whose first bits say which is which.
fn pair(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let (mut left, mut right) = (*left, *right);
    left[0] &= 0x7f;
    right[0] |= 0x80;
    Sha256::new().chain_update(left).chain_update(right).finalize().into()
}
