//! Tokens, who holds them, and what an account has, at the head or at the last irreversible block.

use std::collections::HashMap;

use dfuse_antelope::{Asset, Name, SymbolCode, abi::Abi};
use dfuse_blocks::CursorKind;
use dfuse_index::{View, abi};
use dfuse_state::tokens::{self as index, Token, TokenHolder, TokenKey, is_token_contract};

use super::{AskedHeight, Height, abi::is_known};
use crate::{ApiError, ApiResult, ErrorCode, ListCursor, Page, ReadContext, cursor};

/// The contract of the token that can be staked.
const SYSTEM_TOKEN: Name = Name::literal("eosio.token");

/// What an account has of a token.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    /// The account, the token, and how much it has at hand.
    pub holder: TokenHolder,
    /// What it has staked of it, if that was asked for and the token can be staked.
    pub staked: Option<Asset>,
}

/// A token and a page of those that hold it.
#[derive(Debug)]
pub struct TokenHolders {
    /// The token.
    pub token: Token,
    /// By account.
    pub page: Page<Holder>,
}

/// The tokens of one contract or of all, by contract and symbol.
///
/// # Errors
/// Those of [`Height::asked`]; `request_validation_error` for the cursor of another list.
pub fn tokens(
    read: &ReadContext<'_>,
    contract: Option<Name>,
    irreversible_only: bool,
    limit: usize,
    page: Option<&ListCursor>,
) -> ApiResult<Page<Token>> {
    let subject = cursor::bytes([contract.map_or(0, |contract| contract.0)]);
    let height = resolve(read, irreversible_only)?;
    let is_complete = contract.map_or(Ok(!height.lacks_older_state()), |it| height.knows_account(it))?;
    let mut after = page.map(|page| token_place(page, &subject)).transpose()?;
    let mut contracts = Contracts::at(&height);
    let mut items: Vec<Token> = Vec::new();
    let mut more = false;
    'contracts: while let Some(view) = view(&height) {
        for token in index::all(view, contract, after)? {
            read.go_on()?;
            let token = token?;
            if !contracts.are_tokens(view, token.key.contract)? {
                after = Some(TokenKey { symbol_code: SymbolCode(u64::MAX), ..token.key });
                continue 'contracts;
            }
            if items.len() == limit {
                more = true;
                break;
            }
            items.push(token);
        }
        break;
    }
    let last = items.last().filter(|_| more);
    let cursor = last.map(|last| cursor::seal(read.service(), CursorKind::Tokens, &subject, &token_bytes(last.key)));
    Ok(Page { items, cursor, height, is_complete })
}

/// A token, and who holds it, by account.
///
/// # Errors
/// `data_token_not_found_error` if the contract has no such token; those of [`tokens`].
pub fn holders(
    read: &ReadContext<'_>,
    key: TokenKey,
    irreversible_only: bool,
    with_staked: bool,
    limit: usize,
    page: Option<&ListCursor>,
) -> ApiResult<TokenHolders> {
    let subject = token_bytes(key);
    let height = resolve(read, irreversible_only)?;
    let is_complete = height.knows_account(key.contract)?;
    let absent = || height.absent(is_complete, unknown(key));
    let view = view(&height).ok_or_else(absent)?;
    let token = index::get(view, key)?.ok_or_else(absent)?;
    if !Contracts::at(&height).are_tokens(view, key.contract)? {
        return Err(absent());
    }
    let after = page.map(|page| page.place(&subject)).transpose()?;
    let after = after.map(|(account, [])| Name(u64::from_be_bytes(account)));
    let (listed, more) = page_of(read, index::holders(view, key, after)?, limit, |_| Ok(true))?;
    let mut items = Vec::with_capacity(listed.len());
    for holder in listed {
        let mut staked = None;
        if with_staked {
            read.go_on()?;
            staked = index::staked(view, holder.account)?;
        }
        items.push(Holder::new(holder, staked));
    }
    let last = items.last().filter(|_| more).map(|last| last.holder.account.0.to_be_bytes());
    let cursor = last.map(|place| cursor::seal(read.service(), CursorKind::Holders, &subject, &place));
    Ok(TokenHolders { token, page: Page { items, cursor, height, is_complete } })
}

/// What an account has, by contract and symbol.
///
/// # Errors
/// Those of [`tokens`].
pub fn balances(
    read: &ReadContext<'_>,
    account: Name,
    irreversible_only: bool,
    with_staked: bool,
    limit: usize,
    page: Option<&ListCursor>,
) -> ApiResult<Page<Holder>> {
    let subject = cursor::bytes([account.0]);
    let height = resolve(read, irreversible_only)?;
    let after = page.map(|page| token_place(page, &subject)).transpose()?;
    let mut contracts = Contracts::at(&height);
    let (mut listed, mut more, mut staked) = (Vec::new(), false, None);
    if let Some(view) = view(&height) {
        staked = if with_staked { index::staked(view, account)? } else { None };
        let balances = index::balances(view, account, after)?;
        (listed, more) = page_of(read, balances, limit, |it| contracts.are_tokens(view, it.token.contract))?;
    }
    let items: Vec<_> = listed.into_iter().map(|holder| Holder::new(holder, staked)).collect();
    let last = items.last().filter(|_| more).map(|last| token_bytes(last.holder.token));
    let cursor = last.map(|place| cursor::seal(read.service(), CursorKind::Balances, &subject, &place));
    let is_complete = !height.lacks_older_state();
    Ok(Page { items, cursor, height, is_complete })
}

impl Holder {
    /// What is staked is of the system's token.
    fn new(holder: TokenHolder, staked: Option<Asset>) -> Self {
        let is_staked = |it: &Asset| holder.token.contract == SYSTEM_TOKEN && holder.balance.symbol == it.symbol;
        Self { holder, staked: staked.filter(is_staked) }
    }
}

pub(super) fn resolve(read: &ReadContext<'_>, irreversible_only: bool) -> ApiResult<Height> {
    Height::asked(read, AskedHeight { block_num: 0, irreversible_only })
}

/// The indexes of tokens have no history. Absent before any block is irreversible, if only such are wanted.
pub(super) fn view(height: &Height) -> Option<&View> {
    let view = height.state().view();
    view.block().filter(|block| block.number == height.number()).map(|_| view)
}

/// The first of those that are wanted, and whether there are more.
fn page_of<T>(
    read: &ReadContext<'_>,
    items: impl Iterator<Item = dfuse_index::Result<T>>,
    limit: usize,
    mut is_wanted: impl FnMut(&T) -> ApiResult<bool>,
) -> ApiResult<(Vec<T>, bool)> {
    let mut listed = Vec::new();
    for item in items {
        read.go_on()?;
        let item = item?;
        if !is_wanted(&item)? {
            continue;
        }
        if listed.len() == limit {
            return Ok((listed, true));
        }
        listed.push(item);
    }
    Ok((listed, false))
}

/// Which contracts are such of tokens, by their ABIs. A contract whose ABI may be older than the indexes is taken for one if
/// its rows have the shape.
pub(super) struct Contracts<'a> {
    height: &'a Height,
    known: HashMap<Name, bool>,
}

impl<'a> Contracts<'a> {
    pub(super) fn at(height: &'a Height) -> Self {
        Self { height, known: HashMap::new() }
    }

    pub(super) fn are_tokens(&mut self, view: &View, contract: Name) -> ApiResult<bool> {
        if let Some(known) = self.known.get(&contract) {
            return Ok(*known);
        }
        let are = match abi::at_head(view, contract)? {
            Some(record) => Abi::from_bytes(&record.abi).is_ok_and(|abi| is_token_contract(&abi)),
            None => !is_known(self.height, contract)?,
        };
        self.known.insert(contract, are);
        Ok(are)
    }
}

pub(super) fn unknown(key: TokenKey) -> ApiError {
    let TokenKey { contract, symbol_code } = key;
    ApiError::new(ErrorCode::TokenNotFound, format!("\"{contract}\" has no token {symbol_code}."))
        .detail("contract", contract.to_string())
        .detail("symbol", symbol_code.to_string())
}

fn token_bytes(key: TokenKey) -> Vec<u8> {
    cursor::bytes([key.contract.0, key.symbol_code.0])
}

fn token_place(page: &ListCursor, subject: &[u8]) -> ApiResult<TokenKey> {
    let (contract, code) = page.place(subject)?;
    Ok(TokenKey { contract: Name(u64::from_be_bytes(contract)), symbol_code: SymbolCode(u64::from_be_bytes(code)) })
}
