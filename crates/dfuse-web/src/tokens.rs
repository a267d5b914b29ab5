//! Tokens and who holds them.

use dfuse_antelope::{Name, Symbol, SymbolCode};
use dfuse_blocks::CursorKind;
use dfuse_http::{
    Api, Endpoint,
    Kind::{Cursor, Name as NameKind, SymbolCode as CodeKind},
    Parameter, Params,
    params::rules::{Field, Problems, name, text},
};
use dfuse_query::{
    ApiError, ApiResult, Class, ErrorCode, ListCursor, ReadContext,
    state::{self, Holder, TokenHolders},
};
use dfuse_state::tokens::{Token, TokenKey};
use maud::{Markup, html};

use crate::{
    links,
    page::{Page, endpoint, facts, scrolling},
    rules::existing,
};

const TOKENS: usize = 50;
/// Tokens that are looked through for a symbol, on one page.
const LOOKED_THROUGH: usize = 1000;
const HOLDERS: usize = 50;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const LIST: &[Parameter] = &[
        Parameter::optional("contract", NameKind, "only tokens of this contract").or(""),
        Parameter::optional("symbol", CodeKind, "only tokens of this symbol"),
        Parameter::optional("cursor", Cursor, "where the list begins").or(""),
    ];
    const ONE: &[Parameter] = &[
        Parameter::required("contract", NameKind, "the contract").in_path(),
        Parameter::required("symbol", CodeKind, "the symbol's code").in_path(),
        Parameter::optional("cursor", Cursor, "where the list of holders begins").or(""),
    ];
    const ERRORS: &[ErrorCode] = &[ErrorCode::TokenNotFound, ErrorCode::StateUnavailable];
    vec![
        endpoint("/tokens", Class::Search, "A page: tokens.", tokens).takes(LIST).fails(ERRORS),
        endpoint("/token/{contract}/{symbol}", Class::Search, "A page: a token and who holds it.", token)
            .takes(ONE)
            .fails(ERRORS),
    ]
}

/// `EOS`; `4,EOS` is taken for the same.
fn symbol_code(field: &Field<'_>) -> Result<SymbolCode, Problems> {
    let symbol = || field.text.parse().map(|symbol: Symbol| symbol.code());
    field.text.parse().or_else(|_| symbol()).map_err(|_| field.expected("a symbol code such as EOS"))
}

fn opened(read: &ReadContext<'_>, kind: CursorKind, cursor: &str) -> ApiResult<Option<ListCursor>> {
    ListCursor::open(read.service(), kind, cursor).map_err(|problem| ApiError::invalid_parameter("cursor", &problem))
}

async fn tokens(api: Api, mut params: Params) -> ApiResult<Page> {
    let contract = params.optional_or("contract", Name(0), name);
    let symbol = params.optional("symbol", symbol_code);
    let cursor = params.optional_or("cursor", String::new(), text);
    let (contract, symbol, cursor) = params.finish((contract, symbol, cursor))?;
    let contract = Some(contract).filter(|contract| *contract != Name(0));
    api.query(move |read| {
        let limit = if symbol.is_some() { LOOKED_THROUGH } else { TOKENS };
        let page = state::tokens(read, contract, false, limit, opened(read, CursorKind::Tokens, &cursor)?.as_ref())?;
        let wanted = page.items.iter().filter(|token| symbol.is_none_or(|symbol| token.key.symbol_code == symbol));
        let wanted: Vec<_> = wanted.take(TOKENS).collect();
        let contract = contract.map(|contract| contract.to_string()).unwrap_or_default();
        let code = symbol.map(|symbol| symbol.to_string()).unwrap_or_default();
        let next = page
            .cursor
            .as_deref()
            .map(|next| links::address("/tokens", [("contract", &contract), ("symbol", &code), ("cursor", next)]));
        let limit = limit.to_string();
        let api = links::address("/v0/tokens", [("contract", &contract), ("limit", &limit), ("cursor", &cursor)]);
        let content = html! {
            form.filter action="/tokens" {
                label { "Contract" input name="contract" value=(contract) spellcheck="false" autocomplete="off"; }
                button { "Filter" }
            }
            (list(&wanted, next.as_deref()))
        };
        Ok(Page::new(if code.is_empty() { "Tokens".to_owned() } else { format!("Tokens named {code}") }, api, content))
    })
    .await
}

fn list(tokens: &[&Token], next: Option<&str>) -> Markup {
    html! {
        div #tokens .extends {
            @if tokens.is_empty() { p.quiet { "None." } }
            @else {
                (scrolling("Tokens", &html! {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Token" } th.right scope="col" { "Supply" } th.right scope="col" { "At most" }
                                th.right scope="col" { "Holders" } th scope="col" { "Contract" } th scope="col" { "Issuer" }
                            }
                        }
                        tbody {
                            @for token in tokens {
                                tr {
                                    td { a href={ "/token/" (token.key.contract) "/" (token.key.symbol_code) } { (token.key.symbol_code) } }
                                    td.right { (token.supply) }
                                    td.right { (token.max_supply) }
                                    td.right { (token.holders) }
                                    td { (links::account(token.key.contract)) }
                                    td { (links::account(token.issuer)) }
                                }
                            }
                        }
                    }
                }))
            }
            @if let Some(next) = next { p { a.more href=(next) { "More" } } }
        }
    }
}

async fn token(api: Api, mut params: Params) -> ApiResult<Page> {
    let contract = params.required("contract", existing);
    let symbol_code = params.required("symbol", symbol_code);
    let cursor = params.optional_or("cursor", String::new(), text);
    let (contract, symbol_code, cursor) = params.finish((contract, symbol_code, cursor))?;
    let key = TokenKey { contract, symbol_code };
    api.query(move |read| {
        let opened = opened(read, CursorKind::Holders, &cursor)?;
        let TokenHolders { token, page } = state::holders(read, key, false, true, HOLDERS, opened.as_ref())?;
        let path = format!("/token/{contract}/{symbol_code}");
        let next = page.cursor.as_deref().map(|next| links::address(&path, [("cursor", next)]));
        let limit = HOLDERS.to_string();
        let api = links::address(
            &format!("/v0/tokens/{contract}/{symbol_code}/holders"),
            [("with_staked", "true"), ("limit", &limit), ("cursor", &cursor)],
        );
        let content = html! {
            (facts(&[
                ("Contract", links::account(contract)),
                ("Issuer", links::account(token.issuer)),
                ("Supply", html! { (token.supply) }),
                ("Supply at most", html! { (token.max_supply) }),
                ("Holders", html! { (token.holders) }),
            ]))
            h2 { "Holders" }
            (holders(&page.items, next.as_deref()))
            p.quiet { "At block " (page.height.number()) "." }
        };
        Ok(Page::new(format!("Token {symbol_code}"), api, content))
    })
    .await
}

fn holders(holders: &[Holder], next: Option<&str>) -> Markup {
    html! {
        div #holders .extends {
            @if holders.is_empty() { p.quiet { "None." } }
            @else {
                (scrolling("Holders", &html! {
                    table {
                        thead { tr { th scope="col" { "Account" } th.right scope="col" { "Balance" } th.right scope="col" { "Staked" } } }
                        tbody {
                            @for Holder { holder, staked } in holders {
                                tr {
                                    td { (links::account(holder.account)) }
                                    td.right { (holder.balance) }
                                    td.right { @if let Some(staked) = staked { (staked) } }
                                }
                            }
                        }
                    }
                }))
            }
            @if let Some(next) = next { p { a.more href=(next) { "More" } } }
        }
    }
}
