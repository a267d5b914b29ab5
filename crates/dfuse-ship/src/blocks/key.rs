//! Keys of rows of chain state.

use dfuse_antelope::Name;

use crate::deltas::StateRow;

/// Which row it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Row(Name, Name, Name, u64),
    Table(Name, Name, Name),
    Permission(Name, Name),
    Deferred(Name, u128),
    Limits(Name),
    Usage(Name),
    Chain(String),
}

impl Key {
    /// Nothing of rows that say no more than actions do, or that blocks have no place for.
    pub(super) fn of(row: &StateRow) -> Option<Self> {
        Some(match row {
            StateRow::Contract(row) => Self::Row(row.code, row.scope, row.table, row.primary_key),
            StateRow::Table(table) => Self::Table(table.code, table.scope, table.table),
            // The reserved one has no owner.
            StateRow::Permission(permission) if permission.owner != Name::default() => {
                Self::Permission(permission.owner, permission.name)
            }
            StateRow::GeneratedTransaction(transaction) => Self::Deferred(transaction.sender, transaction.sender_id),
            StateRow::ResourceLimits(limits) => Self::Limits(limits.owner),
            StateRow::ResourceUsage(usage) => Self::Usage(usage.owner),
            StateRow::Chain(table, _) => Self::Chain(table.clone()),
            _ => return None,
        })
    }
}
