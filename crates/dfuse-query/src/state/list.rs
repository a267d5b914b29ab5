//! Whose keys and links they are, and where a contract has a table.

use dfuse_antelope::{Name, PublicKey};
use dfuse_index::{Result, ServingSnapshot};
use dfuse_state::{KeyAccount, PermissionLink, StateAt};

use super::{AskedHeight, Height};
use crate::{ApiError, ApiResult, ErrorCode, ReadContext};

type Items<T> = Box<dyn Iterator<Item = Result<T>> + Send>;
/// The items after one of them, of all without one.
type ReadAfter<T> = Box<dyn Fn(&StateAt, Option<T>) -> Result<Items<T>> + Send>;

/// A list at a height, of any length, read item by item.
pub struct ListReader<T> {
    height: Height,
    is_complete: bool,
    read: ReadAfter<T>,
    items: Items<T>,
    last: Option<T>,
}

impl<T> std::fmt::Debug for ListReader<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListReader").field("height", &self.height).finish_non_exhaustive()
    }
}

impl<T: Copy + Send + 'static> ListReader<T> {
    /// `read` gives the items after one of them.
    fn new<I: Iterator<Item = Result<T>> + Send + 'static>(
        height: Height,
        is_complete: bool,
        read: impl Fn(&StateAt, Option<T>) -> Result<I> + Send + 'static,
    ) -> ApiResult<Self> {
        let read = move |state: &StateAt, after| Ok(Box::new(read(state, after)?) as Items<T>);
        let items = read(height.state(), None)?;
        Ok(Self { height, is_complete, read: Box::new(read), items, last: None })
    }

    /// Of which height it is.
    pub fn height(&self) -> &Height {
        &self.height
    }

    /// Whether it lacks nothing that was there before the indexes begin.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The next item; absent after the last one.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_item(&mut self) -> ApiResult<Option<T>> {
        let item = self.items.next().transpose()?;
        self.last = item.or(self.last);
        Ok(item)
    }

    /// Goes on with another snapshot.
    ///
    /// # Errors
    /// Those of [`Height::renew`].
    pub fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        self.height.renew(snapshot)?;
        self.items = (self.read)(self.height.state(), self.last)?;
        Ok(())
    }
}

/// The permissions that a key stands in, by account.
///
/// # Errors
/// `data_public_key_not_found_error` if it never stood in one; those of [`Height::asked`].
pub fn key_accounts(read: &ReadContext<'_>, key: PublicKey, at: AskedHeight) -> ApiResult<ListReader<KeyAccount>> {
    let height = Height::asked(read, at)?;
    if !StateAt::of(read.view().clone()).key_was_seen(&key)? {
        let error = ApiError::new(ErrorCode::PublicKeyNotFound, "The key never stood in a permission.")
            .detail("public_key", key.to_string());
        return Err(height.absent(false, error));
    }
    let is_complete = !height.lacks_older_state();
    ListReader::new(height, is_complete, move |state, after| state.key_accounts(&key, after))
}

/// Which actions need which permission of an account, by contract and action.
///
/// # Errors
/// Those of [`Height::asked`].
pub fn permission_links(
    read: &ReadContext<'_>,
    account: Name,
    at: AskedHeight,
) -> ApiResult<ListReader<PermissionLink>> {
    let height = Height::asked(read, at)?;
    let is_complete = height.knows_account(account)?;
    ListReader::new(height, is_complete, move |state, after| state.permission_links(account, after))
}

/// The scopes in which a contract has a table.
///
/// # Errors
/// `data_table_not_found_error` if it never had a row in this table; those of [`Height::asked`].
pub fn table_scopes(
    read: &ReadContext<'_>,
    contract: Name,
    table: Name,
    at: AskedHeight,
) -> ApiResult<ListReader<Name>> {
    let height = Height::asked(read, at)?;
    let newest = StateAt::of(read.view().clone());
    let has_older = height.lacks_older_state();
    let was_seen =
        newest.table_was_seen(contract, table)? || has_older && newest.table_has_known_rows(contract, table)?;
    let is_complete = height.knows_account(contract)?;
    if !was_seen {
        let error = ApiError::new(ErrorCode::TableNotFound, "The contract never had a row in this table.")
            .detail("account", contract.to_string())
            .detail("table", table.to_string());
        return Err(height.absent(is_complete, error));
    }
    ListReader::new(height, is_complete, move |state, after| scopes(state, contract, table, after, has_older))
}

/// Where a table may be older than the indexes, those with rows that were written since, too.
fn scopes(state: &StateAt, contract: Name, table: Name, after: Option<Name>, has_older: bool) -> Result<Items<Name>> {
    if has_older {
        return Ok(Box::new(state.known_scopes(contract, table, after)));
    }
    Ok(Box::new(state.scopes(contract, table, after)?.map(|scope| scope.map(|it| it.scope))))
}
