//! Which permission of an account suffices for which actions.

use dfuse_antelope::{Name, raw};
use dfuse_index::{
    Aging, BlockContext, Delta, ExecutedAction, Family, Index, Kept, LoadedEntries, Part, Result, StateRow, View,
    codec::ValueReader,
};

use crate::versions::{present, set_by_actions};

/// Account, contract, action and inverted block number to permission; empty where the link was removed.
pub const PERMISSION_LINKS: Family = Family::new("permission-link");
const LINKAUTH: Name = Name::literal("linkauth");
const UNLINKAUTH: Name = Name::literal("unlinkauth");

/// The index of permission links. Its name is `permission-links`.
///
/// The chain has no operation lines for links: they follow from the actions that were executed.
#[derive(Debug, Clone, Copy, Default)]
pub struct PermissionLinks;

/// A link of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermissionLink {
    /// The contract.
    pub contract: Name,
    /// The action; empty for all actions of the contract that have no link of their own.
    pub action: Name,
    /// The permission that suffices.
    pub permission: Name,
    /// The block that made the link so.
    pub block_number: u32,
}

/// The key of the link that an action sets or removes, and the permission that it sets.
fn read(executed: &ExecutedAction<'_>) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let action = &executed.action.action;
    if (executed.action.receiver, action.account) != (Name::EOSIO, Name::EOSIO)
        || ![LINKAUTH, UNLINKAUTH].contains(&action.name)
    {
        return None;
    }
    // The chain has decoded what it executed.
    let mut data = raw::Reader::new(&action.raw_data);
    let link = [data.name().ok()?, data.name().ok()?, data.name().ok()?];
    let permission = if action.name == LINKAUTH { Some(data.name().ok()?) } else { None };
    let bytes = |name: Name| name.0.to_be_bytes();
    Some((link.map(bytes).concat(), permission.map(|name| bytes(name).to_vec())))
}

impl Index for PermissionLinks {
    fn name(&self) -> &'static str {
        "permission-links"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[PERMISSION_LINKS]
    }

    fn kept(&self, _: Family) -> Option<Kept> {
        Some(Kept { parts: &[Part::State], aging: Aging::Versions })
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        set_by_actions(PERMISSION_LINKS, context, view, read)
    }

    fn holds_state(&self) -> bool {
        true
    }

    fn load(&self, rows: &[StateRow], number: u32, entries: &mut LoadedEntries) -> Result<()> {
        for row in rows {
            let StateRow::PermissionLink(row) = row else { continue };
            let [account, contract, action] = [row.account, row.code, row.action].map(|name| name.0.to_be_bytes());
            let key = [&account[..], &contract, &action, &(!number).to_be_bytes()];
            entries.put(PERMISSION_LINKS, &key, &[&row.required_permission.0.to_be_bytes()]);
        }
        Ok(())
    }
}

pub(crate) fn permission_links(
    view: &View,
    account: Name,
    after: Option<PermissionLink>,
    number: u32,
) -> Result<impl Iterator<Item = Result<PermissionLink>> + Send + use<>> {
    let after = after.map(|it| [it.contract, it.action].map(|name| name.0.to_be_bytes()).concat());
    let links = present(view, PERMISSION_LINKS, &account.0.to_be_bytes(), after.as_deref(), number)?;
    Ok(links.map(|entry| {
        let (key, block_number, value) = entry?;
        let mut reader = ValueReader::new(PERMISSION_LINKS, &key);
        let (_, contract, action) = (reader.name()?, reader.name()?, reader.name()?);
        let permission = ValueReader::new(PERMISSION_LINKS, &value).name()?;
        Ok(PermissionLink { contract, action, permission, block_number })
    }))
}
