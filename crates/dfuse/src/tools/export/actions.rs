//! Actions of the account `eosio` about an account: they say what no index keeps at every height.

use anyhow::{Context, bail};
use dfuse_antelope::{Name, raw::Reader};
use serde_json::Value;

use super::asker::{Asker, MAX_ANSWER, target};

/// Transactions of a page.
const PAGE: &str = "20";

/// An action that was executed.
pub(super) struct SystemAction {
    pub(super) name: Name,
    pub(super) data: Vec<u8>,
    /// When its block was made.
    pub(super) time: Value,
    /// Its place on the chain.
    sequence: u64,
}

/// Looks for actions up to a block.
pub(super) struct History<'a> {
    pub(super) asker: &'a Asker<'a>,
    pub(super) block: u32,
}

impl History<'_> {
    /// The last transaction with such actions, or rather these actions of it, in their order.
    pub(super) async fn last(&self, condition: &str) -> anyhow::Result<Vec<SystemAction>> {
        Ok(self.page(condition, "1", "").await?.0)
    }

    /// All of them in their order.
    pub(super) async fn all(&self, condition: &str) -> anyhow::Result<Vec<SystemAction>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let (found, next) = self.page(condition, PAGE, &cursor).await?;
            all.extend(found);
            match next.filter(|next| !next.is_empty()) {
                Some(next) => cursor = next,
                None => break,
            }
        }
        all.sort_by_key(|action| action.sequence);
        Ok(all)
    }

    /// A page, the newest first, and where the next one begins.
    async fn page(
        &self,
        condition: &str,
        limit: &str,
        cursor: &str,
    ) -> anyhow::Result<(Vec<SystemAction>, Option<String>)> {
        let query = format!("receiver:eosio account:eosio {condition}");
        let block = self.block.to_string();
        let parameters = [
            ("q", query.as_str()),
            ("sort", "desc"),
            ("limit", limit),
            ("start_block", &block),
            ("with_reversible", "true"),
            ("cursor", cursor),
        ];
        let parameters = if cursor.is_empty() { &parameters[..5] } else { &parameters };
        let answer = self.asker.get(&target("/v0/search/transactions", parameters)).await?.json(MAX_ANSWER).await?;
        let mut found = Vec::new();
        for transaction in answer["transactions"].as_array().into_iter().flatten() {
            let lifecycle = &transaction["lifecycle"];
            let time = &lifecycle["execution_block_header"]["timestamp"];
            system_actions(&lifecycle["execution_trace"], time, &mut found)?;
        }
        found.sort_by_key(|action| action.sequence);
        Ok((found, answer["cursor"].as_str().map(str::to_owned)))
    }
}

/// Actions of `eosio` in a trace, at any depth.
fn system_actions(value: &Value, time: &Value, found: &mut Vec<SystemAction>) -> anyhow::Result<()> {
    match value {
        Value::Object(members) => {
            let (act, receipt) = (&value["act"], &value["receipt"]);
            let receiver = value["receiver"].as_str().or_else(|| receipt["receiver"].as_str());
            let sequence = &receipt["global_sequence"];
            let sequence = sequence.as_u64().or_else(|| sequence.as_str().and_then(|text| text.parse().ok()));
            if let (Some("eosio"), Some("eosio"), Some(sequence)) = (receiver, act["account"].as_str(), sequence) {
                let name = act["name"].as_str().unwrap_or_default().parse().context("the name of an action")?;
                let data = const_hex::decode(act["hex_data"].as_str().unwrap_or_default())?;
                found.push(SystemAction { name, data, time: time.clone(), sequence });
            }
            members.values().try_for_each(|value| system_actions(value, time, found))
        }
        Value::Array(items) => items.iter().try_for_each(|value| system_actions(value, time, found)),
        _ => Ok(()),
    }
}

/// What `setcode` sets: for which account, and the code.
pub(super) fn code_in(data: &[u8]) -> anyhow::Result<(Name, Vec<u8>)> {
    let mut reader = Reader::new(data);
    let account = reader.name()?;
    if (reader.u8()?, reader.u8()?) != (0, 0) {
        bail!("code for another machine than WebAssembly");
    }
    Ok((account, reader.blob("code")?.to_vec()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn code_is_read_from_the_action() {
        let bytes = |hex: &str| const_hex::decode(hex.replace(' ', "")).unwrap();
        let (account, code) = code_in(&bytes("0000000000855c34 00 00 03 0061ff")).unwrap();
        assert_eq!((account.to_string().as_str(), &code[..]), ("alice", &[0, 0x61, 0xff][..]));
        for wrong in ["", "0000000000855c34", "0000000000855c340100 0161", "0000000000855c34000004 00"] {
            assert!(code_in(&bytes(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn actions_are_found_at_any_depth_in_their_order() {
        let inner = |receiver: &str, sequence: u64| {
            json!({"receipt": {"receiver": receiver, "global_sequence": sequence},
            "act": {"account": "eosio", "name": "setcode", "hex_data": "00"}})
        };
        let trace = json!({"action_traces": [
            {"receiver": "x", "act": {}, "inline_traces": [inner("eosio", 7), inner("a", 8)]},
            inner("eosio", 9),
        ]});
        let mut found = Vec::new();
        system_actions(&trace, &Value::Null, &mut found).unwrap();
        assert_eq!(found.iter().map(|action| action.sequence).collect::<Vec<_>>(), [7, 9]);
    }
}
