//! Parts of what is stored that are kept for a time of their own, and how entries grow old.

use crate::Result;

/// What is kept for a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Rows, scopes, keys and permission links as of earlier blocks.
    State,
    /// The actions that searches find.
    Search,
    /// Lifecycles and lists of transactions.
    Transactions,
    /// The files of blocks. What is found by searches and of transactions is read from them.
    BlockFiles,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::State, Self::Search, Self::Transactions, Self::BlockFiles];

    /// Its name, as in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Search => "search",
            Self::Transactions => "transactions",
            Self::BlockFiles => "block_files",
        }
    }
}

/// For each part the lowest block that questions are answered for; 0 where everything is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floors(pub(crate) [u32; Part::ALL.len()]);

impl Floors {
    /// The floor of a part. What is read from block files does not reach below theirs.
    pub fn get(self, part: Part) -> u32 {
        let own = self.0[part as usize];
        match part {
            Part::State | Part::BlockFiles => own,
            Part::Search | Part::Transactions => own.max(self.0[Part::BlockFiles as usize]),
        }
    }

    /// These floors with that of a part raised; one that is higher stays.
    #[must_use]
    pub fn raised(mut self, part: Part, floor: u32) -> Self {
        let own = &mut self.0[part as usize];
        *own = floor.max(*own);
        self
    }

    /// The lowest of some parts.
    pub(crate) fn lowest(self, parts: &[Part]) -> u32 {
        parts.iter().map(|part| self.get(*part)).min().unwrap_or(0)
    }

    pub(crate) fn highest_of_each(self, other: Self) -> Self {
        Part::ALL.into_iter().fold(self, |all, part| all.raised(part, other.0[part as usize]))
    }
}

/// How entries of a family grow old.
#[derive(Debug, Clone, Copy)]
pub enum Aging {
    /// Keys end in an inverted block number (u32), so that the newest version of a key comes first; an empty value says that
    /// nothing is there from that block on. The newest version at or below the floor stays unless it is empty; older ones go.
    Versions,
    /// At this offset of the key is a block number (u32). Entries of blocks below the floor go.
    Blocks {
        /// Bytes before the number.
        offset: usize,
    },
    /// The same, but entries of the floor itself go, too, and the last entry of all that begin with the same bytes before the
    /// number stays in any case.
    AfterFloor {
        /// Bytes before the number.
        offset: usize,
    },
    /// Entries go if all the actions that they are about come before the first one of the floor. The function tells the
    /// last global sequence that the entry with that key can be about.
    Actions(fn(&[u8]) -> Result<u64>),
}

/// What a family is kept for.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// The parts that read it: it reaches as far back as the lowest of their floors.
    pub parts: &'static [Part],
    /// How its entries grow old.
    pub aging: Aging,
}
