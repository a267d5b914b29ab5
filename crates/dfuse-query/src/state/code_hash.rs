//! Which code an account has at a height.

use dfuse_antelope::Name;
use dfuse_index::accounts;
use dfuse_state::CodeHash;

use super::{AskedHeight, Height, account_not_found};
use crate::{ApiResult, ReadContext};

/// The code that an account has at a height.
#[derive(Debug)]
pub struct AccountCode {
    /// The height.
    pub height: Height,
    /// The hash of the code, and where it was set; absent if the account never had any.
    pub code: Option<CodeHash>,
}

/// The hash of an account's code at a height.
///
/// # Errors
/// `account_not_found_error` if there is no such account, and those of [`Height::asked`].
pub fn code_hash(read: &ReadContext<'_>, account: Name, at: AskedHeight) -> ApiResult<AccountCode> {
    let height = Height::asked(read, at)?;
    let code = height.state().code_hash(account)?;
    if code.is_none() {
        let is_certain = height.knows_account(account)?;
        let known = accounts::get(height.state().view(), account)?;
        let exists = known.is_some_and(|known| known.block_number <= height.number());
        if !is_certain || !exists {
            return Err(height.absent(is_certain, account_not_found(account)));
        }
    }
    Ok(AccountCode { height, code })
}
