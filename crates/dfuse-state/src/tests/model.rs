//! The state as it follows from every operation, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use dfuse_antelope::{
    Asset, Name, PublicKey, SymbolCode,
    model::{Block, DbOperation, TableOperation},
    raw::Reader,
};
use dfuse_index::BlockContext;
use dfuse_kv::Direction;

use crate::{
    KeyAccount, PermissionLink, Row, RowKey, RowRange, StateAt, TableKey, TableRow, TableScope,
    rows::Limits,
    tokens::{self, TokenKey},
};

#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) rows: BTreeMap<RowKey, TableRow>,
    scopes: BTreeMap<TableKey, (Name, u32)>,
    keys: BTreeMap<(PublicKey, Name, Name), u32>,
    links: BTreeMap<[Name; 3], (Name, u32)>,
    /// Of all rows, tables and keys that were there after any block.
    seen_rows: BTreeSet<TableKey>,
    seen_tables: BTreeSet<(Name, Name)>,
    seen_keys: BTreeSet<PublicKey>,
    /// Accounts that had links.
    seen_linked: BTreeSet<Name>,
}

fn name(bytes: &[u8]) -> Name {
    Name(u64::from_le_bytes(bytes[..8].try_into().unwrap()))
}

/// Keeps the block of what is as it was before.
fn keep<K: Ord, V>(before: &BTreeMap<K, V>, after: &mut BTreeMap<K, V>, same: impl Fn(&V, &V) -> bool)
where
    V: Clone,
{
    for (key, value) in after.iter_mut() {
        if let Some(before) = before.get(key).filter(|before| same(before, value)) {
            value.clone_from(before);
        }
    }
}

impl State {
    pub(crate) fn after(&self, block: &Block) -> Self {
        let mut next = self.clone();
        next.apply(block);
        keep(&self.rows, &mut next.rows, |before, after| before.row == after.row);
        keep(&self.scopes, &mut next.scopes, |before, after| before.0 == after.0);
        keep(&self.keys, &mut next.keys, |_, _| true);
        keep(&self.links, &mut next.links, |before, after| before.0 == after.0);
        next.seen_rows.extend(next.rows.keys().map(|key| key.table));
        next.seen_tables.extend(next.scopes.keys().map(|key| (key.contract, key.table)));
        next.seen_linked.extend(next.links.keys().map(|link| link[0]));
        next.seen_keys.extend(next.keys.keys().map(|(key, ..)| key.clone()));
        next
    }

    fn apply(&mut self, block: &Block) {
        let block_number = block.number;
        for trace in block.unfiltered_transaction_traces.iter().filter(|trace| !trace.is_reverted()) {
            for op in &trace.db_ops {
                let key = RowKey::of(op);
                match op.operation {
                    DbOperation::Remove => drop(self.rows.remove(&key)),
                    _ => {
                        let row = Row { payer: op.new_payer, data: op.new_data.clone() };
                        self.rows.insert(key, TableRow { primary_key: key.primary_key, row, block_number });
                    }
                }
            }
            for op in &trace.table_ops {
                let key = TableKey { contract: op.code, table: op.table_name, scope: op.scope };
                match op.operation {
                    TableOperation::Remove => drop(self.scopes.remove(&key)),
                    _ => drop(self.scopes.insert(key, (op.payer, block_number))),
                }
            }
            for op in &trace.perm_ops {
                let keys = |it: &dfuse_antelope::model::PermissionObject| {
                    let keys = it.authority.keys.iter().map(|key| key.public_key.parse().unwrap());
                    keys.map(|key| (key, it.owner, it.name)).collect::<Vec<_>>()
                };
                for key in op.old_perm.iter().flat_map(keys) {
                    self.keys.remove(&key);
                }
                self.keys.extend(op.new_perm.iter().flat_map(keys).map(|key| (key, block_number)));
            }
        }
        let context = BlockContext::new(block);
        let mut actions: Vec<_> = context.executed_actions().collect();
        actions.sort_by_key(|executed| executed.global_sequence);
        for (action, receiver) in actions.iter().map(|executed| (&executed.action.action, executed.action.receiver)) {
            let is = |wanted: &str| {
                receiver.to_string() == "eosio" && action.account == receiver && action.name.to_string() == wanted
            };
            let data = &action.raw_data;
            if is("linkauth") {
                let link = [name(data), name(&data[8..]), name(&data[16..])];
                self.links.insert(link, (name(&data[24..]), block_number));
            } else if is("unlinkauth") {
                self.links.remove(&[name(data), name(&data[8..]), name(&data[16..])]);
            }
        }
    }

    /// All links.
    pub(crate) fn links(&self) -> impl Iterator<Item = ([Name; 3], Name)> {
        self.links.iter().map(|(link, (permission, _))| (*link, *permission))
    }

    /// The keys of all permissions.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&PublicKey, (Name, Name))> {
        self.keys.keys().map(|(key, account, permission)| (key, (*account, *permission)))
    }

    pub(crate) fn table(&self, table: TableKey) -> Vec<TableRow> {
        self.rows.range(table.row(0)..=table.row(u64::MAX)).map(|(_, row)| row.clone()).collect()
    }

    /// Tables that had rows after any block up to this one.
    pub(crate) fn tables(&self) -> impl Iterator<Item = TableKey> {
        self.seen_rows.iter().copied()
    }

    /// Rows, tables, keys in permissions; accounts that ever had links.
    pub(crate) fn counts(&self) -> [usize; 4] {
        [self.rows.len(), self.scopes.len(), self.keys.len(), self.seen_linked.len()]
    }

    /// Compares everything with what the indexes say; `ever` has seen at least what this has.
    pub(crate) fn check(&self, at: &StateAt, ever: &Self) {
        for table in ever.tables() {
            self.check_table(at, table);
        }
        for (contract, table) in &ever.seen_tables {
            let found: Vec<_> = at.scopes(*contract, *table, None).unwrap().map(Result::unwrap).collect();
            if let [first, rest @ ..] = &found[..] {
                let after = at.scopes(*contract, *table, Some(first.scope)).unwrap().map(Result::unwrap);
                assert!(after.eq(rest.iter().copied()));
            }
            let expected = self.scopes.iter().filter(|(key, _)| (key.contract, key.table) == (*contract, *table));
            let expected =
                expected.map(|(key, value)| TableScope { scope: key.scope, payer: value.0, block_number: value.1 });
            assert!(found.iter().copied().eq(expected), "{contract} {table} {}: {found:?}", at.number());
        }
        for key in &ever.seen_keys {
            let found: Vec<_> = at.key_accounts(key, None).unwrap().map(Result::unwrap).collect();
            if let [first, rest @ ..] = &found[..] {
                let after = at.key_accounts(key, Some(*first)).unwrap().map(Result::unwrap);
                assert!(after.eq(rest.iter().copied()));
            }
            let expected = self.keys.iter().filter(|((it, ..), _)| it == key);
            let expected = expected.map(|((_, account, permission), block_number)| KeyAccount {
                account: *account,
                permission: *permission,
                block_number: *block_number,
            });
            assert!(found.iter().copied().eq(expected), "{key} {}: {found:?}", at.number());
        }
        for account in &ever.seen_linked {
            let found: Vec<_> = at.permission_links(*account, None).unwrap().map(Result::unwrap).collect();
            if let [first, rest @ ..] = &found[..] {
                let after = at.permission_links(*account, Some(*first)).unwrap().map(Result::unwrap);
                assert!(after.eq(rest.iter().copied()));
            }
            let expected = self.links.iter().filter(|(link, _)| link[0] == *account);
            let expected = expected.map(|([_, contract, action], (permission, block_number))| PermissionLink {
                contract: *contract,
                action: *action,
                permission: *permission,
                block_number: *block_number,
            });
            assert!(found.iter().copied().eq(expected), "{account} {}: {found:?}", at.number());
        }
    }

    /// What was seen is known at the head, and nothing else of what there was on other branches.
    pub(crate) fn check_seen(&self, at: &StateAt, ever: &Self) {
        for (contract, table) in &ever.seen_tables {
            let seen = self.seen_tables.contains(&(*contract, *table));
            assert_eq!(at.table_was_seen(*contract, *table).unwrap(), seen);
        }
        for key in &ever.seen_keys {
            assert_eq!(at.key_was_seen(key).unwrap(), self.seen_keys.contains(key));
        }
        assert!(!at.table_was_seen(Name(1), Name(2)).unwrap());
        assert!(!at.key_was_seen(&PublicKey::R1([9; 33])).unwrap());
    }

    fn check_table(&self, at: &StateAt, table: TableKey) {
        let mut expected = self.table(table);
        let keys: Vec<u64> = expected.iter().map(|row| row.primary_key).collect();
        for direction in [Direction::Forward, Direction::Reverse] {
            let range = RowRange { direction, ..RowRange::default() };
            // As it is, and with all turns taken as early as can be.
            for limits in [Limits::default(), Limits { passed: 0, passed_per_row: 0, held: 2 + expected.len() / 4 }] {
                let mut rows = at.rows(table, range.clone()).unwrap();
                rows.limits = limits;
                let found: Vec<_> = rows.map(Result::unwrap).collect();
                assert_eq!(found, expected, "{table:?} at {}", at.number());
            }
            if let [.., before, _] = &expected[..] {
                let rest = range.after(expected[0].primary_key).unwrap();
                let part = RowRange { keys: *rest.keys.start()..=*rest.keys.end(), direction };
                let first: Vec<_> = at.rows(table, part).unwrap().map(Result::unwrap).take(2).collect();
                assert_eq!(first, expected[1..expected.len().min(3)]);
                let bounds = [before.primary_key, expected[0].primary_key];
                let keys = bounds[0].min(bounds[1])..=bounds[0].max(bounds[1]);
                let mut rows = at.rows(table, RowRange { keys, direction }).unwrap();
                rows.limits.passed = 0;
                assert!(rows.map(Result::unwrap).eq(expected[..expected.len() - 1].iter().cloned()));
            }
            expected.reverse();
        }
        for key in keys.iter().copied().chain([3, u64::MAX]) {
            let key = table.row(key);
            assert_eq!(at.row(&key).unwrap().as_ref(), self.rows.get(&key));
        }
    }

    /// Compares what is said of tokens at the view's block.
    pub(crate) fn check_tokens(&self, at: &StateAt) -> [usize; 2] {
        let asset = |row: &TableRow| {
            let asset = Asset::read(&mut Reader::new(&row.row.data)).ok()?;
            (asset.is_valid() && asset.symbol.code().0 == row.primary_key).then_some(asset)
        };
        let mut holders: BTreeMap<(Name, u64), Vec<(Name, Asset)>> = BTreeMap::new();
        let mut balances: BTreeMap<Name, Vec<(Name, u64, Asset)>> = BTreeMap::new();
        for (key, row) in self.rows.iter().filter(|(key, _)| key.table.table.to_string() == "accounts") {
            let Some(balance) = asset(row) else { continue };
            let (contract, account) = (key.table.contract, key.table.scope);
            holders.entry((contract, key.primary_key)).or_default().push((account, balance));
            balances.entry(account).or_default().push((contract, key.primary_key, balance));
        }
        let view = at.view();
        for ((contract, code), expected) in &holders {
            let token = TokenKey { contract: *contract, symbol_code: SymbolCode(*code) };
            let found = tokens::holders(view, token, None).unwrap().map(Result::unwrap);
            assert!(found.map(|it| (it.account, it.balance)).eq(expected.iter().copied()));
            for (account, balance) in expected {
                let found = tokens::balance(view, token, *account).unwrap();
                assert_eq!(found.map(|it| it.balance), Some(*balance));
            }
            assert_eq!(tokens::balance(view, token, Name(5)).unwrap(), None);
            let after = tokens::holders(view, token, Some(expected[0].0)).unwrap().map(Result::unwrap);
            assert!(after.map(|it| it.account).eq(expected[1..].iter().map(|it| it.0)));
        }
        for (account, expected) in &mut balances {
            expected.sort_by_key(|(contract, code, _)| (*contract, *code));
            let found = tokens::balances(view, *account, None).unwrap().map(Result::unwrap);
            let (contract, code, _) = expected[0];
            let first = TokenKey { contract, symbol_code: SymbolCode(code) };
            assert_eq!(tokens::balances(view, *account, Some(first)).unwrap().count(), expected.len() - 1);
            assert!(
                found.map(|it| (it.token.contract, it.token.symbol_code.0, it.balance)).eq(expected.iter().copied())
            );
        }
        let stats = self.rows.iter().filter(|(key, row)| {
            key.table.table.to_string() == "stat" && key.table.scope.0 == key.primary_key && asset(row).is_some()
        });
        let stats: Vec<_> = stats.collect();
        let found: Vec<_> = tokens::all(view, None, None).unwrap().map(Result::unwrap).collect();
        assert_eq!(found.len(), stats.len());
        for (token, (key, row)) in found.iter().zip(&stats) {
            let place = (token.key.contract, token.key.symbol_code.0);
            assert_eq!(place, (key.table.contract, key.primary_key));
            assert_eq!(Some(token.supply), asset(row));
            assert_eq!(token.holders, holders.get(&place).map_or(0, Vec::len) as u64);
            assert_eq!(tokens::get(view, token.key).unwrap().as_ref(), Some(token));
            let contract = tokens::all(view, Some(token.key.contract), Some(token.key)).unwrap().map(Result::unwrap);
            let rest = found.iter().filter(|it| it.key.contract == token.key.contract && it.key > token.key);
            assert!(contract.eq(rest.copied()));
        }
        [stats.len(), holders.values().map(Vec::len).sum()]
    }
}
