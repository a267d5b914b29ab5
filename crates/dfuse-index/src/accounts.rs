//! Who created every account, where.

use dfuse_antelope::{Checksum256, Name, raw};
use dfuse_kv::{Direction, KeyRange};

use crate::{
    BlockContext, Delta, DeltaBuilder, Family, Index, Result, View,
    codec::{ValueReader, put_varint},
};

/// Account to how it was created.
pub const ACCOUNTS: Family = Family::new("account");

const EOSIO: Name = Name::literal("eosio");
const NEWACCOUNT: Name = Name::literal("newaccount");

/// The index of accounts. Its name is `accounts`.
///
/// Accounts that exist from genesis on (`eosio` and a few others) were never created by an action and are not in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accounts;

/// How an account was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountCreation {
    /// The account.
    pub account: Name,
    /// Who created it.
    pub creator: Name,
    /// Number of the block.
    pub block_number: u32,
    /// The transaction.
    pub transaction_id: Checksum256,
}

impl Index for Accounts {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[ACCOUNTS]
    }

    fn delta(&self, context: &BlockContext<'_>, _: &View) -> Result<Delta> {
        let mut delta = DeltaBuilder::new();
        for executed in context.executed_actions() {
            let action = &executed.action.action;
            if (executed.action.receiver, action.account, action.name) != (EOSIO, EOSIO, NEWACCOUNT) {
                continue;
            }
            // The chain has decoded what it executed.
            let mut data = raw::Reader::new(&action.raw_data);
            let (Ok(creator), Ok(account)) = (data.name(), data.name()) else { continue };
            let mut value = creator.0.to_be_bytes().to_vec();
            put_varint(&mut value, context.block().number.into());
            value.extend_from_slice(&executed.transaction.id.0);
            delta.put(ACCOUNTS, account.0.to_be_bytes(), value);
        }
        Ok(delta.build())
    }
}

impl AccountCreation {
    /// The value is the creator, the block number (varint) and the transaction id.
    fn decode(account: Name, value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(ACCOUNTS, value);
        let (creator, block_number, transaction_id) = (reader.name()?, reader.varint32()?, reader.id()?);
        reader.finish()?;
        Ok(Self { account, creator, block_number, transaction_id })
    }
}

/// How an account was created; absent if there was no such action.
pub fn get(view: &View, account: Name) -> Result<Option<AccountCreation>> {
    let value = view.get(ACCOUNTS, &account.0.to_be_bytes())?;
    value.map(|value| AccountCreation::decode(account, &value)).transpose()
}

/// Accounts whose text begins with that of `prefix` (all, if that is empty), after the account `after`, in the order of
/// their values, which is that of their text.
pub fn with_prefix(
    view: &View,
    prefix: Name,
    after: Option<Name>,
) -> Result<impl Iterator<Item = Result<AccountCreation>> + Send + use<>> {
    let length = prefix.as_text(&mut [0; 13]).len() as u32;
    let last = prefix.0 | u64::MAX.checked_shr(5 * length).unwrap_or(0);
    let mut range = KeyRange::new(prefix.0.to_be_bytes()..=last.to_be_bytes());
    if let Some(after) = after.filter(|after| *after >= prefix) {
        range = range.after(after.0.to_be_bytes().to_vec());
    }
    Ok(view.scan(ACCOUNTS, &range, Direction::Forward)?.map(|entry| {
        let (key, value) = entry?;
        AccountCreation::decode(ValueReader::new(ACCOUNTS, &key).name()?, &value)
    }))
}
