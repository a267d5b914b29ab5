//! Walks through answers along the schema, and remembers which values of enums it saw.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{TestChain, request};

/// What is known of the schema, and what was seen.
pub(crate) struct Walk {
    /// The named type of each field, by type and field.
    fields: BTreeMap<(String, String), String>,
    /// The values of each enum.
    enums: BTreeMap<String, BTreeSet<String>>,
    seen: BTreeMap<String, BTreeSet<String>>,
    /// Fields of answers, and those that once had a value that says something.
    asked: BTreeSet<(String, String)>,
    valued: BTreeSet<(String, String)>,
}

impl Walk {
    /// Along the schema of that server.
    pub(crate) async fn of(chain: &TestChain) -> Self {
        let document = "{__schema{types{name fields{name type{...T}} enumValues{name}}}} fragment T on __Type{name \
            ofType{name ofType{name ofType{name ofType{name}}}}}";
        let answer = chain.answer(request(document, json!({}))).await;
        let (mut fields, mut enums) = (BTreeMap::new(), BTreeMap::new());
        let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
        for kind in items(&answer["data"]["__schema"]["types"]) {
            for field in items(&kind["fields"]) {
                let mut inner = &field["type"];
                while inner["name"].is_null() {
                    inner = &inner["ofType"];
                }
                fields.insert((name(&kind), name(&field)), name(inner));
            }
            if !kind["enumValues"].is_null() && !name(&kind).starts_with("__") {
                enums.insert(name(&kind), items(&kind["enumValues"]).iter().map(name).collect());
            }
        }
        fields.retain(|(kind, _): &(String, String), _| !kind.starts_with("__"));
        let (asked, valued) = Default::default();
        Self { fields, enums, seen: BTreeMap::new(), asked, valued }
    }

    /// Looks through a value of a type. Keys of objects must be names of fields.
    pub(crate) fn see(&mut self, kind: &str, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.see(kind, item)),
            Value::Object(members) if kind != "JSON" => {
                for (name, value) in members {
                    let of_kind = (kind.to_owned(), name.clone());
                    let field = self.fields.get(&of_kind).unwrap_or_else(|| panic!("{kind} has no {name}")).clone();
                    if !is_trivial(value) {
                        self.valued.insert(of_kind.clone());
                    }
                    self.asked.insert(of_kind);
                    self.see(&field, value);
                }
            }
            Value::String(text) if self.enums.contains_key(kind) => self.mark(kind, text),
            _ => {}
        }
    }

    /// A value that stood in an answer, or in a request that was answered as the value wants.
    pub(crate) fn mark(&mut self, kind: &str, value: &str) {
        assert!(self.enums[kind].contains(value), "{kind} has no {value}");
        self.seen.entry(kind.to_owned()).or_default().insert(value.to_owned());
    }

    /// The fields that no answer had, and those that never had a value which says something.
    pub(crate) fn unvisited(&self) -> [Vec<String>; 2] {
        let names = |seen: &BTreeSet<(String, String)>| {
            let left = self.fields.keys().filter(|field| !seen.contains(field));
            left.map(|(kind, name)| format!("{kind}.{name}")).collect()
        };
        [names(&self.asked), names(&self.valued)]
    }

    /// The values that never occurred.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let of = |(kind, values): (&String, &BTreeSet<String>)| {
            let seen = self.seen.get(kind).cloned().unwrap_or_default();
            values.difference(&seen).map(|value| format!("{kind}.{value}")).collect::<Vec<_>>()
        };
        self.enums.iter().flat_map(of).collect()
    }
}

/// Whether a value is what stands where there is nothing.
fn is_trivial(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}
