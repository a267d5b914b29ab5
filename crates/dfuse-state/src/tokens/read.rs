//! Tokens and balances at a view's block.

use std::{iter, ops::RangeInclusive};

use bytes::Bytes;
use dfuse_antelope::{Asset, Name, SymbolCode, raw::Reader};
use dfuse_index::{Result, View, ViewScan, codec::ValueReader};
use dfuse_kv::{Direction, Hint, KeyRange};

use super::record::{Entry, HOLDERS, HOLDINGS, TOKENS, Token, TokenKey, read_balance, read_stat};
use crate::{ROW_CURRENT, TableKey, TableRow, rows::row_now};

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
    let scan = view.scan_hinted(TOKENS, &range, Direction::Forward, Hint::Many)?;
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
    Ok(with_balances(view, view.scan_hinted(HOLDERS, &range, Direction::Forward, Hint::Many)?, place))
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

/// What an account has of a token; absent if it has no row.
pub fn balance(view: &View, token: TokenKey, account: Name) -> Result<Option<TokenHolder>> {
    let row = row_now(view, &token.balance_row(account))?;
    let balance = row.and_then(|(row, _)| read_balance(token.symbol_code.0, &row.row.data));
    Ok(balance.map(|balance| TokenHolder { token, account, balance }))
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
            balance(&view, token, account)
        };
        entry.and_then(read).transpose()
    })
}

/// What an account has staked for bandwidth, its own and others': the sum over its rows of `delband` of the system contract.
/// Absent if there is none.
pub fn staked(view: &View, account: Name) -> Result<Option<Asset>> {
    let next = all_staked(view, account..=account)?.next().transpose()?;
    Ok(next.map(|(_, staked)| staked))
}

/// The accounts of a range that have staked, in order, and how much as [`staked`] says; lazily.
pub fn all_staked(
    view: &View,
    accounts: RangeInclusive<Name>,
) -> Result<impl Iterator<Item = Result<(Name, Asset)>> + Send + use<>> {
    let (first, last) = accounts.into_inner();
    let table = |scope| TableKey { contract: Name::literal("eosio"), table: Name::literal("delband"), scope };
    let [first, last] = [table(first).row(0), table(last).row(u64::MAX)].map(|row| row.to_bytes().to_vec());
    let mut rows = view.scan(ROW_CURRENT, &KeyRange::new(first..=last), Direction::Forward)?;
    let mut next: Option<(Name, Asset)> = None;
    Ok(iter::from_fn(move || {
        loop {
            let Some(entry) = rows.next() else { return next.take().map(Ok) };
            match entry.and_then(|(key, value)| read_stake(&key, &value)) {
                Ok(None) => {}
                Ok(Some((account, stake))) => match &mut next {
                    Some((of, sum)) if *of == account => {
                        if sum.symbol == stake.symbol {
                            sum.amount = sum.amount.saturating_add(stake.amount);
                        }
                    }
                    _ => {
                        if let Some(done) = next.replace((account, stake)) {
                            return Some(Ok(done));
                        }
                    }
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }))
}

/// Who staked, and how much, by a row of `delband`: two names, then what is staked for network and for CPU. Absent if it is no
/// such row.
fn read_stake(key: &[u8], value: &Bytes) -> Result<Option<(Name, Asset)>> {
    let mut reader = ValueReader::new(ROW_CURRENT, key);
    reader.take(16)?;
    let (account, primary_key) = (reader.name()?, reader.u64()?);
    let (row, _) = TableRow::decode_current(ROW_CURRENT, primary_key, value)?;
    let mut reader = Reader::new(&row.row.data);
    let assets = reader.take(16, "names").and_then(|_| Ok([Asset::read(&mut reader)?, Asset::read(&mut reader)?]));
    let Ok([net, cpu]) = assets else { return Ok(None) };
    let is_stake = net.is_valid() && cpu.is_valid() && net.symbol == cpu.symbol;
    Ok(is_stake.then(|| (account, Asset { amount: net.amount.saturating_add(cpu.amount), ..net })))
}
