//! Rows of chain state, as nodes keep them.

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, ChainConfig, Checksum256, Name, PublicKey, TimePoint,
    model::{PermissionLevel, ProducerAuthoritySchedule},
};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: Name,
    /// When it was created.
    pub created: BlockTimestamp,
    /// Its packed ABI; empty if it has none.
    pub abi: Bytes,
}

/// What the chain knows of an account besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountMetadata {
    /// Its name.
    pub name: Name,
    /// Whether its contract is privileged.
    pub privileged: bool,
    /// When its code was last set.
    pub last_code_update: TimePoint,
    /// Its code, if it has any.
    pub code: Option<CodeReference>,
    /// Its counters, which snapshots have.
    pub sequences: Option<AccountSequences>,
}

/// The counters of an account that receipts of actions show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountSequences {
    /// Actions that it received.
    pub recv: u64,
    /// Actions that it authorized.
    pub auth: u64,
    /// How often its code was set.
    pub code: u64,
    /// How often its ABI was set.
    pub abi: u64,
}

/// Which code, and what runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeReference {
    /// SHA-256 of the code.
    pub hash: Checksum256,
    /// The virtual machine: 0 is WebAssembly.
    pub vm_type: u8,
    /// Its version.
    pub vm_version: u8,
}

/// A contract's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Its hash and machine.
    pub reference: CodeReference,
    /// The code itself.
    pub code: Bytes,
}

/// A table of a contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Table {
    /// The contract.
    pub code: Name,
    /// The scope.
    pub scope: Name,
    /// The table's name. Secondary indexes but the first stand in tables of their own, whose low four bits are the index's number.
    pub table: Name,
    /// Who pays for the table.
    pub payer: Name,
    /// Rows of all kinds, as snapshots count them.
    pub rows: Option<u32>,
}

/// A row of a contract's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractRow {
    /// The contract.
    pub code: Name,
    /// The scope.
    pub scope: Name,
    /// The table's name.
    pub table: Name,
    /// The primary key.
    pub primary_key: u64,
    /// Who pays for the row.
    pub payer: Name,
    /// The packed row.
    pub value: Bytes,
}

/// An entry of a secondary index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondaryRow {
    /// The contract.
    pub code: Name,
    /// The scope.
    pub scope: Name,
    /// The table's name: see [`Table::table`].
    pub table: Name,
    /// The primary key.
    pub primary_key: u64,
    /// Who pays for the entry.
    pub payer: Name,
    /// The secondary key.
    pub key: SecondaryKey,
}

/// A secondary key, by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondaryKey {
    /// 64 bits.
    U64(u64),
    /// 128 bits.
    U128(u128),
    /// 256 bits, the high half first.
    U256([u128; 2]),
    /// The bits of a double.
    Double(u64),
    /// The bits of a quadruple-precision number.
    LongDouble(u128),
}

/// An entry of the key-value store of EOSIO 2.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The contract.
    pub contract: Name,
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// Who pays for it.
    pub payer: Name,
}

/// A permission of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The account.
    pub owner: Name,
    /// The permission's name.
    pub name: Name,
    /// The name of the permission above; empty if there is none.
    pub parent: Name,
    /// When it was set.
    pub last_updated: TimePoint,
    /// When an action last used it, as snapshots say.
    pub last_used: Option<TimePoint>,
    /// What it takes.
    pub authority: Authority,
}

impl Permission {
    /// The producers, in no order, if this is the permission that names them.
    pub fn producers(&self) -> Option<Vec<Name>> {
        let is_theirs = (self.owner, self.name) == (Name::literal("eosio.prods"), Name::literal("active"));
        let accounts = self.authority.accounts.iter().map(|(level, _)| level.actor);
        is_theirs.then(|| accounts.collect())
    }
}

/// Who together may use a permission.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authority {
    /// The sum of weights that it takes.
    pub threshold: u32,
    /// Keys, with their weights.
    pub keys: Vec<(PublicKey, u16)>,
    /// Permissions of accounts, with their weights.
    pub accounts: Vec<(PermissionLevel, u16)>,
    /// Delays in seconds, with their weights.
    pub waits: Vec<(u32, u16)>,
}

/// Which permission an account's actions take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermissionLink {
    /// The account.
    pub account: Name,
    /// The contract.
    pub code: Name,
    /// The action; empty for every action.
    pub action: Name,
    /// The permission.
    pub required_permission: Name,
}

/// Shares of an account in the chain's resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimits {
    /// The account.
    pub owner: Name,
    /// Weight for network; -1 is unlimited.
    pub net_weight: i64,
    /// Weight for CPU; -1 is unlimited.
    pub cpu_weight: i64,
    /// Bytes of RAM; -1 is unlimited.
    pub ram_bytes: i64,
}

/// A moving average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageAccumulator {
    /// The slot of the last use.
    pub last_ordinal: u32,
    /// The average, times a million.
    pub value_ex: u64,
    /// What was used in that slot.
    pub consumed: u64,
}

/// What an account uses of the chain's resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceUsage {
    /// The account.
    pub owner: Name,
    /// Network.
    pub net: UsageAccumulator,
    /// CPU.
    pub cpu: UsageAccumulator,
    /// Bytes of RAM.
    pub ram_bytes: u64,
}

/// A deferred transaction that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedTransaction {
    /// Its id.
    pub id: Checksum256,
    /// Who sent it; empty for one that was pushed with a delay.
    pub sender: Name,
    /// The sender's own id of it.
    pub sender_id: u128,
    /// Who pays for it.
    pub payer: Name,
    /// Its times, which snapshots have.
    pub times: Option<DeferredTimes>,
    /// The packed transaction, without signatures.
    pub transaction: Bytes,
}

/// When a deferred transaction was sent and can be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeferredTimes {
    /// When it can first be executed.
    pub delay_until: TimePoint,
    /// When it can no longer be executed.
    pub expiration: TimePoint,
    /// When it was sent.
    pub published: TimePoint,
}

/// The chain's configuration, its proposed schedule and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalProperty {
    /// The block in which a schedule was proposed.
    pub proposed_schedule_block_num: Option<u32>,
    /// The proposed schedule.
    pub proposed_schedule: ProducerAuthoritySchedule,
    /// The configuration.
    pub configuration: ChainConfig,
    /// The chain's id, from version 3 on.
    pub chain_id: Option<Checksum256>,
}

/// Protocol features.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProtocolState {
    /// Active features, and the blocks that activated them.
    pub activated: Vec<(Checksum256, u32)>,
    /// Features that the next block can activate.
    pub preactivated: Vec<Checksum256>,
}
