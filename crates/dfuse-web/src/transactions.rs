//! Lists of transactions.

use std::ops::ControlFlow;

use dfuse_antelope::model::TransactionLifecycle;
use dfuse_index::abi::AbiSource;
use dfuse_query::{
    ApiError, ApiResult, ReadContext,
    search::{self, AskedBlocks, BlockSpan, SearchPage, SearchQuestion},
};
use dfuse_render::Renderer;
use dfuse_search::{Position, Query};
use maud::{Markup, html};

use crate::{
    json::Json,
    links,
    page::scrolling,
    shown::{Shown, visible},
};

/// Most actions of a transaction in a list.
const ACTIONS: usize = 3;
/// Longest text of an action's data in a list, in characters.
const SUMMARY: usize = 140;

/// A lifecycle as the API answers it.
pub(crate) fn lifecycle(abis: &dyn AbiSource, lifecycle: &TransactionLifecycle) -> ApiResult<Json> {
    let mut text = Vec::new();
    Renderer::new(&mut text, abis).lifecycle(lifecycle)?;
    Json::parse(&text)
}

/// What a search found, as a list.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) page: SearchPage,
    /// How many of its items are listed.
    pub(crate) taken: usize,
    pub(crate) listed: Vec<Listed>,
    /// Where the next page begins, if there is one by now.
    pub(crate) next: Option<String>,
}

/// Searches a page from that cursor on; from the beginning, if it is empty.
pub(crate) fn found(
    read: &ReadContext<'_>,
    query: Query,
    span: BlockSpan,
    limit: usize,
    cursor: &str,
) -> ApiResult<Found> {
    let cursor = position(read, cursor)?;
    let page = search::page(read, SearchQuestion { query, span: AskedBlocks::Span(span), limit, cursor })?;
    let mut listed = Vec::new();
    let taken = page.each_lifecycle(read, |item, found, view| {
        listed.push(Listed::of(&lifecycle(&read.abis(view), found)?, &item.found.actions, item.undo));
        Ok(ControlFlow::Continue(()))
    })?;
    let next = next(read, &page, taken);
    Ok(Found { page, taken, listed, next })
}

/// Where a page begins; nowhere special if the cursor is empty.
pub(crate) fn position(read: &ReadContext<'_>, cursor: &str) -> ApiResult<Option<Position>> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let position = Position::open(cursor, read.chain().feed.cursor_key());
    position.map(Some).map_err(|_| ApiError::invalid_parameter("cursor", "must be the cursor of a search"))
}

/// The cursor of the page after one of which so many items were taken, if there is one by now.
pub(crate) fn next(read: &ReadContext<'_>, page: &SearchPage, taken: usize) -> Option<String> {
    // At the end of a list that may grow, its cursor finds nothing yet.
    page.cursor(read, taken).filter(|_| !page.searched(taken).is_complete)
}

/// A transaction in a list.
#[derive(Debug)]
pub(crate) struct Listed {
    id: String,
    status: String,
    block: u32,
    time: String,
    actions: Vec<Markup>,
    /// Its block was undone after it was sent.
    undone: bool,
}

impl Listed {
    /// A lifecycle with the actions that it begins with.
    pub(crate) fn new(lifecycle: &Json) -> Self {
        Self::with(lifecycle, lifecycle.at(["execution_trace", "action_traces"]).items().iter().collect(), false)
    }

    /// A lifecycle with the actions at those places in the order of execution: those that were searched for.
    fn of(lifecycle: &Json, places: &[u32], undone: bool) -> Self {
        let mut traces = Vec::new();
        flatten(lifecycle.at(["execution_trace", "action_traces"]).items(), &mut traces);
        traces.sort_by_key(|trace| trace.at(["receipt", "global_sequence"]).number());
        let found: Vec<_> = places.iter().filter_map(|place| traces.get(*place as usize).copied()).collect();
        Self::with(lifecycle, found, undone)
    }

    fn with(lifecycle: &Json, mut traces: Vec<&Json>, undone: bool) -> Self {
        // What several accounts were told of is one action.
        let mut seen = Vec::new();
        traces.retain(|trace| {
            let act = trace.get("act");
            let is_new = !seen.contains(&act);
            seen.push(act);
            is_new
        });
        let trace = lifecycle.get("execution_trace");
        let mut actions: Vec<_> = traces.iter().take(ACTIONS).map(|trace| action(trace)).collect();
        if traces.len() > ACTIONS {
            actions.push(html! { span.quiet { "and " (traces.len() - ACTIONS) " more" } });
        }
        Self {
            id: lifecycle.get("id").text().to_owned(),
            status: lifecycle.get("transaction_status").text().to_owned(),
            block: u32::try_from(trace.get("block_num").number()).unwrap_or_default(),
            time: trace.get("block_time").text().to_owned(),
            actions,
            undone,
        }
    }
}

/// Traces with all that they created.
fn flatten<'a>(traces: &'a [Json], found: &mut Vec<&'a Json>) {
    for trace in traces {
        found.push(trace);
        flatten(trace.get("inline_traces").items(), found);
    }
}

/// An action in a line.
fn action(trace: &Json) -> Markup {
    let act = trace.get("act");
    html! {
        div.line {
            (links::named_account(act.get("account").text())) ":" strong { (act.get("name").text()) } " "
            span.summary { (visible(&summary(act.get("data")))) }
        }
    }
}

/// What is in an action, in a line.
fn summary(data: &Json) -> String {
    let mut line = String::new();
    let Json::Object(fields) = data else { return line };
    for (name, value) in fields {
        let text = match value {
            Json::Text(text) | Json::Number(text) => text.as_str(),
            Json::Bool(true) => "true",
            Json::Bool(false) => "false",
            _ => "…",
        };
        line.push_str(if line.is_empty() { "" } else { ", " });
        line.extend(name.chars().take(SUMMARY).chain([' ']).chain(text.chars().take(SUMMARY)));
        if line.chars().count() > SUMMARY {
            line = line.chars().take(SUMMARY).chain(['…']).collect();
            break;
        }
    }
    line
}

/// A table of transactions; what is left out of a full page is behind a link.
pub(crate) fn table(id: &str, listed: &[Listed], next: Option<&str>, shown: &Shown) -> Markup {
    html! {
        div .live[next.is_none()] .extends id=(id) {
            @if listed.is_empty() { p.quiet { "None." } }
            @else {
                (scrolling("Transactions", &html! {
                    table.stack {
                        thead { tr { th scope="col" { "Transaction" } th scope="col" { "Block" } th scope="col" { "Actions" } } }
                        tbody { @for it in listed.iter().take_while(|_| !shown.is_full()) { (row(it)) } }
                    }
                }))
            }
            @if let Some(next) = next { p { a.more href=(next) { "More" } } }
        }
    }
}

fn row(it: &Listed) -> Markup {
    html! {
        tr {
            td { (links::transaction(&it.id)) " " (status(&it.status)) @if it.undone { " " span.badge.bad { "undone" } } }
            td { (links::numbered_block(it.block)) " " time.quiet { (it.time) } }
            td { @for action in &it.actions { (action) } }
        }
    }
}

/// The status of a transaction; that of most is not worth a word.
pub(crate) fn status(status: &str) -> Markup {
    match status {
        "executed" => html! {},
        "hard_fail" | "soft_fail" | "expired" | "canceled" => html! { span.badge.bad { (status) } },
        other => html! { span.badge { (other) } },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_a_short_line() {
        let data = Json::parse(br#"{"from":"alice","to":"bob","quantity":"1.0000 EOS","memo":""}"#).unwrap();
        assert_eq!(summary(&data), "from alice, to bob, quantity 1.0000 EOS, memo ");
        let long = Json::Object(vec![("memo".to_owned(), Json::Text("x".repeat(100_000)))]);
        assert_eq!(summary(&long).chars().count(), SUMMARY + 1);
        assert_eq!(summary(&Json::Text("00ff".to_owned())), "");
    }
}
