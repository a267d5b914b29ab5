//! Links between pages.

use dfuse_antelope::{Checksum256, Name};
use form_urlencoded::Serializer;
use maud::{Markup, html};

/// Fields that name accounts, whatever the contract.
const OF_ACCOUNTS: [&str; 26] = [
    "account",
    "account_name",
    "actor",
    "bidder",
    "code",
    "contract",
    "creator",
    "executer",
    "from",
    "issuer",
    "newname",
    "owner",
    "payer",
    "producer",
    "producers",
    "proposer",
    "proxy",
    "receiver",
    "recipient",
    "requested",
    "seller",
    "buyer",
    "sender",
    "to",
    "user",
    "voter",
];

/// An account.
pub(crate) fn account(name: Name) -> Markup {
    named(&name.to_string())
}

/// The same by its text, which has been checked.
fn named(name: &str) -> Markup {
    html! { a.name href={ "/account/" (name) } { (name) } }
}

/// An account of an answer. What is no name is shown as it is.
pub(crate) fn named_account(text: &str) -> Markup {
    if is_name(text) {
        named(text)
    } else {
        html! { (text) }
    }
}

/// A transaction, by the beginning of its id.
pub(crate) fn transaction(id: &str) -> Markup {
    html! { a.id.cut href={ "/tx/" (id) } title=(id) { (id.get(..12).unwrap_or(id)) "…" } }
}

/// A block of any branch.
pub(crate) fn block(id: Checksum256, number: u32) -> Markup {
    html! { a.number href={ "/block/" (id) } { (number) } }
}

/// A block of the best chain.
pub(crate) fn numbered_block(number: u32) -> Markup {
    html! { a.number href={ "/block/" (number) } { (number) } }
}

/// What the value of a field links to, if its name says so.
pub(crate) fn of_field(field: &str, value: &str) -> Option<Markup> {
    match field {
        "trx_id" | "src_trx_id" if is_id(value) => Some(transaction(value)),
        field if OF_ACCOUNTS.contains(&field) && is_name(value) => Some(named(value)),
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && Name::parse(text.as_bytes()).is_ok_and(|name| name.to_string() == text)
}

fn is_id(text: &str) -> bool {
    text.parse::<Checksum256>().is_ok()
}

/// A path with a query, whose empty parameters are left out.
pub(crate) fn address<const N: usize>(path: &str, parameters: [(&str, &str); N]) -> String {
    let given: Vec<_> = parameters.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    if given.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", Serializer::new(String::new()).extend_pairs(given).finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_link_to_accounts() {
        assert!(of_field("from", "alice").is_some());
        assert!(of_field("memo", "alice").is_none());
        for text in ["", "javascript:alert(1)", "ALICE", "a/../b", "\"><script>"] {
            assert!(of_field("from", text).is_none(), "{text}");
        }
    }

    #[test]
    fn queries_are_encoded() {
        let parameters = [("q", "a:b c&d"), ("cursor", ""), ("sort", "asc")];
        assert_eq!(address("/search", parameters), "/search?q=a%3Ab+c%26d&sort=asc");
    }
}
