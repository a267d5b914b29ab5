//! dfuse events: an inline action by which a contract says how an action of its can be found.

use std::collections::BTreeMap;

use dfuse_index::{ExecutedAction, Result};
use serde_json::Value;

use super::{abis::AbiSource, collector::Collector, options::EventAction};
use crate::{
    action_data::decode,
    field::{EVENT, Field, MAX_PATH_BYTES, presence},
};

/// Characters of a key, characters of a value, and number of keys, unless there are no limits.
const LIMITS: (usize, usize, usize) = (16, 64, 3);

/// Adds the events of a transaction to the actions that caused them; of several events of one action the last counts.
pub(super) fn add(
    collector: &mut Collector,
    actions: &[ExecutedAction<'_>],
    event: &EventAction,
    place: impl Fn(&ExecutedAction<'_>) -> Option<u32>,
    abis: &mut impl AbiSource,
) -> Result<()> {
    let mut by_creator = BTreeMap::new();
    let mut json = Vec::new();
    for executed in actions {
        let (trace, action) = (executed.action, &executed.action.action);
        if (action.account, action.name) != (event.contract, event.action) || trace.is_input() {
            continue;
        }
        let Some(abi) = abis.at(action.account, executed.global_sequence)? else { continue };
        if !decode(&abi, trace, &mut json) {
            continue;
        }
        let data = serde_json::from_slice(&json).ok();
        let text = data.as_ref().and_then(|data: &Value| data.get("data")?.as_str());
        if let Some(pairs) = text.and_then(|text| parse(text, event.unrestricted)) {
            by_creator.insert(trace.creator_action_ordinal, pairs);
        }
    }
    for (creator, pairs) in by_creator {
        let creator = actions.iter().find(|executed| executed.action.action_ordinal == creator);
        let Some(at) = creator.and_then(&place) else { continue };
        for (key, value) in pairs {
            collector.put(&presence(EVENT, Some(key.as_bytes())), at);
            collector.put_text(&Field::Event(key), value.as_bytes(), at);
        }
    }
    Ok(())
}

/// The pairs of a URL query string; none if it is malformed or beyond the limits.
fn parse(text: &str, unrestricted: bool) -> Option<Vec<(String, String)>> {
    let escapes = text.split('%').skip(1);
    for escape in escapes {
        let digits = escape.as_bytes().get(..2)?;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
    }
    let pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    let (key_length, value_length, count) = LIMITS;
    let mut keys: Vec<_> = pairs.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.dedup();
    let within = |text: &str, limit| text.chars().count() <= limit;
    let fits =
        keys.len() <= count && pairs.iter().all(|(key, value)| within(key, key_length) && within(value, value_length));
    let usable = |(key, _): &(String, String)| !key.is_empty() && key.len() <= MAX_PATH_BYTES;
    (unrestricted || fits).then(|| pairs.into_iter().filter(usable).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings() {
        let pairs = |text: &str, unrestricted| {
            parse(text, unrestricted)
                .map(|pairs| pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(pairs("pet=dog&name=a%20b+c&none", false).as_deref(), Some("pet=dog name=a b c none="));
        assert_eq!(pairs("a=1&a=2&b=3&c=4", false).as_deref(), Some("a=1 a=2 b=3 c=4"));
        assert_eq!(pairs("", false).as_deref(), Some(""));
        for text in ["a=%zz", "a=%", "a=1&b=2&c=3&d=4", "abcdefghijklmnopq=1", &format!("a={}", "é".repeat(65))] {
            assert_eq!(pairs(text, false), None, "{text}");
        }
        assert_eq!(pairs("a=1&b=2&c=3&d=4", true).as_deref(), Some("a=1 b=2 c=3 d=4"));
        assert_eq!(pairs("a=%zz", true), None);
    }
}
