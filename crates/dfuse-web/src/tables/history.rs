//! What became of one row, block by block.

use dfuse_blocks::CursorKind;
use dfuse_http::{
    Api, Endpoint,
    Kind::{Cursor, PrimaryKey},
    Parameter, Params,
    params::rules::{name, scope, text},
};
use dfuse_kv::Direction;
use dfuse_query::{
    ApiError, ApiResult, Class, ListCursor, ReadContext,
    state::{HistoryQuestion, RowWritten, WrittenRow, row_history},
};
use dfuse_render::{JsonWriter, rfc3339};
use maud::{Markup, html};

use super::asked::{ACCOUNT, Asked, ERRORS, KEY_TYPE, PATH as TABLE_PATH, SCOPE, TABLE, key_type};
use crate::{
    json::Json,
    links,
    page::{Page, endpoint as page_endpoint},
    rules::existing,
    shown::Shown,
    transaction::side,
};

/// Where it is.
pub(super) const PATH: &str = "/table/row";
const CHANGES: usize = 20;

pub(super) fn endpoint() -> Endpoint {
    const PARAMETERS: &[Parameter] = &[
        ACCOUNT,
        TABLE,
        SCOPE,
        Parameter::required("primary_key", PrimaryKey, "the row; may be empty"),
        KEY_TYPE,
        Parameter::optional("cursor", Cursor, "where the page begins").or(""),
    ];
    page_endpoint(PATH, Class::Page, "A page: what became of one row.", history).takes(PARAMETERS).fails(ERRORS)
}

async fn history(api: Api, mut params: Params) -> ApiResult<Page> {
    let account = params.required("account", existing);
    let table = params.required("table", name);
    let scope = params.present("scope", scope);
    let key_type = key_type(&mut params);
    let kind = key_type.peek().copied().unwrap_or_default();
    let primary_key = params.present("primary_key", |field| {
        let key = kind.parse(field.text).map_err(|error| field.expected(error.expected))?;
        Ok((key, field.text.to_owned()))
    });
    let cursor = params.optional_or("cursor", String::new(), text);
    let (account, table, scope, key_type, primary_key, cursor) =
        params.finish((account, table, scope, key_type, primary_key, cursor))?;
    let asked = Asked { account, table, scope, key_type };
    api.query(move |read| page(read, &asked, &primary_key, &cursor)).await
}

fn page(
    read: &ReadContext<'_>,
    asked: &Asked,
    (primary_key, key_text): &(u64, String),
    cursor: &str,
) -> ApiResult<Page> {
    let opened = ListCursor::open(read.service(), CursorKind::RowHistory, cursor);
    let opened = opened.map_err(|problem| ApiError::invalid_parameter("cursor", &problem))?;
    let question = HistoryQuestion {
        key: asked.key().row(*primary_key),
        first_block: 0,
        last_block: 0,
        irreversible_only: false,
        direction: Direction::Reverse,
        json: true,
    };
    let mut reader = row_history(read, question, opened.as_ref())?;
    let is_complete = reader.is_complete();
    let mut changes = Vec::new();
    while changes.len() < CHANGES
        && let Some(change) = reader.next_change()?
    {
        let rows = [row(change.old.as_ref())?, row(change.new.as_ref())?];
        changes.push((change, rows));
    }
    let next = reader.cursor()?.map(|next| asked.address(PATH, [("primary_key", key_text), ("cursor", &next)]));
    let api =
        asked.address("/v0/state/table/row/history", [("primary_key", key_text), ("json", "true"), ("cursor", cursor)]);
    let shown = Shown::new(&api);
    let content = html! {
        p { "Row " code { (shown.text(key_text)) } ". " a href=(asked.address(TABLE_PATH, [])) { "The table" } }
        @if !is_complete { p.notice { "Changes of before the first block that is indexed may be missing." } }
        @if changes.is_empty() { p.quiet { "No change of it is known." } }
        @for (change, [old, new]) in changes.iter().take_while(|_| !shown.is_full()) {
            (heading(change))
            div.change { (side("Before", "old", old, new, &shown)) (side("After", "new", new, old, &shown)) }
        }
        @if shown.is_full() { p { (shown.rest("all changes as JSON")) } }
        @if let Some(next) = next { p { a href=(next) { "Older changes" } } }
    };
    Ok(Page::new(asked.title("History of a row of"), api, content))
}

fn heading(change: &RowWritten) -> Markup {
    html! {
        h2 { "Block " (links::block(change.block.id, change.block.number)) }
        p {
            time { (rfc3339(change.block_time)) }
            @for id in &change.transaction_ids { " " (links::transaction(&id.to_string())) }
        }
    }
}

/// A row as the API shows it; null where there is none.
fn row(written: Option<&WrittenRow>) -> ApiResult<Json> {
    let Some(WrittenRow { row, form }) = written else { return Ok(Json::Null) };
    let mut text = Vec::new();
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    form.write(&mut json, row);
    json.end_object();
    Json::parse(&text)
}
