//! Blocks, histories of accounts, tokens and balances.

use std::{str::FromStr, sync::Arc};

use dfuse_antelope::{Checksum256, Name, SymbolCode};
use dfuse_blocks::CursorKind;
use dfuse_index::{accounts, blocks::by_number};
use dfuse_query::{
    ApiError, ApiResult, ErrorCode, ListCursor, ReadContext, RouteClass,
    blocks::{self, BlockWindow},
    search::account_actions,
    state::{RankedBy, Ranking, TokenFilter, ranked_balances, ranked_holders, ranked_tokens},
};
use dfuse_state::tokens::TokenKey;

use super::arguments::{invalid, wrong};
use crate::{
    read::Request,
    source::{Blocks, Source},
    types::{
        AccountBalanceConnection, AccountHistoryActionsConnection, Block, BlockIdResponse, Int64, PageInfo,
        SearchCoverage, SimpleActionTrace, SimpleActionTraceEdge, SortOrder, TokenConnection, TransactionTrace, Uint32,
    },
};

/// Most items of a list of tokens or balances, and how many there are where nothing is asked for.
const MAX_ITEMS: u32 = 100;
/// Most actions of an account on a page.
const MAX_ACTIONS: i64 = 1000;

/// Most names that an argument lists.
const MAX_NAMES: usize = 1000;

/// A value of an argument, read from its text.
fn parse<T: FromStr>(argument: &'static str, what: &str, text: &str) -> ApiResult<T> {
    text.parse()
        .map_err(|_| wrong(argument, format!("Invalid '{argument}' field \"{}\": expected {what}", shorten(text))))
}

fn shorten(text: &str) -> String {
    dfuse_query::shorten(text)
}

fn name(argument: &'static str, text: &str) -> ApiResult<Name> {
    parse(argument, "a name of an account", text)
}

/// A block by its id, or that of the best chain by its number.
///
/// # Errors
/// `request_validation_error` unless exactly one is given, and those of reading.
pub(super) fn block(request: &Arc<Request>, id: Option<&str>, number: Option<Uint32>) -> ApiResult<Block> {
    let read = request.begin(RouteClass::LookUp)?;
    let id = match (id.filter(|id| !id.is_empty()), number) {
        (Some(_), Some(_)) => {
            return Err(wrong("id", "Invalid request, can only specify block num or ID".to_owned()));
        }
        (None, None) => return Err(wrong("id", "Invalid request, must specify either a block num or ID".to_owned())),
        (Some(id), None) => parse("id", "64 hexadecimal digits", id.strip_prefix("0x").unwrap_or(id))?,
        (None, Some(Uint32(number))) => id_of(&read, number)?,
    };
    read.may_read(Checksum256::block_num(&id))?;
    let frame = blocks::frame(&read, id)?;
    request.count(1);
    let reference = dfuse_index::BlockRef { number: id.block_num(), id };
    let view = dfuse_query::streams::view_of(read.snapshot(), id)?;
    let window = BlockWindow::new(&read, vec![reference]);
    Ok(Block { source: Source::new(request, view, Blocks::Window(window)), frame })
}

fn id_of(read: &ReadContext<'_>, number: u32) -> ApiResult<Checksum256> {
    let found = by_number(read.view(), number)?;
    let unknown = || {
        let message = format!("block {number} not found");
        read.absent(number, ApiError::new(ErrorCode::BlockNotFound, message).detail("block", number.to_string()))
    };
    found.map(|block| block.id).ok_or_else(unknown)
}

/// The block in which an account was created.
///
/// # Errors
/// `data_account_not_found_error` if the account is unknown, or nothing tells how it came to be.
pub(super) fn block_of_creation(request: &Request, account: &str) -> ApiResult<BlockIdResponse> {
    let read = request.begin(RouteClass::LookUp)?;
    let name = name("account", account)?;
    let created = accounts::get(read.view(), name)?.filter(|account| account.creation.is_some());
    let block = created.map(|account| by_number(read.view(), account.block_number)).transpose()?.flatten();
    let block = block.ok_or_else(|| {
        ApiError::new(ErrorCode::AccountNotFound, format!("No block is known that created \"{name}\"."))
            .detail("account", name.to_string())
    })?;
    read.may_read(block.number)?;
    request.count(1);
    Ok(block.into())
}

/// What an account has done and what has come to it.
///
/// # Errors
/// Those of [`account_actions`].
pub(super) fn history(
    request: &Arc<Request>,
    account: &str,
    contract: Option<&str>,
    limit: Option<Int64>,
    cursor: Option<&str>,
) -> ApiResult<AccountHistoryActionsConnection> {
    let read = request.begin(RouteClass::Search)?;
    let limit = match limit.map_or(i64::from(MAX_ITEMS), |limit| limit.0) {
        limit @ 1..=MAX_ACTIONS => usize::try_from(limit).unwrap_or(usize::MAX),
        limit => {
            return Err(wrong("limit", format!("Invalid limit for this query: from 1 to 1000, value was {limit}")));
        }
    };
    let account = name("account", account)?;
    let contract = contract.filter(|text| !text.is_empty()).map(|text| name("contract", text)).transpose()?;
    let after = opened(&read, CursorKind::AccountActions, cursor)?;
    let found = account_actions(&read, account, contract, limit, after.as_ref())?;
    let blocks = found.items.iter().map(|item| item.block).collect();
    let source = Source::new(request, read.view().clone(), Blocks::Results(BlockWindow::new(&read, blocks)));
    request.count(found.items.len().max(1));
    let page_info = PageInfo::new(found.items.iter().map(|it| &it.cursor), found.has_next, after.is_some());
    let edges = found.items.into_iter().map(|item| SimpleActionTraceEdge {
        cursor: item.cursor,
        node: SimpleActionTrace {
            action: TransactionTrace::new(&source, item.block, item.transaction, item.id),
            at: item.action,
        },
    });
    let coverage = SearchCoverage::of_page(&read, &found.page);
    Ok(AccountHistoryActionsConnection { edges: edges.collect(), page_info, coverage })
}

fn opened(read: &ReadContext<'_>, kind: CursorKind, cursor: Option<&str>) -> ApiResult<Option<ListCursor>> {
    let opened = ListCursor::open(read.service(), kind, cursor.unwrap_or_default());
    opened.map_err(|problem| invalid("cursor", &problem))
}

/// The order and the page of a list of tokens or balances.
pub(super) struct Listed {
    pub(super) cursor: Option<String>,
    pub(super) limit: Option<Uint32>,
    pub(super) by: RankedBy,
    pub(super) order: Option<SortOrder>,
}

impl Listed {
    fn ranking(&self, read: &ReadContext<'_>, kind: CursorKind) -> ApiResult<Ranking> {
        let limit = match self.limit.map_or(0, |limit| limit.0) {
            0 => MAX_ITEMS,
            limit if limit > MAX_ITEMS => {
                return Err(wrong("limit", "invalid first or last argument for this query: max 100".to_owned()));
            }
            limit => limit,
        };
        let after = opened(read, kind, self.cursor.as_deref())?;
        let descending = self.order != Some(SortOrder::Asc);
        Ok(Ranking { by: self.by, descending, limit: limit as usize, after })
    }
}

/// An argument that lists names.
fn names<'a>(argument: &'static str, list: Option<&'a [String]>) -> ApiResult<std::slice::Iter<'a, String>> {
    let list = list.unwrap_or_default();
    if list.len() > MAX_NAMES {
        return Err(wrong(
            argument,
            format!("Invalid '{argument}': at most {MAX_NAMES} names, {} were given", list.len()),
        ));
    }
    Ok(list.iter())
}

/// Which tokens an argument names. What is not the name of one stands for none.
pub(super) fn filter(symbols: Option<&[String]>, contracts: Option<&[String]>) -> ApiResult<TokenFilter> {
    let symbols =
        names("tokenSymbols", symbols)?.map(|text| parse::<SymbolCode>("tokenSymbols", "letters of a token", text));
    let contracts = names("tokenContracts", contracts)?.map(|text| name("tokenContracts", text));
    Ok(TokenFilter { symbols: symbols.collect::<Result<_, _>>()?, contracts: contracts.collect::<Result<_, _>>()? })
}

/// Tokens.
///
/// # Errors
/// Those of [`ranked_tokens`].
pub(super) fn tokens(request: &Request, filter: &TokenFilter, listed: &Listed) -> ApiResult<TokenConnection> {
    let read = request.begin(RouteClass::List)?;
    let page = ranked_tokens(&read, filter, &listed.ranking(&read, CursorKind::Tokens)?)?;
    request.count(page.items.len().max(1));
    TokenConnection::new(page)
}

/// What an account has.
///
/// # Errors
/// Those of [`ranked_balances`].
pub(super) fn account_balances(
    request: &Request,
    account: &str,
    filter: &TokenFilter,
    with_staked: bool,
    listed: &Listed,
) -> ApiResult<AccountBalanceConnection> {
    let read = request.begin(RouteClass::List)?;
    let ranking = listed.ranking(&read, CursorKind::Balances)?;
    let page = ranked_balances(&read, name("account", account)?, filter, with_staked, &ranking)?;
    request.count(page.items.len().max(1));
    AccountBalanceConnection::new(page)
}

/// Who holds a token.
///
/// # Errors
/// Those of [`ranked_holders`].
pub(super) fn token_balances(
    request: &Request,
    (contract, symbol): (&str, &str),
    holders: Option<&[String]>,
    with_staked: bool,
    listed: &Listed,
) -> ApiResult<AccountBalanceConnection> {
    let read = request.begin(RouteClass::List)?;
    let ranking = listed.ranking(&read, CursorKind::Balances)?;
    let symbol_code = parse("symbol", "letters of a token", symbol)?;
    let key = TokenKey { contract: name("contract", contract)?, symbol_code };
    let holders = names("tokenHolders", holders)?.map(|text| name("tokenHolders", text));
    let holders = holders.collect::<ApiResult<Vec<_>>>()?;
    let page = ranked_holders(&read, key, &holders, with_staked, &ranking)?;
    request.count(page.items.len().max(1));
    AccountBalanceConnection::new(page)
}
