//! What an answer may lack where the indexes begin in mid-chain: the state that was written before.
//!
//! Answers say from which block on state is known. What isn't there is denied only where that is certain.

use dfuse_antelope::Name;
use dfuse_index::{Error, View, accounts};
use dfuse_state::{RowKey, TableKey};

use super::{height::Height, unavailable::state_unavailable};
use crate::{ApiError, ApiResult};

/// The error for something that isn't found and may be of before `first_block`; `error` says that it isn't there.
pub(super) fn absent_since(first_block: u32, error: &ApiError) -> ApiError {
    let what = error.message().trim_end_matches('.');
    let message = format!("{what} since block {first_block}; state that was written before that block is unknown.");
    state_unavailable(first_block, message)
}

/// Whether the account was created since the indexes begin, so that all that it ever did is known.
///
/// # Errors
/// Those of reading.
pub fn was_created(view: &View, account: Name) -> ApiResult<bool> {
    match accounts::get(view, account) {
        // Earlier blocks may have joined, without their state.
        Ok(account) => Ok(account.is_some_and(|account| {
            let begins = view.earlier().map_or(0, |earlier| earlier.state_first);
            account.creation.is_some() && account.block_number >= begins
        })),
        // While that index is built again, nothing is certain.
        Err(Error::NotBuilt { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Height {
    /// Whether all that the account ever had and did is known.
    ///
    /// # Errors
    /// Those of reading.
    pub fn knows_account(&self, account: Name) -> ApiResult<bool> {
        Ok(!self.lacks_older_state() || was_created(self.state().view(), account)?)
    }

    /// Whether all rows of the table are known.
    ///
    /// # Errors
    /// Those of reading.
    pub fn knows_table(&self, table: TableKey) -> ApiResult<bool> {
        Ok(self.knows_account(table.contract)? || self.state().table_is_known(table)?)
    }

    /// Whether a row that isn't found isn't there.
    ///
    /// # Errors
    /// Those of reading.
    pub fn knows_row(&self, row: &RowKey) -> ApiResult<bool> {
        Ok(self.knows_table(row.table)? || self.state().row_was_seen(row)?)
    }

    /// The error for something that isn't found: `error` where that is certain, else that it may be of before the first block.
    pub fn absent(&self, is_certain: bool, error: ApiError) -> ApiError {
        match self.state_start().filter(|_| self.lacks_older_state() && !is_certain) {
            None => error,
            Some(first_block) => absent_since(first_block, &error),
        }
    }
}
