//! A chain that never was: the deep-mind log that a node would have written, as long as wanted, from a seed.
//!
//! Users transfer tokens, contracts change their ABI, deferred transactions fail, branches lose. The text has the lines of real
//! nodes in their order; ids, digests, sequences and RAM usage are right. Beside its text every block says what a reader must
//! find in it.
//!
//! ```
//! use dfuse_testkit::synthetic::{Fork, Software, SyntheticChain};
//!
//! let chain = SyntheticChain::builder().seed(7).software(Software::Leap).blocks(40).fork(Fork::new(20, 2, 3)).build();
//! let mut log = chain.prelude().to_vec();
//! for block in chain {
//!     log.extend_from_slice(&block.lines);
//! }
//! assert!(log.ends_with(b"\n"));
//! ```

mod abi;
mod block;
mod contracts;
mod execute;
mod facts;
mod log;
mod options;
mod produce;
mod scenario;
mod state;
mod trace;
mod wire;

use std::{
    collections::VecDeque,
    io::{self, Write},
};

use dfuse_antelope::Checksum256;

pub use block::private_key;
pub use facts::{
    AbiChange, Action, Changes, ExpectedAction, ExpectedTransaction, Facts, History, LinkChange, Operations,
    PermissionChange, Row, RowChange, RowKey, Status, TableKey,
};
pub use options::{Builder, Fork, Mix, Software};

use crate::random::Random;
use produce::Producer;
use wire::SignedTransaction;

/// A block of the chain: its text, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntheticBlock {
    /// Its number.
    pub number: u32,
    /// Its id.
    pub id: Checksum256,
    /// The id of the block before it.
    pub previous: Checksum256,
    /// The last irreversible block as the block sees it; 0 in the first ones.
    pub lib: u32,
    /// Its time, in half seconds since the year 2000.
    pub slot: u32,
    /// If the block is the first after a change of branch: the ids of the SWITCH_FORK line, of the old and the new head.
    pub switch: Option<(Checksum256, Checksum256)>,
    /// Its lines: from START_BLOCK, or SWITCH_FORK before it, to ACCEPTED_BLOCK.
    pub lines: Vec<u8>,
    /// What is in it.
    pub facts: Facts,
}

/// An iterator over blocks as the node applies them: losing branches come first, then SWITCH_FORK and the better branch.
///
/// It holds the blocks of one fork at most, and of the chain no more than its present state.
pub struct SyntheticChain {
    producer: Producer,
    prelude: Vec<u8>,
    ready: VecDeque<SyntheticBlock>,
}

impl std::fmt::Debug for SyntheticChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyntheticChain").field("options", &self.producer.options).finish_non_exhaustive()
    }
}

impl SyntheticChain {
    /// Options to start from.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn new(options: Builder) -> Self {
        let mut producer = Producer::new(options);
        let prelude = producer.log.take(&Checksum256::default());
        Self { producer, prelude, ready: VecDeque::new() }
    }

    /// The text before the first block: genesis, version line, ABI dump.
    pub fn prelude(&self) -> &[u8] {
        &self.prelude
    }

    /// Writes prelude and blocks.
    pub fn write_log(self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.prelude)?;
        for block in self {
            to.write_all(&block.lines)?;
        }
        Ok(())
    }

    /// The fork that begins after the present head, if any.
    fn fork_here(&mut self) -> Option<Fork> {
        let options = &self.producer.options;
        let number = self.producer.head.number;
        if let Some(fork) = options.forks.iter().find(|fork| fork.after == number) {
            return Some(fork.clone());
        }
        let (permille, depth) = options.random_forks;
        (depth > 0 && number > 1 && self.producer.random.chance(permille)).then(|| {
            let losing = self.producer.random.within(&(1..=depth));
            Fork::new(number, losing, losing + 1)
        })
    }

    /// Produces all branches of a fork, losing ones first.
    fn fork(&mut self, fork: &Fork) {
        let producer = &mut self.producer;
        let (root, mark, start) = (producer.head.clone(), producer.state.mark(), producer.random.clone());
        // Not the producer's random numbers: a branch must come out the same when it is applied again.
        let mut sharing = Random::new(start.clone().u64());
        let mut shared: Vec<SignedTransaction> = Vec::new();
        let mut branches: Vec<(u32, u32)> = fork.branches.iter().copied().zip(0..).collect();
        if let (Some(more), Some(first)) = (fork.rejoin, fork.branches.first()) {
            branches.push((first + more, 0));
        }
        let last = branches.len() - 1;
        for (at, (length, skipped)) in branches.into_iter().enumerate() {
            let from = producer.head.id;
            let again = at == last && fork.rejoin.is_some();
            let mut later = None;
            if at > 0 {
                producer.state.roll_back(mark);
                producer.head = root.clone();
            }
            if again {
                later = Some(std::mem::replace(&mut producer.random, start.clone()));
            }
            // Users push again what was undone with the other branches.
            let mut waiting = std::mem::take(&mut shared);
            let mut blocks = Vec::new();
            for height in 0..length {
                let repeated = again && height < fork.branches[0];
                if again && height == fork.branches[0] {
                    producer.random = later.take().expect("set when the branch began");
                }
                let cap = if at == last && !repeated { u32::MAX } else { root.number };
                let skipped = if height == 0 { skipped } else { 0 };
                let pushes = if again { &[] } else { &waiting[..] };
                let (block, pushed) = producer.block(skipped, cap, pushes);
                waiting.clear();
                for transaction in pushed {
                    if sharing.chance(producer.options.shared) && !shared.contains(&transaction) {
                        shared.push(transaction);
                    }
                }
                blocks.push(block);
            }
            if at > 0
                && let [first, ..] = &mut blocks[..]
            {
                let to = producer.head.id;
                producer.log.switch_fork(&from, &to);
                let mut lines = producer.log.take(&to);
                lines.extend_from_slice(&first.lines);
                first.lines = lines;
                first.switch = Some((from, to));
            }
            self.ready.extend(blocks);
        }
        producer.state.settle();
    }
}

impl Iterator for SyntheticChain {
    type Item = SyntheticBlock;

    fn next(&mut self) -> Option<SyntheticBlock> {
        if self.ready.is_empty() {
            if self.producer.head.number > self.producer.options.blocks {
                return None;
            }
            match self.fork_here() {
                Some(fork) => self.fork(&fork),
                None => {
                    let missed = self.producer.random.chance(self.producer.options.missed_slots);
                    let (block, _) = self.producer.block(u32::from(missed), u32::MAX, &[]);
                    self.producer.state.settle();
                    self.ready.push_back(block);
                }
            }
        }
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests;
