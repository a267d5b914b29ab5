//! Decoded action data as terms.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use dfuse_antelope::{Checksum256, Name, abi::AbiSerializer, model::ActionTrace};
use serde_json::de::SliceRead;

use super::{collector::Collector, options::TermOptions};
use crate::{
    action_data::decode,
    field::{self, DATA, MAX_PATH_BYTES},
};

/// Values of one action's data that are indexed; the rest is left out.
pub const MAX_DATA_VALUES: usize = 1024;

/// Adds terms of data, and remembers those of the last action: notifications repeat them.
#[derive(Debug, Default)]
pub(super) struct DataTerms {
    last: Option<(Name, Name, Bytes, Arc<AbiSerializer>)>,
    ids: Vec<u32>,
    json: Vec<u8>,
}

impl DataTerms {
    pub(super) fn add(
        &mut self,
        collector: &mut Collector,
        trace: &ActionTrace,
        abi: Option<&Arc<AbiSerializer>>,
        at: u32,
        options: &TermOptions,
    ) {
        let Some(abi) = abi else { return };
        let action = &trace.action;
        let same = self.last.as_ref().is_some_and(|(account, name, data, with)| {
            (*account, *name) == (action.account, action.name) && Arc::ptr_eq(with, abi) && *data == action.raw_data
        });
        if !same {
            self.ids.clear();
            self.last = Some((action.account, action.name, action.raw_data.clone(), abi.clone()));
            if decode(abi, trace, &mut self.json) {
                let (ids, mut left) = (&mut self.ids, MAX_DATA_VALUES);
                let mut key = Vec::new();
                walk(&self.json, &mut |path, value| {
                    if left > 0 && path.len() <= MAX_PATH_BYTES && !value.is_empty() && options.has_data(path) {
                        left -= 1;
                        put(collector, ids, &mut key, path, value);
                    }
                });
                ids.sort_unstable();
                ids.dedup();
            }
        }
        self.ids.iter().for_each(|id| collector.add(*id, at));
    }
}

fn put(collector: &mut Collector, ids: &mut Vec<u32>, key: &mut Vec<u8>, path: &str, value: &str) {
    key.clear();
    field::put_start(key, DATA, Some(path.as_bytes()));
    if let "abi" | "code" = path {
        // Too long to be looked for; a digest is what people have.
        let Ok(content) = const_hex::decode(value) else { return };
        field::put_value(key, Checksum256::sha256(&content).to_string().as_bytes());
    } else {
        field::put_value(key, value.as_bytes());
    }
    ids.push(collector.id(key));
    for (end, _) in path.match_indices('.').chain([(path.len(), "")]) {
        ids.push(collector.id(&field::presence(DATA, Some(&path.as_bytes()[..end]))));
    }
}

/// Calls `see` with path and text of every string, number and boolean of an object.
fn walk(json: &[u8], see: &mut dyn FnMut(&str, &str)) {
    let mut deserializer = serde_json::Deserializer::new(SliceRead::new(json));
    let mut path = String::new();
    // What was decoded is valid JSON; were it not, what was seen before stands.
    let _ = serde::de::DeserializeSeed::deserialize(Walk { path: &mut path, see }, &mut deserializer);
}

struct Walk<'a> {
    path: &'a mut String,
    see: &'a mut dyn FnMut(&str, &str),
}

impl Walk<'_> {
    fn see(&mut self, value: &str) {
        if !self.path.is_empty() {
            (self.see)(self.path, value);
        }
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> serde::de::Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.see(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.see(&value.to_string());
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.see(&value.to_string());
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.see(&value.to_string());
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.see(value);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk { path: self.path, see: self.see })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let length = self.path.len();
        while let Some(name) = entries.next_key::<String>()? {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            entries.next_value_seed(Walk { path: self.path, see: self.see })?;
            self.path.truncate(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_found_by_its_type_and_its_value() {
        let abi = serde_json::from_str(
            r#"{"version": "eosio::abi/1.1",
                "types": [{"new_type_name": "alias", "type": "uint8"}],
                "structs": [{"name": "account_v0", "base": "", "fields": [{"name": "owner", "type": "name"}]},
                            {"name": "do", "base": "", "fields": [{"name": "what", "type": "either[]"},
                                                                  {"name": "names", "type": "name?[]"}]}],
                "variants": [{"name": "either", "types": ["account_v0", "alias"]}],
                "actions": [{"name": "do", "type": "do"}]}"#,
        );
        let abi = AbiSerializer::new(&abi.unwrap());
        let mut trace = ActionTrace::default();
        trace.action.name = Name::literal("do");
        // Twice an alternative, then an absent name and one that is there.
        trace.action.raw_data = const_hex::decode("02000000000000855c3401070200010000000000000e3d").unwrap().into();
        let mut json = Vec::new();
        assert!(decode(&abi, &trace, &mut json));
        let mut seen = Vec::new();
        walk(&json, &mut |path, value| seen.push(format!("{path}={value}")));
        assert_eq!(seen, ["what=account_v0", "what.owner=alice", "what=alias", "what=7", "names=bob"]);
    }

    #[test]
    fn values_by_path() {
        let json =
            br#"{"a":1,"b":{"c":["x",{"d":true}],"e":null},"f":[[-2,""],"2020-01-01"],"g":18446744073709551615}"#;
        let mut seen = Vec::new();
        walk(json, &mut |path, value| seen.push(format!("{path}={value}")));
        let expected = ["a=1", "b.c=x", "b.c.d=true", "f=-2", "f=", "f=2020-01-01", "g=18446744073709551615"];
        assert_eq!(seen, expected);
        for json in ["5", "[1,2]", "\"x\"", "{\"a\":", ""] {
            walk(json.as_bytes(), &mut |path, _| panic!("{path}"));
        }
    }
}
