//! The newest blocks and transactions.

use dfuse_antelope::Name;
use dfuse_http::{Api, Endpoint, Params};
use dfuse_query::{
    ApiResult, Class, ErrorCode,
    blocks::{self, BlockSummary},
    transactions,
};
use dfuse_render::rfc3339;
use maud::{Markup, html};

use crate::{
    links,
    page::{Live, Page, endpoint, facts},
    shown::Shown,
    transactions::{Listed, lifecycle, table},
};

/// Where it is answered; browsers ask for `/`.
pub(crate) const PATH: &str = "/home";
/// The request with the newest blocks.
const API: &str = "/v0/blocks?limit=60";

const BLOCKS_OF_PLOT: usize = 60;
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
        let blocks = blocks::list(read, u32::MAX, BLOCKS_OF_PLOT)?;
        let lib = read.snapshot().lib();
        let page = transactions::recent(read, TRANSACTIONS, None)?;
        let abis = read.abis(page.view());
        let mut listed = Vec::new();
        page.each_lifecycle(read, |_, found| {
            listed.push(Listed::new(&lifecycle(&abis, found)?, false));
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        let shown = Shown::new("/v0/transactions?limit=15");
        let content = html! {
            section #chain .live aria-label="The chain" {
                (state(&blocks, lib.map_or(0, |lib| lib.number)))
                (plot(&blocks))
                @if let Some(head) = blocks.first() { (turn(head)) }
            }
            h2 { "Newest transactions" }
            (table("transactions", &listed, None, &shown))
            h2 { "Newest blocks" }
            section #blocks .live aria-label="Newest blocks" { (list(&blocks[..blocks.len().min(BLOCKS)])) }
        };
        Ok(Page::new("The chain", API, content).following(Live::Head))
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

/// Transactions of each block, the oldest first.
fn plot(blocks: &[BlockSummary]) -> Markup {
    const HEIGHT: u32 = 40;
    const WIDTH: usize = 6;
    let most = blocks.iter().map(|block| block.transaction_count).max().unwrap_or_default();
    let (Some(newest), Some(oldest)) = (blocks.first(), blocks.last()) else { return html! {} };
    let total: u64 = blocks.iter().map(|block| u64::from(block.transaction_count)).sum();
    let label = format!(
        "Transactions in blocks {} to {}: {total} in all, {most} in the largest block",
        oldest.number, newest.number
    );
    html! {
        p.quiet #plot { (label) }
        svg.plot role="img" aria-labelledby="plot" viewBox=(format!("0 0 {} {HEIGHT}", BLOCKS_OF_PLOT * WIDTH))
            preserveAspectRatio="none" {
            @for (at, block) in blocks.iter().rev().enumerate() {
                @let height = (u64::from(block.transaction_count) * u64::from(HEIGHT - 1)).div_ceil(u64::from(most.max(1)));
                rect x=(at * WIDTH) y=(u64::from(HEIGHT) - height) width=(WIDTH - 1) height=(height) {}
            }
        }
    }
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

/// Blocks, one in a row.
pub(crate) fn list(blocks: &[BlockSummary]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Blocks" {
            table {
                thead {
                    tr {
                        th scope="col" { "Block" } th scope="col" { "Time" } th scope="col" { "Producer" }
                        th scope="col" { "Transactions" } th scope="col" { "State" }
                    }
                }
                tbody {
                    @for block in blocks {
                        tr {
                            td { (links::block(block.id, block.number)) }
                            td { time { (rfc3339(block.header.timestamp)) } }
                            td { (links::account(block.header.producer)) }
                            td { (block.transaction_count) }
                            td { @if block.is_irreversible { span.good { "irreversible" } } @else { "reversible" } }
                        }
                    }
                }
            }
        }
    }
}
