//! `/v0/transactions`: lifecycles, one by one or in pages.

use std::ops::ControlFlow;

use dfuse_antelope::Checksum256;
use dfuse_blocks::CursorKind;
use dfuse_http::{AnswerForm, Charge, Counts, Endpoint, Kind::Integer, Parameter};
use dfuse_query::{
    ApiResult, Class, ErrorCode, ListCursor, ReadContext, RouteClass,
    transactions::{self, TransactionPage},
};
use dfuse_render::{JsonWriter, Renderer};
use dfuse_trx::Place;

use super::{
    answers,
    parameters::{CURSOR, ID, LIMIT},
};
use crate::{
    Api, JsonList, JsonText, Params,
    params::rules::{Field, Problems, between, id},
};

/// A page ends when it has so many bytes, before as many transactions as were asked for are in it.
pub(super) const PAGE_BYTES: usize = 16 << 20;

/// What most lifecycles need no more than.
const LIFECYCLE_BYTES: usize = 16 << 10;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const RECENT: &[Parameter] = &[Parameter::required("limit", Integer(1, 100), "most transactions"), CURSOR];
    vec![
        Endpoint::new("/v0/transactions", Charge::new(Class::Page, RouteClass::Explorer), recent)
            .takes(RECENT)
            .answers(
                "The lifecycles of transactions that are in blocks, the newest first.",
                AnswerForm::Json(answers::LIFECYCLES),
            ),
        Endpoint::new(
            "/v0/transactions/{id}",
            Charge::new(Class::LookUp, RouteClass::LookUp).counting(Counts::Found),
            one,
        )
        .takes(&[ID])
        .answers("The lifecycle of a transaction.", AnswerForm::Json(answers::LIFECYCLE))
        .fails(&[ErrorCode::TransactionNotFound, ErrorCode::TransactionLeftOut]),
        Endpoint::new("/v0/blocks/{id}/transactions", Charge::new(Class::Page, RouteClass::Explorer), of_block)
            .takes(&[ID, LIMIT, CURSOR])
            .answers(
                "The lifecycles of the transactions of a block, in the order of their execution.",
                AnswerForm::Json(answers::LIFECYCLES),
            )
            .fails(&[ErrorCode::BlockNotFound, ErrorCode::StateUnavailable]),
    ]
}

async fn one(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let id = params.required("id", id);
    let id = params.finish(id)?;
    let text = api.query(move |read| {
        let lifecycle = transactions::lifecycle(read, id)?;
        let mut text = Vec::with_capacity(LIFECYCLE_BYTES);
        Renderer::new(&mut text, &read.abis(read.view())).lifecycle(&lifecycle)?;
        Ok(text)
    });
    text.await.map(JsonText)
}

/// The cursor is empty at the end.
async fn recent(api: Api, mut params: Params) -> ApiResult<JsonList> {
    let limit = params.required("limit", between(1..=100));
    let before = params.optional("cursor", cursor(&api, None));
    let (limit, before): (u8, _) = params.finish((limit, before))?;
    api.query(move |read| render(read, &transactions::recent(read, limit.into(), before.flatten())?)).await
}

/// The cursor is never empty.
async fn of_block(api: Api, mut params: Params) -> ApiResult<JsonList> {
    let id = params.required("id", id);
    let limit = params.optional_or("limit", 100, between(1..=100));
    // A wrong id is told by itself.
    let list = id.peek().copied();
    let after = params.optional("cursor", cursor(&api, list));
    let (id, limit, after): (_, u8, _) = params.finish((id, limit, after))?;
    api.query(move |read| render(read, &transactions::of_block(read, id, limit.into(), after.flatten())?)).await
}

/// A page as JSON. One that becomes too long ends early, and its cursor with it.
fn render(read: &ReadContext<'_>, page: &TransactionPage) -> ApiResult<JsonList> {
    let abis = read.abis(page.view());
    let mut transactions = Vec::new();
    let mut renderer = Renderer::new(&mut transactions, &abis);
    renderer.json().begin_array();
    let taken = page.each_lifecycle(read, |_, lifecycle| {
        renderer.lifecycle(lifecycle)?;
        let is_full = renderer.json().written() > PAGE_BYTES;
        Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    renderer.json().end_array();
    let mut text = Vec::with_capacity(transactions.len() + 100);
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    json.key("cursor").string(&page.cursor(read, taken).unwrap_or_default());
    json.key("transactions").raw(&transactions);
    json.end_object();
    Ok(JsonList { text, items: taken })
}

/// A place in the list of a block's transactions, or else in that of the newest ones.
fn cursor(api: &Api, list: Option<Checksum256>) -> impl Fn(&Field<'_>) -> Result<Option<Place>, Problems> {
    move |field| match ListCursor::open(api, CursorKind::Transactions, field.text).map_err(|problem| vec![problem])? {
        None => Ok(None),
        Some(cursor) => match transactions::place_of(&cursor, list) {
            Some(place) => Ok(Some(place)),
            None => Err(field.expected("a cursor of this list")),
        },
    }
}
