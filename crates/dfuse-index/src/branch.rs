//! Where reversible blocks stand in the tree of forks.
//!
//! The tree is cut into segments: runs of blocks of which each is the first child of the one before. A branch is a list
//! of segments, and whether a block is on a branch is a comparison of two numbers, however many blocks are reversible.

use std::sync::Arc;

/// The place of a block: its number and its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) number: u32,
    pub(crate) segment: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    /// Number of its first block on this branch.
    first: u32,
    id: u32,
}

/// Segments that are copied for a new one. The lists of those before are shared by all branches that have them, so that
/// many forks take little memory.
const OPEN: usize = 32;

/// The way from the committed block to a reversible one. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    /// Lists of [`OPEN`] segments each, all in ascending order.
    closed: Arc<[Arc<[Segment]>]>,
    /// Those after them; the last one holds the tip. None where the tip is committed.
    open: Arc<[Segment]>,
    tip: u32,
}

impl Branch {
    /// The branch that ends at the committed block `number`.
    pub(crate) fn committed(number: u32) -> Self {
        Self { closed: Arc::default(), open: Arc::default(), tip: number }
    }

    /// Number of the block it leads to.
    pub(crate) fn tip(&self) -> u32 {
        self.tip
    }

    /// The tip's place; absent where it is committed.
    pub(crate) fn place(&self) -> Option<Place> {
        self.open.last().map(|last| Place { number: self.tip, segment: last.id })
    }

    /// One block more, in the same segment.
    pub(crate) fn extended(&self) -> Self {
        Self { tip: self.tip + 1, ..self.clone() }
    }

    /// One block more, the first of a new segment. Lists of segments that end at or below `committed` are left out.
    pub(crate) fn forked(&self, segment: u32, committed: u32) -> Self {
        let tip = self.tip + 1;
        let added = Segment { first: tip, id: segment };
        if self.open.len() < OPEN {
            let open = self.open.iter().copied().chain([added]).collect();
            return Self { closed: self.closed.clone(), open, tip };
        }
        let closed: Vec<_> = self.closed.iter().chain([&self.open]).cloned().collect();
        // One that begins at or below the block after the committed one has taken the place of those before it.
        let gone = closed.windows(2).take_while(|pair| pair[1][0].first <= committed.saturating_add(1)).count();
        Self { closed: closed[gone..].into(), open: [added].into(), tip }
    }

    /// The part up to the block `number`.
    pub(crate) fn truncated(&self, number: u32) -> Self {
        if number >= self.tip {
            return self.clone();
        }
        let begun = |segments: &[Segment]| segments.partition_point(|segment| segment.first <= number);
        let kept = begun(&self.open);
        if kept > 0 || self.closed.is_empty() {
            let open = if kept == self.open.len() { self.open.clone() } else { self.open[..kept].into() };
            return Self { closed: self.closed.clone(), open, tip: number };
        }
        let last = self.closed.partition_point(|segments| segments[0].first <= number).saturating_sub(1);
        let open = &self.closed[last];
        Self { closed: self.closed[..last].into(), open: open[..begun(open)].into(), tip: number }
    }

    /// Whether the block at `place` is on the branch.
    #[inline]
    pub(crate) fn contains(&self, place: Place) -> bool {
        if place.number > self.tip {
            return false;
        }
        match self.open.last() {
            Some(last) if last.first <= place.number => last.id == place.segment,
            _ => self.contains_below(place),
        }
    }

    fn contains_below(&self, place: Place) -> bool {
        let mut segments = &self.open;
        if segments.first().is_none_or(|first| first.first > place.number) {
            let at = self.closed.partition_point(|segments| segments[0].first <= place.number);
            let Some(closed) = at.checked_sub(1).and_then(|at| self.closed.get(at)) else { return false };
            segments = closed;
        }
        let at = segments.partition_point(|segment| segment.first <= place.number);
        at.checked_sub(1).is_some_and(|at| segments[at].id == place.segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u32, segment: u32) -> Place {
        Place { number, segment }
    }

    #[test]
    fn a_branch_contains_its_blocks_and_no_others() {
        let trunk = Branch::committed(10).forked(0, 10).extended().extended();
        assert_eq!(trunk.place(), Some(place(13, 0)));
        let fork = trunk.truncated(12).forked(1, 10).extended();
        let fork_of_fork = fork.truncated(13).forked(2, 10);
        assert_eq!(fork_of_fork.place(), Some(place(14, 2)));
        for (branch, on) in [
            (&trunk, &[(11, 0), (12, 0), (13, 0)][..]),
            (&fork, &[(11, 0), (12, 0), (13, 1), (14, 1)]),
            (&fork_of_fork, &[(11, 0), (12, 0), (13, 1), (14, 2)]),
        ] {
            for number in 10..=15 {
                for segment in 0..3 {
                    assert_eq!(branch.contains(place(number, segment)), on.contains(&(number, segment)), "{branch:?}");
                }
            }
        }
        let committed = trunk.truncated(10);
        assert_eq!((committed.place(), committed.tip()), (None, 10));
        assert!(!committed.contains(place(10, 0)));
    }

    #[test]
    fn committed_segments_are_forgotten_and_others_shared() {
        let mut branch = Branch::committed(0).forked(0, 0);
        for segment in 1..1000 {
            branch = branch.forked(segment, segment - 1);
            assert!(branch.closed.len() <= 2);
            assert!(branch.contains(place(segment + 1, segment)));
        }
        let mut branch = Branch::committed(0).forked(0, 0);
        for segment in 1..1000 {
            let longer = branch.forked(segment, 0);
            assert!(longer.closed.iter().zip(&*branch.closed).all(|(new, old)| Arc::ptr_eq(new, old)));
            branch = longer;
        }
        for number in 0..1000 {
            let part = branch.truncated(number);
            assert_eq!(part.place(), number.checked_sub(1).map(|segment| place(number, segment)));
            for other in 0..1000 {
                assert_eq!(part.contains(place(other + 1, other)), other < number);
                assert!(!part.contains(place(other + 1, other + 1)));
            }
        }
    }
}
