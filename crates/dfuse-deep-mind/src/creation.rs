//! Which action caused which: the tree that `CREATION_OP` lines describe.
//!
//! A line gives the index of the action that schedules, not of the one that is scheduled. The walk below repeats
//! nodeos's order of execution, which gives every action its index: the action itself, then its notifications in
//! order (each may add more of all kinds to the same lists), then context-free inline actions depth first, then inline
//! actions depth first.

use std::ops::Range;

use dfuse_antelope::model::CreationFlatNode;

use crate::error::{Parse, Why};

/// Deepest nesting of inline actions; nodes allow four unless their chain says otherwise.
const MAX_DEPTH: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CreationKind {
    Root,
    Notify,
    Inline,
    ContextFreeInline,
}

struct Node {
    kind: CreationKind,
    /// Position in the order of execution.
    execution_index: u32,
    /// Positions of the children, which are made all at once.
    children: Range<usize>,
}

struct Walk<'a> {
    /// `(index of the action at work, kind)`, sorted by index, lines of one index in their order.
    operations: &'a [(u32, CreationKind)],
    /// The first operation of index `next` or above.
    position: usize,
    next: u32,
    nodes: Vec<Node>,
}

/// The tree of one transaction, depth first, from its `CREATION_OP` lines in order.
pub(crate) fn creation_tree(operations: &mut [(u32, CreationKind)]) -> Parse<Vec<CreationFlatNode>> {
    if !operations.is_sorted_by_key(|op| op.0) {
        operations.sort_by_key(|op| op.0);
    }
    let mut walk = Walk { operations, position: 0, next: 0, nodes: Vec::with_capacity(operations.len()) };
    let mut roots = Vec::new();
    while let Some(&(index, kind)) = walk.operations.get(walk.position) {
        if index != walk.next {
            break;
        }
        if kind != CreationKind::Root {
            return Err(Why::new(format!("action {index} begins with {kind:?} instead of ROOT")));
        }
        let root = walk.nodes.len();
        walk.nodes.push(Node { kind, execution_index: 0, children: 0..0 });
        roots.push(root);
        walk.run(root, 0)?;
    }
    Ok(flatten(&walk.nodes, &roots))
}

impl Walk<'_> {
    /// Gives the node its index and makes its children.
    fn begin(&mut self, node: usize) {
        let index = self.next;
        self.next += 1;
        let first = self.nodes.len();
        while let Some(&(_, kind)) = self.operations.get(self.position).filter(|op| op.0 == index) {
            self.position += 1;
            if kind != CreationKind::Root {
                self.nodes.push(Node { kind, execution_index: 0, children: 0..0 });
            }
        }
        self.nodes[node].execution_index = index;
        self.nodes[node].children = first..self.nodes.len();
    }

    fn run(&mut self, node: usize, depth: usize) -> Parse<()> {
        if depth > MAX_DEPTH {
            return Err(Why::new(format!("inline actions nest deeper than {MAX_DEPTH}")));
        }
        self.begin(node);
        let children = self.nodes[node].children.clone();
        if children.is_empty() {
            return Ok(());
        }
        let mut scheduled: Vec<usize> = children.collect();
        let mut at = 0;
        while at < scheduled.len() {
            let child = scheduled[at];
            at += 1;
            if self.nodes[child].kind == CreationKind::Notify {
                self.begin(child);
                scheduled.extend(self.nodes[child].children.clone());
            }
        }
        for kind in [CreationKind::ContextFreeInline, CreationKind::Inline] {
            for &child in &scheduled {
                if self.nodes[child].kind == kind {
                    self.run(child, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

/// The nodes in depth-first order, each with the position of its parent in that order.
fn flatten(nodes: &[Node], roots: &[usize]) -> Vec<CreationFlatNode> {
    let mut flat = Vec::with_capacity(nodes.len());
    let mut stack: Vec<(usize, i32)> = roots.iter().rev().map(|&root| (root, -1)).collect();
    while let Some((node, creator_action_index)) = stack.pop() {
        let position = flat.len() as i32;
        let node = &nodes[node];
        flat.push(CreationFlatNode { creator_action_index, execution_action_index: node.execution_index });
        stack.extend(node.children.clone().rev().map(|child| (child, position)));
    }
    flat
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{CreationKind::*, *};

    fn tree(operations: &[(u32, CreationKind)]) -> Result<Vec<(i32, u32)>, String> {
        let flat = creation_tree(&mut operations.to_vec()).map_err(|why| why.0)?;
        Ok(flat.into_iter().map(|n| (n.creator_action_index, n.execution_action_index)).collect())
    }

    /// `newaccount`, `buyram` and `delegatebw` in one transaction of a real chain.
    #[test]
    fn new_account_as_wallets_make_it() {
        let operations = [
            (0, Root),
            (1, Root),
            (1, Inline),
            (1, Inline),
            (2, Notify),
            (2, Notify),
            (5, Notify),
            (5, Notify),
            (8, Root),
            (8, Inline),
            (9, Notify),
            (9, Notify),
        ];
        let wanted =
            [(-1, 0), (-1, 1), (1, 2), (2, 3), (2, 4), (1, 5), (5, 6), (5, 7), (-1, 8), (8, 9), (9, 10), (9, 11)];
        assert_eq!(tree(&operations).unwrap(), wanted);
    }

    #[test]
    fn notifications_come_before_inlines_and_add_to_their_lists() {
        // The root schedules an inline action, then a notification; the notified contract schedules another inline.
        let operations = [(0, Root), (0, Inline), (0, Notify), (1, Inline)];
        assert_eq!(tree(&operations).unwrap(), [(-1, 0), (0, 2), (0, 1), (2, 3)]);
        // Context-free inlines run before others.
        let operations = [(0, Root), (0, Inline), (0, ContextFreeInline)];
        assert_eq!(tree(&operations).unwrap(), [(-1, 0), (0, 2), (0, 1)]);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert_eq!(tree(&[(0, Notify)]).unwrap_err(), "action 0 begins with Notify instead of ROOT");
        let deep: Vec<_> = std::iter::once((0, Root)).chain((0..1000).map(|i| (i, Inline))).collect();
        assert_eq!(tree(&deep).unwrap_err(), "inline actions nest deeper than 512");
        assert_eq!(tree(&[]).unwrap(), []);
    }

    proptest! {
        #[test]
        fn any_lines_end_without_panic(lines: Vec<(u8, u8)>) {
            let kinds = [Root, Notify, Inline, ContextFreeInline];
            let lines: Vec<_> = lines.into_iter().map(|(i, k)| (u32::from(i % 20), kinds[usize::from(k % 4)])).collect();
            if let Ok(flat) = tree(&lines) {
                prop_assert!(flat.len() <= lines.len());
                prop_assert!(flat.iter().enumerate().all(|(at, node)| node.0 < at as i32));
            }
        }
    }
}
