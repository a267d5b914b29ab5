//! What an account did and what came to it.

use dfuse_antelope::Name;
use dfuse_query::{ApiResult, ReadContext};
use maud::{Markup, html};

use super::asked::{Asked, Way};
use crate::{
    links, search,
    shown::Shown,
    transactions::{found, table},
};

/// Transactions of a page.
pub(super) const PER_PAGE: usize = 20;

pub(super) fn section(read: &ReadContext<'_>, asked: &Asked) -> ApiResult<Markup> {
    let name = asked.name;
    let list = match asked.query(read.service())? {
        Ok(query) => {
            let found = found(read, query, asked.span(), PER_PAGE, &asked.cursor)?;
            let next = found.next.map(|next| asked.page(&asked.height(), &next));
            table("history", &found.listed, next.as_deref(), &Shown::new(&asked.history_api(PER_PAGE)))
        }
        Err(invalid) => search::problems("This server does not index what this filter needs:", &invalid),
    };
    Ok(html! {
        h2 #activity { "History" }
        p.actions {
            a href={ "/account/" (name) "/transfers" } { "Who sent most to it" }
            a href={ "/account/" (name) "/transfers?way=from" } { "To whom it sent most" }
        }
        (filter(asked))
        (list)
    })
}

fn filter(asked: &Asked) -> Markup {
    let text = |name: Name| Some(name).filter(|name| *name != Name(0)).map(|name| name.to_string());
    let address = asked.page("", "");
    let is_set = address.contains('?');
    html! {
        form.filter action={ "/account/" (asked.name) "#activity" } {
            @if !asked.is_at_head() { input type="hidden" name="block_num" value=(asked.block_num); }
            label { "Show"
                select name="way" {
                    @for (value, way) in Way::ALL { option value=(value) selected[way == asked.way] { (way.label()) } }
                }
            }
            label { "With account" input name="with" value=[text(asked.with)] size="13" spellcheck="false" autocomplete="off"; }
            label { "Contract" input name="contract" value=[text(asked.contract)] size="13" spellcheck="false" autocomplete="off"; }
            label { "Action" input name="action" value=[text(asked.action)] size="13" spellcheck="false" autocomplete="off"; }
            button { "Filter" }
            @if is_set { a href={ "/account/" (asked.name) "#activity" } { "Show all" } }
        }
        @if is_set {
            p.quiet { "The same as a search: " a href=(links::address("/search", [("q", &asked.query_text())])) { code { (asked.query_text()) } } }
        }
    }
}
