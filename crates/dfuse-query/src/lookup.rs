//! What a text may name: what the search box of an explorer asks.

use dfuse_antelope::{Checksum256, Name, model::TransactionLifecycle};
use dfuse_index::{
    accounts::{self, AccountCreation},
    blocks::{self, IndexedBlock},
};
use dfuse_trx::IdPrefix;

use crate::{
    ApiError, ApiResult, ErrorCode, ReadContext,
    blocks::{BlockSummary, at_or_soon_after, parse_time, with_siblings},
};

/// A shorter text is no id: it may be a name.
const MIN_ID_DIGITS: usize = 14;
/// How long after a time its block may be, in milliseconds.
const NEAR_MS: i64 = 5000;

/// What a text names.
#[derive(Debug)]
pub enum Found {
    /// A block, by its whole id, with those near its height.
    Block(Box<BlockSummary>, Vec<BlockSummary>),
    /// A block of the best chain, by its number or its time.
    BlockId(Checksum256),
    /// A transaction, by its id or the beginning of it.
    Transaction(Box<TransactionLifecycle>),
    /// The id of a transaction that may be on its way.
    TransactionId(Checksum256),
    /// An account.
    Account(AccountFound),
}

/// An account, and how it came to be if that was indexed.
#[derive(Debug)]
pub struct AccountFound {
    /// Its name.
    pub name: Name,
    /// Who created it, and in which block.
    pub creation: Option<(AccountCreation, IndexedBlock)>,
}

/// Tries in turn: id of a block, id of a transaction or its beginning, number of a block, name of an account, time of a block.
///
/// # Errors
/// `simple_search_not_found` if it is none of these.
pub fn find(read: &ReadContext<'_>, text: &str) -> ApiResult<Found> {
    let view = read.view();
    let lower = text.to_ascii_lowercase();
    let is_hex = lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id: Option<Checksum256> = lower.parse().ok();
    if let Some(found) = id.map(|id| block(read, id)).transpose()?.flatten() {
        return Ok(found);
    }
    if is_hex
        && (MIN_ID_DIGITS..=64).contains(&lower.len())
        && let Some(found) = transaction(read, &lower)?
    {
        return Ok(found);
    }
    if let Some(block) = text.parse().ok().map(|number| blocks::by_number(view, number)).transpose()?.flatten() {
        return Ok(Found::BlockId(block.id));
    }
    if let Some(name) = Name::parse(lower.as_bytes()).ok().filter(|name| *name != Name(0))
        && let Some(found) = account(read, name)?
    {
        return Ok(Found::Account(found));
    }
    if let Some(id) = id {
        return Ok(Found::TransactionId(id));
    }
    let block =
        parse_time(text).map(|moment| at_or_soon_after(read.snapshot(), moment, NEAR_MS)).transpose()?.flatten();
    if let Some(block) = block {
        return Ok(Found::BlockId(block.id));
    }
    let message = "Nothing is known by this text: no block, transaction, account or time of a block.";
    Err(ApiError::new(ErrorCode::SimpleSearchNotFound, message))
}

fn block(read: &ReadContext<'_>, id: Checksum256) -> ApiResult<Option<Found>> {
    match with_siblings(read, id) {
        Ok((block, siblings)) => Ok(Some(Found::Block(Box::new(block), siblings))),
        Err(error) if matches!(error.code(), ErrorCode::BlockNotFound | ErrorCode::StateUnavailable) => Ok(None),
        Err(error) => Err(error),
    }
}

fn transaction(read: &ReadContext<'_>, digits: &str) -> ApiResult<Option<Found>> {
    let blocks = read.blocks();
    let lifecycles = read.lifecycles(read.view(), &blocks);
    let found = match lifecycles.find(&IdPrefix::from_hex(&digits[..digits.len() & !1])?) {
        Err(dfuse_trx::Error::AmbiguousPrefix { .. }) => None,
        found => found?.filter(|id| id.to_string().starts_with(digits)),
    };
    let lifecycle = found.map(|id| lifecycles.get(id)).transpose()?.flatten();
    Ok(lifecycle.map(|lifecycle| Found::Transaction(Box::new(lifecycle))))
}

fn account(read: &ReadContext<'_>, name: Name) -> ApiResult<Option<AccountFound>> {
    let Some(found) = accounts::get(read.view(), name)? else { return Ok(None) };
    let Some(creation) = found.creation else { return Ok(Some(AccountFound { name, creation: None })) };
    let block = blocks::by_number(read.view(), found.block_number)?;
    let block = block.ok_or_else(|| ApiError::unexpected("an account was created in an unknown block"))?;
    Ok(Some(AccountFound { name, creation: Some((creation, block)) }))
}
