//! ABIs in force, compiled once.

use std::{collections::BTreeMap, sync::Arc};

use dfuse_antelope::{Name, abi::AbiSerializer};
use dfuse_index::{
    BlockContext, BlockRef, Result, View,
    abi::{self, AbiCache, AbiRecord},
};

/// Packed ABIs that are kept compiled: those of about a thousand contracts.
const COMPILED_BYTES: usize = 8 << 20;
/// Accounts whose ABI is remembered from block to block.
const MAX_ACCOUNTS: usize = 1 << 16;

/// Tells the ABI in force at an action.
pub(crate) trait AbiSource {
    /// The ABI of `account` when the action with that global sequence was executed; absent if there is none of use.
    fn at(&mut self, account: Name, global_sequence: u64) -> Result<Option<Arc<AbiSerializer>>>;
}

type Compiled = Option<Arc<AbiSerializer>>;

/// Which ABIs are in force after a block, and those that were compiled before.
#[derive(Debug)]
pub(crate) struct KnownAbis {
    /// After which block `in_force` holds.
    block: Option<BlockRef>,
    in_force: BTreeMap<Name, Compiled>,
    compiled: AbiCache,
}

impl Default for KnownAbis {
    fn default() -> Self {
        Self { block: None, in_force: BTreeMap::new(), compiled: AbiCache::new(COMPILED_BYTES) }
    }
}

impl KnownAbis {
    /// Forgets which ABIs are in force.
    pub(crate) fn clear(&mut self) {
        self.block = None;
        self.in_force.clear();
    }

    fn compile(&self, account: Name, record: &AbiRecord) -> Compiled {
        if record.abi.is_empty() { None } else { self.compiled.get(account, record) }
    }
}

/// ABIs at the actions of a branch's blocks, one after the other.
#[derive(Debug)]
pub(crate) struct BlockAbis<'a> {
    cache: &'a mut KnownAbis,
    view: &'a View,
    /// Global sequence from which on the view says nothing; not known before the first block with an action.
    before: Option<u64>,
    /// What was set since, in the order of global sequences.
    changes: Vec<(Name, AbiRecord)>,
}

impl<'a> BlockAbis<'a> {
    /// Starts after the block `parent`, which the view has; the view may have more blocks, of this branch or another.
    pub(crate) fn after(parent: BlockRef, view: &'a View, cache: &'a mut KnownAbis) -> Self {
        if cache.block != Some(parent) || cache.in_force.len() >= MAX_ACCOUNTS {
            cache.clear();
        }
        cache.block = Some(parent);
        Self { cache, view, before: None, changes: Vec::new() }
    }

    /// The next block begins: what it sets is in force from the action on that sets it.
    pub(crate) fn enter(&mut self, context: &BlockContext<'_>) {
        self.before = self.before.or_else(|| context.global_sequences().map(|own| *own.start()));
        self.changes.extend(abi::changes(context));
        self.changes.sort_by_key(|(_, record)| record.global_sequence);
    }

    /// The cache holds after `block`, the last one that was entered.
    pub(crate) fn leave(self, block: BlockRef) {
        for (account, record) in self.changes {
            let compiled = self.cache.compile(account, &record);
            self.cache.in_force.insert(account, compiled);
        }
        self.cache.block = Some(block);
    }
}

impl AbiSource for BlockAbis<'_> {
    fn at(&mut self, account: Name, global_sequence: u64) -> Result<Option<Arc<AbiSerializer>>> {
        let mut changes = self.changes.iter().rev();
        let change = changes.find(|(of, record)| *of == account && record.global_sequence < global_sequence);
        if let Some((_, record)) = change {
            return Ok(self.cache.compile(account, record));
        }
        if let Some(known) = self.cache.in_force.get(&account) {
            return Ok(known.clone());
        }
        let record = abi::at(self.view, account, self.before.unwrap_or(global_sequence))?;
        let compiled = record.and_then(|record| self.cache.compile(account, &record));
        self.cache.in_force.insert(account, compiled.clone());
        Ok(compiled)
    }
}
