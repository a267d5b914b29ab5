//! The indexes and the room that they take.

use dfuse_index::IndexState;
use dfuse_query::Look;
use maud::{Markup, html};

use super::{FAMILY_BYTES, FREE_BYTES, JOURNAL_BYTES, samples::Samples};
use crate::page::scrolling_panel;

pub(super) fn indexes(look: &Look) -> Markup {
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

/// The families of the indexes by size, as the engine last said.
pub(super) fn families(samples: &Samples<'_>) -> Markup {
    let mut families: Vec<_> = samples.of(FAMILY_BYTES).collect();
    families.sort_by(|one, other| other.value.total_cmp(&one.value));
    let (journal, free) = (samples.total(JOURNAL_BYTES), samples.total(FREE_BYTES));
    let total = families.iter().fold(journal, |sum, family| sum + family.value);
    html! {
        @if families.is_empty() { p.quiet { "Not counted yet." } }
        @else {
            p { strong { (size(total)) } " on disk"
                @if free > 0.0 { ", " strong { (size(free)) } " left" } }
            (scrolling_panel("Families of the indexes", &html! {
                table {
                    thead { tr { th scope="col" { "Family" } th.right scope="col" { "Size" } th scope="col" { "Of all" } } }
                    tbody {
                        @for family in families.iter().filter(|family| family.value > 0.0) { (row(family.label("family"), family.value, total)) }
                        (row("journal", journal, total))
                    }
                }
            }))
        }
    }
}

fn row(name: &str, bytes: f64, total: f64) -> Markup {
    html! {
        tr {
            td { (name) } td.right { (size(bytes)) }
            td { meter min="0" max=(total.max(1.0)) value=(bytes) aria-label={ (name) ": part of all" } {} }
        }
    }
}

/// A number of bytes that people can read.
fn size(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut value = bytes;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} {}", UNITS[0]) } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_easily() {
        for (bytes, text) in [(0.0, "0 bytes"), (1023.0, "1023 bytes"), (1536.0, "1.5 KiB"), (3e12, "2.7 TiB")] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn families_come_by_size() {
        let text = "dfuse_index_store_bytes{family=\"a\"} 10\ndfuse_index_store_bytes{family=\"b\"} 2048\ndfuse_index_journal_bytes 6\n";
        let page = families(&Samples::parse(text)).into_string();
        assert!(page.find("<td>b</td>").unwrap() < page.find("<td>a</td>").unwrap(), "{page}");
        assert!(page.contains("<strong>2.0 KiB</strong> on disk") && page.contains("<td>journal</td>"), "{page}");
    }
}
