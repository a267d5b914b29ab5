//! What is known of chain state at a block, as far as the changes of the next one need it: deltas say what a row becomes, and not
//! what it was.

use std::collections::{HashMap, hash_map::Entry};

use dfuse_antelope::Name;

use crate::deltas::{DeltaRow, StateRow};

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
    fn of(row: &StateRow) -> Option<Self> {
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

/// What a block made of a row.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) before: Option<StateRow>,
    pub(super) after: Option<StateRow>,
}

/// Rows by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    rows: HashMap<Key, StateRow>,
}

impl Known {
    pub(super) fn get(&self, key: &Key) -> Option<&StateRow> {
        self.rows.get(key)
    }

    /// Changes by row, in the order in which the deltas name them; rows that stay as they are left out.
    pub(super) fn changes(&self, deltas: Vec<DeltaRow>) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::with_capacity(deltas.len());
        let mut places = HashMap::new();
        for DeltaRow { present, row } in deltas {
            let Some(key) = Key::of(&row) else { continue };
            match places.entry(key) {
                Entry::Occupied(place) => {
                    let change: &mut Change = &mut changes[*place.get()];
                    change.after = present.then_some(row);
                }
                Entry::Vacant(place) => {
                    let before = self.rows.get(place.key()).cloned();
                    // A removed row is told as it was, even if nobody knew of it.
                    let before = before.or_else(|| (!present).then(|| row.clone()));
                    let key = place.key().clone();
                    place.insert(changes.len());
                    changes.push(Change { key, before, after: present.then_some(row) });
                }
            }
        }
        changes.retain(|change| change.before != change.after);
        changes
    }

    /// Applies changes, and gives what takes them back.
    pub(super) fn apply(&mut self, changes: Vec<Change>) -> Vec<(Key, Option<StateRow>)> {
        let apply = |change: Change| (change.key.clone(), self.set(change.key, change.after));
        changes.into_iter().map(apply).collect()
    }

    /// Takes changes back.
    pub(super) fn restore(&mut self, before: Vec<(Key, Option<StateRow>)>) {
        for (key, row) in before {
            self.set(key, row);
        }
    }

    /// Adds rows of a full state.
    pub(super) fn load(&mut self, row: StateRow) {
        if let Some(key) = Key::of(&row) {
            self.rows.insert(key, row);
        }
    }

    fn set(&mut self, key: Key, row: Option<StateRow>) -> Option<StateRow> {
        match row {
            Some(row) => self.rows.insert(key, row),
            None => self.rows.remove(&key),
        }
    }
}
