//! `/search`: what a text names, or else the transactions that a query finds.

use std::ops::ControlFlow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dfuse_antelope::{PublicKey, SymbolCode};
use dfuse_http::{
    Api, Endpoint,
    Kind::{Choice, Cursor, Flag, Text},
    Parameter, Params,
    params::rules::{boolean, sort_is_descending, text},
};
use dfuse_kv::Direction;
use dfuse_query::{
    ApiError, ApiResult, Class, ErrorCode, ReadContext,
    lookup::{self, Found},
    search::{self, AskedBlocks, BlockSpan, InvalidQuery, SearchPage, SearchQuestion},
    secrets,
};
use dfuse_search::{Position, Query};
use maud::{Markup, html};

use crate::{
    links,
    page::{Page, endpoint},
    shown::{Shown, visible},
    transactions::{Listed, lifecycle, table},
};

const PATH: &str = "/search";
const RESULTS: usize = 25;

const EXAMPLES: [(&str, &str); 6] = [
    ("receiver:eosio.token action:transfer", "transfers of the system's token"),
    ("(auth:alice OR receiver:alice)", "what an account did and what came to it"),
    ("action:transfer data.to:alice", "transfers to an account, of any token"),
    ("action:transfer data.from:alice data.to:bob", "from one account to another"),
    ("db.table:accounts/alice", "changes of a table's rows in a scope"),
    ("account:eosio -action:onblock", "actions of a contract, one of them left out"),
];

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const PARAMETERS: &[Parameter] = &[
        Parameter::optional("q", Text, "what to look for").or(""),
        Parameter::optional("sort", Choice(&["asc", "desc"]), "in which order").or("desc"),
        Parameter::optional("with_reversible", Flag, "include blocks that may be undone").or("true"),
        Parameter::optional("cursor", Cursor, "where the page begins").or(""),
    ];
    vec![
        endpoint(PATH, Class::Search, "A page: what a text names, or the transactions that a query finds.", search)
            .takes(PARAMETERS)
            .fails(&[ErrorCode::CursorTooOld, ErrorCode::QueryTooBroad, ErrorCode::StateUnavailable]),
    ]
}

/// What is answered.
enum Answer {
    /// The page of what the text names.
    Elsewhere(String),
    Page(Box<Page>),
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Page(page) => page.into_response(),
            Self::Elsewhere(address) => {
                let mut response = StatusCode::SEE_OTHER.into_response();
                if let Ok(address) = HeaderValue::from_str(&address) {
                    response.headers_mut().insert(header::LOCATION, address);
                }
                response
            }
        }
    }
}

/// What the form has.
#[derive(Debug)]
struct Asked {
    text: String,
    descending: bool,
    with_reversible: bool,
    cursor: String,
}

async fn search(api: Api, mut params: Params) -> ApiResult<Answer> {
    let text_asked = params.optional_or("q", String::new(), text);
    let descending = params.optional_or("sort", true, sort_is_descending);
    let with_reversible = params.optional_or("with_reversible", true, boolean);
    let cursor = params.optional_or("cursor", String::new(), text);
    let (text, descending, with_reversible, cursor) =
        params.finish((text_asked, descending, with_reversible, cursor))?;
    let asked = Asked { text, descending, with_reversible, cursor };
    api.query(move |read| answer(read, &asked)).await
}

fn answer(read: &ReadContext<'_>, asked: &Asked) -> ApiResult<Answer> {
    if asked.text.is_empty() {
        return Ok(help(asked, &html! {}));
    }
    if secrets::contains_private_key(&asked.text) {
        let warning = html! {
            p.notice { "This looks like a private key, which nobody else may know: if it is in use, replace it." }
        };
        return Ok(help(&Asked { text: String::new(), cursor: String::new(), ..*asked }, &warning));
    }
    if let Some(address) = named(read, &asked.text)? {
        return Ok(Answer::Elsewhere(address));
    }
    match search::parse(read.service(), &asked.text) {
        Ok(query) => Ok(results(read, asked, query)?),
        Err(invalid) => Ok(help(asked, &problems(&invalid))),
    }
}

/// The page of what a text names, if it is no query.
fn named(read: &ReadContext<'_>, text: &str) -> ApiResult<Option<String>> {
    // A field and a colon; a time has digits before its colons.
    let is_query = text
        .split_once(':')
        .is_some_and(|(before, _)| before.ends_with(|it: char| it.is_ascii_lowercase() || it == '_'));
    if is_query {
        return Ok(None);
    }
    match lookup::find(read, text) {
        Ok(Found::Block(block, _)) => return Ok(Some(format!("/block/{}", block.id))),
        Ok(Found::BlockId(id)) => return Ok(Some(format!("/block/{id}"))),
        Ok(Found::Transaction(lifecycle)) => return Ok(Some(format!("/tx/{}", lifecycle.id))),
        Ok(Found::TransactionId(id)) => return Ok(Some(format!("/tx/{id}"))),
        Ok(Found::Account(account)) => return Ok(Some(format!("/account/{}", account.name))),
        Err(error) if error.code() == ErrorCode::SimpleSearchNotFound => {}
        Err(error) => return Err(error),
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        return Ok(Some(format!("/key/{key}")));
    }
    Ok(text.parse::<SymbolCode>().ok().map(|code| format!("/tokens?symbol={code}")))
}

fn results(read: &ReadContext<'_>, asked: &Asked, query: Query) -> ApiResult<Answer> {
    let cursor = match asked.cursor.as_str() {
        "" => None,
        cursor => {
            let position = Position::open(cursor, read.chain().feed.cursor_key());
            Some(position.map_err(|_| ApiError::invalid_parameter("cursor", "must be the cursor of a search"))?)
        }
    };
    let direction = if asked.descending { Direction::Reverse } else { Direction::Forward };
    let span = BlockSpan { start: 0, count: u32::MAX, direction, with_reversible: asked.with_reversible };
    let page = search::page(read, SearchQuestion { query, span: AskedBlocks::Span(span), limit: RESULTS, cursor })?;
    let mut listed = Vec::new();
    let taken = page.each_lifecycle(read, |item, found, view| {
        listed.push(Listed::new(&lifecycle(&read.abis(view), found)?, item.undo));
        Ok(ControlFlow::Continue(()))
    })?;
    let api = asked.address("/v0/search/transactions", &asked.cursor);
    let shown = Shown::new(&api);
    // At the end of a list that may grow, its cursor finds nothing yet.
    let next = page.cursor(read, taken).filter(|_| !page.searched(taken).is_complete);
    let next = next.map(|next| asked.address(PATH, &next));
    let content = html! {
        (form(asked))
        (range(&page, taken))
        (table("results", &listed, next.as_deref(), &shown))
        (explanation(&page))
        h2 { "The language" }
        (language())
    };
    Ok(Answer::Page(Box::new(Page::new("Search", api, content).searching(&asked.text))))
}

impl Asked {
    /// The same question at another address, from that cursor on.
    fn address(&self, path: &str, cursor: &str) -> String {
        let sort = if self.descending { "desc" } else { "asc" };
        let reversible = if self.with_reversible { "true" } else { "false" };
        links::address(path, [("q", &self.text), ("sort", sort), ("with_reversible", reversible), ("cursor", cursor)])
    }
}

fn form(asked: &Asked) -> Markup {
    html! {
        form.filter action=(PATH) {
            label { "Query" input name="q" value=(asked.text) spellcheck="false" autocomplete="off"; }
            label { "Order"
                select name="sort" {
                    option value="desc" selected[asked.descending] { "newest first" }
                    option value="asc" selected[!asked.descending] { "oldest first" }
                }
            }
            label { "Blocks"
                select name="with_reversible" {
                    option value="true" selected[asked.with_reversible] { "all" }
                    option value="false" selected[!asked.with_reversible] { "irreversible ones" }
                }
            }
            button { "Search" }
        }
    }
}

fn range(page: &SearchPage, taken: usize) -> Markup {
    let searched = page.searched(taken);
    html! {
        @if let Some(blocks) = &searched.blocks {
            p.quiet {
                "Searched blocks " (blocks.start()) " to " (blocks.end()) @if !searched.is_complete { "; there may be more" } "."
            }
        }
        @if let Some(first) = page.incomplete_from() {
            p.notice { "The indexes begin with block " (first) ", in the middle of the chain: older results are missing." }
        }
    }
}

/// How the query was understood, and what it cost.
fn explanation(page: &SearchPage) -> Markup {
    let (query, cost) = (&page.question().query, page.cost());
    html! {
        details #explanation {
            summary { "How the query was understood" }
            pre { (visible(&secrets::masked(query.canonical()))) }
            p { (cost.work) " units of work, " (cost.blocks_read) " blocks read, " (cost.search_time.as_millis()) " ms." }
        }
    }
}

fn problems(invalid: &InvalidQuery) -> Markup {
    html! {
        div.notice role="alert" {
            p { "This names nothing that is known, and it is not a query:" }
            ul { @for problem in &invalid.problems { li { (visible(problem)) } } }
        }
    }
}

fn help(asked: &Asked, before: &Markup) -> Answer {
    let content = html! { (form(asked)) (before) h2 { "The language" } (language()) };
    let api = asked.address("/v0/search/transactions", "");
    Answer::Page(Box::new(Page::new("Search", api, content).searching(&asked.text)))
}

fn language() -> Markup {
    html! {
        p {
            "A query has conditions " code { "field:value" } ", all of which must hold for an action. "
            code { "-" } " before a condition turns it around, " code { "OR" } " stands between alternatives in parentheses, "
            "and a value with spaces stands in quotes. Fields of an action's data begin with " code { "data." } "."
        }
        dl.fields {
            @for (query, what) in EXAMPLES {
                div { dt { a href=(links::address(PATH, [("q", query)])) { code { (query) } } } dd { (what) } }
            }
        }
        p.quiet { "Fields: account, receiver, action, auth, block_num, trx_idx, status, input, notif, scheduled, db.table, db.key,
            ram.consumed, ram.released, and data. with the name of a field." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_an_address() {
        let asked =
            Asked { text: "a:b & c".to_owned(), descending: true, with_reversible: false, cursor: String::new() };
        assert_eq!(asked.address("/search", "x"), "/search?q=a%3Ab+%26+c&sort=desc&with_reversible=false&cursor=x");
    }
}
