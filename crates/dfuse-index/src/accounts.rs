//! Every account that the chain is known to have: who created it, or in which block it was first seen.

use std::collections::BTreeMap;

use dfuse_antelope::{Checksum256, Name, raw};
use dfuse_kv::{Direction, KeyRange};

use crate::{
    BlockContext, Delta, DeltaBuilder, EarlierWay, Family, Index, JoinPass, LoadedEntries, PutEntry, Result, StateRow,
    View,
    codec::{ValueReader, put_varint},
};

/// Account to the block in which it was created or first seen, and how it was created.
pub const ACCOUNTS: Family = Family::new("account");
const NEWACCOUNT: Name = Name::literal("newaccount");
/// The accounts that every chain has before its first block.
const GENESIS: [Name; 3] = [Name::EOSIO, Name::literal("eosio.null"), Name::literal("eosio.prods")];

/// The index of accounts. Its name is `accounts`.
///
/// Accounts that exist from genesis on, and those that were created before the first block that is indexed, enter with the
/// first block that uses them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accounts;

/// An account of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: Name,
    /// The block that created it; without a creation, the first one in which it was seen.
    pub block_number: u32,
    /// How it was created; absent if that is older than the indexes, or was the genesis.
    pub creation: Option<AccountCreation>,
}

/// How an account was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountCreation {
    /// Who created it.
    pub creator: Name,
    /// The transaction.
    pub transaction_id: Checksum256,
}

impl Index for Accounts {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn schema_version(&self) -> u32 {
        2
    }

    fn families(&self) -> &'static [Family] {
        &[ACCOUNTS]
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let block_number = context.block().number;
        let created = created(context);
        let mut delta = DeltaBuilder::new();
        for account in created.values() {
            delta.put(ACCOUNTS, account.name.0.to_be_bytes(), account.encode());
        }
        let mut seen = used(context);
        // The first block of all is the one before which not even `eosio` was known.
        if view.get(ACCOUNTS, &Name::EOSIO.0.to_be_bytes())?.is_none() {
            seen.extend(GENESIS);
        }
        seen.sort_unstable();
        seen.dedup();
        seen.retain(|name| *name != Name(0) && !created.contains_key(name));
        let keys: Vec<_> = seen.iter().map(|name| name.0.to_be_bytes()).collect();
        let keys: Vec<_> = keys.iter().map(|key| &key[..]).collect();
        for (name, known) in seen.into_iter().zip(view.multi_get(ACCOUNTS, &keys)?) {
            if known.is_none() {
                let account = Account { name, block_number, creation: None };
                delta.put(ACCOUNTS, name.0.to_be_bytes(), account.encode());
            }
        }
        Ok(delta.build())
    }

    fn earlier_way(&self) -> EarlierWay {
        EarlierWay::Lists
    }

    fn join_earlier(&self, earlier: &View, _: &View, pass: JoinPass, put: &mut PutEntry<'_>) -> Result<()> {
        if pass == JoinPass::Between {
            return Ok(());
        }
        // An account that was there before was not created since. Blocks that were at hand may have said so after the first pass.
        for entry in earlier.scan(ACCOUNTS, &KeyRange::all(), Direction::Forward)? {
            let (key, value) = entry?;
            put(ACCOUNTS, key, Some(value))?;
        }
        Ok(())
    }

    fn holds_state(&self) -> bool {
        true
    }

    /// Who created them is not known.
    fn load(&self, rows: &[StateRow], number: u32, entries: &mut LoadedEntries) -> Result<()> {
        for row in rows {
            if let StateRow::Account(row) = row {
                let account = Account { name: row.name, block_number: number, creation: None };
                entries.put(ACCOUNTS, &[&row.name.0.to_be_bytes()], &[&account.encode()]);
            }
        }
        Ok(())
    }
}

/// The accounts that the block creates.
fn created(context: &BlockContext<'_>) -> BTreeMap<Name, Account> {
    let mut created = BTreeMap::new();
    for executed in context.executed_actions() {
        let action = &executed.action.action;
        if (executed.action.receiver, action.account, action.name) != (Name::EOSIO, Name::EOSIO, NEWACCOUNT) {
            continue;
        }
        // The chain has decoded what it executed.
        let mut data = raw::Reader::new(&action.raw_data);
        let (Ok(creator), Ok(name)) = (data.name(), data.name()) else { continue };
        let creation = Some(AccountCreation { creator, transaction_id: executed.transaction.id });
        created.insert(name, Account { name, block_number: context.block().number, creation });
    }
    created
}

/// The accounts that the block proves to exist, in any order and number: the chain lets nobody else receive or authorize an
/// action, own a permission, pay for RAM or produce a block.
fn used(context: &BlockContext<'_>) -> Vec<Name> {
    let mut used = vec![context.block().header.producer];
    for executed in context.executed_actions() {
        let action = &executed.action.action;
        used.extend([executed.action.receiver, action.account]);
        used.extend(action.authorization.iter().map(|level| level.actor));
    }
    let permissions = context.block().permission_operations().flat_map(|op| [&op.old_perm, &op.new_perm]);
    used.extend(permissions.flatten().map(|permission| permission.owner));
    used.extend(context.block().ram_operations().map(|op| op.payer));
    used
}

impl Account {
    /// The value is the block number (varint) and, of an account whose creation is known, the creator and the transaction id.
    fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(45);
        put_varint(&mut value, self.block_number.into());
        if let Some(AccountCreation { creator, transaction_id }) = self.creation {
            value.extend_from_slice(&creator.0.to_be_bytes());
            value.extend_from_slice(&transaction_id.0);
        }
        value
    }

    fn decode(name: Name, value: &[u8]) -> Result<Self> {
        let mut reader = ValueReader::new(ACCOUNTS, value);
        let block_number = reader.varint32()?;
        let creation = match reader.rest() {
            [] => None,
            _ => Some(AccountCreation { creator: reader.name()?, transaction_id: reader.id()? }),
        };
        reader.finish()?;
        Ok(Self { name, block_number, creation })
    }
}

/// What is known of an account; absent if nothing is.
pub fn get(view: &View, account: Name) -> Result<Option<Account>> {
    let value = view.get(ACCOUNTS, &account.0.to_be_bytes())?;
    value.map(|value| Account::decode(account, &value)).transpose()
}

/// Accounts whose text begins with that of `prefix` (all, if that is empty), after the account `after`, in the order of
/// their values, which is that of their text.
pub fn with_prefix(
    view: &View,
    prefix: Name,
    after: Option<Name>,
) -> Result<impl Iterator<Item = Result<Account>> + Send + use<>> {
    let length = prefix.as_text(&mut [0; 13]).len() as u32;
    let last = prefix.0 | u64::MAX.checked_shr(5 * length).unwrap_or(0);
    let mut range = KeyRange::new(prefix.0.to_be_bytes()..=last.to_be_bytes());
    if let Some(after) = after.filter(|after| *after >= prefix) {
        range = range.after(after.0.to_be_bytes().to_vec());
    }
    Ok(view.scan(ACCOUNTS, &range, Direction::Forward)?.map(|entry| {
        let (key, value) = entry?;
        Account::decode(ValueReader::new(ACCOUNTS, &key).name()?, &value)
    }))
}
