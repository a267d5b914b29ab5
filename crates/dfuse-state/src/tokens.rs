//! Tokens: who holds which, and what there is of each.
//!
//! A token is a row of a contract's table `stat`, a balance a row of its table `accounts`, both in the shape of the
//! `eosio.token` contract: the primary key is the symbol code, and the row begins with the assets. Whether the contract's
//! ABI says so, too, is for the reader to ask: see [`is_token_contract`].

mod contract;
mod read;
mod record;

use std::collections::BTreeMap;

use bytes::Bytes;
use dfuse_antelope::SymbolCode;
use dfuse_index::{BlockContext, Delta, DeltaBuilder, Family, Index, LoadedEntries, Result, StateRow, View};

use self::record::{ACCOUNTS, Entry, STAT, read_balance, read_stat};
pub use self::{
    contract::is_token_contract,
    read::{TokenHolder, all, all_staked, balance, balances, get, holders, staked},
    record::{HOLDERS, HOLDINGS, TOKENS, Token, TokenKey},
};
use crate::{Row, TableKey, rows::row_writes};

/// The index of tokens. Its name is `tokens`.
///
/// It says who has a row, not what is in it, so that a transfer between holders writes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokens;

impl Index for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[TOKENS, HOLDERS, HOLDINGS]
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let mut delta = DeltaBuilder::new();
        // What changes by token: whether it has a row, and holders more and less.
        let mut tokens: BTreeMap<TokenKey, (Option<bool>, u64, u64)> = BTreeMap::new();
        for write in row_writes(context, |op| [ACCOUNTS, STAT].contains(&op.table_name)) {
            let (key, table) = (&write.key, write.key.table);
            let token = TokenKey { contract: table.contract, symbol_code: SymbolCode(key.primary_key) };
            if table.table == STAT {
                let [before, after] = [&write.before, &write.after]
                    .map(|row: &Option<Row>| row.as_ref().is_some_and(|row| read_stat(key, &row.data).is_some()));
                if before != after {
                    tokens.entry(token).or_default().0 = Some(after);
                }
                continue;
            }
            let [before, after] = [&write.before, &write.after].map(|row: &Option<Row>| {
                row.as_ref().is_some_and(|row| read_balance(key.primary_key, &row.data).is_some())
            });
            if before == after {
                continue;
            }
            let token_bytes = token.to_bytes();
            let holder = [&token_bytes[..], &table.scope.0.to_be_bytes()].concat();
            if view.get(HOLDERS, &holder)?.is_some() == after {
                continue;
            }
            let holding = [&table.scope.0.to_be_bytes()[..], &token_bytes].concat();
            let (_, more, less) = tokens.entry(token).or_default();
            if after {
                *more += 1;
                delta.put(HOLDERS, holder, []);
                delta.put(HOLDINGS, holding, []);
            } else {
                *less += 1;
                delta.delete(HOLDERS, holder);
                delta.delete(HOLDINGS, holding);
            }
        }
        for (token, (has_stat, more, less)) in tokens {
            let key = token.to_bytes();
            let before = view.get(TOKENS, &key)?.map_or(Ok(Entry::default()), |value| Entry::decode(&value))?;
            let has_stat = has_stat.unwrap_or(before.has_stat);
            let after = Entry { has_stat, holders: (before.holders + more).saturating_sub(less) };
            if after == before {
                continue;
            }
            if after == Entry::default() {
                delta.delete(TOKENS, key);
            } else {
                delta.put(TOKENS, key, after.encode());
            }
        }
        Ok(delta.build())
    }

    fn holds_state(&self) -> bool {
        true
    }

    fn load(&self, rows: &[StateRow], _: u32, entries: &mut LoadedEntries) -> Result<()> {
        let mut tokens: BTreeMap<TokenKey, Entry> = BTreeMap::new();
        for row in rows {
            let StateRow::Contract(row) = row else { continue };
            let token = TokenKey { contract: row.code, symbol_code: SymbolCode(row.primary_key) };
            if row.table == STAT {
                let key = TableKey { contract: row.code, table: row.table, scope: row.scope }.row(row.primary_key);
                if read_stat(&key, &row.value).is_some() {
                    tokens.entry(token).or_default().has_stat = true;
                }
            } else if row.table == ACCOUNTS && read_balance(row.primary_key, &row.value).is_some() {
                let (token_bytes, account) = (token.to_bytes(), row.scope.0.to_be_bytes());
                entries.put(HOLDERS, &[&token_bytes, &account], &[]);
                entries.put(HOLDINGS, &[&account, &token_bytes], &[]);
                tokens.entry(token).or_default().holders += 1;
            }
        }
        for (token, entry) in tokens {
            entries.put(TOKENS, &[&token.to_bytes()], &[&entry.encode()]);
        }
        Ok(())
    }

    fn join_loaded(&self, family: Family, first: &[u8], second: &[u8]) -> Result<Bytes> {
        if family != TOKENS {
            return Ok(Bytes::copy_from_slice(second));
        }
        let (first, second) = (Entry::decode(first)?, Entry::decode(second)?);
        let (has_stat, holders) = (first.has_stat || second.has_stat, first.holders + second.holders);
        Ok(Entry { has_stat, holders }.encode().into())
    }
}
