//! The newest blocks and transactions.

use dfuse_antelope::Name;
use dfuse_http::{Api, Endpoint, Params};
use dfuse_index::blocks::{self as index, IndexedBlock};
use dfuse_kv::Direction;
use dfuse_query::{
    ApiResult, Class, ErrorCode, ReadContext,
    blocks::{self, BlockSummary},
    transactions,
};
use dfuse_render::rfc3339;
use maud::{Markup, html};

use crate::{
    links,
    page::{Live, Page, endpoint, facts, scrolling},
    shown::Shown,
    transactions::{Listed, lifecycle, table},
};

/// Where it is answered; browsers ask for `/`.
pub(crate) const PATH: &str = "/home";
/// The request with the newest blocks.
const API: &str = "/v0/blocks?limit=12";

/// The request with the newest transactions.
const TRANSACTIONS_API: &str = "/v0/transactions?limit=15";
const BLOCKS_OF_PLOT: usize = 120;
const BLOCKS: usize = 12;
const TRANSACTIONS: usize = 15;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        endpoint(PATH, Class::Page, "A page: the newest blocks and transactions.", home)
            .fails(&[ErrorCode::StateUnavailable]),
    ]
}

async fn home(api: Api, params: Params) -> ApiResult<Page> {
    params.finish(())?;
    // Before the first block, the page waits for it.
    api.query_at_any_time(|read| {
        let blocks = blocks::list(read, u32::MAX, BLOCKS)?;
        let counts = counts(read)?;
        let lib = read.snapshot().lib();
        let page = transactions::recent(read, TRANSACTIONS, None)?;
        let abis = read.abis(page.view());
        let mut listed = Vec::new();
        page.each_lifecycle(read, |_, found| {
            listed.push(Listed::new(&lifecycle(&abis, found)?));
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        let shown = Shown::new(TRANSACTIONS_API);
        let content = html! {
            section #chain .live aria-label="The chain" {
                (state(&blocks, lib.map_or(0, |lib| lib.number)))
                (plot(&counts))
                @if let Some(head) = blocks.first() { (turn(head)) }
            }
            div.pair {
                section aria-label="Newest transactions" { h2 { "Newest transactions" } (table("transactions", &listed, None, &shown)) }
                section #blocks .live aria-label="Newest blocks" { h2 { "Newest blocks" } (newest(&blocks)) }
            }
        };
        Ok(Page::new("The chain", API, content).and_api(TRANSACTIONS_API).following(Live::Head))
    })
    .await
}

fn state(blocks: &[BlockSummary], lib: u32) -> Markup {
    let Some(head) = blocks.first() else { return html! { p { "There is no block yet." } } };
    facts(&[
        ("Head block", links::block(head.id, head.number)),
        ("Time", html! { time { (rfc3339(head.header.timestamp)) } }),
        ("Producer", links::account(head.header.producer)),
        (
            "Last irreversible block",
            html! { (links::numbered_block(lib)) " (" (head.number.saturating_sub(lib)) " behind)" },
        ),
    ])
}

/// What ran in the newest blocks that the caller may read, the newest first.
fn counts(read: &ReadContext<'_>) -> ApiResult<Vec<IndexedBlock>> {
    let blocks = index::range(read.view(), read.first_block()..=u32::MAX, Direction::Reverse)?.take(BLOCKS_OF_PLOT);
    Ok(blocks.collect::<Result<_, _>>()?)
}

/// Actions a second, as the chain's clock has it: a bar for each block, the oldest first.
fn plot(blocks: &[IndexedBlock]) -> Markup {
    const HEIGHT: u64 = 40;
    const WIDTH: usize = 6;
    let (Some(newest), Some(oldest)) = (blocks.first(), blocks.last()) else { return html! {} };
    let most = blocks.iter().map(|block| block.actions).max().unwrap_or_default();
    // Those of the oldest block ran before the span of time begins.
    let (span, total) = (newest.time.to_unix_ms() - oldest.time.to_unix_ms(), total(&blocks[..blocks.len() - 1]));
    let rate = if span > 0 { total as f64 * 1000.0 / span as f64 } else { 0.0 };
    html! {
        figure {
            figcaption {
                strong { (format!("{rate:.1}")) } " actions a second"
                span.quiet { " in blocks " (oldest.number) " to " (newest.number) ", " (most) " in the fullest block" }
            }
            svg.plot aria-hidden="true" viewBox=(format!("0 0 {} {HEIGHT}", BLOCKS_OF_PLOT * WIDTH)) preserveAspectRatio="none" {
                @for (at, block) in blocks.iter().rev().enumerate() {
                    @let height = (u64::from(block.actions) * (HEIGHT - 1)).div_ceil(u64::from(most.max(1)));
                    rect x=(at * WIDTH) y=(HEIGHT - height) width=(WIDTH - 1) height=(height) {}
                }
            }
        }
    }
}

fn total(blocks: &[IndexedBlock]) -> u64 {
    blocks.iter().map(|block| u64::from(block.actions)).sum()
}

/// Whose turn it is.
fn turn(head: &BlockSummary) -> Markup {
    let is_now = |name: Name| (name == head.header.producer).then_some("true");
    html! {
        h2 { "Producers in turn" }
        ol.turn {
            @for producer in &head.active_schedule.producers {
                li aria-current=[is_now(producer.name)] { (links::account(producer.name)) }
            }
        }
    }
}

/// The newest blocks in short.
fn newest(blocks: &[BlockSummary]) -> Markup {
    html! {
        (scrolling("Newest blocks", &html! {
            table {
                thead {
                    tr {
                        th scope="col" { "Block" } th scope="col" { "Time" } th scope="col" { "Producer" }
                        th.right scope="col" { "Transactions" }
                    }
                }
                tbody {
                    @for block in blocks {
                        tr {
                            td { (links::block(block.id, block.number)) }
                            td { time datetime=(rfc3339(block.header.timestamp)) { (clock(&rfc3339(block.header.timestamp))) } }
                            td { (links::account(block.header.producer)) }
                            td.right { (block.transaction_count) }
                        }
                    }
                }
            }
        }))
    }
}

/// The time of the day in a time of the chain.
fn clock(time: &str) -> &str {
    time.split_once('T').map_or(time, |(_, clock)| clock.trim_end_matches('Z'))
}

/// Blocks, one in a row.
pub(crate) fn list(blocks: &[BlockSummary]) -> Markup {
    html! {
        (scrolling("Blocks", &html! {
            table {
                thead {
                    tr {
                        th scope="col" { "Block" } th scope="col" { "Time" } th scope="col" { "Producer" }
                        th.right scope="col" { "Transactions" } th scope="col" { "State" }
                    }
                }
                tbody {
                    @for block in blocks {
                        tr {
                            td { (links::block(block.id, block.number)) }
                            td { time { (rfc3339(block.header.timestamp)) } }
                            td { (links::account(block.header.producer)) }
                            td.right { (block.transaction_count) }
                            td { @if block.is_irreversible { span.badge.good { "irreversible" } } @else { span.badge { "reversible" } } }
                        }
                    }
                }
            }
        }))
    }
}
