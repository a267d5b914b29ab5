//! Contract rows, scopes, key accounts, permission links, hashes of code and tokens, at any block, and the newest state of accounts.
//!
//! Indexes keep every version of what contracts and accounts have, by block. [`StateAt`] is the state after a block, of a
//! branch or committed long ago, and what everything is read from.
//!
//! Everything here is synchronous and may block on a disk: call it from CPU threads.

pub mod account_state;
mod at;
mod code_hashes;
mod key_accounts;
mod key_type;
mod permission_links;
mod rows;
mod scopes;
mod table;
pub mod tokens;
mod versions;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use dfuse_index::Index;

pub use at::StateAt;
pub use code_hashes::{CODE_HASHES, CodeHash, CodeHashes};
pub use key_accounts::{KEY_ACCOUNTS, KeyAccount, KeyAccounts};
pub use key_type::{InvalidKey, KeyType};
pub use permission_links::{PERMISSION_LINKS, PermissionLink, PermissionLinks};
pub use rows::{
    ROW_CURRENT, ROW_HISTORY, ROW_KEYS, ROW_REMOVALS, RowChange, RowDifference, RowHistory, RowRange, Rows,
    TableDifference, TableRows, row_history,
};
pub use scopes::{SCOPES, Scopes, TableScope};
pub use table::{Row, RowKey, TableKey, TableRow};

/// All indexes of this crate.
pub fn indexes() -> Vec<Arc<dyn Index>> {
    vec![
        Arc::new(Rows::default()),
        Arc::new(Scopes),
        Arc::new(KeyAccounts),
        Arc::new(PermissionLinks),
        Arc::new(tokens::Tokens),
        Arc::new(account_state::AccountState),
        Arc::new(CodeHashes),
    ]
}
