//! Where blocks come from and requests go: the source, nodes that this process supervises, and those behind `/v1/chain`.

use dfuse_http::{Api, without_places};
use dfuse_query::secrets;
use maud::{Markup, html};

use super::samples::Samples;
use crate::{page::scrolling, shown::visible};

/// Lines of each node.
const LINES: usize = 12;
/// Most characters of a line.
const LINE: usize = 300;

/// Which source there is, whether it gives, and how far behind it this server is.
pub(super) fn source(samples: &Samples<'_>, head: u32) -> Markup {
    let ahead = samples.of("dfuse_source_head_block_number").next().map(|sample| sample.value);
    html! {
        @for sample in samples.of("dfuse_source_up") {
            p {
                strong { (sample.label("source")) } " "
                @if sample.value > 0.0 { span.good { "connected" } } @else { span.bad { "not connected" } }
                @for endpoint in samples.of("dfuse_source_endpoint").filter(|endpoint| endpoint.value > 0.0) {
                    " to " code { (visible(endpoint.label("endpoint"))) }
                }
                @match ahead {
                    Some(has) if has > f64::from(head) => { ": it has block " (has) ", " (has - f64::from(head)) " ahead of this server" }
                    Some(has) => { ": no block is missing; it has said that it has block " (has) }
                    None => { ": it does not say which blocks it has; the age of the head tells" }
                }
                "."
            }
        }
    }
}

/// The nodes, and what each wrote last.
pub(super) fn nodes(api: &Api, samples: &Samples<'_>) -> Markup {
    let of = |name: &str, node: &str| samples.with(name, "node", node);
    let names: Vec<_> = samples.of("dfuse_node_up").map(|sample| sample.label("node")).collect();
    html! {
        @if names.is_empty() { p.quiet { "This server supervises no nodes." } }
        @else {
            (scrolling("Nodes", &html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "Node" } th.right scope="col" { "Head" } th.right scope="col" { "LIB" }
                            th.right scope="col" { "Snapshot" } th.right scope="col" { "Starts" }
                        }
                    }
                    tbody {
                        @for node in &names {
                            tr {
                                td { (visible(node)) " " @if of("dfuse_node_up", node) > 0.0 { span.good { "up" } } @else { span.bad { "down" } } }
                                td.right { (of("dfuse_node_head_block_number", node)) }
                                td.right { (of("dfuse_node_lib_block_number", node)) }
                                td.right { @match of("dfuse_node_snapshot_block_number", node) { 0.0 => "none", block => (block) } }
                                td.right { (of("dfuse_node_starts_total", node)) }
                            }
                        }
                    }
                }
            }))
        }
        @for node in names {
            details #{ "lines-" (node) } {
                summary { "Last lines of " (visible(node)) }
                pre.log tabindex="0" { @for line in lines(&api.operations().last_lines(node)) { (visible(&line)) "\n" } }
            }
        }
    }
}

/// The nodes that answer what this server passes on, each in turn.
pub(super) fn upstreams(samples: &Samples<'_>) -> Markup {
    let nodes: Vec<_> = samples.of("dfuse_chain_api_node_up").collect();
    html! {
        @if !nodes.is_empty() {
            h2 { "Nodes behind /v1/chain" }
            ul {
                @for node in nodes {
                    li {
                        code { (visible(&secrets::masked(node.label("node")))) } " "
                        @if node.value > 0.0 { span.good { "asked" } } @else { span.bad { "not asked" } }
                    }
                }
            }
        }
    }
}

/// The last lines, without secrets and places.
fn lines(all: &[String]) -> impl Iterator<Item = String> {
    let last = all[all.len().saturating_sub(LINES)..].iter();
    last.map(|line| without_places(&secrets::masked(line)).chars().take(LINE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_the_source_is_ahead_is_told() {
        let text = "dfuse_source_up{source=\"firehose\"} 1\ndfuse_source_head_block_number{source=\"firehose\"} 120\n";
        let page = source(&Samples::parse(text), 100).into_string();
        assert!(page.contains("firehose") && page.contains("it has block 120, 20 ahead of this server"), "{page}");
        let page = source(&Samples::parse("dfuse_source_up{source=\"ship\"} 0\n"), 100).into_string();
        assert!(page.contains("not connected"), "{page}");
    }

    #[test]
    fn which_of_several_serves_is_told() {
        let text = "dfuse_source_up{source=\"firehose\"} 1\ndfuse_source_endpoint{endpoint=\"a:1\"} 0\n\
            dfuse_source_endpoint{endpoint=\"b:2\"} 1\ndfuse_chain_api_node_up{node=\"http://c:3\"} 1\n\
            dfuse_chain_api_node_up{node=\"http://d:4\"} 0\n";
        let samples = Samples::parse(text);
        let page = source(&samples, 100).into_string();
        assert!(page.contains("to <code>b:2</code>") && !page.contains("a:1"), "{page}");
        let page = upstreams(&samples).into_string();
        assert!(page.contains("<code>http://c:3</code> <span class=\"good\">asked</span>"), "{page}");
        assert!(page.contains("<code>http://d:4</code> <span class=\"bad\">not asked</span>"), "{page}");
        assert_eq!(upstreams(&Samples::parse("")).into_string(), "");
    }

    #[test]
    fn lines_are_few_and_without_secrets() {
        let key = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3";
        let all: Vec<_> = (0..50).map(|at| format!("{at} key {key} at /srv/node {}", "x".repeat(1000))).collect();
        let shown: Vec<_> = lines(&all).collect();
        assert_eq!(shown.len(), LINES);
        assert!(shown[LINES - 1].starts_with("49 ") && shown.iter().all(|line| line.chars().count() <= LINE));
        assert!(!shown.iter().any(|line| line.contains(key) || line.contains("/srv")), "{shown:?}");
    }
}
