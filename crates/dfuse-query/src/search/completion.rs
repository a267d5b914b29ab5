//! How the beginning of a query may go on.

use dfuse_antelope::Name;
use dfuse_index::{View, accounts};
use dfuse_search::TermOptions;

use crate::{ApiResult, ReadContext, secrets};

/// Most suggestions of a section.
const MAX_SUGGESTIONS: usize = 5;
/// What an account looks like, with `ACCOUNT` for its name.
const OF_ACCOUNT: [(&str, &str); 4] = [
    ("account_history", "(auth:ACCOUNT OR receiver:ACCOUNT)"),
    ("signed_by", "auth:ACCOUNT"),
    (
        "eos_token_transfer",
        "receiver:eosio.token account:eosio.token action:transfer (data.from:ACCOUNT OR data.to:ACCOUNT)",
    ),
    ("fuzzy_token_search", "data.to:ACCOUNT"),
];

/// What values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    Account,
    Flag,
    Other,
}

use Values::{Account, Flag, Other};

/// Fields that are suggested, the most important ones first. Any other path below `data.` can be searched as well.
pub(super) const FIELDS: &[(&str, Values)] = &[
    ("account", Account),
    ("receiver", Account),
    ("action", Other),
    ("data.to", Account),
    ("data.from", Account),
    ("auth", Account),
    ("block_num", Other),
    ("trx_idx", Other),
    ("input", Flag),
    ("notif", Flag),
    ("scheduled", Flag),
    ("status", Other),
    ("act_digest", Other),
    ("db.table", Other),
    ("db.key", Other),
    ("ram.consumed", Account),
    ("ram.released", Account),
    ("data.account", Account),
    ("data.actor", Account),
    ("data.bidder", Account),
    ("data.canceler", Account),
    ("data.creator", Account),
    ("data.executer", Account),
    ("data.from_account", Account),
    ("data.is_active", Flag),
    ("data.is_priv", Flag),
    ("data.isproxy", Flag),
    ("data.issuer", Account),
    ("data.memo", Other),
    ("data.name", Other),
    ("data.newname", Other),
    ("data.owner", Account),
    ("data.parent", Other),
    ("data.payer", Account),
    ("data.permission", Other),
    ("data.producer", Account),
    ("data.producer_key", Other),
    ("data.producers", Account),
    ("data.proposal_name", Other),
    ("data.proposer", Account),
    ("data.proxy", Account),
    ("data.quantity", Other),
    ("data.ram_payer", Account),
    ("data.receiver", Account),
    ("data.requested", Other),
    ("data.symbol", Other),
    ("data.transfer", Flag),
    ("data.voter", Account),
];

/// What is suggested for the beginning of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completion {
    /// Accounts whose names begin so.
    pub accounts: Vec<String>,
    /// Queries.
    pub queries: Vec<Suggestion>,
}

/// A query that may be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The query, or a longer beginning of one.
    pub text: String,
    /// Which kind of query it is, if it is a common one.
    pub summary: Option<&'static str>,
}

/// Accounts whose names begin so, and queries. Nothing is suggested for what looks like a private key.
///
/// # Errors
/// Those of reading.
pub fn complete(read: &ReadContext<'_>, prefix: &str) -> ApiResult<Completion> {
    let (view, options) = (read.view(), read.chain().search.options());
    if secrets::contains_private_key(prefix) {
        return Ok(Completion::default());
    }
    let is_name = !prefix.is_empty() && Name::parse(prefix.as_bytes()).is_ok();
    if is_name {
        let of_account = |(summary, query): &(&'static str, &str)| Suggestion {
            text: query.replace("ACCOUNT", prefix),
            summary: Some(summary),
        };
        let queries = OF_ACCOUNT.iter().map(of_account).collect();
        return Ok(Completion { accounts: accounts_from(view, prefix)?, queries });
    }
    let queries = complete_query(prefix, options, |beginning| accounts_from(view, beginning))?;
    let queries = queries.into_iter().map(|text| Suggestion { text, summary: None }).collect();
    Ok(Completion { accounts: Vec::new(), queries })
}

/// The first accounts whose names begin so.
fn accounts_from(view: &View, beginning: &str) -> ApiResult<Vec<String>> {
    let Ok(prefix) = Name::parse(beginning.as_bytes()) else { return Ok(Vec::new()) };
    // A name has no dots at its end, so that what is before them may be an account, too: the first one.
    let found = accounts::with_prefix(view, prefix, None)?.take(MAX_SUGGESTIONS + 1);
    let names = found.map(|account| Ok(account?.name.to_string())).collect::<ApiResult<Vec<_>>>()?;
    Ok(names.into_iter().filter(|name| name.starts_with(beginning)).take(MAX_SUGGESTIONS).collect())
}

/// Completes the last word of a query: a field or its value, and what comes after a value. White space at its end is not to
/// be seen, so that a value may be a whole one as well as the beginning of another.
fn complete_query(
    text: &str,
    options: &TermOptions,
    accounts: impl Fn(&str) -> ApiResult<Vec<String>>,
) -> ApiResult<Vec<String>> {
    let fields = || FIELDS.iter().filter(|(field, _)| options.has(field));
    let start = text.rfind(|c: char| c.is_ascii_whitespace() || c == '(').map_or(0, |at| at + 1);
    let start = start + (text[start..].len() - text[start..].trim_start_matches('-').len());
    let (before, word) = text.split_at(start);
    let is_used = |field: &str| {
        let mut words = text.split(|c: char| c.is_ascii_whitespace() || c == '(');
        words.any(|word| word.trim_start_matches('-').strip_prefix(field).is_some_and(|rest| rest.starts_with(':')))
    };
    let next_fields = |before: &str| {
        let unused = fields().filter(|(field, _)| !is_used(field));
        unused.map(|(field, _)| format!("{before}{field}:")).collect::<Vec<_>>()
    };
    let values = |before: &str, field: &str, beginning: &str| -> ApiResult<Vec<String>> {
        let kind = FIELDS.iter().find(|(name, _)| *name == field).map_or(Other, |(_, kind)| *kind);
        let values = match kind {
            Account => accounts(beginning)?,
            Flag => ["true", "false"].into_iter().filter(|it| it.starts_with(beginning)).map(str::to_owned).collect(),
            Other => Vec::new(),
        };
        Ok(values.into_iter().map(|value| format!("{before}{field}:{value}")).collect())
    };
    let mut found = match word.split_once(':') {
        Some((field, beginning)) => {
            let mut found = values(before, field, beginning)?;
            if !beginning.is_empty() {
                if found.is_empty() {
                    found.push(text.to_owned());
                }
                found.extend(next_fields(&format!("{text} ")));
            }
            found
        }
        None if matches!(word, "OR" | "AND") || word.ends_with(')') => next_fields(&format!("{text} ")),
        None if word.is_empty() => next_fields(text),
        None => {
            let fitting: Vec<_> = fields().filter(|(field, _)| field.starts_with(word)).collect();
            match fitting[..] {
                [(field, Account | Flag)] => values(before, field, "")?,
                _ => fitting.iter().map(|(field, _)| format!("{before}{field}:")).collect(),
            }
        }
    };
    found.truncate(MAX_SUGGESTIONS);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use dfuse_search::Query;

    use super::*;

    #[test]
    fn fields_can_be_searched() {
        let options = TermOptions { act_digest: true, ..TermOptions::default() };
        for (field, values) in FIELDS {
            let value = if field.starts_with("block") || *field == "trx_idx" { "1" } else { "true" };
            assert!(Query::parse(&format!("{field}:{value}"), &options).is_ok(), "{field} {values:?}");
        }
        for (_, query) in OF_ACCOUNT {
            assert!(Query::parse(&query.replace("ACCOUNT", "eosio.token"), &TermOptions::default()).is_ok());
        }
    }

    #[test]
    fn queries_are_completed() {
        let known = ["other", "others"];
        let accounts = |beginning: &str| {
            Ok(known.iter().filter(|name| name.starts_with(beginning)).map(|name| (*name).to_owned()).collect())
        };
        for (text, expected) in [
            ("account:", &["account:other", "account:others"][..]),
            ("account:others", &["account:others", "account:others receiver:", "account:others action:"]),
            ("account:aaa", &["account:aaa", "account:aaa receiver:", "account:aaa action:"]),
            ("receiver:b account:oth", &["receiver:b account:other", "receiver:b account:others"]),
            ("data.producer_", &["data.producer_key:"]),
            ("data.from:eosio data.prox", &["data.from:eosio data.proxy:other", "data.from:eosio data.proxy:others"]),
            ("-notif:t", &["-notif:true", "-notif:t account:"]),
            ("notif:", &["notif:true", "notif:false"]),
            ("(", &["(account:", "(receiver:", "(action:"]),
            ("(account:a OR", &["(account:a OR receiver:", "(account:a OR action:"]),
            ("(account:a)", &["(account:a)", "(account:a) receiver:", "(account:a) action:"]),
            ("eosio.bp testing", &[]),
            ("\u{e9}:\u{e9}", &["\u{e9}:\u{e9}", "\u{e9}:\u{e9} account:"]),
        ] {
            let found = complete_query(text, &TermOptions::default(), accounts).unwrap();
            assert!(found.len() <= MAX_SUGGESTIONS && found.len() >= expected.len(), "{text}: {found:?}");
            assert_eq!(found[..expected.len()], *expected, "{text}");
            assert!(expected.is_empty() <= found.is_empty());
        }
        // Nothing is suggested that would be refused.
        assert_eq!(complete_query("act_d", &TermOptions::default(), accounts).unwrap(), [""; 0]);
        let some =
            TermOptions { data_fields: Some(["memo".to_owned()].into()), act_digest: true, ..TermOptions::default() };
        assert_eq!(complete_query("data.", &some, accounts).unwrap(), ["data.memo:"]);
        assert_eq!(complete_query("act_d", &some, accounts).unwrap(), ["act_digest:"]);
    }
}
