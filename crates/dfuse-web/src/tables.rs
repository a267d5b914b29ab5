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
    ApiError, ApiResult, Class, ListCursor, ReadContext, Step,
    state::{self, AskedHeight, Height, TableOptions, TableReader},
};
use dfuse_render::{JsonWriter, RowFormat};
use dfuse_state::{KeyType, RowRange};
use maud::{Markup, html};

use self::asked::{ACCOUNT, Asked, ERRORS, KEY_TYPE, PATH, TABLE, key_type};
use crate::{
    account::existing,
    json::Json,
    links,
    page::{Page, endpoint},
    shown::Shown,
};

const ROWS: usize = 25;
const SCOPES: usize = 200;
/// How far the links for earlier and later heights reach.
const STEPS: [u32; 3] = [1, 100, 10_000];

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const OF_TABLE: &[Parameter] = &[
        ACCOUNT,
        TABLE,
        Parameter::optional("scope", ExtendedName, "the scope; without it the page lists scopes"),
        Parameter::optional("block_num", BlockNumber, "the height; 0 is the head").or("0"),
        KEY_TYPE,
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
    let key_type = key_type(&mut params);
    let cursor = params.optional_or("cursor", String::new(), text);
    let (account, table, scope, block_num, key_type, cursor) =
        params.finish((account, table, scope, block_num, key_type, cursor))?;
    api.query(move |read| match scope {
        Some(scope) => rows(read, &Asked { account, table, scope, key_type }, block_num, &cursor),
        None => scopes(read, account, table, block_num),
    })
    .await
}

fn rows(read: &ReadContext<'_>, asked: &Asked, block_num: u128, cursor: &str) -> ApiResult<Page> {
    let opened = ListCursor::open(read.service(), CursorKind::Rows, cursor);
    let opened = opened.map_err(|problem| ApiError::invalid_parameter("cursor", &problem))?;
    let at = AskedHeight { block_num, irreversible_only: false };
    let options = TableOptions { at, json: true, offset: 0, limit: ROWS as u64 };
    let mut reader = state::table(read, asked.key(), Some(RowRange::default()), options, opened.as_ref())?;
    let rows = read_rows(read, asked, &mut reader)?;
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
        (heights(asked, reader.height(), head))
        @if !reader.is_complete() { p.notice { "Rows of before the first block that is indexed may be missing." } }
        (row_table(asked, &rows, next.as_deref(), &shown))
        h2 { "What changed" }
        (difference::form(asked, reader.height().number()))
        p { a href=(links::address(PATH, [("account", &asked.account.to_string()), ("table", &asked.table.to_string())])) { "All scopes" } }
    };
    Ok(Page::new(asked.title("Table"), api, content))
}

fn read_rows(read: &ReadContext<'_>, asked: &Asked, reader: &mut TableReader) -> ApiResult<Vec<Json>> {
    let format = RowFormat { key_type: asked.key_type, with_block_num: true };
    let mut rows = Vec::new();
    loop {
        read.go_on()?;
        match reader.next_row()? {
            Step::Item(row) => {
                let mut text = Vec::new();
                format.write(&mut JsonWriter::new(&mut text), reader.form(), &row);
                rows.push(Json::parse(&text)?);
            }
            Step::Passed => {}
            Step::End => return Ok(rows),
        }
    }
}

/// Where to look at the same table earlier and later.
fn heights(asked: &Asked, height: &Height, head: u32) -> Markup {
    let number = height.number();
    let at = |number: u32| asked.address(PATH, [("block_num", &number.to_string())]);
    html! {
        form.filter action=(PATH) {
            input type="hidden" name="account" value=(asked.account);
            input type="hidden" name="table" value=(asked.table);
            label { "Scope" input name="scope" value=(asked.scope.text) spellcheck="false" autocomplete="off"; }
            label { "At block" input name="block_num" type="number" min="1" max=(head) value=(number) data-slider="Height of the table"; }
            label { "Keys as"
                select name="key_type" {
                    @for kind in KeyType::NAMES { option value=(kind) selected[asked.key_type.as_str() == kind] { (kind) } }
                }
            }
            button { "Show" }
        }
        p {
            "At block " (links::numbered_block(number)) ". "
            @for step in STEPS.into_iter().rev().filter(|step| number > *step) { a href=(at(number - step)) { "−" (step) } " " }
            @for step in STEPS.into_iter().filter(|step| head - number >= *step) { a href=(at(number + step)) { "+" (step) } " " }
            a href=(asked.address(PATH, [])) { "head" }
        }
    }
}

fn row_table(asked: &Asked, rows: &[Json], next: Option<&str>, shown: &Shown) -> Markup {
    html! {
        div #rows .extends {
            @if rows.is_empty() { p.quiet { "No rows." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Rows" {
                    table {
                        thead { tr { th scope="col" { "Key" } th scope="col" { "Row" } th scope="col" { "Paid by" } th scope="col" { "Written in" } } }
                        tbody { @for row in rows.iter().take_while(|_| !shown.is_full()) { (one(asked, row, shown)) } }
                    }
                }
            }
            @if shown.is_full() { p { (shown.rest("… the rest as JSON")) } }
            @if let Some(next) = next { p { a.more href=(next) { "More" } } }
        }
    }
}

fn one(asked: &Asked, row: &Json, shown: &Shown) -> Markup {
    let key = row.get("key").text();
    html! {
        tr {
            td { (shown.text(key)) br; a href=(asked.address(history::PATH, [("primary_key", key)])) { "history" } }
            td { (content(row, shown)) }
            td { (links::named_account(row.get("payer").text())) }
            td { (links::numbered_block(u32::try_from(row.get("block").number()).unwrap_or_default())) }
        }
    }
}

/// The fields of a row, or its bytes and why they do not decode.
fn content(row: &Json, shown: &Shown) -> Markup {
    html! {
        @if row.get("json").is_null() {
            code { (shown.text(row.get("hex").text())) }
            @if !row.get("error").is_null() { p.quiet { (shown.text(row.get("error").text())) } }
        } @else { (shown.value(row.get("json"))) }
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
    let content = html! {
        form.filter action=(PATH) {
            input type="hidden" name="account" value=(account);
            input type="hidden" name="table" value=(table);
            label { "Scope" input name="scope" spellcheck="false" autocomplete="off"; }
            button { "Show" }
        }
        p { "Scopes at block " (links::numbered_block(reader.height().number())) ":" }
        @if found.is_empty() { p.quiet { "None." } }
        ul {
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
