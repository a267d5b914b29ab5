//! Whether what a client wants has happened.

use std::collections::BTreeSet;

use dfuse_antelope::Name;
use dfuse_blocks::BlockRef;

use super::guarantee::Guarantee;

/// What the steps of the feed say of a transaction.
#[derive(Debug)]
pub(super) struct Standing {
    guarantee: Guarantee,
    /// The block of the best chain that has the transaction; the first one, if another one has it again.
    included: Option<BlockRef>,
    /// From that block on, who made the blocks of the best chain.
    producers: Vec<Name>,
    is_final: bool,
}

impl Standing {
    pub(super) fn new(guarantee: Guarantee) -> Self {
        Self { guarantee, included: None, producers: Vec::new(), is_final: false }
    }

    /// The block that has the transaction.
    pub(super) fn included(&self) -> Option<BlockRef> {
        self.included
    }

    /// A block joins the best chain.
    pub(super) fn joins(&mut self, block: BlockRef, producer: Name, has_transaction: bool, is_final: bool) {
        if self.included.is_none() && has_transaction {
            self.included = Some(block);
            self.is_final = is_final;
        }
        if self.included.is_some() && matches!(self.guarantee, Guarantee::Handoffs(_)) {
            self.producers.push(producer);
        }
    }

    /// A block leaves it.
    pub(super) fn leaves(&mut self, block: BlockRef) {
        self.producers.pop();
        if self.included == Some(block) {
            self.included = None;
            self.producers.clear();
        }
    }

    /// A block becomes irreversible.
    pub(super) fn becomes_final(&mut self, block: BlockRef) {
        self.is_final |= self.included == Some(block);
    }

    /// The transaction's block, if what is wanted has happened.
    pub(super) fn reached(&self) -> Option<BlockRef> {
        let included = self.included?;
        let reached = match self.guarantee {
            Guarantee::InBlock => true,
            Guarantee::Handoffs(wanted) => self.producers.iter().collect::<BTreeSet<_>>().len() > wanted,
            Guarantee::Irreversible => self.is_final,
        };
        reached.then_some(included)
    }
}

#[cfg(test)]
mod tests {
    use dfuse_antelope::Checksum;
    use proptest::prelude::*;

    use super::*;

    /// `+2a` joins, `-2a` leaves, `!2a` becomes final; a `*` marks the transaction's block. Gives the step at which it is
    /// reached, and the block.
    fn reached_at(guarantee: Guarantee, steps: &str) -> Option<(usize, u32)> {
        let mut standing = Standing::new(guarantee);
        for (at, step) in steps.split(' ').enumerate() {
            let (kind, rest) = step.split_at(1);
            let (name, has_transaction) = (rest.trim_end_matches('*'), rest.ends_with('*'));
            let (number, producer) = name.split_at(1);
            let number: u32 = number.parse().unwrap();
            let block = BlockRef { number, id: Checksum([producer.as_bytes()[0].wrapping_mul(number as u8); 32]) };
            match kind {
                "+" => standing.joins(block, producer.parse().unwrap(), has_transaction, false),
                "-" => standing.leaves(block),
                _ => standing.becomes_final(block),
            }
            if let Some(block) = standing.reached() {
                return Some((at, block.number));
            }
        }
        None
    }

    #[test]
    fn handoffs_are_counted_on_a_stack() {
        // The vectors of the reference.
        let switched = "+2a* -2a +2b +3b -3b -2b +2a* +3c +4c";
        assert_eq!(reached_at(Guarantee::Handoffs(1), switched), Some((7, 2)));
        assert_eq!(reached_at(Guarantee::Handoffs(1), "+2a* -2a +2b +3b +4c +5c"), None);
        assert_eq!(reached_at(Guarantee::Handoffs(2), "+2a* +3c +4d"), Some((2, 2)));
        assert_eq!(reached_at(Guarantee::Handoffs(3), "+2a* +3c +4d +5e"), Some((3, 2)));
        // The same producer again is no handoff, nor is one that comes back.
        assert_eq!(reached_at(Guarantee::Handoffs(1), "+2a* +3a +4a +5b"), Some((3, 2)));
        assert_eq!(reached_at(Guarantee::Handoffs(2), "+2a* +3b +4a +5b"), None);
        // What is undone behind the block does not count any more.
        assert_eq!(reached_at(Guarantee::Handoffs(2), "+2a* +3b -3b +3c"), None);
        assert_eq!(reached_at(Guarantee::Handoffs(2), "+2a* +3b -3b +3c +4b"), Some((4, 2)));
        // Blocks before it do not count, nor their end.
        assert_eq!(reached_at(Guarantee::Handoffs(1), "+2b -2b +2c +3a* +4a"), None);
        // In another block of another branch.
        assert_eq!(reached_at(Guarantee::Handoffs(1), "+2a* -2a +2b +3b* +4c"), Some((4, 3)));
    }

    #[test]
    fn blocks_and_finality() {
        assert_eq!(reached_at(Guarantee::InBlock, "+2a +3a*"), Some((1, 3)));
        assert_eq!(reached_at(Guarantee::InBlock, "+2a -2a"), None);
        assert_eq!(reached_at(Guarantee::Irreversible, "+2a* +3b !2a"), Some((2, 2)));
        assert_eq!(reached_at(Guarantee::Irreversible, "+2a* -2a +2b +3b !2b !3b"), None);
        assert_eq!(reached_at(Guarantee::Irreversible, "+2a* -2a +2b +3b* !2b !3b"), Some((5, 3)));
        let mut standing = Standing::new(Guarantee::Irreversible);
        let block = BlockRef { number: 7, id: Checksum([7; 32]) };
        standing.joins(block, Name(1), true, true);
        assert_eq!(standing.reached(), Some(block), "final when it comes");
    }

    proptest! {
        /// On any walk through forks, the state of a few words says what the whole chain says.
        #[test]
        fn the_chain_says_the_same(wanted in 1usize..4, steps in prop::collection::vec((0u64..4, 0u32..8), 0..200)) {
            let mut chain: Vec<(BlockRef, u64, bool)> = Vec::new();
            let mut standing = Standing::new(Guarantee::Handoffs(wanted));
            for (serial, (producer, kind)) in (0u8..).zip(steps) {
                if kind < 3 && let Some((block, ..)) = chain.pop() {
                    standing.leaves(block);
                } else {
                    let (block, has_transaction) = (BlockRef { number: 0, id: Checksum([serial; 32]) }, kind == 7);
                    standing.joins(block, Name(producer), has_transaction, false);
                    chain.push((block, producer, has_transaction));
                }
                let first = chain.iter().position(|(.., has_transaction)| *has_transaction);
                prop_assert_eq!(standing.included(), first.map(|at| chain[at].0));
                let since = first.map(|at| chain[at..].iter().map(|(_, producer, _)| producer).collect::<BTreeSet<_>>());
                prop_assert_eq!(standing.reached().is_some(), since.is_some_and(|producers| producers.len() > wanted));
            }
        }
    }
}
