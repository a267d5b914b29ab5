//! Which permissions a public key stands in.

use std::collections::{BTreeMap, BTreeSet};

use dfuse_antelope::{Name, PublicKey, model::PermissionObject, raw::Writer};
use dfuse_index::{
    Aging, BlockContext, Delta, DeltaBuilder, Family, Index, Kept, LoadedEntries, Part, Result, StateRow, View,
    codec::ValueReader,
};
use dfuse_kv::{Direction, KeyRange};

use crate::versions::{newest, present, versioned};

/// Public key (as the chain packs it), account, permission and inverted block number to 1; empty where the key was taken out.
pub const KEY_ACCOUNTS: Family = Family::new("key-account");

/// The index of public keys. Its name is `key-accounts`.
///
/// It follows the chain's operations on permissions. Nodes change those of `eosio.prods` with the schedule and without
/// an operation, but there are only accounts in them.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyAccounts;

/// A permission that a key stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyAccount {
    /// Whose permission it is.
    pub account: Name,
    /// The permission.
    pub permission: Name,
    /// The block that put the key in.
    pub block_number: u32,
}

fn key_bytes(key: &PublicKey) -> Vec<u8> {
    let mut writer = Writer::new();
    key.write(&mut writer);
    writer.bytes
}

/// The keys of a permission, packed.
fn keys(permission: &PermissionObject) -> BTreeSet<Vec<u8>> {
    // A text that is no key cannot be asked for.
    let keys = permission.authority.keys.iter().filter_map(|key| key.public_key.parse().ok());
    keys.map(|key| key_bytes(&key)).collect()
}

impl Index for KeyAccounts {
    fn name(&self) -> &'static str {
        "key-accounts"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[KEY_ACCOUNTS]
    }

    fn kept(&self, _: Family) -> Option<Kept> {
        Some(Kept { parts: &[Part::State], aging: Aging::Versions })
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let number = context.block().number;
        // By permission: all keys that the operations tell, and those that are in it in the end.
        let mut permissions: BTreeMap<_, (BTreeSet<_>, BTreeSet<_>)> = BTreeMap::new();
        for op in context.block().permission_operations() {
            let [old, new] = [&op.old_perm, &op.new_perm].map(|it| it.as_ref().map(keys).unwrap_or_default());
            let Some(permission) = op.new_perm.as_ref().or(op.old_perm.as_ref()) else { continue };
            let (told, last) = permissions.entry((permission.owner, permission.name)).or_default();
            told.extend(old);
            told.extend(new.iter().cloned());
            *last = new;
        }
        let mut delta = DeltaBuilder::new();
        for ((account, permission), (told, last)) in permissions {
            for public_key in told {
                let key = [&public_key[..], &account.0.to_be_bytes(), &permission.0.to_be_bytes()].concat();
                let before = newest(view, KEY_ACCOUNTS, &key, number)?.is_some_and(|(_, value)| !value.is_empty());
                let after = last.contains(&public_key);
                if before != after {
                    delta.put(KEY_ACCOUNTS, versioned(&key, number), if after { &[1][..] } else { &[] });
                }
            }
        }
        Ok(delta.build())
    }

    fn holds_state(&self) -> bool {
        true
    }

    fn load(&self, rows: &[StateRow], number: u32, entries: &mut LoadedEntries) -> Result<()> {
        for row in rows {
            let StateRow::Permission(row) = row else { continue };
            let [owner, name] = [row.owner, row.name].map(|name| name.0.to_be_bytes());
            for (key, _) in &row.authority.keys {
                entries.put(KEY_ACCOUNTS, &[&key_bytes(key), &owner, &name, &(!number).to_be_bytes()], &[&[1]]);
            }
        }
        Ok(())
    }
}

pub(crate) fn key_accounts(
    view: &View,
    key: &PublicKey,
    after: Option<KeyAccount>,
    number: u32,
) -> Result<impl Iterator<Item = Result<KeyAccount>> + Send + use<>> {
    let prefix = key_bytes(key);
    let after = after.map(|it| [it.account, it.permission].map(|name| name.0.to_be_bytes()).concat());
    Ok(present(view, KEY_ACCOUNTS, &prefix, after.as_deref(), number)?.map(move |entry| {
        let (key, block_number, _) = entry?;
        let mut reader = ValueReader::new(KEY_ACCOUNTS, &key);
        reader.take(prefix.len())?;
        Ok(KeyAccount { account: reader.name()?, permission: reader.name()?, block_number })
    }))
}

pub(crate) fn was_seen(view: &View, key: &PublicKey) -> Result<bool> {
    Ok(view.first(KEY_ACCOUNTS, &KeyRange::prefix(key_bytes(key)), Direction::Forward)?.is_some())
}
