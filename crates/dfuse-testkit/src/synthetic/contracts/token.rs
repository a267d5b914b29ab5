//! `eosio.token`.

use dfuse_antelope::{Name, raw::Reader, raw::Writer};

use super::{Call, Failure, TOKEN, unpack};
use crate::synthetic::{RowKey, TableKey, wire::Action};

type Asset = (i64, u64);

fn asset(reader: &mut Reader<'_>) -> dfuse_antelope::Result<Asset> {
    Ok((reader.i64()?, reader.u64()?))
}

fn pack(amount: i64, symbol: u64) -> Writer {
    let mut w = Writer::new();
    w.i64(amount);
    w.u64(symbol);
    w
}

fn row(scope: u64, table: &'static str, symbol: u64) -> RowKey {
    let table = Name::parse(table.as_bytes()).expect("a name");
    RowKey { table: TableKey { code: TOKEN, scope: Name(scope), table }, primary_key: symbol >> 8 }
}

pub(crate) fn accounts(owner: Name, symbol: u64) -> RowKey {
    row(owner.0, "accounts", symbol)
}

fn stat(symbol: u64) -> RowKey {
    row(symbol >> 8, "stat", symbol)
}

/// The amount at the start of a row.
pub(crate) fn amount(data: &[u8]) -> i64 {
    Reader::new(data).i64().unwrap_or_default()
}

pub(super) fn apply(call: &mut Call<'_, '_>, action: &Action) -> Result<(), Failure> {
    let data = &action.data;
    match action.name.to_string().as_str() {
        "create" => {
            let (issuer, (maximum, symbol)) = unpack(data, |r| Ok((r.name()?, asset(r)?)))?;
            call.require_authority(TOKEN)?;
            call.check(call.row(&stat(symbol)).is_none(), || "token with symbol already exists".into())?;
            let mut w = pack(0, symbol);
            w.i64(maximum);
            w.u64(symbol);
            w.name(issuer);
            call.store(stat(symbol), TOKEN, &w.bytes, false);
            Ok(())
        }
        "issue" => {
            let (to, (amount, symbol)) = unpack(data, |r| Ok((r.name()?, asset(r)?)))?;
            call.require_authority(to)?;
            change_supply(call, symbol, amount)?;
            add_balance(call, to, amount, symbol, to);
            Ok(())
        }
        "retire" => {
            let (amount, symbol) = unpack(data, asset)?;
            let issuer = call.action.authorization.first().map_or(Name(0), |level| level.0);
            change_supply(call, symbol, -amount)?;
            subtract_balance(call, issuer, amount, symbol)
        }
        "transfer" => {
            let (from, to, (amount, symbol)) = unpack(data, |r| Ok((r.name()?, r.name()?, asset(r)?)))?;
            call.check(from != to, || "cannot transfer to self".into())?;
            call.require_authority(from)?;
            call.check(call.context.state.exists(to), || "to account does not exist".into())?;
            call.notify(from);
            call.notify(to);
            call.check(amount > 0, || "must transfer positive quantity".into())?;
            subtract_balance(call, from, amount, symbol)?;
            let payer = if call.has_authority(to) { to } else { from };
            add_balance(call, to, amount, symbol, payer);
            Ok(())
        }
        "open" => {
            let (owner, symbol, payer) = unpack(data, |r| Ok((r.name()?, r.u64()?, r.name()?)))?;
            call.require_authority(payer)?;
            if call.row(&accounts(owner, symbol)).is_none() {
                call.store(accounts(owner, symbol), payer, &pack(0, symbol).bytes, false);
            }
            Ok(())
        }
        "close" => {
            let (owner, symbol) = unpack(data, |r| Ok((r.name()?, r.u64()?)))?;
            call.require_authority(owner)?;
            let key = accounts(owner, symbol);
            let row = call.row(&key).filter(|row| amount(&row.data) == 0);
            let row = row.ok_or_else(|| Failure::message("Cannot close because the balance is not zero."))?;
            call.remove(key, row, false);
            Ok(())
        }
        other => Err(Failure::message(format!("no action {other}"))),
    }
}

fn change_supply(call: &mut Call<'_, '_>, symbol: u64, delta: i64) -> Result<(), Failure> {
    let key = stat(symbol);
    let row = call.row(&key).ok_or_else(|| Failure::message("token with symbol does not exist"))?;
    let mut w = pack(amount(&row.data) + delta, symbol);
    w.take(&row.data[16..]);
    let payer = row.payer;
    call.update(key, row, payer, &w.bytes, false);
    Ok(())
}

fn subtract_balance(call: &mut Call<'_, '_>, owner: Name, value: i64, symbol: u64) -> Result<(), Failure> {
    let key = accounts(owner, symbol);
    let row = call.row(&key).ok_or_else(|| Failure::message("no balance object found"))?;
    let left = amount(&row.data) - value;
    call.check(left >= 0, || "overdrawn balance".into())?;
    call.update(key, row, owner, &pack(left, symbol).bytes, false);
    Ok(())
}

fn add_balance(call: &mut Call<'_, '_>, owner: Name, value: i64, symbol: u64, payer: Name) {
    let key = accounts(owner, symbol);
    match call.row(&key) {
        Some(row) => {
            let (sum, payer) = (amount(&row.data) + value, row.payer);
            call.update(key, row, payer, &pack(sum, symbol).bytes, false);
        }
        None => call.store(key, payer, &pack(value, symbol).bytes, false),
    }
}
