//! The figures at the top, and how each went since the page was opened.

use dfuse_http::Api;
use dfuse_query::{Head, Look};
use dfuse_render::rfc3339;
use maud::{Markup, html};

use super::{FAMILY_BYTES, JOURNAL_BYTES, REQUESTS, samples::Samples};
use crate::links;

const MIB: f64 = (1 << 20) as f64;

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

pub(super) fn figures(api: &Api, look: &Look, samples: &Samples<'_>) -> Markup {
    let head = look.head.as_ref().map_or(0, |head| head.block.number);
    let head_age = look.head.as_ref().map_or(0.0, |head| head.age_seconds);
    let lib = look.lib.map_or(0, |lib| lib.number);
    let (open, most) = api.connections();
    let memory = look.status.overlay_bytes + api.chain().feed.memory_bytes();
    let figures = [
        Figure { text: age(head_age), ..Figure::level("Age of the head", head_age, "") },
        Figure::rate("Blocks a second", f64::from(head)),
        Figure::level("Reversible blocks", f64::from(head.saturating_sub(lib)), ""),
        Figure::rate("Requests a second", samples.total(REQUESTS)),
        Figure::rate("Errors a second", failed(samples)),
        Figure::level("Connections", open as f64, &format!(" of {most}")),
        Figure::level("WebSocket streams", samples.total("dfuse_websocket_streams"), ""),
        Figure::rate("Messages a second", samples.total("dfuse_websocket_messages_total")),
        Figure::level("Chain's end in memory", memory as f64 / MIB, " MiB"),
        Figure::level("Indexes on disk", (samples.total(FAMILY_BYTES) + samples.total(JOURNAL_BYTES)) / MIB, " MiB"),
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

/// Requests that were answered with an error.
fn failed(samples: &Samples<'_>) -> f64 {
    let failed = samples.of(REQUESTS).filter(|sample| sample.label("status").starts_with(['4', '5']));
    failed.fold(0.0, |sum, sample| sum + sample.value)
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
