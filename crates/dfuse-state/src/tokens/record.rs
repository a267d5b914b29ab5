//! Tokens and balances as rows of contracts, and what the index keeps of them.

use dfuse_antelope::{Asset, Name, SymbolCode, raw::Reader};
use dfuse_index::{
    Family, Result,
    codec::{ValueReader, put_varint},
};

use crate::{RowKey, TableKey};

/// Contract and symbol code to 1 if the token has a row of its own, else 0, and the number of its holders (varint).
pub const TOKENS: Family = Family::new("token");
/// Contract, symbol code and account of every balance.
pub const HOLDERS: Family = Family::new("token-holder");
/// Account, contract and symbol code of every balance.
pub const HOLDINGS: Family = Family::new("token-holding");

pub(super) const ACCOUNTS: Name = Name::literal("accounts");
pub(super) const STAT: Name = Name::literal("stat");

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
    pub(super) fn encode(self) -> Vec<u8> {
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
