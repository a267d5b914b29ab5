//! What can be asked of a synthetic chain.

use std::ops::RangeInclusive;

use dfuse_antelope::Checksum256;

use super::SyntheticChain;

/// Which node writes the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Software {
    /// Leap 3.1 to 5.0: `DEEP_MIND_VERSION leap 13 0`.
    Leap,
    /// Spring 1: `DEEP_MIND_VERSION spring 1 0`, without deferred transactions.
    Spring {
        /// The first block that ends with ACCEPTED_BLOCK_V2.
        savanna_from: u32,
    },
    /// EOSIO 2.0 with deep mind: `DEEP_MIND_VERSION 12`.
    Eosio20,
    /// EOSIO 2.1: `DEEP_MIND_VERSION 13 1`.
    Eosio21,
}

/// How often users do what, as weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// Transactions of one to six token transfers.
    pub transfers: u32,
    /// Rows, inline actions, context-free actions, return values, printed text.
    pub app: u32,
    /// Deferred and delayed transactions, and their cancellation.
    pub deferred: u32,
    /// New accounts, limits, tokens opened, closed and issued.
    pub accounts: u32,
    /// Permissions and links.
    pub permissions: u32,
    /// ABIs and code.
    pub abis: u32,
}

impl Mix {
    /// A little of everything.
    pub fn varied() -> Self {
        Self { transfers: 40, app: 30, deferred: 12, accounts: 8, permissions: 6, abis: 4 }
    }

    /// Token transfers and nothing else.
    pub fn transfers() -> Self {
        Self { transfers: 1, app: 0, deferred: 0, accounts: 0, permissions: 0, abis: 0 }
    }
}

/// A fork: several branches that grow from one block. The node follows each in turn and stays on the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The last common block, at least 2.
    pub after: u32,
    /// Lengths of the branches in blocks, none of them 0.
    pub branches: Vec<u32>,
    /// Instead of staying on the last branch the node goes back to the first, applies its blocks again and so many more.
    pub rejoin: Option<u32>,
}

impl Fork {
    /// `losing` blocks that are undone in favour of `winning` ones.
    pub fn new(after: u32, losing: u32, winning: u32) -> Self {
        Self { after, branches: vec![losing, winning], rejoin: None }
    }
}

/// What [`SyntheticChain::builder`] offers. Every method replaces what was set before, but [`Builder::fork`] adds.
#[derive(Debug, Clone)]
pub struct Builder {
    pub(crate) seed: u64,
    pub(crate) software: Software,
    pub(crate) blocks: u32,
    pub(crate) transactions: RangeInclusive<u32>,
    pub(crate) mix: Mix,
    pub(crate) users: u32,
    pub(crate) producers: u32,
    pub(crate) forks: Vec<Fork>,
    pub(crate) random_forks: (u32, u32),
    pub(crate) shared: u32,
    pub(crate) lib_lag: u32,
    pub(crate) stalled: Option<RangeInclusive<u32>>,
    pub(crate) missed_slots: u32,
    pub(crate) failing_onblock: u32,
    pub(crate) start_slot: u32,
    pub(crate) signed: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            seed: 0,
            software: Software::Leap,
            blocks: 100,
            transactions: 0..=6,
            mix: Mix::varied(),
            users: 24,
            producers: 3,
            forks: Vec::new(),
            random_forks: (0, 0),
            shared: 600,
            lib_lag: 12,
            stalled: None,
            missed_slots: 20,
            failing_onblock: 4,
            start_slot: 1_600_000_000,
            signed: false,
        }
    }
}

impl Builder {
    /// Many users, about 35 transactions and 150 action traces a block, hardly anything but transfers: for benchmarks.
    pub fn busy(mut self) -> Self {
        self.transactions = 30..=40;
        self.mix = Mix { transfers: 97, app: 3, ..Mix::transfers() };
        self.users = 300;
        self
    }

    /// Where every random choice comes from: the same seed and options give the same bytes.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Which node writes the log; Leap if not said.
    pub fn software(mut self, software: Software) -> Self {
        self.software = software;
        self
    }

    /// Length of the best chain; the first block is number 2. 100 if not said.
    pub fn blocks(mut self, blocks: u32) -> Self {
        self.blocks = blocks;
        self
    }

    /// Transactions that users push in a block, beside deferred ones and those that set the chain up in its first blocks.
    pub fn transactions_per_block(mut self, transactions: RangeInclusive<u32>) -> Self {
        self.transactions = transactions;
        self
    }

    /// What users do.
    pub fn mix(mut self, mix: Mix) -> Self {
        self.mix = mix;
        self
    }

    /// Users that exist before traffic begins, at least 2; the mix may add more. Up to 100 are created in a block, from block 5 on.
    pub fn users(mut self, users: u32) -> Self {
        self.users = users.max(2);
        self
    }

    /// Producers, which take turns of 12 slots; with one it is `eosio`.
    pub fn producers(mut self, producers: u32) -> Self {
        self.producers = producers.clamp(1, 21);
        self
    }

    /// Adds a fork. Forks must not overlap: each begins on the best chain that the one before left.
    pub fn fork(mut self, fork: Fork) -> Self {
        self.forks.push(fork);
        self
    }

    /// After every block, `permille` times in a thousand, a losing branch of up to `depth` blocks and a winning one longer by one.
    pub fn random_forks(mut self, permille: u32, depth: u32) -> Self {
        self.random_forks = (permille, depth);
        self
    }

    /// How many in a thousand transactions of a losing branch are pushed again in later branches. 600 if not said.
    pub fn shared(mut self, permille: u32) -> Self {
        self.shared = permille;
        self
    }

    /// Blocks from the LIB to the head. 12 if not said. The LIB never passes the root of a fork on a losing branch.
    pub fn lib_lag(mut self, blocks: u32) -> Self {
        self.lib_lag = blocks;
        self
    }

    /// Blocks during which the LIB does not move.
    pub fn stall_lib(mut self, blocks: RangeInclusive<u32>) -> Self {
        self.stalled = Some(blocks);
        self
    }

    /// How many in a thousand blocks come after a missed slot. 20 if not said.
    pub fn missed_slots(mut self, permille: u32) -> Self {
        self.missed_slots = permille;
        self
    }

    /// How many in a thousand `onblock` transactions fail. 4 if not said.
    pub fn failing_onblock(mut self, permille: u32) -> Self {
        self.failing_onblock = permille;
        self
    }

    /// The slot of the genesis block, in half seconds since the year 2000.
    pub fn start_slot(mut self, slot: u32) -> Self {
        self.start_slot = slot;
        self
    }

    /// Users sign their transactions for [`Builder::chain_id`] with [`private_key`](super::private_key). Otherwise signatures are
    /// random bytes, which is some twenty times as fast.
    pub fn signed(mut self, signed: bool) -> Self {
        self.signed = signed;
        self
    }

    /// What real chains compute from their genesis configuration.
    pub fn chain_id(&self) -> Checksum256 {
        Checksum256::sha256(&[b"synthetic chain ".as_slice(), &self.seed.to_le_bytes()].concat())
    }

    /// The chain, ready to be iterated.
    pub fn build(self) -> SyntheticChain {
        SyntheticChain::new(self)
    }
}
