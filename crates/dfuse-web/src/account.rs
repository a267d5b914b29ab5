//! An account: what it has, who may use it, what it did.

mod permissions;
mod transfers;

use std::ops::ControlFlow;

use dfuse_antelope::{Name, PublicKey};
use dfuse_http::{
    Api, Endpoint,
    Kind::{Cursor, Name as NameKind, PublicKey as KeyKind},
    Parameter, Params,
    params::rules::{Field, Problems, name, public_key, text},
};
use dfuse_index::{accounts, blocks};
use dfuse_kv::Direction;
use dfuse_query::{
    ApiError, ApiResult, Class, ErrorCode, ReadContext,
    search::{self, AskedBlocks, BlockSpan, SearchQuestion, account_history},
    state::{self, AskedHeight, Holder},
};
use dfuse_render::rfc3339;
use dfuse_search::Position;
use dfuse_state::account_state;
use maud::{Markup, html};

use crate::{
    links,
    page::{Live, Page, endpoint, facts},
    shown::Shown,
    transactions::{Listed, lifecycle, table},
};

/// Most balances, and most accounts of a key.
const BALANCES: usize = 100;
/// Transactions of a page of its history.
const HISTORY: usize = 20;
/// How far back "earlier" is.
const EARLIER: u32 = 100;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const OF_ACCOUNT: &[Parameter] = &[
        Parameter::required("name", NameKind, "the account").in_path(),
        Parameter::optional("contract", NameKind, "only actions of this contract").or(""),
        Parameter::optional("cursor", Cursor, "where the history begins").or(""),
    ];
    const OF_KEY: &[Parameter] = &[Parameter::required("key", KeyKind, "the public key").in_path()];
    vec![
        endpoint("/account/{name}", Class::Search, "A page: an account.", account).takes(OF_ACCOUNT).fails(&[
            ErrorCode::AccountNotFound,
            ErrorCode::CursorTooOld,
            ErrorCode::QueryTooBroad,
            ErrorCode::StateUnavailable,
        ]),
        transfers::endpoint(),
        endpoint("/key/{key}", Class::Page, "A page: the accounts of a public key.", key)
            .takes(OF_KEY)
            .fails(&[ErrorCode::PublicKeyNotFound, ErrorCode::StateUnavailable]),
    ]
}

/// A name that is not empty.
pub(crate) fn existing(field: &Field<'_>) -> Result<Name, Problems> {
    let name = name(field)?;
    if name == Name(0) { Err(field.expected("the name of an account")) } else { Ok(name) }
}

async fn account(api: Api, mut params: Params) -> ApiResult<Page> {
    let name_asked = params.required("name", existing);
    let contract = params.optional_or("contract", Name(0), name);
    let cursor = params.optional_or("cursor", String::new(), text);
    let (name, contract, cursor) = params.finish((name_asked, contract, cursor))?;
    let contract = Some(contract).filter(|contract| *contract != Name(0));
    api.query(move |read| page(read, name, contract, &cursor)).await
}

fn page(read: &ReadContext<'_>, name: Name, contract: Option<Name>, cursor: &str) -> ApiResult<Page> {
    let Some(account) = accounts::get(read.view(), name)? else {
        let message = format!("No account \"{name}\" is known.");
        return Err(ApiError::new(ErrorCode::AccountNotFound, message));
    };
    let shown = Shown::new(&links::address(&format!("/v0/accounts/{name}/actions"), [("limit", "20")]));
    let content = html! {
        section #outline .live aria-label="Outline" { (outline(read, &account)?) }
        section #balances .live aria-label="Balances" { h2 { "Balances" } (balances(read, name)?) }
        section #resources .live aria-label="Resources" { h2 { "Resources" } (resources(read, name)?) }
        h2 { "Permissions" }
        (permissions::tree(read, name)?)
        (contract_links(read, name)?)
        h2 { "History" }
        (filter(name, contract))
        (history(read, name, contract, cursor, &shown)?)
    };
    let api = links::address("/v0/simple_search", [("q", &name.to_string())]);
    Ok(Page::new(format!("Account {name}"), api, content).following(Live::Account(name)))
}

fn outline(read: &ReadContext<'_>, account: &accounts::Account) -> ApiResult<Markup> {
    let base = account_state::base(read.view(), account.name)?;
    let block = blocks::by_number(read.view(), account.block_number)?;
    Ok(html! {
        @match &account.creation {
            Some(creation) => p {
                "Created by " (links::account(creation.creator)) " in block " (links::numbered_block(account.block_number))
                @if let Some(block) = block { " at " time { (rfc3339(block.time)) } }
                ", transaction " (links::transaction(&creation.transaction_id.to_string())) "."
            },
            None => p { "It is older than the indexes, or of the genesis." },
        }
        @if base.is_privileged { p { strong { "Privileged" } ": it may do what only the chain's own contracts may." } }
    })
}

fn balances(read: &ReadContext<'_>, name: Name) -> ApiResult<Markup> {
    let page = state::balances(read, name, false, true, BALANCES, None)?;
    let head = page.height.number();
    let earlier = head.saturating_sub(EARLIER).max(1).to_string();
    let scope = name.to_string();
    let api = format!("/v0/accounts/{name}/balances?with_staked=true");
    Ok(html! {
        @if page.items.is_empty() { p.quiet { "None." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Balances" {
                table {
                    thead { tr { th scope="col" { "Token" } th scope="col" { "Balance" } th scope="col" { "Staked" } th scope="col" { "Earlier" } } }
                    tbody {
                        @for Holder { holder, staked } in &page.items {
                            @let (contract, code) = (holder.token.contract.to_string(), holder.token.symbol_code.to_string());
                            @let rows = [("account", contract.as_str()), ("table", "accounts"), ("scope", &scope)];
                            tr {
                                td { a href={ "/token/" (contract) "/" (code) } { (code) } " of " (links::account(holder.token.contract)) }
                                td { (holder.balance) }
                                td { @if let Some(staked) = staked { (staked) } }
                                td {
                                    a href=(links::address("/table", [rows[0], rows[1], rows[2], ("key_type", "symbol_code"), ("block_num", &earlier)])) { (EARLIER) " blocks ago" }
                                    " · "
                                    a href=(links::address("/table/row", [rows[0], rows[1], rows[2], ("key_type", "symbol_code"), ("primary_key", &code)])) { "history" }
                                }
                            }
                        }
                    }
                }
            }
        }
        p.quiet { "At block " (head) ". As API: " a href=(api) { code { "GET " (api) } } }
    })
}

fn resources(read: &ReadContext<'_>, name: Name) -> ApiResult<Markup> {
    let limits = account_state::limits(read.view(), name)?;
    let usage = account_state::ram_usage(read.view(), name)?;
    let limit = |limit: i64| if limit < 0 { "unlimited".to_owned() } else { limit.to_string() };
    let used = usage.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
    Ok(facts(&[
        ("RAM used", html! { (used) " bytes" }),
        ("RAM at most", html! { (limits.map_or_else(|| "unknown".to_owned(), |it| limit(it.ram_bytes))) " bytes" }),
        ("CPU weight", html! { (limits.map_or_else(|| "unknown".to_owned(), |it| limit(it.cpu_weight))) }),
        ("Network weight", html! { (limits.map_or_else(|| "unknown".to_owned(), |it| limit(it.net_weight))) }),
    ]))
}

/// For an account with a contract.
fn contract_links(read: &ReadContext<'_>, name: Name) -> ApiResult<Markup> {
    let abi = match state::abi(read, name, AskedHeight::HEAD) {
        Ok(abi) => abi.decode().ok(),
        Err(error) if error.code() == ErrorCode::AbiNotFound => None,
        Err(error) => return Err(error),
    };
    let Some(abi) = abi else { return Ok(html! {}) };
    let contract = name.to_string();
    Ok(html! {
        h2 { "Contract" }
        p { a href={ "/contract/" (contract) } { "Actions, tables and types" } }
        @if !abi.tables.is_empty() {
            p { "Tables: "
                @for table in abi.tables.iter().take(BALANCES) {
                    a href=(links::address("/table", [("account", &contract), ("table", &table.name.to_string())])) { (table.name) } " "
                } }
        }
    })
}

fn filter(name: Name, contract: Option<Name>) -> Markup {
    html! {
        form.filter action={ "/account/" (name) } {
            label { "Only actions of the contract" input name="contract" value=[contract] spellcheck="false" autocomplete="off"; }
            button { "Filter" }
        }
        p { "Sums: "
            a href={ "/account/" (name) "/transfers" } { "who sent most to it" } " · "
            a href={ "/account/" (name) "/transfers?way=from" } { "to whom it sent most" }
        }
        p { "Search: "
            a href=(links::address("/search", [("q", &format!("action:transfer data.to:{name}"))])) { "transfers to it" } " · "
            a href=(links::address("/search", [("q", &format!("action:transfer data.from:{name}"))])) { "transfers from it" }
        }
    }
}

fn history(
    read: &ReadContext<'_>,
    name: Name,
    contract: Option<Name>,
    cursor: &str,
    shown: &Shown,
) -> ApiResult<Markup> {
    let query = account_history(read.service(), name, contract)?;
    let cursor = match cursor {
        "" => None,
        cursor => {
            let position = Position::open(cursor, read.chain().feed.cursor_key());
            Some(position.map_err(|_| ApiError::invalid_parameter("cursor", "must be the cursor of a search"))?)
        }
    };
    let span = BlockSpan { start: 0, count: u32::MAX, direction: Direction::Reverse, with_reversible: true };
    let page = search::page(read, SearchQuestion { query, span: AskedBlocks::Span(span), limit: HISTORY, cursor })?;
    let mut listed = Vec::new();
    let taken = page.each_lifecycle(read, |item, found, view| {
        listed.push(Listed::new(&lifecycle(&read.abis(view), found)?, item.undo));
        Ok(ControlFlow::Continue(()))
    })?;
    let contract = contract.map(|contract| contract.to_string()).unwrap_or_default();
    let next = page.cursor(read, taken).filter(|_| !page.searched(taken).is_complete);
    let path = format!("/account/{name}");
    let next = next.map(|next| links::address(&path, [("contract", &contract), ("cursor", &next)]));
    Ok(table("history", &listed, next.as_deref(), shown))
}

async fn key(api: Api, mut params: Params) -> ApiResult<Page> {
    let key = params.required("key", public_key);
    let key: PublicKey = params.finish(key)?;
    api.query(move |read| {
        let text = key.to_string();
        let api = links::address("/v0/state/key_accounts", [("public_key", &text)]);
        let mut accounts = state::key_accounts(read, key, AskedHeight::HEAD)?;
        let mut found = Vec::new();
        while found.len() < BALANCES
            && let Some(account) = accounts.next_item()?
        {
            found.push(account);
        }
        let content = html! {
            p { code.id { (text) } }
            @if found.is_empty() { p.quiet { "It stands in no permission any more." } }
            ul {
                @for it in &found {
                    li { (links::account(it.account)) "@" (it.permission) ", since block " (links::numbered_block(it.block_number)) }
                }
            }
            @if found.len() == BALANCES { p { (Shown::new(&api).rest("all accounts as JSON")) } }
        };
        Ok(Page::new("Public key", api, content).searching(&text))
    })
    .await
}
