//! Which action is nested in which.

use dfuse_antelope::model::ActionTrace;

/// No action.
const NONE: u32 = u32::MAX;

/// The actions of a transaction trace, nested: an action is in the one that caused it, or whose notification did. Actions that
/// are next to each other are in the order of execution.
#[derive(Debug, Clone)]
pub struct ActionTree {
    first_root: u32,
    first_child: Vec<u32>,
    next_sibling: Vec<u32>,
}

/// A step on the way through a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visit {
    /// To the action at that position, before those in it.
    Enter(usize),
    /// The same, after those in it.
    Leave(usize),
}

impl ActionTree {
    /// From traces in the order of execution, by their ordinals. An ancestor must have a lower ordinal, as on every chain;
    /// an action that names another one stands on its own.
    pub fn new(actions: &[ActionTrace]) -> Self {
        let mut by_ordinal: Vec<_> = actions.iter().map(|action| action.action_ordinal).zip(0u32..).collect();
        by_ordinal.sort_unstable();
        let position = |ordinal: u32| {
            let at = by_ordinal.partition_point(|(other, _)| *other < ordinal);
            by_ordinal.get(at).filter(|(other, _)| *other == ordinal).map(|(_, position)| *position as usize)
        };
        let mut tree =
            Self { first_root: NONE, first_child: vec![NONE; actions.len()], next_sibling: vec![NONE; actions.len()] };
        for (at, action) in actions.iter().enumerate().rev() {
            let ancestor = action.closest_unnotified_ancestor_action_ordinal;
            let parent = if ancestor < action.action_ordinal { position(ancestor) } else { None };
            let first = match parent {
                Some(parent) => &mut tree.first_child[parent],
                None => &mut tree.first_root,
            };
            tree.next_sibling[at] = std::mem::replace(first, at as u32);
        }
        tree
    }

    /// Through all actions.
    pub(crate) fn walk(&self) -> impl Iterator<Item = Visit> {
        Walk { tree: self, next: self.first_root, open: Vec::new(), single: false }
    }

    /// Through the action at that position and those in it.
    pub(crate) fn walk_from(&self, position: usize) -> impl Iterator<Item = Visit> {
        Walk { tree: self, next: position as u32, open: Vec::new(), single: true }
    }
}

/// Keeps its own stack, so that no depth is too deep.
struct Walk<'a> {
    tree: &'a ActionTree,
    next: u32,
    open: Vec<u32>,
    single: bool,
}

impl Iterator for Walk<'_> {
    type Item = Visit;

    fn next(&mut self) -> Option<Visit> {
        if self.next != NONE {
            let at = self.next as usize;
            self.open.push(self.next);
            self.next = self.tree.first_child[at];
            return Some(Visit::Enter(at));
        }
        let at = self.open.pop()? as usize;
        if !(self.single && self.open.is_empty()) {
            self.next = self.tree.next_sibling[at];
        }
        Some(Visit::Leave(at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn actions(ordinals: &[(u32, u32)]) -> Vec<ActionTrace> {
        let action = |&(action_ordinal, closest_unnotified_ancestor_action_ordinal)| ActionTrace {
            action_ordinal,
            closest_unnotified_ancestor_action_ordinal,
            ..ActionTrace::default()
        };
        ordinals.iter().map(action).collect()
    }

    fn text(visits: impl Iterator<Item = Visit>) -> String {
        let piece = |visit| match visit {
            Visit::Enter(at) => format!("({at}"),
            Visit::Leave(_) => ")".to_owned(),
        };
        visits.map(piece).collect()
    }

    #[test]
    fn actions_are_in_their_ancestors() {
        // Notified accounts come before what was sent inline; nesting ends by several levels at once.
        let tree = ActionTree::new(&actions(&[(1, 0), (3, 1), (4, 1), (5, 4), (6, 5), (2, 0), (7, 2)]));
        assert_eq!(text(tree.walk()), "(0(1)(2(3(4))))(5(6))");
        assert_eq!(text(tree.walk_from(2)), "(2(3(4)))");
        assert_eq!(text(tree.walk_from(6)), "(6)");
        assert_eq!(text(ActionTree::new(&[]).walk()), "");
    }

    #[test]
    fn wrong_ancestors_are_none() {
        let tree = ActionTree::new(&actions(&[(1, 1), (2, 3), (3, 2), (5, 4), (0, 9)]));
        assert_eq!(text(tree.walk()), "(0)(1(2))(3)(4)");
    }

    proptest! {
        #[test]
        fn every_action_comes_once(ordinals: Vec<(u8, u8)>, from: prop::sample::Index) {
            let ordinals: Vec<_> = ordinals.into_iter().map(|(own, ancestor)| (own.into(), ancestor.into())).collect();
            let tree = ActionTree::new(&actions(&ordinals));
            let (mut entered, mut open) = (vec![0; ordinals.len()], Vec::new());
            for visit in tree.walk() {
                match visit {
                    Visit::Enter(at) => {
                        entered[at] += 1;
                        open.push(at);
                    }
                    Visit::Leave(at) => prop_assert_eq!(open.pop(), Some(at)),
                }
            }
            prop_assert!(open.is_empty() && entered.iter().all(|times| *times == 1));
            if !ordinals.is_empty() {
                let from = from.index(ordinals.len());
                prop_assert!(text(tree.walk()).contains(&text(tree.walk_from(from))));
            }
        }
    }
}
