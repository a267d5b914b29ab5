//! Lists of transactions.

use dfuse_antelope::model::TransactionLifecycle;
use dfuse_index::abi::AbiSource;
use dfuse_query::ApiResult;
use dfuse_render::Renderer;
use maud::{Markup, html};

use crate::{
    json::Json,
    links,
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
    /// All actions of a lifecycle, or those at the given places in the order of execution.
    pub(crate) fn new(lifecycle: &Json, undone: bool) -> Self {
        let trace = lifecycle.get("execution_trace");
        let traces = trace.get("action_traces").items();
        let mut actions: Vec<_> = traces.iter().take(ACTIONS).map(action).collect();
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

/// An action in a line.
fn action(trace: &Json) -> Markup {
    let act = trace.get("act");
    html! {
        div {
            (links::named_account(act.get("account").text())) ":" strong { (act.get("name").text()) } " "
            (visible(&summary(act.get("data"))))
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
                div.scroll tabindex="0" role="region" aria-label="Transactions" {
                    table {
                        thead { tr { th scope="col" { "Transaction" } th scope="col" { "Block" } th scope="col" { "Actions" } } }
                        tbody { @for it in listed.iter().take_while(|_| !shown.is_full()) { (row(it)) } }
                    }
                }
            }
            @if let Some(next) = next { p { a.more href=(next) { "More" } } }
        }
    }
}

fn row(it: &Listed) -> Markup {
    html! {
        tr {
            td { (links::transaction(&it.id)) " " (status(&it.status)) @if it.undone { " " span.bad { "undone" } } }
            td { (links::numbered_block(it.block)) br; time.quiet { (it.time) } }
            td { @for action in &it.actions { (action) } }
        }
    }
}

/// The status of a transaction; that of most is not worth a word.
pub(crate) fn status(status: &str) -> Markup {
    match status {
        "executed" => html! {},
        "hard_fail" | "soft_fail" | "expired" | "canceled" => html! { span.bad { (status) } },
        other => html! { span.quiet { (other) } },
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
