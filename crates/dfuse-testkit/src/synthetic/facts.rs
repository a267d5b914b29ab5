//! What a correct reader must find in the text, and what state must follow from it.

use std::{collections::BTreeMap, sync::Arc};

use dfuse_antelope::{Checksum256, Name};

use super::SyntheticBlock;
pub use super::wire::Action;

/// A table of a contract in one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableKey {
    /// The contract.
    pub code: Name,
    /// The scope: an account, a symbol code or a number.
    pub scope: Name,
    /// The table.
    pub table: Name,
}

/// A row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// Where the row is.
    pub table: TableKey,
    /// Its primary key.
    pub primary_key: u64,
}

/// What a row holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Who pays for its RAM.
    pub payer: Name,
    /// Its bytes, possibly none.
    pub data: Arc<[u8]>,
}

/// One database operation; never absent on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The row.
    pub key: RowKey,
    /// Before; absent for an insertion.
    pub old: Option<Row>,
    /// After; absent for a removal.
    pub new: Option<Row>,
}

/// An ABI set, or removed if it is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbiChange {
    /// Whose.
    pub account: Name,
    /// The sequence of the `setabi` action.
    pub global_sequence: u64,
    /// The packed ABI.
    pub abi: Arc<[u8]>,
}

/// A permission written or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionChange {
    /// The account.
    pub owner: Name,
    /// The permission.
    pub name: Name,
    /// Its public keys before; absent for a new permission.
    pub old: Option<Vec<String>>,
    /// Its public keys after; absent for a removed permission.
    pub new: Option<Vec<String>>,
}

/// A permission linked to an action of a contract, or unlinked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkChange {
    /// The account.
    pub account: Name,
    /// The contract.
    pub code: Name,
    /// The action; empty for all.
    pub action: Name,
    /// The permission; absent when unlinked.
    pub permission: Option<Name>,
}

/// How many operations of each kind a reader attaches to a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operations {
    /// DB_OP.
    pub rows: u32,
    /// TBL_OP.
    pub tables: u32,
    /// KV_OP.
    pub key_values: u32,
    /// RAM_OP.
    pub ram: u32,
    /// DTRX_OP, but FAILED, which takes itself back.
    pub deferred: u32,
    /// PERM_OP.
    pub permissions: u32,
    /// FEATURE_OP.
    pub features: u32,
    /// RLIMIT_OP ACCOUNT_LIMITS and ACCOUNT_USAGE.
    pub resource_limits: u32,
    /// CREATION_OP: nodes of the creation tree.
    pub creation: u32,
    /// Those of `ram` that say that a deferred transaction left the queue.
    pub(crate) deferred_removed: u32,
}

impl Operations {
    /// What is left of a transaction that failed: what is billed, and that it left the queue.
    pub(crate) fn reverted(&self) -> Self {
        Self {
            ram: self.deferred_removed,
            deferred_removed: self.deferred_removed,
            resource_limits: self.resource_limits,
            ..Self::default()
        }
    }

    /// Moves what belongs to a failed deferred transaction out of what belongs to its error handler.
    pub(crate) fn take_removal(&mut self) -> Self {
        let ram = std::mem::take(&mut self.deferred_removed);
        self.ram -= ram;
        Self { ram, deferred_removed: ram, ..Self::default() }
    }
}

/// The status in a transaction's receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Executed.
    Executed = 0,
    /// Failed, and its error handler ran.
    SoftFail = 1,
    /// Failed, and there was no error handler or it failed too.
    HardFail = 2,
    /// Put off by its sender.
    Delayed = 3,
    /// Never executed in time.
    Expired = 4,
}

/// What a transaction did. Empty if it failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the order of execution, a row changed twice twice.
    pub rows: Vec<RowChange>,
    /// ABIs set.
    pub abis: Vec<AbiChange>,
    /// Accounts created.
    pub accounts: Vec<Name>,
    /// Permissions written and removed, by `newaccount` too.
    pub permissions: Vec<PermissionChange>,
    /// Permissions linked and unlinked.
    pub links: Vec<LinkChange>,
    /// Ids of deferred transactions created, by delayed pushing too.
    pub deferred: Vec<Checksum256>,
    /// Ids of deferred transactions cancelled, by replacing too.
    pub cancelled: Vec<Checksum256>,
}

/// An action trace, in the order of ordinals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedAction {
    /// From 1, the order of scheduling.
    pub ordinal: u32,
    /// The ordinal of the action that scheduled it; 0 for an input action.
    pub creator: u32,
    /// Who executed it.
    pub receiver: Name,
    /// The action.
    pub action: Arc<Action>,
    /// Absent when it failed or was never reached.
    pub global_sequence: Option<u64>,
    /// What it returned.
    pub return_value: Vec<u8>,
    /// What it printed; not always UTF-8.
    pub console: Vec<u8>,
}

/// A transaction trace as a reader must yield it: a failed deferred transaction is on its own, before its error handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedTransaction {
    /// Its id.
    pub id: Checksum256,
    /// Absent when there is no receipt: a failed `onblock`.
    pub status: Option<Status>,
    /// True if its changes do not count: failed, delayed or expired.
    pub reverted: bool,
    /// True if it comes from the queue of deferred transactions.
    pub scheduled: bool,
    /// Its action traces.
    pub actions: Vec<ExpectedAction>,
    /// How many operations it has.
    pub operations: Operations,
    /// What it changed.
    pub changes: Changes,
}

/// What a correct reader must find in a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// All traces: `onblock` first.
    pub transactions: Vec<ExpectedTransaction>,
    /// Ids in the receipts of the block; a failed deferred transaction stands for its error handler.
    pub receipts: Vec<Checksum256>,
    /// TRX_OP lines.
    pub implicit_transactions: u32,
    /// RLIMIT_OP CONFIG and STATE lines.
    pub resource_limits: u32,
    /// RAM usage of every account that the block's transactions touched, after the block.
    pub ram: BTreeMap<Name, i64>,
}

impl Facts {
    /// What the block changed, in order.
    pub fn changes(&self) -> impl Iterator<Item = &Changes> {
        self.transactions.iter().map(|transaction| &transaction.changes)
    }
}

/// Remembers the changes of every block, forks included, and answers for any of them.
///
/// A question costs time in proportion to the length of the chain below the block.
#[derive(Debug, Default)]
pub struct History {
    blocks: BTreeMap<Checksum256, (Checksum256, Vec<Changes>)>,
}

impl History {
    /// Starts empty: before the first block there are no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a block.
    pub fn record(&mut self, block: &SyntheticBlock) {
        self.blocks.insert(block.id, (block.previous, block.facts.changes().cloned().collect()));
    }

    /// The changes up to the block of that id, newest first.
    fn back(&self, id: &Checksum256) -> impl Iterator<Item = &Changes> {
        std::iter::successors(self.blocks.get(id), |(previous, _)| self.blocks.get(previous))
            .flat_map(|(_, changes)| changes.iter().rev())
    }

    /// A row as it is after the block of that id, on its branch.
    pub fn row(&self, id: &Checksum256, key: &RowKey) -> Option<Row> {
        self.back(id).flat_map(|changes| changes.rows.iter().rev()).find(|change| change.key == *key)?.new.clone()
    }

    /// All rows after the block of that id, on its branch.
    pub fn rows(&self, id: &Checksum256) -> BTreeMap<RowKey, Row> {
        let mut rows = BTreeMap::new();
        for change in self.back(id).flat_map(|changes| changes.rows.iter().rev()) {
            rows.entry(change.key).or_insert_with(|| change.new.clone());
        }
        rows.into_iter().filter_map(|(key, row)| Some((key, row?))).collect()
    }

    /// The ABI of an account after the block of that id; absent if it was never set or was removed.
    pub fn abi(&self, id: &Checksum256, account: Name) -> Option<Arc<[u8]>> {
        let abis = self.back(id).flat_map(|changes| changes.abis.iter().rev());
        abis.filter(|change| change.account == account)
            .map(|change| change.abi.clone())
            .next()
            .filter(|it| !it.is_empty())
    }

    /// Public keys and the permissions they stand in after the block of that id, beside those of genesis.
    pub fn keys(&self, id: &Checksum256) -> BTreeMap<(Name, Name), Vec<String>> {
        let mut keys = BTreeMap::new();
        for change in self.back(id).flat_map(|changes| changes.permissions.iter().rev()) {
            keys.entry((change.owner, change.name)).or_insert_with(|| change.new.clone());
        }
        keys.into_iter().filter_map(|(permission, keys)| Some((permission, keys?))).collect()
    }
}
