//! Rows of chain state as keys and values, in which they are kept between blocks.
//!
//! A key is a kind (1 byte) and names and numbers, big-endian, so that rows of a table stand together. A value is packed like a
//! row of state history, without what its key says.

use bytes::Bytes;
use dfuse_antelope::{
    Name, Result, TimePoint,
    raw::{Reader, Writer},
};

use super::key::Key;
use crate::{
    deltas::StateRow,
    rows::{authority, usage},
    state::{
        Authority, ContractRow, DeferredTimes, GeneratedTransaction, Permission, ResourceLimits, ResourceUsage, Table,
        UsageAccumulator,
    },
};

/// The key and the value of a row; absent for rows that no change of a block is told from.
pub fn state_entry(row: &StateRow) -> Option<(Vec<u8>, Vec<u8>)> {
    Some((key_bytes(&Key::of(row)?), row_bytes(row)))
}

pub(super) fn key_bytes(key: &Key) -> Vec<u8> {
    let (kind, names, rest): (u8, &[Name], &[u8]) = match key {
        Key::Row(code, scope, table, primary) => (0, &[*code, *scope, *table], &primary.to_be_bytes()),
        Key::Table(code, scope, table) => (1, &[*code, *scope, *table], &[]),
        Key::Permission(owner, name) => (2, &[*owner, *name], &[]),
        Key::Deferred(sender, id) => (3, &[*sender], &id.to_be_bytes()),
        Key::Limits(owner) => (4, &[*owner], &[]),
        Key::Usage(owner) => (5, &[*owner], &[]),
        Key::Chain(table) => (6, &[], table.as_bytes()),
    };
    let names = names.iter().flat_map(|name| name.0.to_be_bytes());
    [kind].into_iter().chain(names).chain(rest.iter().copied()).collect()
}

pub(super) fn row_bytes(row: &StateRow) -> Vec<u8> {
    let mut writer = Writer::new();
    let w = &mut writer;
    match row {
        StateRow::Contract(row) => {
            w.name(row.payer);
            w.take(&row.value);
        }
        StateRow::Table(table) => w.name(table.payer),
        StateRow::Permission(row) => {
            w.name(row.parent);
            w.i64(row.last_updated.0);
            put_authority(w, &row.authority);
        }
        StateRow::GeneratedTransaction(row) => {
            w.checksum256(&row.id);
            w.name(row.payer);
            w.option(row.times.as_ref(), |w, times| {
                [times.delay_until, times.expiration, times.published].into_iter().for_each(|time| w.i64(time.0));
            });
            w.take(&row.transaction);
        }
        StateRow::ResourceLimits(row) => {
            [row.net_weight, row.cpu_weight, row.ram_bytes].into_iter().for_each(|number| w.i64(number));
        }
        StateRow::ResourceUsage(row) => {
            put_usage(w, row.net);
            put_usage(w, row.cpu);
            w.u64(row.ram_bytes);
        }
        StateRow::Chain(_, row) => w.take(row),
        // They have no key.
        StateRow::Account(_)
        | StateRow::AccountMetadata(_)
        | StateRow::Code(_)
        | StateRow::Secondary(_)
        | StateRow::PermissionLink(_) => {}
    }
    writer.bytes
}

fn put_authority(w: &mut Writer, authority: &Authority) {
    w.u32(authority.threshold);
    w.list(&authority.keys, |w, (key, weight)| {
        key.write(w);
        w.u16(*weight);
    });
    w.list(&authority.accounts, |w, (level, weight)| {
        w.name(level.actor);
        w.name(level.permission);
        w.u16(*weight);
    });
    w.list(&authority.waits, |w, (wait_sec, weight)| {
        w.u32(*wait_sec);
        w.u16(*weight);
    });
}

fn put_usage(w: &mut Writer, usage: UsageAccumulator) {
    w.u32(usage.last_ordinal);
    w.u64(usage.value_ex);
    w.u64(usage.consumed);
}

/// The row of a key.
pub(super) fn row_of(key: &Key, value: Vec<u8>) -> Result<StateRow> {
    let value = Bytes::from(value);
    let mut reader = Reader::sharing(&value);
    let r = &mut reader;
    let row = match key.clone() {
        Key::Row(code, scope, table, primary_key) => StateRow::Contract(ContractRow {
            code,
            scope,
            table,
            primary_key,
            payer: r.name()?,
            value: rest(r, &value),
        }),
        Key::Table(code, scope, table) => StateRow::Table(Table { code, scope, table, payer: r.name()?, rows: None }),
        Key::Permission(owner, name) => StateRow::Permission(Permission {
            owner,
            name,
            parent: r.name()?,
            last_updated: TimePoint(r.i64()?),
            last_used: None,
            authority: authority(r)?,
        }),
        Key::Deferred(sender, sender_id) => StateRow::GeneratedTransaction(GeneratedTransaction {
            id: r.checksum256()?,
            sender,
            sender_id,
            payer: r.name()?,
            times: r.option(times)?,
            transaction: rest(r, &value),
        }),
        Key::Limits(owner) => StateRow::ResourceLimits(ResourceLimits {
            owner,
            net_weight: r.i64()?,
            cpu_weight: r.i64()?,
            ram_bytes: r.i64()?,
        }),
        Key::Usage(owner) => {
            StateRow::ResourceUsage(ResourceUsage { owner, net: usage(r)?, cpu: usage(r)?, ram_bytes: r.u64()? })
        }
        Key::Chain(table) => StateRow::Chain(table, rest(r, &value).to_vec()),
    };
    reader.finish("row")?;
    Ok(row)
}

fn times(r: &mut Reader<'_>) -> Result<DeferredTimes> {
    let mut time = || Ok(TimePoint(r.i64()?));
    Ok(DeferredTimes { delay_until: time()?, expiration: time()?, published: time()? })
}

/// All that is left.
fn rest(r: &mut Reader<'_>, value: &Bytes) -> Bytes {
    let rest = value.slice(r.position()..);
    // As many bytes as there are.
    let _ = r.take(rest.len(), "the rest of a row");
    rest
}
