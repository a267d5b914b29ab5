//! Search: pages of transactions, histories of accounts, counts, and what the search box of an explorer asks.

mod completion;
mod count;
mod page;
mod params;
mod simple;

use dfuse_antelope::Name;
use dfuse_http::{
    AnswerForm, Charge, Counts, Endpoint,
    Kind::{BlockNumber, Choice, Flag, Integer, Name as NameKind, SearchQuery, Text},
    Parameter,
};
use dfuse_kv::Direction;
use dfuse_query::{
    ApiResult, Class, ErrorCode, RouteClass,
    search::{BlockSpan, SearchQuestion, account_history},
};

use self::params::{QueryRule, cursor};
use super::{
    answers,
    parameters::{CURSOR, LIMIT},
};
use crate::{
    Api, JsonList, Params,
    params::rules::{Field, Problems, at_least, between, boolean, name, sort_is_descending},
};

const START: Parameter =
    Parameter::optional("start_block", BlockNumber, "where the range begins; with the newest first, its highest block")
        .or("0");
const COUNT: Parameter = Parameter::optional("block_count", Integer(1, u32::MAX as u64), "blocks of the range");
const REVERSIBLE: Parameter = Parameter::optional("with_reversible", Flag, "include blocks that may be undone");
const QUERY: Parameter = Parameter::required("q", SearchQuery, "what to look for");
const SORT: Parameter = Parameter::optional("sort", Choice(&["asc", "desc"]), "in which order, in any case of letters");

pub(super) fn endpoints() -> Vec<Endpoint> {
    use Class::{LookUp, Page, Search};
    const TRANSACTIONS: &[Parameter] = &[
        QUERY,
        START,
        COUNT,
        LIMIT,
        CURSOR,
        SORT.or("asc"),
        REVERSIBLE.or("false"),
        Parameter::optional("explain", Flag, "add how the query was understood").or("false"),
    ];
    const COUNTED: &[Parameter] = &[QUERY, START, COUNT, REVERSIBLE.or("false")];
    const COMPLETED: &[Parameter] = &[Parameter::required("prefix", Text, "what was written so far")];
    const NAMED: &[Parameter] = &[Parameter::required("q", Text, "an id, a number, an account or a time")];
    const OF_ACCOUNT: &[Parameter] = &[
        Parameter::required("account", NameKind, "the account").in_path(),
        Parameter::optional("contract", NameKind, "actions of this contract alone"),
        START,
        COUNT,
        LIMIT,
        CURSOR,
        SORT.or("desc"),
        REVERSIBLE.or("true"),
    ];
    const PAGED: &[ErrorCode] = &[ErrorCode::CursorTooOld, ErrorCode::QueryTooBroad];
    vec![
        Endpoint::new(
            "/v0/search/transactions",
            Charge::new(Search, RouteClass::Search).counting(Counts::Results),
            transactions,
        )
        .takes(TRANSACTIONS)
        .answers("A page of the transactions with actions that match.", AnswerForm::Json(answers::FOUND_PAGE))
        .fails(PAGED),
        Endpoint::new("/v0/search/count", Charge::new(Search, RouteClass::Search), count::count)
            .takes(COUNTED)
            .answers("How many transactions and actions match.", AnswerForm::Json(answers::COUNTED))
            .fails(&[ErrorCode::QueryTooBroad]),
        Endpoint::new(
            "/v0/search/completion",
            Charge::new(LookUp, RouteClass::Explorer).counting(Counts::Nothing),
            completion::completion,
        )
        .takes(COMPLETED)
        .answers("How a query may go on, in sections.", AnswerForm::Json(answers::COMPLETION)),
        Endpoint::new("/v0/simple_search", Charge::new(Page, RouteClass::Explorer), simple::simple_search)
            .takes(NAMED)
            .answers("What a text names: a block, a transaction or an account.", AnswerForm::Json(answers::NAMED))
            .fails(&[ErrorCode::SimpleSearchNotFound, ErrorCode::StateUnavailable]),
        Endpoint::new("/v0/accounts/{account}/actions", Charge::new(Search, RouteClass::Search), account_actions)
            .takes(OF_ACCOUNT)
            .answers("What an account has done, and what has come to it.", AnswerForm::Json(answers::FOUND_PAGE))
            .fails(PAGED),
    ]
}

/// A page of the transactions with actions that match, in either direction.
async fn transactions(api: Api, params: Params) -> ApiResult<JsonList> {
    let (question, explain) = question_of(&api, params)?;
    page::answer(&api, question, explain).await
}

fn question_of(api: &Api, mut params: Params) -> ApiResult<(SearchQuestion, bool)> {
    let rule = QueryRule::new(api);
    let query = params.required("q", |field| rule.read(field));
    let start = params.optional_or("start_block", 0, between(0..=u32::MAX));
    let count = params.optional_or("block_count", u32::MAX, at_least(1));
    let limit = params.optional_or("limit", 100, between(1..=100));
    let cursor = params.optional("cursor", cursor(api));
    let descending = params.optional_or("sort", false, sort_is_descending);
    let reversible = params.optional_or("with_reversible", false, boolean);
    let explain = params.optional_or("explain", false, boolean);
    let checked = (query, start, count, limit, cursor, descending, reversible, explain);
    let (query, start, count, limit, cursor, descending, with_reversible, explain): (_, _, _, u8, _, _, _, _) =
        rule.finish(params, checked)?;
    let span = BlockSpan { start, count, direction: direction(descending), with_reversible };
    Ok((SearchQuestion { query, span: span.into(), limit: limit.into(), cursor: cursor.flatten() }, explain))
}

/// What an account has done and what has come to it, newest first unless it is asked for otherwise.
async fn account_actions(api: Api, params: Params) -> ApiResult<JsonList> {
    let question = history_of(&api, params)?;
    page::answer(&api, question, false).await
}

fn history_of(api: &Api, mut params: Params) -> ApiResult<SearchQuestion> {
    let account = params.required("account", account);
    let contract = params.optional("contract", account_or_none);
    let start = params.optional_or("start_block", 0, between(0..=u32::MAX));
    let count = params.optional_or("block_count", u32::MAX, at_least(1));
    let limit = params.optional_or("limit", 100, between(1..=100));
    let cursor = params.optional("cursor", cursor(api));
    let descending = params.optional_or("sort", true, sort_is_descending);
    let reversible = params.optional_or("with_reversible", true, boolean);
    let checked = (account, contract, start, count, limit, cursor, descending, reversible);
    let (account, contract, start, count, limit, cursor, descending, with_reversible): (_, _, _, _, u8, _, _, _) =
        params.finish(checked)?;
    let query = account_history(api, account, contract.flatten())?;
    let span = BlockSpan { start, count, direction: direction(descending), with_reversible };
    Ok(SearchQuestion { query, span: span.into(), limit: limit.into(), cursor: cursor.flatten() })
}

fn direction(descending: bool) -> Direction {
    if descending { Direction::Reverse } else { Direction::Forward }
}

/// A name that is not empty.
fn account(field: &Field<'_>) -> Result<Name, Problems> {
    account_or_none(field)?.ok_or_else(|| field.expected("the name of an account"))
}

fn account_or_none(field: &Field<'_>) -> Result<Option<Name>, Problems> {
    Ok(Some(name(field)?).filter(|name| *name != Name(0)))
}
