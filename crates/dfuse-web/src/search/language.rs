//! Help with the search language, beside what it finds.

use maud::{Markup, html};

use super::asked::PATH;
use crate::links;

/// Queries to begin with, and what they find.
const EXAMPLES: [(&str, &str); 6] = [
    ("receiver:eosio.token action:transfer", "transfers of the system's token"),
    ("(auth:alice OR receiver:alice)", "what an account did and what came to it"),
    ("action:transfer data.to:alice", "transfers to an account, of any token"),
    ("action:transfer data.from:alice data.to:bob", "from one account to another"),
    ("db.table:accounts/alice", "changes of a table's rows in a scope"),
    ("account:eosio -action:onblock", "actions of a contract, one of them left out"),
];

/// The language in a few lines.
pub(super) fn language() -> Markup {
    html! {
        p {
            "A query has conditions " code { "field:value" } ", all of which must hold for an action. "
            code { "-" } " before a condition turns it around, " code { "OR" } " stands between alternatives in parentheses, "
            "and a value with spaces stands in quotes. Fields of an action's data begin with " code { "data." } "."
        }
        dl.examples {
            @for (query, what) in EXAMPLES {
                div { dt { a href=(links::address(PATH, [("q", query)])) { code { (query) } } } dd { (what) } }
            }
        }
        p.quiet { "Fields: account, receiver, action, auth, block_num, trx_idx, status, input, notif, scheduled, db.table, db.key,
            ram.consumed, ram.released, and data. with the name of a field. "
            a href="/guide/search" { "The whole language" } "." }
    }
}
