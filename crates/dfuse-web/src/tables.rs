//! Tables of contracts at any height.

mod asked;
mod difference;
mod history;

use dfuse_antelope::Name;
use dfuse_blocks::CursorKind;
use dfuse_http::{
    Api, Endpoint,
    Kind::{BlockNumber, Cursor, ExtendedName},
    Parameter, Params,
    params::rules::{block_num, name, scope, text},
};
use dfuse_query::{
    ApiError, ApiResult, Class, ListCursor, ReadContext,
    state::{self, AskedHeight, TableOptions},
};
use dfuse_state::{KeyType, RowRange};
use maud::{Markup, html};

use self::asked::{ACCOUNT, ANY_KEY_TYPE, Asked, ERRORS, PATH, TABLE, one_key_type};
use crate::{
    heights::Heights,
    json::Json,
    links,
    page::{Page, endpoint, scrolling},
    rows,
    rules::existing,
    shown::Shown,
};

const ROWS: usize = 25;
const SCOPES: usize = 200;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const OF_TABLE: &[Parameter] = &[
        ACCOUNT,
        TABLE,
        Parameter::optional("scope", ExtendedName, "the scope; without it the page lists scopes"),
        Parameter::optional("block_num", BlockNumber, "the height; 0 is the head").or("0"),
        ANY_KEY_TYPE,
        Parameter::optional("cursor", Cursor, "where the page begins").or(""),
    ];
    let page = endpoint(PATH, Class::Page, "A page: the rows of a table at a height, or its scopes.", table);
    vec![page.takes(OF_TABLE).fails(ERRORS), difference::endpoint(), history::endpoint()]
}

async fn table(api: Api, mut params: Params) -> ApiResult<Page> {
    let account = params.required("account", existing);
    let table = params.required("table", name);
    let scope = params.optional("scope", scope);
    let block_num = params.optional_or("block_num", 0, block_num);
    let key_type = params.optional("key_type", one_key_type);
    let cursor = params.optional_or("cursor", String::new(), text);
    let (account, table, scope, block_num, key_type, cursor) =
        params.finish((account, table, scope, block_num, key_type, cursor))?;
    api.query(move |read| match scope.clone() {
        Some(scope) => {
            let asked = Asked { account, table, scope, key_type: key_type.unwrap_or_default() };
            rows(read, asked, key_type.is_none(), block_num, &cursor)
        }
        None => scopes(read, account, table, block_num),
    })
    .await
}

/// `guesses` what keys are by what they look like.
fn rows(read: &ReadContext<'_>, mut asked: Asked, guesses: bool, block_num: u128, cursor: &str) -> ApiResult<Page> {
    let opened = ListCursor::open(read.service(), CursorKind::Rows, cursor);
    let opened = opened.map_err(|problem| ApiError::invalid_parameter("cursor", &problem))?;
    let at = AskedHeight { block_num, irreversible_only: false };
    let options = TableOptions { at, json: true, offset: 0, limit: ROWS as u64 };
    let mut reader = state::table(read, asked.key(), Some(RowRange::default()), options, opened.as_ref())?;
    let found = rows::of_reader(read, &mut reader, usize::MAX)?;
    if guesses {
        asked.key_type = rows::key_type_of(&found.iter().map(|row| row.primary_key).collect::<Vec<_>>());
    }
    let asked = &asked;
    let rows = found.iter().map(|row| rows::rendered(reader.form(), asked.key_type, row));
    let rows = rows.collect::<ApiResult<Vec<_>>>()?;
    let height = block_num.to_string();
    let next = reader.cursor()?.map(|next| asked.address(PATH, [("block_num", &height), ("cursor", &next)]));
    let limit = ROWS.to_string();
    let api = asked.address(
        "/v0/state/table",
        [("block_num", &height), ("json", "true"), ("with_block_num", "true"), ("limit", &limit), ("cursor", cursor)],
    );
    let shown = Shown::new(&api);
    let head = read.snapshot().head().map_or(0, |head| head.number);
    let content = html! {
        (heights(asked, reader.height().number(), head, block_num == 0))
        @if !reader.is_complete() { p.notice { "Rows of before the first block that is indexed may be missing." } }
        (row_table(asked, &rows, next.as_deref(), &shown))
        h2 { "What changed" }
        (difference::form(asked, reader.height().number()))
        p { a href=(links::address(PATH, [("account", &asked.account.to_string()), ("table", &asked.table.to_string())])) { "All scopes" } }
    };
    Ok(Page::new(asked.title("Table"), api, content))
}

/// Where to look at the table earlier and later, and how.
fn heights(asked: &Asked, number: u32, head: u32, is_at_head: bool) -> Markup {
    let at = |number: &str| asked.address(PATH, [("block_num", number)]);
    let before = html! {
        input type="hidden" name="account" value=(asked.account);
        input type="hidden" name="table" value=(asked.table);
        label { "Scope" input name="scope" value=(asked.scope.text) size="13" spellcheck="false" autocomplete="off"; }
    };
    let behind = html! {
        label { "Keys as"
            select name="key_type" {
                @for kind in KeyType::NAMES { option value=(kind) selected[asked.key_type.as_str() == kind] { (kind) } }
            }
        }
    };
    Heights { path: PATH, number, head, is_at_head, at: &at }.form(&before, &behind)
}

/// Rows in a table with a column for each field, if all have the same few.
fn row_table(asked: &Asked, rows: &[Json], next: Option<&str>, shown: &Shown) -> Markup {
    let columns = columns(rows);
    html! {
        div #rows .extends {
            @if rows.is_empty() { p.quiet { "No rows." } }
            @else {
                (scrolling("Rows", &html! {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Key" }
                                @for name in &columns { th scope="col" { (shown.name(name)) } }
                                @if columns.is_empty() { th scope="col" { "Row" } }
                                th scope="col" { "Paid by" } th scope="col" { "Written in" } th scope="col" { "Look closer" }
                            }
                        }
                        tbody { @for row in rows.iter().take_while(|_| !shown.is_full()) { (one(asked, row, &columns, shown)) } }
                    }
                }))
            }
            @if shown.is_full() { p { (shown.rest("… the rest as JSON")) } }
            @if let Some(next) = next { p { a.more href=(next) { "More" } } }
        }
    }
}

/// The fields of all rows; none if they differ, are too many, or are no plain values.
fn columns(rows: &[Json]) -> Vec<&str> {
    const MOST: usize = 6;
    let fields = |row| if let Json::Object(fields) = Json::get(row, "json") { &fields[..] } else { &[] };
    let first: Vec<_> = rows.first().map(fields).unwrap_or_default().iter().map(|(name, _)| name.as_str()).collect();
    let is_plain = |(_, value): &(String, Json)| !matches!(value, Json::List(_) | Json::Object(_));
    let fits = |row| fields(row).iter().all(is_plain) && fields(row).iter().map(|(name, _)| name).eq(first.iter());
    if first.len() <= MOST && rows.iter().all(fits) { first } else { Vec::new() }
}

fn one(asked: &Asked, row: &Json, columns: &[&str], shown: &Shown) -> Markup {
    let key = row.get("key").text();
    html! {
        tr {
            td { (shown.text(key)) }
            @for name in columns { td { (shown.field(name, row.at(["json", name]))) } }
            @if columns.is_empty() { td { (rows::content(row, shown)) } }
            td { (links::named_account(row.get("payer").text())) }
            td { (links::numbered_block(u32::try_from(row.get("block").number()).unwrap_or_default())) }
            td.actions { a href=(asked.address(history::PATH, [("primary_key", key)])) { "history" } }
        }
    }
}

fn scopes(read: &ReadContext<'_>, account: Name, table: Name, block_num: u128) -> ApiResult<Page> {
    let at = AskedHeight { block_num, irreversible_only: false };
    let mut reader = state::table_scopes(read, account, table, at)?;
    let mut found = Vec::new();
    while found.len() < SCOPES
        && let Some(scope) = reader.next_item()?
    {
        found.push(scope.to_string());
    }
    let (account, table, height) = (account.to_string(), table.to_string(), block_num.to_string());
    let height = if block_num == 0 { "" } else { &height };
    let of_table = [("account", account.as_str()), ("table", table.as_str()), ("block_num", height)];
    let api = links::address("/v0/state/table_scopes", of_table);
    let heights = Heights {
        path: PATH,
        number: reader.height().number(),
        head: read.snapshot().head().map_or(0, |head| head.number),
        is_at_head: block_num == 0,
        at: &|number| links::address(PATH, [of_table[0], of_table[1], ("block_num", number)]),
    };
    let content = html! {
        form.filter action=(PATH) {
            input type="hidden" name="account" value=(account);
            input type="hidden" name="table" value=(table);
            input type="hidden" name="block_num" value=(block_num);
            label { "Scope" input name="scope" size="13" spellcheck="false" autocomplete="off"; }
            button { "Show its rows" }
        }
        (heights.form(&html! { input type="hidden" name="account" value=(account); input type="hidden" name="table" value=(table); }, &html! {}))
        h2 { "Scopes" }
        @if found.is_empty() { p.quiet { "None." } }
        ul.tags {
            @for scope in &found {
                li {
                    a.name href={ (links::address(PATH, of_table)) "&scope=" (scope) } {
                        @if scope.is_empty() { "(empty)" } @else { (scope) }
                    }
                }
            }
        }
        @if found.len() == SCOPES { p { (Shown::new(&api).rest("all scopes as JSON")) } }
    };
    Ok(Page::new(format!("Table {account} / {table}"), api, content))
}
