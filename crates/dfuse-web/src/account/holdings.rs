//! What an account has: tokens, RAM, and what the system contract keeps of it.

use std::collections::BTreeSet;

use dfuse_antelope::Name;
use dfuse_query::{
    ApiResult, ErrorCode, ReadContext,
    state::{self, AskedHeight, Holder, RowQuestion, TableOptions},
};
use dfuse_state::{KeyType, TableKey, account_state};
use maud::{Markup, html};

use super::asked::Asked;
use crate::{
    json::Json,
    links,
    page::{facts, scrolling},
    rows,
    shown::{Shown, visible},
};

/// Most balances of a page.
const BALANCES: usize = 100;
/// Most contracts of which balances at a height are read: they are not in the index of balances, which is of the head.
const CONTRACTS: usize = 50;
const ACCOUNTS: Name = Name::literal("accounts");

/// What an account has of a token.
struct Balance {
    contract: Name,
    /// The symbol's code.
    code: String,
    balance: String,
    staked: Option<String>,
}

pub(super) fn balances(read: &ReadContext<'_>, asked: &Asked) -> ApiResult<Markup> {
    let name = asked.name;
    if asked.is_at_head() {
        let page = state::balances(read, name, false, true, BALANCES, None)?;
        let of_index = |Holder { holder, staked }: Holder| Balance {
            contract: holder.token.contract,
            code: holder.token.symbol_code.to_string(),
            balance: holder.balance.to_string(),
            staked: staked.map(|staked| staked.to_string()),
        };
        let api = format!("/v0/accounts/{name}/balances?with_staked=true&limit={BALANCES}");
        let list = list(name, "", page.items.into_iter().map(of_index).collect());
        return Ok(html! { (list) (as_api(&api)) });
    }
    let contracts = contracts(read, name)?;
    let tables = contracts.iter().map(|contract| TableKey { contract: *contract, table: ACCOUNTS, scope: name });
    let options = TableOptions { at: asked.at(), json: true, offset: 0, limit: BALANCES as u64 };
    let mut reader = state::many_tables(read, tables.clone(), options)?;
    let mut held = Vec::new();
    for key in tables {
        let table = reader.open(key)?;
        for row in rows::of_reader(read, table, BALANCES)? {
            let row = rows::rendered(table.form(), KeyType::SymbolCode, &row)?;
            held.push(Balance {
                contract: key.contract,
                code: row.get("key").text().to_owned(),
                balance: row.at(["json", "balance"]).text().to_owned(),
                staked: None,
            });
        }
    }
    held.truncate(BALANCES);
    let names = contracts.iter().map(Name::to_string).collect::<Vec<_>>().join("|");
    let (height, scope) = (asked.height(), name.to_string());
    let of_table = [("accounts", names.as_str()), ("table", "accounts"), ("scope", &scope)];
    let rendered = [("block_num", height.as_str()), ("json", "true"), ("key_type", "symbol_code")];
    let api = links::address(
        "/v0/state/tables/accounts",
        [of_table[0], of_table[1], of_table[2], rendered[0], rendered[1], rendered[2]],
    );
    Ok(html! {
        (list(name, &height, held))
        @if contracts.len() == CONTRACTS { p.quiet { "Of the first " (CONTRACTS) " token contracts." } }
        (as_api(&api))
    })
}

/// Those of tokens that it has today, and the first others.
fn contracts(read: &ReadContext<'_>, name: Name) -> ApiResult<BTreeSet<Name>> {
    let today = state::balances(read, name, false, false, BALANCES, None)?;
    let mut contracts: BTreeSet<_> = today.items.iter().map(|it| it.holder.token.contract).take(CONTRACTS).collect();
    for token in state::tokens(read, None, false, BALANCES, None)?.items {
        if contracts.len() < CONTRACTS {
            contracts.insert(token.key.contract);
        }
    }
    Ok(contracts)
}

fn list(name: Name, height: &str, held: Vec<Balance>) -> Markup {
    let scope = name.to_string();
    html! {
        @if held.is_empty() { p.quiet { "None." } }
        @else {
            (scrolling("Balances", &html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "Token" } th.right scope="col" { "Balance" }
                            @if height.is_empty() { th.right scope="col" { "Staked" } }
                            th scope="col" { "Contract" } th scope="col" { "Look closer" }
                        }
                    }
                    tbody {
                        @for Balance { contract, code, balance, staked } in held {
                            @let contract = contract.to_string();
                            @let rows = [("account", contract.as_str()), ("table", "accounts"), ("scope", &scope), ("key_type", "symbol_code")];
                            tr {
                                td { a href={ "/token/" (contract) "/" (code) } { (visible(&code)) } }
                                td.right { (visible(&balance)) }
                                @if height.is_empty() { td.right { @if let Some(staked) = staked { (visible(&staked)) } } }
                                td { (links::named_account(&contract)) }
                                td.actions {
                                    a href=(links::address("/table", [rows[0], rows[1], rows[2], rows[3], ("block_num", height)])) { "rows" }
                                    a href=(links::address("/table/row", [rows[0], rows[1], rows[2], rows[3], ("primary_key", &code)])) { "history" }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// The request with the same as JSON, below what it has.
pub(super) fn as_api(api: &str) -> Markup {
    html! { p.quiet.api { "As API: " a href=(api) { code { "GET " (visible(api)) } } } }
}

pub(super) fn resources(read: &ReadContext<'_>, asked: &Asked, shown: &Shown) -> ApiResult<Markup> {
    Ok(html! {
        @if asked.is_at_head() { (limits(read, asked.name)?) }
        @else { p.quiet { "How much RAM was in use at an earlier block is not indexed; what the system contract kept is below." } }
        div.columns { @for kept in KEPT { (of_system(read, asked, kept, shown)?) } }
    })
}

fn limits(read: &ReadContext<'_>, name: Name) -> ApiResult<Markup> {
    let limits = account_state::limits(read.view(), name)?;
    let used = account_state::ram_usage(read.view(), name)?;
    let limit = |limit: i64| if limit < 0 { "unlimited".to_owned() } else { limit.to_string() };
    let unknown = || "unknown".to_owned();
    let most = limits.map(|it| it.ram_bytes);
    Ok(facts(&[
        (
            "RAM",
            html! {
                (used.map_or_else(unknown, |bytes| bytes.to_string())) " of " (most.map_or_else(unknown, limit)) " bytes"
                @if let (Some(used), Some(most)) = (used, most) && most > 0 {
                    meter min="0" max=(most) value=(used) aria-label="RAM in use" {}
                }
            },
        ),
        ("CPU weight", html! { (limits.map_or_else(unknown, |it| limit(it.cpu_weight))) }),
        ("Network weight", html! { (limits.map_or_else(unknown, |it| limit(it.net_weight))) }),
    ]))
}

/// A row of an account in a table of the system contract.
#[derive(Debug, Clone, Copy)]
struct Kept {
    title: &'static str,
    table: Name,
    /// Whether the scope is the contract itself, not the account.
    is_of_all: bool,
}

const KEPT: [Kept; 4] = [
    Kept { title: "All resources", table: Name::literal("userres"), is_of_all: false },
    Kept { title: "From its own stake", table: Name::literal("delband"), is_of_all: false },
    Kept { title: "Refund on its way", table: Name::literal("refunds"), is_of_all: false },
    Kept { title: "Votes", table: Name::literal("voters"), is_of_all: true },
];

fn of_system(read: &ReadContext<'_>, asked: &Asked, kept: Kept, shown: &Shown) -> ApiResult<Markup> {
    let Kept { title, table, is_of_all } = kept;
    let scope = if is_of_all { Name::EOSIO } else { asked.name };
    let Some(row) = row(read, TableKey { contract: Name::EOSIO, table, scope }, asked.name, asked.at())? else {
        return Ok(html! {});
    };
    let (table, scope, key, height) = (table.to_string(), scope.to_string(), asked.name.to_string(), asked.height());
    let of_table = [("account", "eosio"), ("table", table.as_str()), ("scope", &scope)];
    Ok(html! {
        div.panel {
            h3 { (title) }
            (rows::content(&row, shown))
            p.actions {
                a href=(links::address("/table", [of_table[0], of_table[1], of_table[2], ("block_num", &height)])) { "rows" }
                a href=(links::address("/table/row", [of_table[0], of_table[1], of_table[2], ("primary_key", &key)])) { "history" }
            }
        }
    })
}

/// A row as the API shows it. Chains need not have the tables of the usual system contract.
fn row(read: &ReadContext<'_>, table: TableKey, key: Name, at: AskedHeight) -> ApiResult<Option<Json>> {
    let (scope, text) = (table.scope.to_string(), key.to_string());
    let key_type = KeyType::default();
    let question =
        RowQuestion { table, scope: &scope, primary_key: key.0, primary_key_text: &text, key_type, at, json: true };
    const ABSENT: [ErrorCode; 4] =
        [ErrorCode::RowNotFound, ErrorCode::TableNotFound, ErrorCode::AbiNotFound, ErrorCode::StateUnavailable];
    let found = match state::row(read, &question) {
        Err(error) if ABSENT.contains(&error.code()) => return Ok(None),
        found => found?,
    };
    rows::rendered(&found.form, key_type, &found.row).map(Some)
}
