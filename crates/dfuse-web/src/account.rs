//! An account: what it has, who may use it, what it did; now or at any height.

mod asked;
mod history;
mod holdings;
mod permissions;
mod transfers;

use dfuse_http::{Api, Endpoint, Params};
use dfuse_index::{accounts, blocks};
use dfuse_query::{
    ApiResult, Class, ErrorCode, ReadContext,
    state::{self, Height, account_not_found},
};
use dfuse_render::rfc3339;
use dfuse_state::account_state;
use maud::{Markup, html};

use self::asked::{Asked, PARAMETERS};
use crate::{
    heights::Heights,
    links,
    page::{Live, Page, endpoint, facts},
    shown::Shown,
};

/// Most tables that are listed.
const TABLES: usize = 100;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        endpoint("/account/{name}", Class::Search, "A page: an account.", account).takes(PARAMETERS).fails(&[
            ErrorCode::AccountNotFound,
            ErrorCode::BlockNumAboveHead,
            ErrorCode::CursorTooOld,
            ErrorCode::QueryTooBroad,
            ErrorCode::StateUnavailable,
        ]),
        transfers::endpoint(),
    ]
}

async fn account(api: Api, params: Params) -> ApiResult<Page> {
    let asked = Asked::of(params)?;
    api.query(move |read| page(read, &asked)).await
}

fn page(read: &ReadContext<'_>, asked: &Asked) -> ApiResult<Page> {
    let name = asked.name;
    let Some(account) = accounts::get(read.view(), name)? else {
        // It may be older than the indexes.
        return Err(state::account(read, name).err().unwrap_or_else(|| account_not_found(name)));
    };
    let height = Height::asked(read, asked.at())?;
    let head = read.snapshot().head().map_or(0, |head| head.number);
    let own = format!("/account/{name}");
    let heights = Heights {
        path: &own,
        number: height.number(),
        head,
        is_at_head: asked.is_at_head(),
        at: &|number| asked.page(number, ""),
    };
    let history_api = asked.history_api(history::PER_PAGE);
    let shown = Shown::new(&format!("/v0/simple_search?q={name}"));
    let (code, abi) = (account_state::base(read.view(), name)?, contract(read, asked)?);
    let content = html! {
        section #outline .live aria-label="Outline" { (outline(read, &account, &code)?) }
        section #height aria-label="Block" { (heights.form(&html! {}, &html! {})) }
        section #balances .live aria-label="Balances" { h2 { "Balances" } (holdings::balances(read, asked)?) }
        section #resources .live aria-label="Resources" { h2 { "Resources" } (holdings::resources(read, asked, &shown)?) }
        h2 { "Permissions" }
        (permissions::tree(read, asked)?)
        (abi)
        (history::section(read, asked)?)
    };
    let title = match asked.is_at_head() {
        true => format!("Account {name}"),
        false => format!("Account {name} at block {}", height.number()),
    };
    let live = if asked.is_at_head() { Live::Account(name) } else { Live::Nothing };
    let page = Page::new(title, links::address("/v0/simple_search", [("q", &name.to_string())]), content);
    Ok(page.and_api(history_api).following(live))
}

fn outline(
    read: &ReadContext<'_>,
    account: &accounts::Account,
    base: &account_state::AccountBase,
) -> ApiResult<Markup> {
    let block = blocks::by_number(read.view(), account.block_number)?;
    let mut known = Vec::new();
    match &account.creation {
        Some(creation) => {
            known.push(("Created by", links::account(creation.creator)));
            known.push((
                "Created in",
                html! {
                    "block " (links::numbered_block(account.block_number)) ", transaction "
                    (links::transaction(&creation.transaction_id.to_string()))
                },
            ));
            if let Some(block) = block {
                known.push(("Created at", html! { time { (rfc3339(block.time)) } }));
            }
        }
        None => known.push(("Created", html! { "before the indexes begin, or with the chain" })),
    }
    if base.code_updated.0 > 0 {
        known.push(("Code set at", html! { time { (rfc3339(base.code_updated)) } }));
    }
    Ok(html! {
        (facts(&known))
        @if base.is_privileged { p.notice { strong { "Privileged" } ": it may do what only the chain's own contracts may." } }
    })
}

/// For an account with a contract.
fn contract(read: &ReadContext<'_>, asked: &Asked) -> ApiResult<Markup> {
    let abi = match state::abi(read, asked.name, asked.at()) {
        Ok(abi) => abi.decode().ok(),
        Err(error) if matches!(error.code(), ErrorCode::AbiNotFound | ErrorCode::StateUnavailable) => None,
        Err(error) => return Err(error),
    };
    let Some(abi) = abi else { return Ok(html! {}) };
    let (contract, height) = (asked.name.to_string(), asked.height());
    Ok(html! {
        h2 { "Contract" }
        p { a href=(links::address(&format!("/contract/{contract}"), [("block_num", &height)])) { "Actions, tables and types" } }
        @if !abi.tables.is_empty() {
            ul.tags aria-label="Tables" {
                @for table in abi.tables.iter().take(TABLES) {
                    @let name = table.name.to_string();
                    li { a href=(links::address("/table", [("account", &contract), ("table", &name), ("block_num", &height)])) { (name) } }
                }
            }
        }
    })
}
