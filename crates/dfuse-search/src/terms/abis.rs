//! ABIs in force, compiled once.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use dfuse_antelope::{
    Name,
    abi::{Abi, AbiSerializer},
};
use dfuse_index::{
    BlockContext, BlockRef, Result, View,
    abi::{self, AbiRecord},
};

/// Compiled ABIs that are kept.
const MAX_COMPILED: usize = 512;
/// Accounts whose ABI is remembered from block to block.
const MAX_ACCOUNTS: usize = 1 << 16;

/// Tells the ABI in force at an action.
pub(crate) trait AbiSource {
    /// The ABI of `account` when the action with that global sequence was executed; absent if there is none of use.
    fn at(&mut self, account: Name, global_sequence: u64) -> Result<Option<Arc<AbiSerializer>>>;
}

type Compiled = Option<Arc<AbiSerializer>>;

/// ABIs that were compiled before, and which of them are in force after a block.
#[derive(Debug, Default)]
pub(crate) struct AbiCache {
    /// After which block `in_force` holds.
    block: Option<BlockRef>,
    in_force: BTreeMap<Name, Compiled>,
    compiled: BTreeMap<(Name, u64), (Bytes, Compiled)>,
}

impl AbiCache {
    /// Forgets which ABIs are in force.
    pub(crate) fn clear(&mut self) {
        self.block = None;
        self.in_force.clear();
    }

    /// Branches can have different ABIs at one global sequence, so that the bytes are compared, too.
    fn compile(&mut self, account: Name, record: &AbiRecord) -> Compiled {
        if record.abi.is_empty() {
            return None;
        }
        let key = (account, record.global_sequence);
        if let Some((bytes, compiled)) = self.compiled.get(&key)
            && *bytes == record.abi
        {
            return compiled.clone();
        }
        let compiled = Abi::from_bytes(&record.abi).ok().map(|abi| Arc::new(AbiSerializer::new(&abi)));
        if self.compiled.len() >= MAX_COMPILED {
            self.compiled.clear();
        }
        self.compiled.insert(key, (Bytes::copy_from_slice(&record.abi), compiled.clone()));
        compiled
    }
}

/// ABIs at the actions of a branch's blocks, one after the other.
#[derive(Debug)]
pub(crate) struct BlockAbis<'a> {
    cache: &'a mut AbiCache,
    view: &'a View,
    /// Global sequence from which on the view says nothing; not known before the first block with an action.
    before: Option<u64>,
    /// What was set since, in the order of global sequences.
    changes: Vec<(Name, AbiRecord)>,
}

impl<'a> BlockAbis<'a> {
    /// Starts after the block `parent`, which the view has; the view may have more blocks, of this branch or another.
    pub(crate) fn after(parent: BlockRef, view: &'a View, cache: &'a mut AbiCache) -> Self {
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
