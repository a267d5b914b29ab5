//! What the chain itself keeps of an account, beside the rows of contracts: permissions, limits of resources, RAM in use, when
//! it was created, when its code was set, and whether it is privileged.
//!
//! There is the newest of it only, since nobody asks for what it was: the rest of the state is kept at every height.

mod changes;
mod load;
mod read;
mod record;

use bytes::Bytes;
use dfuse_index::{
    BlockContext, Delta, DeltaBuilder, Family, Index, LoadedEntries, Result, StateRow, View, codec::put_varint,
};

use self::{changes::Changes, record::permission_key};
pub use self::{
    read::{AccountPermission, base, limits, permissions, ram_usage},
    record::{ACCOUNT_BASE, ACCOUNT_LIMITS, ACCOUNT_PERMISSIONS, ACCOUNT_RAM, AccountBase, AccountLimits},
};

/// The index of what the chain keeps of accounts. Its name is `account-state`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountState;

impl Index for AccountState {
    fn name(&self) -> &'static str {
        "account-state"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[ACCOUNT_PERMISSIONS, ACCOUNT_LIMITS, ACCOUNT_RAM, ACCOUNT_BASE]
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let changes = Changes::of(context, view)?;
        let mut delta = DeltaBuilder::new();
        for ((account, permission), object) in changes.permissions {
            let key = permission_key(account, permission);
            match object {
                Some(object) => delta.put(ACCOUNT_PERMISSIONS, key, object),
                None => delta.delete(ACCOUNT_PERMISSIONS, key),
            }
        }
        for (account, limits) in changes.limits {
            delta.put(ACCOUNT_LIMITS, account.0.to_be_bytes(), limits.encode());
        }
        for (account, usage) in changes.ram {
            let mut value = Vec::with_capacity(8);
            put_varint(&mut value, usage);
            delta.put(ACCOUNT_RAM, account.0.to_be_bytes(), value);
        }
        for (account, base) in changes.bases {
            delta.put(ACCOUNT_BASE, account.0.to_be_bytes(), base.encode());
        }
        Ok(delta.build())
    }

    fn holds_state(&self) -> bool {
        true
    }

    fn load(&self, rows: &[StateRow], _: u32, entries: &mut LoadedEntries) -> Result<()> {
        rows.iter().for_each(|row| load::row(row, entries));
        Ok(())
    }

    fn join_loaded(&self, family: Family, first: &[u8], second: &[u8]) -> Result<Bytes> {
        Ok(if family == ACCOUNT_BASE { load::join_bases(first, second) } else { Bytes::copy_from_slice(second) })
    }
}
