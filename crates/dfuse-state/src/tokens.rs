//! Tokens: who holds which, and what there is of each.
//!
//! A token is a row of a contract's table `stat`, a balance a row of its table `accounts`, both in the shape of the
//! `eosio.token` contract: the primary key is the symbol code, and the row begins with the assets. Whether the contract's
//! ABI says so, too, is for the reader to ask: see [`is_token_contract`].

mod contract;
mod read;

use std::collections::BTreeMap;

use dfuse_antelope::{Asset, Name, SymbolCode, raw::Reader};
use dfuse_index::{
    BlockContext, Delta, DeltaBuilder, Family, Index, Result, View,
    codec::{ValueReader, put_varint},
};

pub use self::{
    contract::is_token_contract,
    read::{TokenHolder, all, all_staked, balance, balances, get, holders, staked},
};
use crate::{Row, RowKey, TableKey, rows::row_writes};

/// Contract and symbol code to 1 if the token has a row of its own, else 0, and the number of its holders (varint).
pub const TOKENS: Family = Family::new("token");
/// Contract, symbol code and account of every balance.
pub const HOLDERS: Family = Family::new("token-holder");
/// Account, contract and symbol code of every balance.
pub const HOLDINGS: Family = Family::new("token-holding");

const ACCOUNTS: Name = Name::literal("accounts");
const STAT: Name = Name::literal("stat");

/// The index of tokens. Its name is `tokens`.
///
/// It says who has a row, not what is in it, so that a transfer between holders writes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokens;

/// A token of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey {
    /// The contract.
    pub contract: Name,
    /// Its letters.
    pub symbol_code: SymbolCode,
}

/// What there is of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Which one.
    pub key: TokenKey,
    /// What was issued and not retired.
    pub supply: Asset,
    /// The most there may be.
    pub max_supply: Asset,
    /// Who may issue it.
    pub issuer: Name,
    /// Accounts with a row, also one of nothing.
    pub holders: u64,
}

impl TokenKey {
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.contract.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.symbol_code.0.to_be_bytes());
        bytes
    }

    /// Where the contract says what there is.
    pub(crate) fn stat_row(self) -> RowKey {
        let table = TableKey { contract: self.contract, table: STAT, scope: Name(self.symbol_code.0) };
        table.row(self.symbol_code.0)
    }

    /// Where the contract says what an account has.
    pub(crate) fn balance_row(self, account: Name) -> RowKey {
        let table = TableKey { contract: self.contract, table: ACCOUNTS, scope: account };
        table.row(self.symbol_code.0)
    }
}

/// The balance in a row of `accounts`, if it has that shape.
pub(crate) fn read_balance(primary_key: u64, data: &[u8]) -> Option<Asset> {
    let balance = Asset::read(&mut Reader::new(data)).ok()?;
    (balance.symbol.is_valid() && balance.symbol.code().0 == primary_key).then_some(balance)
}

/// Supply, maximum supply and issuer in a row of `stat`, if it has that shape.
pub(crate) fn read_stat(key: &RowKey, data: &[u8]) -> Option<(Asset, Asset, Name)> {
    let mut reader = Reader::new(data);
    let (supply, max_supply) = (Asset::read(&mut reader).ok()?, Asset::read(&mut reader).ok()?);
    let code = key.primary_key;
    let fits = key.table.scope.0 == code && supply.symbol.code().0 == code && supply.symbol == max_supply.symbol;
    (fits && supply.symbol.is_valid()).then_some((supply, max_supply, reader.name().ok()?))
}

/// What the index has of a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) has_stat: bool,
    pub(crate) holders: u64,
}

impl Entry {
    fn encode(self) -> Vec<u8> {
        let mut value = vec![u8::from(self.has_stat)];
        put_varint(&mut value, self.holders);
        value
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(TOKENS, value);
        let [has_stat] = reader.array()?;
        let holders = reader.varint()?;
        reader.finish()?;
        Ok(Self { has_stat: has_stat != 0, holders })
    }
}

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
}
