//! A transaction: what became of it, what it did.

mod actions;
mod operations;

pub(crate) use operations::side;

use dfuse_antelope::Checksum256;
use dfuse_http::{Api, Endpoint, Kind::Id, Parameter, Params, params::rules::id};
use dfuse_query::{ApiResult, Class, ErrorCode, ReadContext, transactions};
use maud::{Markup, html};

use crate::{
    json::Json,
    links,
    page::{Live, Page, endpoint, facts},
    shown::{Shown, visible},
    transactions::lifecycle,
};

/// Most authorisations of the outline.
const MOST_LEVELS: usize = 50;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const PARAMETERS: &[Parameter] = &[Parameter::required("id", Id, "the id").in_path()];
    vec![
        endpoint("/tx/{id}", Class::LookUp, "A page: a transaction.", transaction)
            .takes(PARAMETERS)
            .fails(&[ErrorCode::TransactionNotFound, ErrorCode::TransactionLeftOut]),
    ]
}

async fn transaction(api: Api, mut params: Params) -> ApiResult<Page> {
    let id = params.required("id", id);
    let id = params.finish(id)?;
    api.query(move |read| match page(read, id) {
        // It may come yet: whoever pushed it can wait for it here.
        Err(error) if error.code() == ErrorCode::TransactionNotFound => {
            let content = html! {
                section #lifecycle .live { p { (error.message()) } p { "This page shows it when a block has it." } }
                section #actions .live {}
                section #operations .live {}
                section #raw .live {}
            };
            Ok(Page::new(title(id), address(id), content).following(Live::Transaction(id)))
        }
        page => page,
    })
    .await
}

fn title(id: Checksum256) -> String {
    format!("Transaction {}…", &id.to_string()[..12])
}

fn address(id: Checksum256) -> String {
    format!("/v0/transactions/{id}")
}

fn page(read: &ReadContext<'_>, id: Checksum256) -> ApiResult<Page> {
    let found = transactions::lifecycle(read, id)?;
    let abis = read.abis(read.view());
    let json = lifecycle(&abis, &found)?;
    let head = read.snapshot().head().map_or(0, |head| head.number);
    let shown = Shown::new(&address(id));
    let operations = operations::changes(&abis, &found)?;
    let content = html! {
        section #lifecycle .live aria-label="What became of it" { (timeline(&json, head)) (outline(&json)) }
        section #actions .live aria-label="Actions" { h2 { "Actions" } (actions::tree(&json, &shown)) }
        section #operations .live aria-label="Changes" { (operations::all(&json, &operations, &shown)) }
        section #raw .live aria-label="Raw forms" { (raw(&json, &shown)) }
    };
    let is_settled = json.get("execution_irreversible").is_true() || json.get("cancelation_irreversible").is_true();
    let live = if is_settled { Live::Nothing } else { Live::Transaction(id) };
    Ok(Page::new(title(id), address(id), content).following(live))
}

/// As it was signed.
fn raw(json: &Json, shown: &Shown) -> Markup {
    let signed = json.get("transaction");
    html! {
        h2 { "Raw" }
        @if !signed.is_null() {
            details #signed { summary { "The transaction as it was signed" } (shown.value(signed)) }
        }
        details #receipt { summary { "The receipt" } (shown.value(json.at(["execution_trace", "receipt"]))) }
        p { (shown.rest("The whole lifecycle as JSON")) }
    }
}

/// What happened to it, in order.
fn timeline(json: &Json, head: u32) -> Markup {
    let status = json.get("transaction_status").text();
    let trace = json.get("execution_trace");
    let block = u32::try_from(trace.get("block_num").number()).unwrap_or_default();
    let failed = matches!(status, "hard_fail" | "soft_fail" | "expired" | "canceled");
    html! {
        ol.timeline {
            @if !json.get("created_by").is_null() {
                (deferred(json.get("created_by"), "Deferred", json.get("creation_irreversible").is_true()))
            } @else if !json.get("transaction").is_null() {
                li.done { strong { "Pushed" } span { "valid until " time { (json.at(["transaction", "expiration"]).text()) } } }
            }
            @if !json.get("canceled_by").is_null() {
                (deferred(json.get("canceled_by"), "Cancelled", json.get("cancelation_irreversible").is_true()))
            }
            @if trace.is_null() {
                li { strong { "Not in a block" } span { (status) } }
            } @else {
                li class=(if failed { "failed" } else { "done" }) {
                    strong { "In block " (links::numbered_block(block)) } span { (status) ", " time { (trace.get("block_time").text()) } }
                }
                li .done[head > block] { strong { (head.saturating_sub(block)) " confirmations" } span { "head block " (links::numbered_block(head)) } }
                @if json.get("execution_irreversible").is_true() {
                    li.done { strong { "Irreversible" } span { "it can no longer be undone" } }
                } @else {
                    li { strong { "Not irreversible yet" } span { "this page waits for it" } }
                }
            }
        }
    }
}

fn deferred(op: &Json, what: &str, is_irreversible: bool) -> Markup {
    html! {
        li.done {
            strong { (what) }
            span {
                @if !op.get("src_trx_id").text().is_empty() { "by " (links::transaction(op.get("src_trx_id").text())) ", " }
                "block " (op.get("block_num").text())
                @if is_irreversible { ", irreversible" }
                @if !op.get("delay_until").text().is_empty() { ", delayed until " time { (op.get("delay_until").text()) } }
            }
        }
    }
}

/// Who signed for its actions, each once.
fn authorizations(json: &Json) -> Markup {
    let signed = json.at(["transaction", "actions"]).items();
    let ran = json.at(["execution_trace", "action_traces"]).items().iter().map(|trace| trace.get("act"));
    let mut levels = Vec::new();
    for level in signed.iter().chain(ran).flat_map(|act| act.get("authorization").items()) {
        if !levels.contains(&level) {
            levels.push(level);
        }
    }
    html! {
        @if levels.is_empty() { "nobody" }
        @for level in levels.into_iter().take(MOST_LEVELS) {
            (links::named_account(level.get("actor").text())) "@" (visible(level.get("permission").text())) " "
        }
    }
}

fn outline(json: &Json) -> Markup {
    let (trace, header) = (json.get("execution_trace"), json.get("execution_block_header"));
    let receipt = trace.get("receipt");
    let signed = json.get("transaction");
    let failure = trace.at(["except", "message"]).text();
    html! {
        (facts(&[
            ("Id", html! { code.id { (json.get("id").text()) } }),
            ("Authorised by", authorizations(json)),
            ("Producer", links::named_account(header.get("producer").text())),
            ("Expires", html! { (signed.get("expiration").text()) }),
            ("CPU", html! { (receipt.get("cpu_usage_us").text()) " µs" }),
            ("Network", html! { (receipt.get("net_usage_words").number().saturating_mul(8)) " bytes" }),
            ("Delay", html! { (signed.get("delay_sec").text()) " s" }),
            ("Signed with", html! {
                @for key in json.get("pub_keys").items() { a.id href={ "/key/" (key.text()) } { (key.text()) } " " }
            }),
        ]))
        @if !failure.is_empty() { p.notice { span.bad { "Failed: " } (Shown::new("").text(failure)) } }
    }
}
