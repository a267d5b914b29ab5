//! What the chain itself keeps of an account, beside the rows of contracts: permissions, limits of resources, RAM in use, when
//! it was created, when its code was set, and whether it is privileged.
//!
//! There is the newest of it only, since nobody asks for what it was: the rest of the state is kept at every height.

mod changes;
mod read;

use dfuse_antelope::{BlockTimestamp, Name};
use dfuse_index::{
    BlockContext, Delta, DeltaBuilder, Family, Index, Result, View,
    codec::{ValueReader, put_varint},
};

use self::changes::Changes;
pub use self::read::{AccountPermission, base, limits, permissions, ram_usage};

/// Account and permission to the permission as the block model has it, in protobuf.
pub const ACCOUNT_PERMISSIONS: Family = Family::new("account-permission");
/// Account to its limits.
pub const ACCOUNT_LIMITS: Family = Family::new("account-limits");
/// Account to the bytes of RAM that it uses.
pub const ACCOUNT_RAM: Family = Family::new("account-ram");
/// Account to when it was created, when its code was set last, and whether it is privileged.
pub const ACCOUNT_BASE: Family = Family::new("account-base");

const EOSIO: Name = Name::literal("eosio");
const OWNER: Name = Name::literal("owner");
const ACTIVE: Name = Name::literal("active");
/// The account whose permissions are the active producers.
const PRODUCERS: Name = Name::literal("eosio.prods");
const PROD_MAJOR: Name = Name::literal("prod.major");
const PROD_MINOR: Name = Name::literal("prod.minor");

/// The index of what the chain keeps of accounts. Its name is `account-state`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountState;

/// Limits of an account; -1 is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountLimits {
    /// Its share of the network.
    pub net_weight: i64,
    /// Its share of the CPU.
    pub cpu_weight: i64,
    /// Bytes of RAM.
    pub ram_bytes: i64,
}

/// The account itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountBase {
    /// When it was created; slot 0 where that is older than the index.
    pub created: BlockTimestamp,
    /// When its code was set last; slot 0 if it never was, or before the index begins.
    pub code_updated: BlockTimestamp,
    /// Whether it may do what only the chain's own contracts may.
    pub is_privileged: bool,
}

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
}

fn permission_key(account: Name, permission: Name) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&account.0.to_be_bytes());
    key[8..].copy_from_slice(&permission.0.to_be_bytes());
    key
}

impl AccountLimits {
    /// Network, CPU, RAM (i64 each).
    fn encode(self) -> [u8; 24] {
        let mut value = [0; 24];
        for (part, limit) in value.chunks_exact_mut(8).zip([self.net_weight, self.cpu_weight, self.ram_bytes]) {
            part.copy_from_slice(&limit.to_be_bytes());
        }
        value
    }

    fn decode(value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(ACCOUNT_LIMITS, value);
        let mut limit = || reader.array().map(i64::from_be_bytes);
        let limits = Self { net_weight: limit()?, cpu_weight: limit()?, ram_bytes: limit()? };
        reader.finish()?;
        Ok(limits)
    }
}

impl AccountBase {
    /// What is true of an account of which nothing is known: `eosio` is privileged from the genesis on.
    fn unknown(account: Name) -> Self {
        Self { is_privileged: account == EOSIO, ..Self::default() }
    }

    /// Time of the creation and of the code (slots, u32 each), 1 if it is privileged.
    fn encode(self) -> [u8; 9] {
        let mut value = [0; 9];
        value[..4].copy_from_slice(&self.created.0.to_be_bytes());
        value[4..8].copy_from_slice(&self.code_updated.0.to_be_bytes());
        value[8] = self.is_privileged.into();
        value
    }

    fn decode(value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(ACCOUNT_BASE, value);
        let (created, code_updated) = (BlockTimestamp(reader.u32()?), BlockTimestamp(reader.u32()?));
        let [is_privileged] = reader.array()?;
        reader.finish()?;
        Ok(Self { created, code_updated, is_privileged: is_privileged != 0 })
    }
}
