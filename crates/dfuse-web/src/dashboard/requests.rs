//! What was asked, what failed and what took long.

use std::collections::BTreeMap;

use dfuse_antelope::BlockTimestamp;
use dfuse_http::Answered;
use dfuse_render::rfc3339;
use maud::{Markup, html};

use super::samples::Samples;
use crate::shown::visible;

/// Most routes that are listed.
const ROUTES: usize = 12;

#[derive(Debug, Default)]
struct Route {
    requests: f64,
    refused: f64,
    failed: f64,
}

/// The routes that are asked most.
pub(super) fn by_route(samples: &Samples<'_>) -> Markup {
    let mut routes: BTreeMap<&str, Route> = BTreeMap::new();
    for sample in samples.of("dfuse_http_requests_total") {
        let route = routes.entry(sample.label("route")).or_default();
        route.requests += sample.value;
        match sample.label("status").as_bytes().first() {
            Some(b'4') => route.refused += sample.value,
            Some(b'5') => route.failed += sample.value,
            _ => {}
        }
    }
    let mean_ms = |route: &str| {
        let of = |name| samples.with(name, "route", route);
        let count = of("dfuse_http_request_duration_seconds_count").max(1.0);
        format!("{:.1}", 1000.0 * of("dfuse_http_request_duration_seconds_sum") / count)
    };
    let mut routes: Vec<_> = routes.into_iter().collect();
    routes.sort_by(|(_, one), (_, other)| other.requests.total_cmp(&one.requests));
    html! {
        div.scroll tabindex="0" role="region" aria-label="Requests by route" {
            table {
                thead {
                    tr {
                        th scope="col" { "Route" } th.right scope="col" { "Requests" } th.right scope="col" { "4xx" }
                        th.right scope="col" { "5xx" } th.right scope="col" { "Mean ms" }
                    }
                }
                tbody {
                    @for (name, route) in routes.iter().take(ROUTES) {
                        tr {
                            td { code { (visible(name)) } } td.right { (route.requests) } td.right { (route.refused) }
                            td.right .bad[route.failed > 0.0] { (route.failed) } td.right { (mean_ms(name)) }
                        }
                    }
                }
            }
        }
    }
}

/// Requests, one in a row, under the trace ids that the log has.
pub(super) fn list(label: &str, requests: &[Answered]) -> Markup {
    html! {
        @if requests.is_empty() { p.quiet { "None." } }
        @else {
            div.scroll.short tabindex="0" role="region" aria-label=(label) {
                table {
                    thead {
                        tr {
                            th scope="col" { "When" } th scope="col" { "Request" } th scope="col" { "Answer" }
                            th.right scope="col" { "ms" } th scope="col" { "Trace id" }
                        }
                    }
                    tbody {
                        @for it in requests {
                            tr {
                                td { time { (time(it.unix_ms)) } }
                                td { code { (it.method) " " (visible(&it.target)) } }
                                td { @if it.status == 0 { "the client left" } @else { (it.status) } " " code { (it.code.unwrap_or_default()) } }
                                td.right { (it.taken.as_millis()) }
                                td { code { (it.trace_id) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// To the half second, as blocks have times.
fn time(unix_ms: u64) -> String {
    let slot = i64::try_from(unix_ms - unix_ms % 500).ok().and_then(|ms| BlockTimestamp::from_unix_ms(ms).ok());
    slot.map(rfc3339).unwrap_or_default()
}
