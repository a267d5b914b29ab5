use std::collections::HashMap;

use bytes::Bytes;
use dfuse_antelope::{
    Name,
    model::{Authority, Message, PermissionObject},
};
use dfuse_index::{Error, Result, View, codec::ValueReader};
use dfuse_kv::{Direction, KeyRange};

use super::record::{
    ACCOUNT_BASE, ACCOUNT_LIMITS, ACCOUNT_PERMISSIONS, ACCOUNT_RAM, ACTIVE, AccountBase, AccountLimits, OWNER,
    PROD_MAJOR, PROD_MINOR, PRODUCERS,
};

/// A permission of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPermission {
    /// Its name.
    pub name: Name,
    /// The permission above it; empty where there is none, or where it is unknown.
    pub parent: Name,
    /// What satisfies it.
    pub authority: Authority,
}

pub(super) fn decode(value: &Bytes) -> Result<PermissionObject> {
    PermissionObject::decode(value)
        .map_err(|error| Error::Damaged { family: ACCOUNT_PERMISSIONS.name(), why: error.to_string() })
}

/// The permissions of an account by name; all that changed since the indexes begin.
pub fn permissions(view: &View, account: Name) -> Result<Vec<AccountPermission>> {
    let range = KeyRange::prefix(account.0.to_be_bytes().to_vec());
    let entries = view.scan(ACCOUNT_PERMISSIONS, &range, Direction::Forward)?;
    let objects = entries.map(|entry| decode(&entry?.1)).collect::<Result<Vec<_>>>()?;
    let names: HashMap<_, _> = objects.iter().map(|it| (it.id, it.name)).collect();
    let permission = |it: PermissionObject| {
        let parent = names.get(&it.parent_id).filter(|_| it.parent_id != 0).copied();
        // State history tells the parent itself.
        let parent = parent.or((it.parent != Name::default()).then_some(it.parent));
        let parent = parent.unwrap_or_else(|| usual_parent(it.owner, it.name));
        AccountPermission { name: it.name, parent, authority: it.authority }
    };
    Ok(objects.into_iter().map(permission).collect())
}

/// The parent of a permission whose number isn't known: logs before version 13 tell none, and the parent may be older than the
/// indexes.
fn usual_parent(account: Name, permission: Name) -> Name {
    match permission {
        ACTIVE => OWNER,
        PROD_MAJOR if account == PRODUCERS => ACTIVE,
        PROD_MINOR if account == PRODUCERS => PROD_MAJOR,
        _ => Name::default(),
    }
}

/// The limits of an account; absent if they were not set since the indexes begin.
pub fn limits(view: &View, account: Name) -> Result<Option<AccountLimits>> {
    let value = view.get(ACCOUNT_LIMITS, &account.0.to_be_bytes())?;
    value.map(|value| AccountLimits::decode(&value)).transpose()
}

/// Bytes of RAM that an account uses; absent if that did not change since the indexes begin.
pub fn ram_usage(view: &View, account: Name) -> Result<Option<u64>> {
    let value = view.get(ACCOUNT_RAM, &account.0.to_be_bytes())?;
    value.map(|value| ValueReader::new(ACCOUNT_RAM, &value).varint()).transpose()
}

/// The account itself, as far as it is known.
pub fn base(view: &View, account: Name) -> Result<AccountBase> {
    let value = view.get(ACCOUNT_BASE, &account.0.to_be_bytes())?;
    value.map_or_else(|| Ok(AccountBase::unknown(account)), |value| AccountBase::decode(&value))
}
