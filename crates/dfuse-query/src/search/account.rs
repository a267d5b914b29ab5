//! What an account has done and what has come to it, action by action.

use dfuse_antelope::{Checksum, Checksum256, Name};
use dfuse_blocks::CursorKind;
use dfuse_index::BlockRef;
use dfuse_kv::Direction;
use dfuse_search::{Bounds, Place, Position};

use super::{BlockBounds, SearchItem, SearchPage, SearchQuestion, account_history, page};
use crate::{ApiResult, ListCursor, ReadContext, cursor};

/// An action of an account's history.
#[derive(Debug, Clone)]
pub struct AccountAction {
    /// Its block.
    pub block: BlockRef,
    /// The position of its transaction among the block's traces.
    pub transaction: u32,
    /// The id of its transaction.
    pub id: Checksum256,
    /// Its position in the order of execution there.
    pub action: u32,
    /// The cursor for what comes after it.
    pub cursor: String,
}

/// A page of an account's history.
#[derive(Debug)]
pub struct AccountActions {
    /// The actions, newest first.
    pub items: Vec<AccountAction>,
    /// Whether something comes after them.
    pub has_next: bool,
    /// The search that found them.
    pub page: SearchPage,
}

/// Actions of irreversible blocks that an account authorised or executed, newest first; those of one contract alone, if one is
/// given.
///
/// # Errors
/// `request_validation_error` for the cursor of another list, and those of searches.
pub fn account_actions(
    read: &ReadContext<'_>,
    account: Name,
    contract: Option<Name>,
    limit: usize,
    after: Option<&ListCursor>,
) -> ApiResult<AccountActions> {
    let subject = cursor::bytes([account.0, contract.map_or(0, |contract| contract.0)]);
    let after = after.map(|cursor| Reached::read(cursor, &subject)).transpose()?;
    let bounds = BlockBounds { bounds: Bounds::default(), direction: Direction::Reverse, with_reversible: false };
    let query = account_history(read.service(), account, contract)?;
    let question = SearchQuestion { query, span: bounds.into(), limit, cursor: after.map(Reached::position) };
    // Of the transaction where the page before it ended perhaps nothing is left: one more than wanted.
    let found = page(read, SearchQuestion { limit: limit.saturating_add(1), ..question })?;
    let mut items = Vec::new();
    let mut has_next = !found.searched(found.items().len()).is_complete;
    'results: for SearchItem { found: item, .. } in found.items() {
        for action in item.actions.iter().rev().copied() {
            let reached = Reached { block: item.block, transaction: item.transaction, action };
            if after.is_some_and(|after| reached.is_sent_at(after)) {
                continue;
            }
            if items.len() == limit {
                has_next = true;
                break 'results;
            }
            let cursor = cursor::seal(read.service(), CursorKind::AccountActions, &subject, &reached.bytes());
            items.push(AccountAction { block: item.block, transaction: item.transaction, id: item.id, action, cursor });
        }
    }
    Ok(AccountActions { items, has_next, page: found })
}

/// The last action that was sent.
#[derive(Debug, Clone, Copy)]
struct Reached {
    block: BlockRef,
    transaction: u32,
    action: u32,
}

impl Reached {
    fn bytes(self) -> Vec<u8> {
        [&self.block.id.0[..], &self.transaction.to_be_bytes(), &self.action.to_be_bytes()].concat()
    }

    fn read(cursor: &ListCursor, subject: &[u8]) -> ApiResult<Self> {
        let (id, [a, b, c, d, e, f, g, h]) = cursor.place::<32, 8>(subject)?;
        let id = Checksum(id);
        let block = BlockRef { number: id.block_num(), id };
        Ok(Self { block, transaction: u32::from_be_bytes([a, b, c, d]), action: u32::from_be_bytes([e, f, g, h]) })
    }

    /// Its transaction may have more.
    fn position(self) -> Position {
        Position { block: self.block, place: Place::Before(self.transaction.saturating_add(1)) }
    }

    fn is_sent_at(self, last: Self) -> bool {
        self.block == last.block && self.transaction == last.transaction && self.action >= last.action
    }
}
