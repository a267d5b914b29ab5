//! The transactions that a query finds.

use dfuse_query::{ApiResult, ReadContext, search::SearchPage, secrets};
use dfuse_search::Query;
use maud::{Markup, html};

use super::{
    asked::{Asked, PATH},
    language::language,
};
use crate::{
    page::Page,
    shown::{Shown, visible},
    transactions::{found, table},
};

const RESULTS: usize = 25;

pub(super) fn results(read: &ReadContext<'_>, asked: &Asked, query: Query) -> ApiResult<Page> {
    let found = found(read, query, asked.span(), RESULTS, &asked.cursor)?;
    let api = format!("{}&limit={RESULTS}&explain=true", asked.address("/v0/search/transactions", &asked.cursor));
    let next = found.next.as_ref().map(|next| asked.address(PATH, next));
    let content = html! {
        (asked.form())
        (range(&found.page, found.taken))
        (table("results", &found.listed, next.as_deref(), &Shown::new(&api)))
        (explanation(&found.page))
        h2 { "The language" }
        (language())
    };
    Ok(Page::new("Search", api, content).searching(&asked.text))
}

fn range(page: &SearchPage, taken: usize) -> Markup {
    let searched = page.searched(taken);
    html! {
        p.quiet {
            @match &searched.blocks {
                Some(blocks) => { "Searched blocks " (blocks.start()) " to " (blocks.end()) }
                None => "No block of the chain is in this range",
            }
            @if !searched.is_complete { "; there may be more" } "."
        }
        @if let Some(untold) = page.untold() { p.notice { (untold.message()) } }
        @if let Some(first) = page.incomplete_from() {
            p.notice { "The indexes begin with block " (first) ", in the middle of the chain: older results are missing." }
        }
    }
}

/// How the query was understood, and what it cost.
fn explanation(page: &SearchPage) -> Markup {
    let (query, cost) = (&page.question().query, page.cost());
    html! {
        details #explanation {
            summary { "How the query was understood" }
            pre { (visible(&secrets::masked(query.canonical()))) }
            dl.fields {
                @for (field, values) in query.conditions() {
                    div { dt { code { (visible(&field)) } } dd { @for value in values { code { (visible(&value)) } " " } } }
                }
            }
            p.quiet { (cost.work) " units of work, " (cost.blocks_read) " blocks read, " (cost.search_time.as_millis()) " ms." }
        }
    }
}
