//! Tokens and balances at a view's block.

use dfuse_antelope::{Asset, Name, SymbolCode, raw::Reader};
use dfuse_index::{Result, View, ViewScan, codec::ValueReader};
use dfuse_kv::{Direction, KeyRange};

use super::{Entry, HOLDERS, HOLDINGS, TOKENS, Token, TokenKey, read_balance, read_stat};
use crate::{RowRange, StateAt, TableKey, rows::row_now};

/// What an account has of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHolder {
    /// Which token.
    pub token: TokenKey,
    /// Who.
    pub account: Name,
    /// How much, possibly nothing.
    pub balance: Asset,
}

fn token_key(reader: &mut ValueReader<'_>) -> Result<TokenKey> {
    Ok(TokenKey { contract: reader.name()?, symbol_code: SymbolCode(reader.u64()?) })
}

/// A token; absent if its contract has no row for it.
pub fn get(view: &View, key: TokenKey) -> Result<Option<Token>> {
    match view.get(TOKENS, &key.to_bytes())? {
        Some(value) => token(view, key, &value),
        None => Ok(None),
    }
}

fn token(view: &View, key: TokenKey, value: &[u8]) -> Result<Option<Token>> {
    let Entry { has_stat: true, holders } = Entry::decode(value)? else { return Ok(None) };
    let row_key = key.stat_row();
    let stat = row_now(view, &row_key)?.and_then(|(row, _)| read_stat(&row_key, &row.row.data));
    Ok(stat.map(|(supply, max_supply, issuer)| Token { key, supply, max_supply, issuer, holders }))
}

/// The tokens of a contract or of all, by contract and symbol code as a number, after one of them; lazily.
pub fn all(
    view: &View,
    contract: Option<Name>,
    after: Option<TokenKey>,
) -> Result<impl Iterator<Item = Result<Token>> + Send + use<>> {
    let mut range = contract.map_or_else(KeyRange::all, |it| KeyRange::prefix(it.0.to_be_bytes().to_vec()));
    if let Some(after) = after.filter(|after| contract.is_none_or(|contract| contract <= after.contract)) {
        range = range.after(after.to_bytes().to_vec());
    }
    let scan = view.scan(TOKENS, &range, Direction::Forward)?;
    let view = view.clone();
    Ok(scan.filter_map(move |entry| {
        let read = |(key, value): dfuse_kv::Entry| {
            let key = token_key(&mut ValueReader::new(TOKENS, &key))?;
            token(&view, key, &value)
        };
        entry.and_then(read).transpose()
    }))
}

/// The holders of a token, by account, after one of them; lazily.
pub fn holders(
    view: &View,
    token: TokenKey,
    after: Option<Name>,
) -> Result<impl Iterator<Item = Result<TokenHolder>> + Send + use<>> {
    let prefix = token.to_bytes();
    let mut range = KeyRange::prefix(prefix.to_vec());
    if let Some(after) = after {
        range = range.after([&prefix[..], &after.0.to_be_bytes()].concat());
    }
    let place = move |key: &[u8]| {
        let mut reader = ValueReader::new(HOLDERS, key);
        Ok((token_key(&mut reader)?, reader.name()?))
    };
    Ok(with_balances(view, view.scan(HOLDERS, &range, Direction::Forward)?, place))
}

/// What an account has of all tokens, by contract and symbol code as a number, after one of them; lazily.
pub fn balances(
    view: &View,
    account: Name,
    after: Option<TokenKey>,
) -> Result<impl Iterator<Item = Result<TokenHolder>> + Send + use<>> {
    let prefix = account.0.to_be_bytes();
    let mut range = KeyRange::prefix(prefix.to_vec());
    if let Some(after) = after {
        range = range.after([&prefix[..], &after.to_bytes()].concat());
    }
    let place = |key: &[u8]| {
        let mut reader = ValueReader::new(HOLDINGS, key);
        let account = reader.name()?;
        Ok((token_key(&mut reader)?, account))
    };
    Ok(with_balances(view, view.scan(HOLDINGS, &range, Direction::Forward)?, place))
}

fn with_balances<P: Fn(&[u8]) -> Result<(TokenKey, Name)> + Send>(
    view: &View,
    scan: ViewScan,
    place: P,
) -> impl Iterator<Item = Result<TokenHolder>> + Send + use<P> {
    let view = view.clone();
    scan.filter_map(move |entry| {
        let read = |(key, _): dfuse_kv::Entry| {
            let (token, account) = place(&key)?;
            let row = row_now(&view, &token.balance_row(account))?;
            let balance = row.and_then(|(row, _)| read_balance(token.symbol_code.0, &row.row.data));
            Ok(balance.map(|balance| TokenHolder { token, account, balance }))
        };
        entry.and_then(read).transpose()
    })
}

/// What an account has staked for bandwidth, its own and others': the sum over its rows of `delband` of the system contract.
/// Absent if there is none.
pub fn staked(view: &View, account: Name) -> Result<Option<Asset>> {
    let table = TableKey { contract: Name::literal("eosio"), table: Name::literal("delband"), scope: account };
    let mut sum: Option<Asset> = None;
    for row in StateAt::of(view.clone()).rows(table, RowRange::default())? {
        // Two names, then what is staked for network and for CPU.
        let row = row?;
        let mut reader = Reader::new(&row.row.data);
        let assets = reader.take(16, "names").and_then(|_| Ok([Asset::read(&mut reader)?, Asset::read(&mut reader)?]));
        for asset in assets.into_iter().flatten().filter(|asset| asset.is_valid()) {
            let sum = sum.get_or_insert(Asset { amount: 0, ..asset });
            if sum.symbol == asset.symbol {
                sum.amount = sum.amount.saturating_add(asset.amount);
            }
        }
    }
    Ok(sum)
}
