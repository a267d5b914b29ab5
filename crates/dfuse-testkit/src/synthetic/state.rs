//! What the chain remembers between transactions. Every write notes what it replaced, so that a failed transaction or a losing
//! branch is taken back exactly.

use std::{collections::BTreeMap, sync::Arc};

use dfuse_antelope::{Checksum256, Name, PublicKey};

use super::{Row, RowKey, TableKey};

/// Decaying resource usage, as `exponential_moving_average_accumulator` of nodeos.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) last_ordinal: u32,
    pub(crate) value_ex: u64,
    pub(crate) consumed: u64,
}

impl Usage {
    const PRECISION: u64 = 1_000_000;

    pub(crate) fn add(&mut self, units: u64, ordinal: u32, window: u64) {
        if self.last_ordinal != ordinal {
            let passed = u64::from(ordinal - self.last_ordinal);
            self.value_ex = match window.checked_sub(passed) {
                Some(left) => (u128::from(self.value_ex) * u128::from(left) / u128::from(window)) as u64,
                None => 0,
            };
            self.last_ordinal = ordinal;
            self.consumed = self.value_ex.div_ceil(Self::PRECISION);
        }
        self.consumed += units;
        self.value_ex += (units * Self::PRECISION).div_ceil(window);
    }
}

/// The numbers of an account that change with every transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) ram: i64,
    pub(crate) net: Usage,
    pub(crate) cpu: Usage,
    pub(crate) recv_sequence: u64,
    pub(crate) auth_sequence: u64,
    pub(crate) code_sequence: u32,
    pub(crate) abi_sequence: u32,
    pub(crate) code_size: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Authority {
    pub(crate) threshold: u32,
    pub(crate) keys: Vec<(PublicKey, u16)>,
    pub(crate) accounts: Vec<(Name, Name, u16)>,
    pub(crate) waits: Vec<(u32, u16)>,
}

impl Authority {
    pub(crate) fn key(key: PublicKey) -> Self {
        Self { threshold: 1, keys: vec![(key, 1)], accounts: vec![], waits: vec![] }
    }

    pub(crate) fn none() -> Self {
        Self { threshold: 1, keys: vec![], accounts: vec![], waits: vec![] }
    }

    pub(crate) fn account(actor: Name, permission: Name) -> Self {
        Self { accounts: vec![(actor, permission, 1)], ..Self::none() }
    }

    /// RAM that the authority takes beside its permission.
    pub(crate) fn ram(&self) -> i64 {
        (50 * self.keys.len() + 16 * self.accounts.len() + 16 * self.waits.len()) as i64
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Permission {
    pub(crate) usage_id: u64,
    pub(crate) parent: u64,
    pub(crate) owner: Name,
    pub(crate) name: Name,
    /// Slot of the block that wrote it last.
    pub(crate) updated: u32,
    pub(crate) authority: Authority,
}

/// A table's payer and number of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) payer: Name,
    pub(crate) rows: u32,
}

/// A transaction that waits for its time. `sender` is empty for one that a user pushed with a delay.
#[derive(Debug, Clone)]
pub(crate) struct Deferred {
    pub(crate) transaction_id: Checksum256,
    pub(crate) sender: Name,
    pub(crate) sender_id: u128,
    pub(crate) payer: Name,
    /// Unix milliseconds; so are the next two.
    pub(crate) published: i64,
    pub(crate) delay_until: i64,
    pub(crate) expiration: i64,
    pub(crate) transaction: super::wire::Transaction,
    pub(crate) ram: i64,
    /// Nobody executes it before it expires.
    pub(crate) neglected: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) global_sequence: u64,
    pub(crate) next_permission: u64,
    pub(crate) next_link: u64,
    pub(crate) next_deferred: u64,
}

enum Undo {
    Counts(Counts),
    Counters(usize, Counters),
    Account,
    Row(RowKey, Option<Row>),
    Table(TableKey, Option<Table>),
    KeyValue((Name, Vec<u8>), Option<(Name, Vec<u8>)>),
    Permission(u64, Option<Permission>),
    Link((Name, Name, Name), Option<(u64, Name)>),
    Abi(Name, Option<Arc<[u8]>>),
    Deferred(u64, Option<Arc<Deferred>>),
    PreActivated(Vec<Checksum256>),
    Proposed(Vec<Name>),
}

#[derive(Default)]
pub(crate) struct State {
    counts: Counts,
    names: Vec<Name>,
    counters: Vec<Counters>,
    index: BTreeMap<Name, usize>,
    rows: BTreeMap<RowKey, Row>,
    tables: BTreeMap<TableKey, Table>,
    key_values: BTreeMap<(Name, Vec<u8>), (Name, Vec<u8>)>,
    permissions: BTreeMap<u64, Permission>,
    links: BTreeMap<(Name, Name, Name), (u64, Name)>,
    abis: BTreeMap<Name, Arc<[u8]>>,
    deferred: BTreeMap<u64, Arc<Deferred>>,
    pre_activated: Vec<Checksum256>,
    proposed: Vec<Name>,
    journal: Vec<Undo>,
}

/// A setter that notes the old value.
macro_rules! journaled {
    ($setter:ident, $getter:ident, $map:ident, $key:ty, $value:ty, $undo:ident) => {
        pub(crate) fn $getter(&self) -> &BTreeMap<$key, $value> {
            &self.$map
        }

        pub(crate) fn $setter(&mut self, key: $key, value: Option<$value>) {
            let old = replace(&mut self.$map, key.clone(), value);
            self.journal.push(Undo::$undo(key, old));
        }
    };
}

fn replace<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

impl State {
    journaled!(set_row, rows, rows, RowKey, Row, Row);
    journaled!(set_table, tables, tables, TableKey, Table, Table);
    journaled!(set_key_value, key_values, key_values, (Name, Vec<u8>), (Name, Vec<u8>), KeyValue);
    journaled!(set_permission, permissions, permissions, u64, Permission, Permission);
    journaled!(set_link, links, links, (Name, Name, Name), (u64, Name), Link);
    journaled!(set_abi, abis, abis, Name, Arc<[u8]>, Abi);
    journaled!(set_deferred, deferred, deferred, u64, Arc<Deferred>, Deferred);

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn count(&mut self, change: impl FnOnce(&mut Counts)) {
        self.journal.push(Undo::Counts(self.counts));
        change(&mut self.counts);
    }

    pub(crate) fn exists(&self, account: Name) -> bool {
        self.index.contains_key(&account)
    }

    pub(crate) fn accounts(&self) -> &[Name] {
        &self.names
    }

    pub(crate) fn add_account(&mut self, name: Name) {
        self.index.insert(name, self.names.len());
        self.names.push(name);
        self.counters.push(Counters::default());
        self.journal.push(Undo::Account);
    }

    /// The counters of an account; zeros for an unknown one.
    pub(crate) fn counters(&self, account: Name) -> Counters {
        self.index.get(&account).map(|at| self.counters[*at]).unwrap_or_default()
    }

    /// Changes the counters of an account and returns them.
    ///
    /// # Panics
    /// When the account does not exist: the scenario would be wrong.
    pub(crate) fn change(&mut self, account: Name, change: impl FnOnce(&mut Counters)) -> Counters {
        let at = *self.index.get(&account).unwrap_or_else(|| panic!("no account {account}"));
        self.journal.push(Undo::Counters(at, self.counters[at]));
        change(&mut self.counters[at]);
        self.counters[at]
    }

    pub(crate) fn pre_activated(&self) -> &[Checksum256] {
        &self.pre_activated
    }

    pub(crate) fn set_pre_activated(&mut self, features: Vec<Checksum256>) {
        self.journal.push(Undo::PreActivated(std::mem::replace(&mut self.pre_activated, features)));
    }

    /// Producers that the system contract asked for.
    pub(crate) fn proposed(&self) -> &[Name] {
        &self.proposed
    }

    pub(crate) fn set_proposed(&mut self, producers: Vec<Name>) {
        self.journal.push(Undo::Proposed(std::mem::replace(&mut self.proposed, producers)));
    }

    /// The id and the permission of that name.
    pub(crate) fn permission(&self, owner: Name, name: Name) -> Option<(u64, &Permission)> {
        self.permissions.iter().find(|(_, it)| it.owner == owner && it.name == name).map(|(id, it)| (*id, it))
    }

    pub(crate) fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Forgets how to go back. Marks taken before are void.
    pub(crate) fn settle(&mut self) {
        self.journal.clear();
    }

    pub(crate) fn roll_back(&mut self, mark: usize) {
        for undo in self.journal.drain(mark..).rev() {
            match undo {
                Undo::Counts(counts) => self.counts = counts,
                Undo::Counters(at, counters) => self.counters[at] = counters,
                Undo::Account => {
                    self.counters.pop();
                    let name = self.names.pop().expect("it was pushed");
                    self.index.remove(&name);
                }
                Undo::Row(key, old) => drop(replace(&mut self.rows, key, old)),
                Undo::Table(key, old) => drop(replace(&mut self.tables, key, old)),
                Undo::KeyValue(key, old) => drop(replace(&mut self.key_values, key, old)),
                Undo::Permission(key, old) => drop(replace(&mut self.permissions, key, old)),
                Undo::Link(key, old) => drop(replace(&mut self.links, key, old)),
                Undo::Abi(key, old) => drop(replace(&mut self.abis, key, old)),
                Undo::Deferred(key, old) => drop(replace(&mut self.deferred, key, old)),
                Undo::PreActivated(old) => self.pre_activated = old,
                Undo::Proposed(old) => self.proposed = old,
            }
        }
    }
}
