//! A block of any branch.

use std::ops::ControlFlow;

use dfuse_antelope::Checksum256;
use dfuse_blocks::CursorKind;
use dfuse_http::{
    Api, Endpoint,
    Kind::{Cursor, Text},
    Parameter, Params,
    params::rules::{Field, Problems, text},
};
use dfuse_query::{
    ApiError, ApiResult, Class, ErrorCode, ListCursor, ReadContext,
    blocks::{self, BlockSummary},
    transactions,
};
use dfuse_render::rfc3339;
use dfuse_trx::Place;
use maud::{Markup, html};

use crate::{
    home, links,
    page::{Live, Page, endpoint, facts},
    shown::Shown,
    transactions::{Listed, lifecycle, table},
};

const TRANSACTIONS: usize = 25;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const PARAMETERS: &[Parameter] = &[
        Parameter::required("id", Text, "the number or the id").in_path(),
        Parameter::optional("cursor", Cursor, "where the list of transactions begins"),
    ];
    vec![
        endpoint("/block/{id}", Class::Page, "A page: a block of any branch.", block)
            .takes(PARAMETERS)
            .fails(&[ErrorCode::BlockNotFound, ErrorCode::StateUnavailable]),
    ]
}

/// How a block is asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Number(u32),
    Id(Checksum256),
}

fn asked(field: &Field<'_>) -> Result<Asked, Problems> {
    let number = field.text.parse().ok().map(Asked::Number);
    let found = number.or_else(|| field.text.parse().ok().map(Asked::Id));
    found.ok_or_else(|| field.expected("the number or the id of a block"))
}

async fn block(api: Api, mut params: Params) -> ApiResult<Page> {
    let asked = params.required("id", asked);
    let cursor = params.optional_or("cursor", String::new(), text);
    let (asked, cursor) = params.finish((asked, cursor))?;
    api.query(move |read| {
        let id = match asked {
            Asked::Id(id) => id,
            Asked::Number(number) => of_number(read, number)?,
        };
        page(read, id, &cursor)
    })
    .await
}

fn of_number(read: &ReadContext<'_>, number: u32) -> ApiResult<Checksum256> {
    if let Some(block) = blocks::by_number(read, number)? {
        return Ok(block.id);
    }
    let message = format!("There is no block {number} yet, or it is of before the first block that is indexed.");
    let error = ApiError::new(ErrorCode::BlockNotFound, message).detail("block", number.to_string());
    Err(read.absent(number, error))
}

fn page(read: &ReadContext<'_>, id: Checksum256, cursor: &str) -> ApiResult<Page> {
    let (block, siblings) = blocks::with_siblings(read, id)?;
    let on_chain = blocks::by_number(read, block.number)?.is_some_and(|best| best.id == id);
    let after = after(read, id, cursor)?;
    let list = transactions::of_block(read, id, TRANSACTIONS, after)?;
    let abis = read.abis(list.view());
    let mut listed = Vec::new();
    let taken = list.each_lifecycle(read, |_, found| {
        listed.push(Listed::new(&lifecycle(&abis, found)?));
        Ok(ControlFlow::Continue(()))
    })?;
    let path = format!("/block/{id}");
    let has_more = taken == TRANSACTIONS;
    let next = list.cursor(read, taken).filter(|_| has_more).map(|next| links::address(&path, [("cursor", &next)]));
    let api = format!("/v0/blocks/{id}");
    let shown = Shown::new(&format!("{api}/transactions"));
    let content = html! {
        section #header .live aria-label="Header" {
            (finality(&block, on_chain))
            (header(&block, &siblings))
        }
        h2 { "Transactions" }
        (table("transactions", &listed, next.as_deref(), &shown))
        h2 { "Blocks near it" }
        section #near .live aria-label="Blocks near it" { (home::list(&siblings)) }
        h2 { "Producers" }
        p { "Schedule " (block.active_schedule.version) ": "
            @for producer in &block.active_schedule.producers { (links::account(producer.name)) " " } }
    };
    let live = if block.is_irreversible || !on_chain { Live::Nothing } else { Live::Head };
    Ok(Page::new(format!("Block {}", block.number), api, content).following(live))
}

/// The place that the cursor of the list has.
fn after(read: &ReadContext<'_>, id: Checksum256, cursor: &str) -> ApiResult<Option<Place>> {
    let invalid = |problem: &str| ApiError::invalid_parameter("cursor", problem);
    let opened = ListCursor::open(read.service(), CursorKind::Transactions, cursor);
    let Some(opened) = opened.map_err(|problem| invalid(&problem))? else { return Ok(None) };
    match transactions::place_of(&opened, Some(id)) {
        Some(place) => Ok(Some(place)),
        None => Err(invalid("is of another list")),
    }
}

fn finality(block: &BlockSummary, on_chain: bool) -> Markup {
    html! {
        p {
            @if !on_chain { span.bad { "Forked out" } ": this block lost to another one of its height." }
            @else if block.is_irreversible { span.good { "Irreversible" } ": this block can no longer be undone." }
            @else { "Reversible: this block can still be undone." }
        }
    }
}

fn header(block: &BlockSummary, siblings: &[BlockSummary]) -> Markup {
    let header = &block.header;
    let others: Vec<_> = siblings.iter().filter(|it| it.number == block.number && it.id != block.id).collect();
    html! {
        (facts(&[
            ("Id", html! { code.id { (block.id) } }),
            ("Time", html! { time { (rfc3339(header.timestamp)) } }),
            ("Producer", links::account(header.producer)),
            ("Transactions", html! { (block.transaction_count) }),
            ("Previous block", links::block(header.previous, block.number.saturating_sub(1))),
            ("Next block", html! {
                @for next in siblings.iter().filter(|it| it.header.previous == block.id) {
                    (links::block(next.id, next.number)) " "
                }
            }),
            ("Last irreversible block, as it knew it", links::numbered_block(block.lib_number)),
            ("Confirms", html! { (header.confirmed) }),
        ]))
        @if !others.is_empty() {
            p.notice { "Others of this height: " @for other in others { (links::block(other.id, other.number)) " " code.id { (other.id) } " " } }
        }
    }
}
