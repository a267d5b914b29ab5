//! What was asked, what failed and what took long.

use std::collections::BTreeMap;

use dfuse_antelope::BlockTimestamp;
use dfuse_http::{Answered, FailedSoFar};
use dfuse_query::SlowSearch;
use dfuse_render::rfc3339;
use maud::{Markup, html};

use super::{REQUESTS, samples::Samples};
use crate::{links, page::scrolling_panel, shown::visible};

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
    for sample in samples.of(REQUESTS) {
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
        (scrolling_panel("Requests by route", &html! {
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
        }))
    }
}

/// The codes of errors since the start, the last one first, each with a request that the log has.
pub(super) fn by_code(codes: &[FailedSoFar]) -> Markup {
    html! {
        @if codes.is_empty() { p.quiet { "None." } }
        @else {
            (scrolling_panel("Errors by code", &html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "Code" } th.right scope="col" { "Errors" } th scope="col" { "Last one, and its trace id" }
                        }
                    }
                    tbody {
                        @for FailedSoFar { code, count, last } in codes {
                            tr {
                                td { a href={ "/guide/errors#" (code) } { code { (code) } } } td.right { (count) }
                                td { time { (time(last.unix_ms)) } br; code { (last.trace_id) } }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// Searches that took long, of any surface.
pub(super) fn searches(searches: &[SlowSearch]) -> Markup {
    html! {
        @if searches.is_empty() { p.quiet { "None." } }
        @else {
            (scrolling_panel("Slow searches", &html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "When" } th scope="col" { "Query" } th scope="col" { "Blocks" }
                            th.right scope="col" { "Found" } th.right scope="col" { "Work" } th.right scope="col" { "ms" }
                        }
                    }
                    tbody {
                        @for it in searches {
                            tr {
                                td { time { (time(it.unix_ms)) } }
                                td { a href=(links::address("/search", [("q", &it.query)])) { code { (visible(&it.query)) } } }
                                td { @if let Some(blocks) = &it.blocks { (blocks.start()) "–" (blocks.end()) } @else { "none" } }
                                td.right { (it.results) } td.right { (it.work) } td.right { (it.taken.as_millis()) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// Requests, one in a row, under the trace ids that the log has.
pub(super) fn list(label: &str, requests: &[Answered]) -> Markup {
    html! {
        @if requests.is_empty() { p.quiet { "None." } }
        @else {
            (scrolling_panel(label, &html! {
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
            }))
        }
    }
}

/// To the half second, as blocks have times.
fn time(unix_ms: u64) -> String {
    let slot = i64::try_from(unix_ms - unix_ms % 500).ok().and_then(|ms| BlockTimestamp::from_unix_ms(ms).ok());
    slot.map(rfc3339).unwrap_or_default()
}
