//! A page of results.

use std::ops::{ControlFlow, RangeInclusive};

use dfuse_query::{
    ApiResult, ReadContext, Service,
    filtered::is_filtered,
    search::{self, SearchCost, SearchPage, SearchQuestion},
    secrets,
};
use dfuse_render::{JsonWriter, Renderer};
use dfuse_search::Query;

use super::super::{coverage::write_holes, transactions::PAGE_BYTES};
use crate::{Api, JsonList, rest::state::write_coverage, untold::write_details};

/// Searches, and answers with the lifecycles of what was found; with how the query was understood and what it cost, if that is
/// to be explained.
pub(super) async fn answer(api: &Api, question: SearchQuestion, explain: bool) -> ApiResult<JsonList> {
    api.query(move |read| render(read, &search::page(read, question.clone())?, explain)).await
}

fn render(read: &ReadContext<'_>, page: &SearchPage, explain: bool) -> ApiResult<JsonList> {
    let mut transactions = Vec::new();
    let taken = write_transactions(read, page, &mut transactions)?;
    let searched = page.searched(taken);
    let mut text = Vec::with_capacity(transactions.len() + 300);
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    json.key("cursor").string(&page.cursor(read, taken).unwrap_or_default());
    json.key("transactions").raw(&transactions);
    if page.crosses_fork() {
        json.key("forked_head_warning").boolean(true);
    }
    if let Some(first_block) = page.incomplete_from() {
        write_coverage(&mut json, Some(first_block), false);
    }
    write_filtered(&mut json, read.service());
    write_details(&mut json, page.untold());
    write_range(json.key("range"), searched.blocks, searched.is_complete, page.missing());
    if explain {
        write_explanation(json.key("explain"), &page.question().query, page.cost());
    }
    json.end_object();
    Ok(JsonList { text, items: taken })
}

/// Writes the list of results until it is too long; gives how many of them.
fn write_transactions(read: &ReadContext<'_>, page: &SearchPage, text: &mut Vec<u8>) -> ApiResult<usize> {
    JsonWriter::new(text).begin_array();
    let taken = page.each_lifecycle(read, |item, lifecycle, view| {
        let abis = read.abis(view);
        let mut renderer = Renderer::new(text, &abis);
        renderer.json().begin_object();
        renderer.json().key("lifecycle");
        renderer.lifecycle(lifecycle)?;
        renderer.json().key("action_idx").array(item.found.actions.iter().copied(), JsonWriter::unsigned);
        if item.undo {
            renderer.json().key("undo").boolean(true);
        }
        renderer.json().end_object();
        Ok(if text.len() > PAGE_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    JsonWriter::new(text).end_array();
    Ok(taken)
}

/// How the query was understood, and what it cost.
fn write_explanation(json: &mut JsonWriter<'_>, query: &Query, cost: SearchCost) {
    json.begin_object();
    json.key("query").string(&secrets::masked(query.canonical()));
    json.key("terms").array(query.conditions(), |json, (field, values)| {
        json.begin_object();
        json.key("field").string(&field);
        json.key("values").array(values, |json, value| json.string(&value));
        json.end_object();
    });
    json.key("work").unsigned(cost.work);
    json.key("blocks_read").unsigned(cost.blocks_read);
    json.key("search_ms").unsigned(u64::try_from(cost.search_time.as_millis()).unwrap_or(u64::MAX));
    json.end_object();
}

/// Says so where actions are left out by the operator's filters.
pub(super) fn write_filtered(json: &mut JsonWriter<'_>, service: &Service) {
    if is_filtered(service) {
        json.key("filtered").boolean(true);
    }
}

/// The blocks that an answer is about, and those of them that are missing.
pub(super) fn write_range(
    json: &mut JsonWriter<'_>,
    searched: Option<RangeInclusive<u32>>,
    complete: bool,
    missing: Option<RangeInclusive<u32>>,
) {
    json.begin_object();
    match searched {
        Some(searched) => {
            json.key("from_block").unsigned(*searched.start());
            json.key("to_block").unsigned(*searched.end());
        }
        None => {
            json.key("from_block").null();
            json.key("to_block").null();
        }
    }
    json.key("complete").boolean(complete);
    if missing.is_some() {
        write_holes(json.key("holes"), missing);
    }
    json.end_object();
}
