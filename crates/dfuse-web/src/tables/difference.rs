//! What became of the rows of a table between two heights.

use dfuse_http::{
    Api, Endpoint,
    Kind::BlockNumber,
    Parameter, Params,
    params::rules::{Field, Problems, block_num, name, scope},
};
use dfuse_query::{
    ApiResult, Class, ReadContext, Step,
    state::{DifferenceQuestion, difference as difference_of},
};
use dfuse_render::{JsonWriter, RowForm, RowFormat};
use dfuse_state::TableRow;
use maud::{Markup, html};

use super::asked::{ACCOUNT, ANY_KEY_TYPE, Asked, ERRORS, PATH as TABLE_PATH, SCOPE, TABLE, one_key_type};
use crate::{
    json::Json,
    page::{Page, endpoint as page_endpoint},
    rows::key_type_of,
    rules::existing,
    shown::Shown,
    transaction::side,
};

const PATH: &str = "/table/difference";
/// Most rows of a page.
const ROWS: usize = 50;

pub(super) fn endpoint() -> Endpoint {
    const PARAMETERS: &[Parameter] = &[
        ACCOUNT,
        TABLE,
        SCOPE,
        Parameter::required("from_block", BlockNumber, "the height of the old rows"),
        Parameter::optional("to_block", BlockNumber, "the height of the new rows; 0 is the head").or("0"),
        ANY_KEY_TYPE,
    ];
    let answer = "A page: what became of the rows of a table between two heights.";
    page_endpoint(PATH, Class::Page, answer, difference).takes(PARAMETERS).fails(ERRORS)
}

/// Asks for the difference to an earlier height.
pub(super) fn form(asked: &Asked, number: u32) -> Markup {
    html! {
        form.filter action=(PATH) {
            (asked.fields())
            label { "From block" input name="from_block" type="number" min="1" value=(number.saturating_sub(100).max(1)); }
            label { "To block" input name="to_block" type="number" min="1" value=(number); }
            button { "Compare" }
        }
    }
}

/// 0 would be the head, from which nothing has changed.
fn from_block(field: &Field<'_>) -> Result<u128, Problems> {
    let number = block_num(field)?;
    if number > 0 { Ok(number) } else { Err(field.expected("not less than 1")) }
}

async fn difference(api: Api, mut params: Params) -> ApiResult<Page> {
    let account = params.required("account", existing);
    let table = params.required("table", name);
    let scope = params.present("scope", scope);
    let from = params.required("from_block", from_block);
    let to = params.optional_or("to_block", 0, block_num);
    let key_type = params.optional("key_type", one_key_type);
    let (account, table, scope, from_block, to_block, key_type) =
        params.finish((account, table, scope, from, to, key_type))?;
    let asked = Asked { account, table, scope, key_type: key_type.unwrap_or_default() };
    api.query(move |read| page(read, &asked, key_type.is_none(), [from_block, to_block])).await
}

/// `guesses` what keys are by what they look like.
fn page(read: &ReadContext<'_>, asked: &Asked, guesses: bool, [from_block, to_block]: [u128; 2]) -> ApiResult<Page> {
    let question =
        DifferenceQuestion { table: asked.key(), from_block, to_block, irreversible_only: false, json: true };
    let mut reader = difference_of(read, &question)?;
    let mut found = Vec::new();
    let mut has_more = false;
    loop {
        read.go_on()?;
        match reader.next_row()? {
            Step::Item(_) if found.len() == ROWS => {
                has_more = true;
                break;
            }
            Step::Item(change) => found.push(change),
            Step::Passed => {}
            Step::End => break,
        }
    }
    let key_type = match guesses {
        true => key_type_of(&found.iter().map(|(key, _)| *key).collect::<Vec<_>>()),
        false => asked.key_type,
    };
    let (asked, [old, new]) = (&Asked { key_type, scope: asked.scope.clone(), ..*asked }, reader.forms());
    let format = RowFormat { key_type: asked.key_type, with_block_num: true };
    let changes = found.iter().map(|(key, rows)| {
        let (old, new) = (row(format, old, rows.old.as_ref())?, row(format, new, rows.new.as_ref())?);
        Ok((asked.key_type.format(*key), old, new))
    });
    let changes = changes.collect::<ApiResult<Vec<_>>>()?;
    let [from, to] = reader.heights().each_ref().map(|height| height.number());
    let (first, last) = (from.to_string(), to.to_string());
    let api = asked.address(
        "/v0/state/table/diff",
        [("from_block", &first), ("to_block", &last), ("json", "true"), ("with_block_num", "true")],
    );
    let shown = Shown::new(&api);
    let content = html! {
        p { "From block " (from) " to block " (to) ". " a href=(asked.address(TABLE_PATH, [("block_num", &last)])) { "The table" } }
        @if changes.is_empty() { p.quiet { "No row differs." } }
        @for (key, old, new) in changes.iter().take_while(|_| !shown.is_full()) {
            h3 { (shown.text(key)) }
            div.change { (side("Before", "old", old, new, &shown)) (side("After", "new", new, old, &shown)) }
        }
        @if has_more || shown.is_full() { p { (shown.rest("all changes as JSON")) } }
    };
    Ok(Page::new(asked.title("Difference of"), api, content))
}

/// A row as the API shows it; null where there is none.
fn row(format: RowFormat, form: &RowForm, row: Option<&TableRow>) -> ApiResult<Json> {
    let Some(row) = row else { return Ok(Json::Null) };
    let mut text = Vec::new();
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    format.write_content(&mut json, form, row);
    json.end_object();
    Json::parse(&text)
}
