//! The tree of actions.

use maud::{Markup, html};

use crate::{
    json::Json,
    links,
    shown::{Shown, visible},
};

/// The actions that ran, each below the one that created it; those of a transaction that has not run as they were signed.
pub(super) fn tree(lifecycle: &Json, shown: &Shown) -> Markup {
    let traces = lifecycle.at(["execution_trace", "action_traces"]).items();
    if !traces.is_empty() {
        return html! { ul.tree { (nodes(traces, shown)) } };
    }
    let signed = lifecycle.at(["transaction", "actions"]).items();
    html! {
        @if signed.is_empty() { p.quiet { "None." } }
        ul.tree { @for act in signed.iter().take_while(|_| !shown.is_full()) { li { (action(act, shown)) } } }
    }
}

/// What an account was only told of is folded.
fn nodes(traces: &[Json], shown: &Shown) -> Markup {
    html! {
        @for trace in traces.iter().take_while(|_| !shown.is_full()) {
            @let receiver = trace.get("receiver").text();
            @let is_notification = receiver != trace.at(["act", "account"]).text();
            li {
                @if is_notification {
                    details id={ "action-" (trace.get("action_ordinal").text()) } {
                        summary { (visible(receiver)) " was notified" }
                        (node(trace, true, shown))
                    }
                } @else { (node(trace, false, shown)) }
            }
        }
        @if shown.is_full() { li { (shown.rest("… the rest as JSON")) } }
    }
}

/// A notification has the action of whoever gave it, which is not shown again.
fn node(trace: &Json, is_notification: bool, shown: &Shown) -> Markup {
    let receiver = trace.get("receiver").text();
    let console = trace.get("console").text();
    let failure = trace.at(["except", "message"]).text();
    html! {
        @if !is_notification { (action(trace.get("act"), shown)) }
        @if !trace.get("return_value_data").is_null() { p { "Returned: " (shown.value(trace.get("return_value_data"))) } }
        @if !failure.is_empty() { p { span.bad { "Failed: " } (shown.text(failure)) } }
        details id={ "more-" (trace.get("action_ordinal").text()) } {
            summary { "More" }
            p { "Executed by " (links::named_account(receiver)) ", global sequence " (trace.at(["receipt", "global_sequence"]).text())
                ", " (trace.get("elapsed").text()) " µs" }
            @if !console.is_empty() { p { "Console" } pre { (shown.text(console)) } }
            p { "Bytes" } pre { (shown.text(trace.at(["act", "hex_data"]).text())) }
        }
        @let inline = trace.get("inline_traces").items();
        @if !inline.is_empty() { ul { (nodes(inline, shown)) } }
    }
}

fn action(act: &Json, shown: &Shown) -> Markup {
    html! {
        p.action {
            (links::named_account(act.get("account").text())) ":" strong { (act.get("name").text()) }
            @for level in act.get("authorization").items() {
                " " span.quiet { "by " (links::named_account(level.get("actor").text())) "@" (visible(level.get("permission").text())) }
            }
        }
        @if act.get("data").is_null() {
            @if !act.get("hex_data").text().is_empty() { p.quiet { "Its data does not decode; see its bytes." } }
        } @else { (shown.value(act.get("data"))) }
    }
}
