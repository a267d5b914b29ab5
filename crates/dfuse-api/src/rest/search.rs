//! Search: pages of transactions, histories of accounts, counts, and what the search box of an explorer asks.

mod blocks;
mod completion;
mod count;
mod coverage;
mod page;
mod params;
mod range;
mod simple;
mod undone;

use axum::Router;
use dfuse_antelope::Name;
use dfuse_kv::Direction;
use dfuse_query::{ApiResult, Class};
use dfuse_search::Query;

use self::{
    page::Search,
    params::{QueryRule, cursor},
    range::Asked,
};
use crate::{
    Api, JsonText, Params,
    answer::both,
    params::rules::{Field, Problems, at_least, between, boolean, name, sort_is_descending},
};

pub(super) fn routes() -> Router<Api> {
    use Class::{LookUp, Page, Search};
    Router::new()
        .route("/v0/search/transactions", both(Search, transactions))
        .route("/v0/search/count", both(Search, count::count))
        .route("/v0/search/completion", both(LookUp, completion::completion))
        .route("/v0/simple_search", both(Page, simple::simple_search))
        .route("/v0/accounts/{account}/actions", both(Search, account_actions))
}

/// A page of the transactions with actions that match, in either direction.
async fn transactions(api: Api, params: Params) -> ApiResult<JsonText> {
    let search = search_of(&api, params)?;
    answer(api, search).await
}

fn search_of(api: &Api, mut params: Params) -> ApiResult<Search> {
    let rule = QueryRule::new(&api.chain().search);
    let query = params.required("q", |field| rule.read(field));
    let start = params.optional_or("start_block", 0, between(0..=u32::MAX));
    let count = params.optional_or("block_count", u32::MAX, at_least(1));
    let limit = params.optional_or("limit", 100, between(1..=100));
    let cursor = params.optional("cursor", cursor(api.chain().feed.cursor_key()));
    let descending = params.optional_or("sort", false, sort_is_descending);
    let reversible = params.optional_or("with_reversible", false, boolean);
    let explain = params.optional_or("explain", false, boolean);
    let checked = (query, start, count, limit, cursor, descending, reversible, explain);
    let (query, start, count, limit, cursor, descending, with_reversible, explain): (_, _, _, u8, _, _, _, _) =
        rule.finish(params, checked)?;
    let direction = if descending { Direction::Reverse } else { Direction::Forward };
    let asked = Asked { start, count, direction, with_reversible };
    Ok(Search { query, asked, limit: limit.into(), cursor: cursor.flatten(), explain })
}

/// What an account has done and what has come to it: the actions that it authorized or executed, newest first unless they are
/// asked for otherwise; those of one contract only, if one is given.
async fn account_actions(api: Api, params: Params) -> ApiResult<JsonText> {
    let search = history_of(&api, params)?;
    answer(api, search).await
}

fn history_of(api: &Api, mut params: Params) -> ApiResult<Search> {
    let account = params.required("account", account);
    let contract = params.optional("contract", account_or_none);
    let start = params.optional_or("start_block", 0, between(0..=u32::MAX));
    let count = params.optional_or("block_count", u32::MAX, at_least(1));
    let limit = params.optional_or("limit", 100, between(1..=100));
    let cursor = params.optional("cursor", cursor(api.chain().feed.cursor_key()));
    let descending = params.optional_or("sort", true, sort_is_descending);
    let reversible = params.optional_or("with_reversible", true, boolean);
    let checked = (account, contract, start, count, limit, cursor, descending, reversible);
    let (account, contract, start, count, limit, cursor, descending, with_reversible): (_, _, _, _, u8, _, _, _) =
        params.finish(checked)?;
    // In quotes: a name may be `true`.
    let mut query = format!("(receiver:\"{account}\" OR auth:\"{account}\")");
    if let Some(contract) = contract.flatten() {
        query += &format!(" account:\"{contract}\"");
    }
    let query = Query::parse(&query, api.chain().search.options())?;
    let direction = if descending { Direction::Reverse } else { Direction::Forward };
    let asked = Asked { start, count, direction, with_reversible };
    Ok(Search { query, asked, limit: limit.into(), cursor: cursor.flatten(), explain: false })
}

async fn answer(api: Api, search: Search) -> ApiResult<JsonText> {
    let reader = api.clone();
    let text = api.read(move |snapshot, reading| search.answer(&reader, snapshot, reading));
    text.await.map(JsonText)
}

/// A name that is not empty.
fn account(field: &Field<'_>) -> Result<Name, Problems> {
    account_or_none(field)?.ok_or_else(|| field.expected("the name of an account"))
}

fn account_or_none(field: &Field<'_>) -> Result<Option<Name>, Problems> {
    Ok(Some(name(field)?).filter(|name| *name != Name(0)))
}
