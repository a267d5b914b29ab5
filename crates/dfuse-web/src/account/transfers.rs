//! Who sent most to an account, and to whom it sent most.

use std::{collections::BTreeMap, ops::ControlFlow};

use dfuse_antelope::{Asset, Name, Symbol};
use dfuse_http::{
    Api, Endpoint,
    Kind::{Choice, Cursor, Integer, Name as NameKind},
    Parameter, Params,
    params::rules::{between, one_of, text},
};
use dfuse_kv::Direction;
use dfuse_query::{
    ApiError, ApiResult, Class, ErrorCode, ReadContext,
    search::{self, AskedBlocks, BlockSpan, SearchQuestion},
};
use maud::{Markup, html};

use crate::rules::existing;
use crate::{
    json::Json,
    links,
    page::{Page, endpoint as page_endpoint, scrolling},
    shown::visible,
    transactions::{lifecycle, next, position},
};

/// Transactions that are counted at first, and by which more are counted.
const COUNTED: u32 = 500;
/// Most times so many that a page counts together: its reader waits for all of them.
const MOST_TIMES: u32 = 10;
/// As many as REST answers at once.
const API_LIMIT: &str = "100";
/// Most others that are listed.
const LISTED: usize = 50;

/// Which transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    To,
    From,
}

impl Way {
    /// The fields of the account and of the other.
    fn fields(self) -> [&'static str; 2] {
        match self {
            Self::To => ["to", "from"],
            Self::From => ["from", "to"],
        }
    }
}

pub(super) fn endpoint() -> Endpoint {
    const PARAMETERS: &[Parameter] = &[
        Parameter::required("name", NameKind, "the account").in_path(),
        Parameter::optional("way", Choice(&["to", "from"]), "transfers to it or from it").or("to"),
        Parameter::optional("times", Integer(1, MOST_TIMES as u64), "how many times 500 transactions are counted")
            .or("1"),
        Parameter::optional("cursor", Cursor, "where the page begins").or(""),
    ];
    let answer = "A page: who sent most to an account, or to whom it sent most.";
    page_endpoint("/account/{name}/transfers", Class::Search, answer, transfers)
        .takes(PARAMETERS)
        .fails(&[ErrorCode::QueryTooBroad, ErrorCode::StateUnavailable])
}

async fn transfers(api: Api, mut params: Params) -> ApiResult<Page> {
    let name = params.required("name", existing);
    let way = params.optional_or("way", Way::To, one_of(&[("to", Way::To), ("from", Way::From)]));
    let times = params.optional_or("times", 1, between(1..=MOST_TIMES));
    let cursor = params.optional_or("cursor", String::new(), text);
    let (name, way, times, cursor) = params.finish((name, way, times, cursor))?;
    api.query(move |read| page(read, name, way, times, &cursor)).await
}

/// Transfers of a token with one other account. Contracts may make tokens of equal names.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    amount: i128,
    transfers: u32,
}

type Sums = BTreeMap<(Name, Symbol, Name), Sum>;

fn page(read: &ReadContext<'_>, name: Name, way: Way, times: u32, cursor: &str) -> ApiResult<Page> {
    let [own, other] = way.fields();
    let text = format!("action:transfer notif:false data.{own}:{name}");
    let query = search::parse(read.service(), &text);
    let query = query.map_err(|invalid| ApiError::unexpected(invalid.problems.join("; ")))?;
    let span = BlockSpan { start: 0, count: u32::MAX, direction: Direction::Reverse, with_reversible: true };
    let limit = (COUNTED * times) as usize;
    let question = SearchQuestion { query, span: AskedBlocks::Span(span), limit, cursor: position(read, cursor)? };
    let found = search::page(read, question)?;
    let mut sums = Sums::new();
    let taken = found.each_lifecycle(read, |item, found, view| {
        // What was undone was transferred by nobody.
        if item.undo {
            return Ok(ControlFlow::Continue(()));
        }
        let json = lifecycle(&read.abis(view), found)?;
        for trace in json.at(["execution_trace", "action_traces"]).items() {
            count(trace, name, way, &mut sums);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let searched = found.searched(taken);
    let all = [("q", text.as_str()), ("sort", "desc"), ("with_reversible", "true")];
    let from_here = [("limit", API_LIMIT), ("cursor", cursor)];
    let api = links::address("/v0/search/transactions", [all[0], all[1], all[2], from_here[0], from_here[1]]);
    let own_address = format!("/account/{name}/transfers");
    let older = next(read, &found, taken).map(|next| older(&own_address, own, times, cursor, &next));
    let content = html! {
        p {
            a href={ "/account/" (name) } { "The account" } " · "
            @match way {
                Way::To => a href={ "/account/" (name) "/transfers?way=from" } { "to whom it sent" },
                Way::From => a href={ "/account/" (name) "/transfers" } { "who sent to it" },
            }
            " · " a href=(links::address("/search", all)) { "every transfer" }
        }
        p.quiet {
            "Counted: " @if cursor.is_empty() { "the newest " } (taken) " transactions with transfers"
            @if let Some(blocks) = &searched.blocks { ", of blocks " (blocks.start()) " to " (blocks.end()) }
            @if older.is_some() { "; older ones are not in these sums." }
            @else if cursor.is_empty() { ", which are all." }
            @else { ", which are the oldest." }
        }
        (table(&sums, name, way))
        @if let Some((label, address)) = older { p { a.more href=(address) { (label) } } }
        @if !cursor.is_empty() { p { a href=(links::address(&own_address, [("way", own)])) { "Back to the newest" } } }
    };
    let what = if way == Way::To { "Who sent to" } else { "Who got from" };
    Ok(Page::new(format!("{what} {name}, and how much"), api, content)
        .searching(&format!("action:transfer data.{own}:{name} data.{other}:")))
}

/// What leads to transfers that are not counted yet: together with those that are or, beyond what a page counts, by themselves.
fn older(own_address: &str, way: &str, times: u32, cursor: &str, next: &str) -> (String, String) {
    if times < MOST_TIMES {
        let times = (times + 1).to_string();
        let address = links::address(own_address, [("way", way), ("times", &times), ("cursor", cursor)]);
        return (format!("Count {COUNTED} more"), address);
    }
    ("Count older transfers by themselves".to_owned(), links::address(own_address, [("way", way), ("cursor", next)]))
}

/// Adds what an action and those that it created transferred. What an account was only told of is not another transfer.
fn count(trace: &Json, name: Name, way: Way, sums: &mut Sums) {
    let [own, other] = way.fields();
    let (act, receiver) = (trace.get("act"), trace.get("receiver").text());
    let data = act.get("data");
    let is_transfer = act.get("name").text() == "transfer" && act.get("account").text() == receiver;
    if is_transfer
        && data.get(own).text() == name.to_string()
        && let Ok(contract) = receiver.parse::<Name>()
        && let Ok(other) = data.get(other).text().parse::<Name>()
        && let Ok(quantity) = data.get("quantity").text().parse::<Asset>()
    {
        let sum = sums.entry((contract, quantity.symbol, other)).or_default();
        sum.amount = sum.amount.saturating_add(quantity.amount.into());
        sum.transfers += 1;
    }
    for inline in trace.get("inline_traces").items() {
        count(inline, name, way, sums);
    }
}

fn table(sums: &Sums, name: Name, way: Way) -> Markup {
    let mut sums: Vec<_> = sums.iter().collect();
    // By token, the most first.
    sums.sort_by_key(|((contract, symbol, other), sum)| (*contract, *symbol, std::cmp::Reverse(sum.amount), *other));
    let [own, other_field] = way.fields();
    html! {
        @if sums.is_empty() { p.quiet { "No transfer is known." } }
        @else {
            (scrolling("Sums", &html! {
                table {
                    thead { tr { th scope="col" { "Account" } th.right scope="col" { "Sum" } th scope="col" { "Of" } th.right scope="col" { "Transfers" } } }
                    tbody {
                        @for ((contract, symbol, other), sum) in sums.into_iter().take(LISTED) {
                            @let query = format!("account:{contract} action:transfer data.{own}:{name} data.{other_field}:{other}");
                            tr {
                                td { (links::account(*other)) }
                                td.right { (visible(&total(sum.amount, *symbol))) }
                                td { (links::account(*contract)) }
                                td.right { a href=(links::address("/search", [("q", &query)])) { (sum.transfers) } }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// A sum as an asset; one that no asset can have is said to be beyond.
fn total(amount: i128, symbol: Symbol) -> String {
    i64::try_from(amount)
        .map_or_else(|_| format!("too many {}", symbol.code()), |amount| Asset { amount, symbol }.to_string())
}
