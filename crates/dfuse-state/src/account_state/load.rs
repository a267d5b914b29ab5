//! Accounts as a snapshot has them.

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, TimePoint,
    model::{Authority, KeyWeight, Message, PermissionLevelWeight, PermissionObject, WaitWeight},
};
use dfuse_index::{LoadedEntries, StateRow, codec::put_varint};

use super::record::{
    ACCOUNT_BASE, ACCOUNT_LIMITS, ACCOUNT_PERMISSIONS, ACCOUNT_RAM, AccountBase, AccountLimits, permission_key,
};

pub(super) fn row(row: &StateRow, entries: &mut LoadedEntries) {
    match row {
        StateRow::Account(row) => {
            let base = AccountBase { created: row.created, ..AccountBase::default() };
            entries.put(ACCOUNT_BASE, &[&row.name.0.to_be_bytes()], &[&base.encode()]);
        }
        StateRow::AccountMetadata(row) => {
            let base = AccountBase {
                code_updated: slot(row.last_code_update),
                is_privileged: row.privileged,
                ..AccountBase::default()
            };
            entries.put(ACCOUNT_BASE, &[&row.name.0.to_be_bytes()], &[&base.encode()]);
        }
        StateRow::Permission(row) => {
            let permission = PermissionObject {
                owner: row.owner,
                name: row.name,
                last_updated: row.last_updated,
                authority: authority(&row.authority),
                parent: row.parent,
                ..PermissionObject::default()
            };
            let key = permission_key(row.owner, row.name);
            entries.put(ACCOUNT_PERMISSIONS, &[&key], &[&permission.to_bytes()]);
        }
        StateRow::ResourceLimits(row) => {
            let limits =
                AccountLimits { net_weight: row.net_weight, cpu_weight: row.cpu_weight, ram_bytes: row.ram_bytes };
            entries.put(ACCOUNT_LIMITS, &[&row.owner.0.to_be_bytes()], &[&limits.encode()]);
        }
        StateRow::ResourceUsage(row) => {
            let mut value = Vec::with_capacity(8);
            put_varint(&mut value, row.ram_bytes);
            entries.put(ACCOUNT_RAM, &[&row.owner.0.to_be_bytes()], &[&value]);
        }
        _ => {}
    }
}

/// When the account was created is in one row, all else in another: what a row does not tell is 0.
pub(super) fn join_bases(first: &[u8], second: &[u8]) -> Bytes {
    first.iter().zip(second).map(|(first, second)| first | second).collect()
}

/// Slot 0 for code that was never set.
fn slot(time: TimePoint) -> BlockTimestamp {
    BlockTimestamp::from_unix_ms(time.0.div_euclid(1000)).unwrap_or_default()
}

fn authority(of: &dfuse_ship::Authority) -> Authority {
    let keys = of.keys.iter().map(|(key, weight)| KeyWeight { public_key: key.to_string(), weight: (*weight).into() });
    let accounts = of.accounts.iter();
    let accounts =
        accounts.map(|(level, weight)| PermissionLevelWeight { permission: level.clone(), weight: (*weight).into() });
    let waits = of.waits.iter().map(|(seconds, weight)| WaitWeight { wait_sec: *seconds, weight: (*weight).into() });
    Authority { threshold: of.threshold, keys: keys.collect(), accounts: accounts.collect(), waits: waits.collect() }
}
