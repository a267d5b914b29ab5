//! What a transaction changed.

use std::collections::BTreeMap;

use dfuse_antelope::model::TransactionLifecycle;
use dfuse_index::abi::AbiSource;
use dfuse_query::ApiResult;
use dfuse_render::{Renderer, RowChange, RowChangeForm};
use maud::{Markup, html};

use crate::{
    json::Json,
    links,
    page::scrolling,
    rows,
    shown::{Shown, visible},
};

/// Most changes of rows on a page.
const MOST: usize = 100;

/// Its changes of rows as `table_delta` messages have them, decoded by the ABIs that were in force.
pub(super) fn changes(abis: &dyn AbiSource, lifecycle: &TransactionLifecycle) -> ApiResult<Vec<Json>> {
    let Some(trace) = &lifecycle.execution_trace else { return Ok(Vec::new()) };
    let mut changes = Vec::new();
    for op in trace.db_ops.iter().take(MOST) {
        let mut text = Vec::new();
        let block_number = u32::try_from(trace.block_num).unwrap_or(u32::MAX);
        let change = RowChange { block_number, trace: Some(trace), op };
        Renderer::new(&mut text, abis).table_delta(&change, false, RowChangeForm::Decoded(None))?;
        changes.push(Json::parse(&text)?);
    }
    Ok(changes)
}

/// Rows, RAM and deferred transactions.
pub(super) fn all(lifecycle: &Json, changes: &[Json], shown: &Shown) -> Markup {
    let total = lifecycle.get("dbops").items().len();
    html! {
        @if !changes.is_empty() {
            h2 { "Rows that changed" }
            @for op in changes.iter().take_while(|_| !shown.is_full()) { (change(op, shown)) }
            @if shown.is_full() || total > MOST { p { (shown.rest(&format!("all {total} changes as JSON"))) } }
        }
        (ram(lifecycle.get("ramops").items()))
        (deferred(lifecycle.get("dtrxops").items(), shown))
    }
}

/// The row before and after, with marks on the fields that differ.
fn change(op: &Json, shown: &Shown) -> Markup {
    let (table, key) = (op.get("table").text(), op.get("key").text());
    html! {
        h3 {
            @match op.get("op").text() { "ins" => "Inserted ", "rem" => "Removed ", _ => "Updated " }
            (links::named_account(op.get("account").text())) " / " (table) " / " (visible(op.get("scope").text())) " / " span title=(key) { (visible(&rows::key_text(key))) }
        }
        div.change { (side("Before", "old", op.get("old"), op.get("new"), shown)) (side("After", "new", op.get("new"), op.get("old"), shown)) }
    }
}

/// One side of a difference, and the other one that it is compared with.
pub(crate) fn side(title: &str, class: &str, row: &Json, other: &Json, shown: &Shown) -> Markup {
    html! {
        div class=(class) {
            p.quiet { (title) @if !row.get("payer").is_null() { ", paid by " (links::named_account(row.get("payer").text())) } }
            @match row.get("json") {
                Json::Object(fields) => dl.fields {
                    @for (name, value) in fields {
                        div .changed[other.at(["json", name]) != value] { dt { (shown.name(name)) } dd { (shown.field(name, value)) } }
                    }
                },
                _ if row.is_null() => p.null { "no row" },
                _ => {
                    pre { (shown.text(row.get("hex").text())) }
                    @if !row.get("error").is_null() { p.quiet { (shown.text(row.get("error").text())) } }
                },
            }
        }
    }
}

/// What each account's usage of RAM changed by.
fn ram(ops: &[Json]) -> Markup {
    let mut by_payer: BTreeMap<&str, i64> = BTreeMap::new();
    for op in ops {
        let delta = by_payer.entry(op.get("payer").text()).or_default();
        *delta = delta.saturating_add(op.get("delta").number());
    }
    html! {
        @if !by_payer.is_empty() {
            h2 { "RAM" }
            (scrolling("RAM", &html! {
                table {
                    thead { tr { th scope="col" { "Payer" } th.right scope="col" { "Bytes" } } }
                    tbody {
                        @for (payer, delta) in by_payer.into_iter().take(MOST) {
                            tr { td { (links::named_account(payer)) } td.right { (format!("{delta:+}")) } }
                        }
                    }
                }
            }))
        }
    }
}

fn deferred(ops: &[Json], shown: &Shown) -> Markup {
    html! {
        @if !ops.is_empty() {
            h2 { "Deferred transactions" }
            @for op in ops.iter().take_while(|_| !shown.is_full()) {
                h3 { (op.get("op").text()) " " (links::transaction(op.get("trx_id").text())) }
                p { "Sender " (links::named_account(op.get("sender").text())) ", paid by " (links::named_account(op.get("payer").text()))
                    ", delayed until " (op.get("delay_until").text()) }
                @for act in op.at(["trx", "actions"]).items() { (shown.value(act)) }
            }
        }
    }
}
