//! The conditions of readiness.

use std::borrow::Cow;

use dfuse_http::{Api, without_places};
use dfuse_query::Look;
use maud::{Markup, html};

use crate::shown::visible;

/// Those of `/healthz`, and what to do where one does not hold.
pub(super) fn conditions(api: &Api, look: &Look) -> Markup {
    let (good, failing): (Vec<_>, Vec<_>) = look.conditions.iter().partition(|(_, state)| state.is_ok());
    let warnings = api.readiness().warnings();
    html! {
        @if failing.is_empty() { p { span.good { "✓ Ready" } ": all " (good.len()) " conditions hold." } }
        @for (name, state) in failing {
            div.notice.failing {
                p { span.bad { "✗ " (name) } ": " (visible(&without_places(state.as_ref().err().map_or("", String::as_str)))) }
                p.quiet { (what_to_do(name)) }
            }
        }
        @for (name, text) in &warnings { div.notice { p { strong { "! " (name) } ": " (visible(&without_places(text))) } } }
        @if api.access().closed().is_some() {
            div.notice { p { strong { "! maintenance" } ": all other requests are answered with 503; " code { "dfuse maintenance off" } " ends it." } }
        }
        details #holding {
            summary { "The conditions that hold" }
            p.quiet { @for (name, _) in good { span.tag { "✓ " (name) } " " } }
        }
    }
}

fn what_to_do(condition: &str) -> Cow<'static, str> {
    match condition {
        "head_block" => "The source has given no block yet: see in the log whether it was opened.".into(),
        "head_age" => "Blocks stopped coming or are being caught up: see the source and its nodes.".into(),
        "index_store" => {
            "Make room on the disk, or mend the store that it is on; the server then goes on by itself.".into()
        }
        "running" => "The server is stopping: send clients to another one.".into(),
        _ if condition.starts_with("index_") => "The server builds the index by itself: wait for it.".into(),
        _ => match condition.strip_prefix("node_") {
            Some(node) => format!(
                "The server starts the node {node} again by itself. Its lines are in the log; \
                 `dfuse start --restore-nodes` begins with its newest snapshot."
            )
            .into(),
            None => "The log says more.".into(),
        },
    }
}
