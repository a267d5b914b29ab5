//! The state after a block.

use dfuse_antelope::{Name, PublicKey};
use dfuse_index::{Result, ServingSnapshot, View};

use crate::{
    CodeHash, KeyAccount, PermissionLink, RowKey, RowRange, TableDifference, TableKey, TableRow, TableRows, TableScope,
    code_hashes, key_accounts, permission_links,
    rows::{next_scope_of_rows, row_at, row_now, row_was_seen},
    scopes,
};

/// The state after a block: of the best chain at any height, or of a reversible block on any branch.
///
/// Before the first block that is indexed there is nothing: reads give nothing, and no error.
#[derive(Debug, Clone)]
pub struct StateAt {
    /// At the block or, where that is committed, at any later one of its branch.
    view: View,
    number: u32,
}

impl StateAt {
    /// At the view's block.
    pub fn of(view: View) -> Self {
        let number = view.block().map_or(0, |block| block.number);
        Self { view, number }
    }

    /// At a height of the view's branch; at the view's block if that is lower. Right for any height, but tables of heights
    /// a little below a reversible head are read faster from a view of their own: see [`StateAt::at_number`].
    pub fn below(view: View, number: u32) -> Self {
        let of = Self::of(view);
        Self { number: number.min(of.number), ..of }
    }

    /// At a height of the best chain; absent above its head.
    pub fn at_number(snapshot: &ServingSnapshot, number: u32) -> Result<Option<Self>> {
        if snapshot.head().is_none_or(|head| head.number < number) {
            return Ok(None);
        }
        Ok(Some(match snapshot.view_at_number(number)? {
            Some(view) => Self::of(view),
            None => Self::below(snapshot.view().clone(), number),
        }))
    }

    /// The height; 0 before the first block.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The indexes at this height or, where that is committed, at a later one of its branch.
    pub fn view(&self) -> &View {
        &self.view
    }

    fn is_newest(&self) -> bool {
        self.view.block().is_none_or(|block| block.number == self.number)
    }

    /// A row: one read.
    pub fn row(&self, key: &RowKey) -> Result<Option<TableRow>> {
        if self.is_newest() {
            Ok(row_now(&self.view, key)?.map(|(row, _)| row))
        } else {
            row_at(&self.view, key, self.number)
        }
    }

    /// The code of an account; absent if it was never set.
    pub fn code_hash(&self, account: Name) -> Result<Option<CodeHash>> {
        code_hashes::code_hash(&self.view, account, self.number)
    }

    /// The rows of a table, lazily. A page goes on after its last row with [`RowRange::after`].
    pub fn rows(&self, table: TableKey, range: RowRange) -> Result<TableRows> {
        TableRows::new(&self.view, self.number, table, range)
    }

    /// What is to be done to the rows of a table so that they become what they are at `to`, lazily. The two may be on
    /// different branches.
    pub fn difference(&self, to: &Self, table: TableKey, range: RowRange) -> Result<TableDifference> {
        let direction = range.direction;
        Ok(TableDifference::new(self.rows(table, range.clone())?, to.rows(table, range)?, direction))
    }

    /// The scopes in which a contract has a table, in the order of their values, after one of them; lazily.
    pub fn scopes(
        &self,
        contract: Name,
        table: Name,
        after: Option<Name>,
    ) -> Result<impl Iterator<Item = Result<TableScope>> + Send + use<>> {
        scopes::scopes(&self.view, contract, table, after, self.number)
    }

    /// Like [`StateAt::scopes`] where the indexes begin in mid-chain: also those whose table was made before, if they have rows
    /// that were written since. Costs a few seeks for each scope.
    pub fn known_scopes(
        &self,
        contract: Name,
        table: Name,
        after: Option<Name>,
    ) -> impl Iterator<Item = Result<Name>> + Send + use<> {
        let (state, mut after) = (self.clone(), after);
        std::iter::from_fn(move || {
            let next = state.next_known_scope(contract, table, after).transpose()?;
            after = next.as_ref().ok().copied().or(after);
            Some(next)
        })
    }

    fn next_known_scope(&self, contract: Name, table: Name, after: Option<Name>) -> Result<Option<Name>> {
        let made = self.scopes(contract, table, after)?.next().transpose()?.map(|it| it.scope);
        let mut seen = after;
        while let Some(scope) = next_scope_of_rows(&self.view, contract, table, seen)? {
            if made.is_some_and(|made| made <= scope) {
                break;
            }
            let rows = self.rows(TableKey { contract, table, scope }, RowRange::default())?;
            if { rows }.next().transpose()?.is_some() {
                return Ok(Some(scope));
            }
            seen = Some(scope);
        }
        Ok(made)
    }

    /// Whether any row of that table, in any scope, was written up to the view's block.
    pub fn table_has_known_rows(&self, contract: Name, table: Name) -> Result<bool> {
        Ok(next_scope_of_rows(&self.view, contract, table, None)?.is_some())
    }

    /// Whether the contract had that table in any scope after any block up to the view's, which may be later than this height.
    pub fn table_was_seen(&self, contract: Name, table: Name) -> Result<bool> {
        scopes::was_seen(&self.view, contract, table)
    }

    /// Whether all rows of a table are known at this height, also where the indexes begin in mid-chain: they are if the table
    /// came or went since, for at that moment it had none.
    pub fn table_is_known(&self, table: TableKey) -> Result<bool> {
        scopes::changed(&self.view, table, self.number)
    }

    /// Whether the row was written at or below this height since the indexes begin, also if it was removed then.
    pub fn row_was_seen(&self, key: &RowKey) -> Result<bool> {
        row_was_seen(&self.view, key, self.number)
    }

    /// The permissions that a key stands in, by account and permission, after one of them; lazily.
    pub fn key_accounts(
        &self,
        key: &PublicKey,
        after: Option<KeyAccount>,
    ) -> Result<impl Iterator<Item = Result<KeyAccount>> + Send + use<>> {
        key_accounts::key_accounts(&self.view, key, after, self.number)
    }

    /// Whether the key stood in any permission after any block up to the view's, which may be later than this height.
    pub fn key_was_seen(&self, key: &PublicKey) -> Result<bool> {
        key_accounts::was_seen(&self.view, key)
    }

    /// The links of an account, by contract and action, after one of them; lazily.
    pub fn permission_links(
        &self,
        account: Name,
        after: Option<PermissionLink>,
    ) -> Result<impl Iterator<Item = Result<PermissionLink>> + Send + use<>> {
        permission_links::permission_links(&self.view, account, after, self.number)
    }
}
