//! What is kept of an account, and how it is encoded.

use dfuse_antelope::{BlockTimestamp, Name};
use dfuse_index::{Family, Result, codec::ValueReader};

/// Account and permission to the permission as the block model has it, in protobuf. One that was loaded has no number, but the name of
/// the permission above it.
pub const ACCOUNT_PERMISSIONS: Family = Family::new("account-permission");
/// Account to its limits.
pub const ACCOUNT_LIMITS: Family = Family::new("account-limits");
/// Account to the bytes of RAM that it uses.
pub const ACCOUNT_RAM: Family = Family::new("account-ram");
/// Account to when it was created, when its code was set last, and whether it is privileged.
pub const ACCOUNT_BASE: Family = Family::new("account-base");
pub(super) const OWNER: Name = Name::literal("owner");
pub(super) const ACTIVE: Name = Name::literal("active");
/// The account whose permissions are the active producers.
pub(super) const PRODUCERS: Name = Name::literal("eosio.prods");
pub(super) const PROD_MAJOR: Name = Name::literal("prod.major");
pub(super) const PROD_MINOR: Name = Name::literal("prod.minor");

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

pub(super) fn permission_key(account: Name, permission: Name) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&account.0.to_be_bytes());
    key[8..].copy_from_slice(&permission.0.to_be_bytes());
    key
}

impl AccountLimits {
    /// Network, CPU, RAM (i64 each).
    pub(super) fn encode(self) -> [u8; 24] {
        let mut value = [0; 24];
        for (part, limit) in value.chunks_exact_mut(8).zip([self.net_weight, self.cpu_weight, self.ram_bytes]) {
            part.copy_from_slice(&limit.to_be_bytes());
        }
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(ACCOUNT_LIMITS, value);
        let mut limit = || reader.array().map(i64::from_be_bytes);
        let limits = Self { net_weight: limit()?, cpu_weight: limit()?, ram_bytes: limit()? };
        reader.finish()?;
        Ok(limits)
    }
}

impl AccountBase {
    /// What is true of an account of which nothing is known: `eosio` is privileged from the genesis on.
    pub(super) fn unknown(account: Name) -> Self {
        Self { is_privileged: account == Name::EOSIO, ..Self::default() }
    }

    /// Time of the creation and of the code (slots, u32 each), 1 if it is privileged.
    pub(super) fn encode(self) -> [u8; 9] {
        let mut value = [0; 9];
        value[..4].copy_from_slice(&self.created.0.to_be_bytes());
        value[4..8].copy_from_slice(&self.code_updated.0.to_be_bytes());
        value[8] = self.is_privileged.into();
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(ACCOUNT_BASE, value);
        let (created, code_updated) = (BlockTimestamp(reader.u32()?), BlockTimestamp(reader.u32()?));
        let [is_privileged] = reader.array()?;
        reader.finish()?;
        Ok(Self { created, code_updated, is_privileged: is_privileged != 0 })
    }
}
