//! `/dashboard`: whether all is well, for operators.

mod requests;
mod samples;

use std::borrow::Cow;

use dfuse_http::{AnswerForm, Api, Charge, Endpoint, Params, sender::Operator, without_places};
use dfuse_index::IndexState;
use dfuse_query::{ApiResult, Class, Head, Look};
use dfuse_render::rfc3339;
use maud::{Markup, html};

use self::samples::Samples;
use crate::{
    links,
    page::{HTML, Live, Page},
    shown::visible,
};

const MIB: f64 = (1 << 20) as f64;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let answer = "A page: the state of the server, for operators.";
    vec![Endpoint::get("/dashboard", Charge::open(Class::LookUp), dashboard).answers(answer, AnswerForm::Text(HTML))]
}

async fn dashboard(api: Api, (_, params): (Operator, Params)) -> ApiResult<Page> {
    params.finish(())?;
    let look = Look::take(&api, false).await?;
    let text = api.metrics().render();
    let samples = Samples::parse(&text);
    let recent = api.recent();
    let content = html! {
        div #figures .live.cards { (figures(&api, &look, &samples)) }
        div.columns {
            section #conditions .live.panel aria-label="Conditions" { h2 { "Conditions" } (conditions(&api, &look)) }
            section #indexes .live.panel aria-label="Indexes" { h2 { "Indexes" } (indexes(&look)) (nodes(&samples)) }
            section #routes .live.panel aria-label="Requests" { h2 { "Requests" } (requests::by_route(&samples)) }
            section #failed .live.panel aria-label="Errors" { h2 { "Last errors" } (requests::list("Last errors", &recent.failed())) }
        }
        section #slow .live.panel aria-label="Slow requests" { h2 { "Slow requests" } (requests::list("Slow requests", &recent.slow())) }
    };
    Ok(Page::new("Dashboard", "/metrics", content).following(Live::Every { seconds: 2 }))
}

/// A figure, and how it went since the page was opened.
struct Figure {
    label: &'static str,
    /// What is shown.
    text: String,
    /// What is drawn.
    value: f64,
    /// Whether its growth in a second is drawn and shown instead.
    is_rate: bool,
}

impl Figure {
    fn level(label: &'static str, value: f64, unit: &str) -> Self {
        Self { label, text: format!("{}{unit}", (value * 10.0).round() / 10.0), value, is_rate: false }
    }

    fn rate(label: &'static str, total: f64) -> Self {
        Self { label, text: format!("{total} in all"), value: total, is_rate: true }
    }

    fn card(&self) -> Markup {
        html! {
            div.card {
                span.label { (self.label) }
                strong data-rate=[self.is_rate.then_some(self.label)] { (self.text) }
                svg.plot aria-hidden="true" viewBox="0 0 120 30" preserveAspectRatio="none"
                    data-series=(self.label) data-value=(self.value) data-kind=[self.is_rate.then_some("rate")] {}
            }
        }
    }
}

fn figures(api: &Api, look: &Look, samples: &Samples<'_>) -> Markup {
    let head = look.head.as_ref().map_or(0, |head| head.block.number);
    let head_age = look.head.as_ref().map_or(0.0, |head| head.age_seconds);
    let lib = look.lib.map_or(0, |lib| lib.number);
    let (open, most) = api.connections();
    let memory = look.status.overlay_bytes + api.chain().feed.memory_bytes();
    let figures = [
        Figure { text: age(head_age), ..Figure::level("Age of the head", head_age, "") },
        Figure::rate("Blocks a second", f64::from(head)),
        Figure::level("Reversible blocks", f64::from(head.saturating_sub(lib)), ""),
        Figure::rate("Requests a second", samples.total("dfuse_http_requests_total")),
        Figure::level("Connections", open as f64, &format!(" of {most}")),
        Figure::level("WebSocket streams", samples.total("dfuse_websocket_streams"), ""),
        Figure::rate("Stream messages a second", samples.total("dfuse_websocket_messages_total")),
        Figure::level("Memory of the chain's end", memory as f64 / MIB, " MiB"),
    ];
    html! {
        div.card {
            span.label { "Head block" }
            @match &look.head {
                Some(Head { block, time, .. }) => { strong { (links::block(block.id, block.number)) } time.quiet { (rfc3339(*time)) } },
                None => strong { "none yet" },
            }
        }
        div.card { span.label { "Last irreversible block" } strong { (links::numbered_block(lib)) }
            span.quiet { "committed: " (look.status.committed.map_or(0, |block| block.number)) } }
        @for figure in figures { (figure.card()) }
    }
}

/// A time that people can read.
fn age(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min", whole / 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// Those of `/healthz`, and what to do where one does not hold.
fn conditions(api: &Api, look: &Look) -> Markup {
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
        p.quiet { @for (name, _) in good { span.tag { "✓ " (name) } " " } }
        p { a href="/healthz" { "As JSON" } }
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

fn indexes(look: &Look) -> Markup {
    html! {
        p {
            @for index in &look.status.indexes {
                @match index.state {
                    IndexState::Live => span.tag { "✓ " (index.name) },
                    IndexState::Behind(block) => span.tag.bad { (index.name) " behind, at " (block.map_or(0, |block| block.number)) },
                }
                " "
            }
        }
        p.quiet {
            (look.status.reversible_blocks) " blocks of all branches are not committed, "
            (look.status.spilled_blocks) " of them in scratch space."
            @if let Some(first) = look.mid_chain_start { " Indexed from block " (first) " on." }
        }
    }
}

/// The nodes that this process supervises.
fn nodes(samples: &Samples<'_>) -> Markup {
    let of = |name: &str, node: &str| samples.with(name, "node", node);
    let names: Vec<_> = samples.of("dfuse_node_up").map(|sample| sample.label("node")).collect();
    html! {
        h2 { "Nodes" }
        @if names.is_empty() { p.quiet { "This server supervises none." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Nodes" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Node" } th.right scope="col" { "Head" } th.right scope="col" { "LIB" }
                            th.right scope="col" { "Snapshot" } th.right scope="col" { "Starts" }
                        }
                    }
                    tbody {
                        @for node in names {
                            tr {
                                td { (visible(node)) " " @if of("dfuse_node_up", node) > 0.0 { span.good { "up" } } @else { span.bad { "down" } } }
                                td.right { (of("dfuse_node_head_block_number", node)) }
                                td.right { (of("dfuse_node_lib_block_number", node)) }
                                td.right { (of("dfuse_node_snapshot_block_number", node)) }
                                td.right { (of("dfuse_node_starts_total", node)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_easily() {
        for (seconds, text) in
            [(0.42, "0.4 s"), (59.9, "59.9 s"), (61.0, "1 min"), (7261.0, "2 h 1 min"), (690_000.0, "7 d 23 h")]
        {
            assert_eq!(age(seconds), text);
        }
    }
}
