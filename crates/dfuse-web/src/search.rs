//! `/search`: what a text names, or else the transactions that a query finds.

mod asked;
mod language;
mod results;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dfuse_antelope::{PublicKey, Symbol, SymbolCode};
use dfuse_http::{Api, Endpoint, Params};
use dfuse_query::{
    ApiResult, Class, ErrorCode, ReadContext,
    lookup::{self, Found},
    search::{self, InvalidQuery},
    secrets,
};
use maud::{Markup, html};

use self::{
    asked::{Asked, PARAMETERS, PATH},
    language::language,
    results::results,
};
use crate::{
    page::{Page, endpoint},
    shown::visible,
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
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

async fn search(api: Api, params: Params) -> ApiResult<Answer> {
    let asked = Asked::of(params)?;
    api.query(move |read| answer(read, &asked)).await
}

fn answer(read: &ReadContext<'_>, asked: &Asked) -> ApiResult<Answer> {
    if let Some(whole) = asked.with_field() {
        return Ok(Answer::Elsewhere(whole.address(PATH, "")));
    }
    if asked.text.is_empty() {
        return Ok(help(asked, &html! {}));
    }
    if secrets::contains_private_key(&asked.text) {
        let warning = html! {
            p.notice { "This looks like a private key, which nobody else may know: if it is in use, replace it." }
        };
        return Ok(help(&asked.with_text(""), &warning));
    }
    if let Some(address) = named(read, &asked.text)? {
        return Ok(Answer::Elsewhere(address));
    }
    match search::parse(read.service(), &asked.text) {
        Ok(query) => Ok(Answer::Page(Box::new(results(read, asked, query)?))),
        Err(invalid) => {
            Ok(help(asked, &problems("This names nothing that is known, and it is not a query:", &invalid)))
        }
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
    let code = text.parse::<SymbolCode>().ok().or_else(|| text.parse::<Symbol>().ok().map(|symbol| symbol.code()));
    Ok(code.map(|code| format!("/tokens?symbol={code}")))
}

/// Whether the name of a field of an ABI can stand in a query.
pub(crate) fn is_field(name: &str) -> bool {
    const MOST: usize = 64;
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_';
    !name.is_empty() && name.len() <= MOST && name.bytes().all(is_letter)
}

/// Why a query cannot be searched.
pub(crate) fn problems(what: &str, invalid: &InvalidQuery) -> Markup {
    html! {
        div.notice role="alert" {
            p { (what) }
            ul { @for problem in &invalid.problems { li { (visible(problem)) } } }
        }
    }
}

fn help(asked: &Asked, before: &Markup) -> Answer {
    let content = html! { (asked.form()) (before) h2 { "The language" } (language()) };
    let api = asked.address("/v0/search/transactions", "");
    Answer::Page(Box::new(Page::new("Search", api, content).searching(&asked.text)))
}
