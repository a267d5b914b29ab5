//! What a snapshot consists of, to whoever reads it.

use dfuse_antelope::{Checksum256, Name};

use super::head::Head;
use crate::{
    deltas::StateRow,
    state::{
        Account, AccountMetadata, Code, ContractRow, GeneratedTransaction, GlobalProperty, KeyValue, Permission,
        PermissionLink, ProtocolState, ResourceLimits, ResourceUsage, SecondaryRow, Table,
    },
};

/// A section of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name without the prefix `eosio::chain::`.
    pub name: String,
    /// The place of its size in the uncompressed file.
    pub offset: u64,
    /// Bytes of its rows.
    pub size: u64,
    /// Rows that it announces. Tables of contracts and counts of their rows are rows, too.
    pub rows: u64,
    /// Whether this reader knows its rows; else [`Snapshot::next_row`](super::Snapshot::next_row) passes over them.
    pub known: bool,
}

/// A row of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub enum SnapshotRow {
    /// The hash of the genesis state of version 2, which is the chain's id.
    Genesis(Checksum256),
    /// The block that the snapshot is the state after.
    Head(Box<Head>),
    /// An account.
    Account(Account),
    /// What the chain knows of an account besides.
    AccountMetadata(AccountMetadata),
    /// RAM that an account was billed and did not use.
    RamCorrection(Name, u64),
    /// The chain's configuration, proposed schedule and id.
    GlobalProperty(Box<GlobalProperty>),
    /// Protocol features.
    ProtocolState(ProtocolState),
    /// The global sequence of the last action.
    GlobalActionSequence(u64),
    /// The id of the last block whose number ends in the 16 bits that count these rows from 0.
    BlockSummary(Checksum256),
    /// A transaction that has not expired: its id, and when it does, in seconds since 1970.
    Transaction(Checksum256, u32),
    /// A deferred transaction that waits.
    GeneratedTransaction(GeneratedTransaction),
    /// A table of a contract.
    Table(Table),
    /// A contract's code.
    Code(Code),
    /// An entry of the key-value store of EOSIO 2.1.
    KeyValue(KeyValue),
    /// A row of a contract's table.
    Contract(ContractRow),
    /// An entry of a secondary index.
    Secondary(SecondaryRow),
    /// A permission. The first one is reserved, and has no owner.
    Permission(Permission),
    /// A link of a permission.
    PermissionLink(PermissionLink),
    /// Shares of an account in the chain's resources.
    ResourceLimits(ResourceLimits),
    /// What an account uses of them.
    ResourceUsage(ResourceUsage),
    /// The chain's own limits, as they are.
    Other(Vec<u8>),
}

impl SnapshotRow {
    /// The row of chain state that it is, as deltas have such rows, too; absent for what only snapshots have, for the reserved
    /// permission, and for rows of the chain as a whole.
    pub fn into_state(self) -> Option<StateRow> {
        Some(match self {
            Self::Account(row) => StateRow::Account(row),
            Self::AccountMetadata(row) => StateRow::AccountMetadata(row),
            Self::Code(row) => StateRow::Code(row),
            Self::Table(row) => StateRow::Table(row),
            Self::Contract(row) => StateRow::Contract(row),
            Self::Secondary(row) => StateRow::Secondary(row),
            Self::GeneratedTransaction(row) => StateRow::GeneratedTransaction(row),
            Self::Permission(row) if row.owner != Name(0) => StateRow::Permission(row),
            Self::PermissionLink(row) => StateRow::PermissionLink(row),
            Self::ResourceLimits(row) => StateRow::ResourceLimits(row),
            Self::ResourceUsage(row) => StateRow::ResourceUsage(row),
            _ => return None,
        })
    }
}
