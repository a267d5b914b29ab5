//! Which code an account has, by its hash.

use dfuse_antelope::{Checksum, Checksum256, Name, raw};
use dfuse_index::{
    Aging, BlockContext, Delta, ExecutedAction, Family, Index, Kept, LoadedEntries, Part, Result, StateRow, View,
    codec::ValueReader,
};

use crate::versions::{newest, set_by_actions};

/// Account and inverted block number to the SHA-256 of its code; empty where the code was removed.
pub const CODE_HASHES: Family = Family::new("code-hash");
const SETCODE: Name = Name::literal("setcode");

/// The index of the hashes of code. Its name is `code-hashes`.
///
/// The chain has no operation lines for code: it follows from the actions that were executed.
#[derive(Debug, Clone, Copy, Default)]
pub struct CodeHashes;

/// The code of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeHash {
    /// SHA-256 of the code; absent if it was removed.
    pub hash: Option<Checksum256>,
    /// The block that set or removed it.
    pub block_number: u32,
}

/// The key of the account whose code an action sets, and the hash of that code; none if there is none.
fn read(executed: &ExecutedAction<'_>) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let action = &executed.action.action;
    if (executed.action.receiver, action.account, action.name) != (Name::EOSIO, Name::EOSIO, SETCODE) {
        return None;
    }
    // The chain has decoded what it executed.
    let mut data = raw::Reader::new(&action.raw_data);
    let account = data.name().ok()?;
    // Type and version of the virtual machine.
    data.take(2, "virtual machine").ok()?;
    let code = data.blob("code").ok()?;
    let hash = (!code.is_empty()).then(|| Checksum256::sha256(code).0.to_vec());
    Some((account.0.to_be_bytes().to_vec(), hash))
}

impl Index for CodeHashes {
    fn name(&self) -> &'static str {
        "code-hashes"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[CODE_HASHES]
    }

    fn kept(&self, _: Family) -> Option<Kept> {
        Some(Kept { parts: &[Part::State], aging: Aging::Versions })
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        set_by_actions(CODE_HASHES, context, view, read)
    }

    fn holds_state(&self) -> bool {
        true
    }

    fn load(&self, rows: &[StateRow], number: u32, entries: &mut LoadedEntries) -> Result<()> {
        for row in rows {
            let StateRow::AccountMetadata(row) = row else { continue };
            let Some(code) = &row.code else { continue };
            entries.put(CODE_HASHES, &[&row.name.0.to_be_bytes(), &(!number).to_be_bytes()], &[&code.hash.0]);
        }
        Ok(())
    }
}

/// The code that an account has at a height; absent if it was never set.
pub(crate) fn code_hash(view: &View, account: Name, number: u32) -> Result<Option<CodeHash>> {
    let Some((block_number, value)) = newest(view, CODE_HASHES, &account.0.to_be_bytes(), number)? else {
        return Ok(None);
    };
    let mut hash = None;
    if !value.is_empty() {
        let bytes = ValueReader::new(CODE_HASHES, &value).take(32)?;
        hash = bytes.try_into().ok().map(Checksum);
    }
    Ok(Some(CodeHash { hash, block_number }))
}
