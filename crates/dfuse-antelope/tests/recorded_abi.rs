//! Table rows, action data and return values of recorded chains, as the node's own answers have them.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use dfuse_antelope::{
    Error, Name,
    abi::{Abi, AbiSerializer, AbiType, Rendering},
};
use dfuse_testkit::recorded;
use serde_json::Value;

const LIMIT: usize = 1 << 24;

fn name(value: &Value) -> Name {
    value.as_str().unwrap().parse().unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    const_hex::decode(value.as_str().unwrap()).unwrap()
}

/// Decodes `data` in the node's rendering, compares, and encodes the node's JSON to the same bytes.
#[track_caller]
fn check(what: &str, abi_type: AbiType<'_>, data: &[u8], expected: &Value) {
    let mut json = Vec::new();
    let read = abi_type.decode(data, Rendering::Nodeos, LIMIT, &mut json).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(String::from_utf8(json).unwrap(), expected.to_string(), "{what}");
    check_encoding(what, abi_type, &data[..read], expected);
    for rendering in [Rendering::Fit, Rendering::Plain] {
        let mut json = Vec::new();
        abi_type.decode(data, rendering, LIMIT, &mut json).unwrap();
        serde_json::from_slice::<Value>(&json).unwrap();
    }
}

fn check_encoding(what: &str, abi_type: AbiType<'_>, data: &[u8], json: &Value) {
    match abi_type.encode(json, LIMIT) {
        Ok(bytes) => assert_eq!(const_hex::encode(bytes), const_hex::encode(data), "{what}"),
        // An asset without a symbol, in a field that the system contract reserves, prints as text that is no asset.
        Err(error) => {
            assert!(error.to_string().contains("asset: \"0 \"") && what.contains("voters"), "{what}: {error}");
        }
    }
}

#[test]
fn table_rows() {
    for chain in ["small", "fork"] {
        let Some(answers) = recorded::json(&format!("{chain}/answers.json.gz")) else { return };
        let mut serializers = HashMap::new();
        let mut rows = 0;
        for (path, raw) in answers["raw_tables"].as_object().unwrap() {
            let [code, _, table] = path.split('/').collect::<Vec<_>>()[..] else { panic!("{path}") };
            let serializer = serializers.entry(code).or_insert_with(|| {
                let abi: Abi = serde_json::from_value(answers["abi"][code]["abi"].clone()).unwrap();
                AbiSerializer::new(&abi)
            });
            // What the node refuses to show, such as a table that the ABI does not have, has no rows here either.
            let (Some(raw), Some(expected)) = (raw["rows"].as_array(), answers["tables"][path]["rows"].as_array())
            else {
                continue;
            };
            let table = serializer.table(table.parse().unwrap()).unwrap();
            assert_eq!(raw.len(), expected.len(), "{path}");
            for (raw, expected) in raw.iter().zip(expected) {
                check(path, table, &hex(&raw["data"]), &expected["data"]);
                rows += 1;
            }
        }
        println!("{chain}: {rows} rows");
        assert!(rows > 10);
    }
}

/// ABIs in the order in which transactions set them.
#[derive(Default)]
struct Abis(HashMap<Name, Option<AbiSerializer>>);

impl Abis {
    fn set(&mut self, setabi: &[u8]) {
        let account = Name(u64::from_le_bytes(setabi[..8].try_into().unwrap()));
        let mut reader = dfuse_antelope::raw::Reader::new(&setabi[8..]);
        let packed = reader.blob("abi").unwrap();
        if packed.is_empty() {
            self.0.insert(account, None);
            return;
        }
        let abi = Abi::from_bytes(packed).unwrap();
        abi.validate().unwrap();
        assert_eq!(Abi::from_bytes(&abi.to_bytes()).unwrap(), abi);
        assert_eq!(serde_json::from_str::<Abi>(&serde_json::to_string(&abi).unwrap()).unwrap(), abi);
        self.0.insert(account, Some(AbiSerializer::new(&abi)));
    }

    fn get(&self, account: Name) -> Option<&AbiSerializer> {
        self.0.get(&account)?.as_ref()
    }
}

fn traces<'a>(traces: &'a Value, visit: &mut impl FnMut(&'a Value)) {
    for trace in traces.as_array().into_iter().flatten() {
        visit(trace);
        self::traces(&trace["inline_traces"], visit);
    }
}

#[test]
fn pushed_actions() {
    let Some(pushed) = recorded::json_lines("small/pushed.jsonl.gz") else { return };
    let mut abis = Abis::default();
    let (mut compared, mut undecoded, mut results, mut native) = (0, 0, 0, 0);
    for push in pushed.filter(|push| push["ok"] == true) {
        let action_traces = &push["processed"]["action_traces"];
        traces(action_traces, &mut |trace| {
            if trace["act"]["name"] == "setabi" && trace["receiver"] == "eosio" {
                abis.set(&hex(&trace["act"]["hex_data"]));
            }
        });
        traces(action_traces, &mut |trace| {
            let act = &trace["act"];
            let (account, action) = (name(&act["account"]), name(&act["name"]));
            let what = format!("{} {account}:{action}", push["id"]);
            let Some(abi) = abis.get(account) else {
                native += 1;
                return;
            };
            let data = hex(act.get("hex_data").unwrap_or(&act["data"]));
            if act["data"].is_string() {
                let decoded =
                    abi.action(action).and_then(|t| t.decode(&data, Rendering::Nodeos, LIMIT, &mut Vec::new()));
                assert!(decoded.is_err(), "{what}");
                undecoded += 1;
                return;
            }
            check(&what, abi.action(action).unwrap(), &data, &act["data"]);
            compared += 1;
            if let Some(expected) = trace.get("return_value_data") {
                let data = hex(&trace["return_value_hex_data"]);
                check(&what, abi.action_result(action).unwrap(), &data, expected);
                results += 1;
            }
        });
    }
    println!("{compared} actions and {results} results; {undecoded} not decoded by the node; {native} by a native ABI");
    assert!(compared > 500 && results > 0);
}

/// Decodes and encodes what other recordings have in bytes only.
#[test]
fn all_actions_round_trip() {
    for chain in ["small", "fork", "busy"] {
        let Some(blocks) = recorded::json_lines(&format!("{chain}/trace_api_blocks.jsonl.gz")) else { return };
        let mut abis = Abis::default();
        if let Some(answers) = recorded::json(&format!("{chain}/answers.json.gz")).filter(|_| chain == "busy") {
            // Every tenth block only: the ABIs at the end, which never changed.
            for (account, answer) in answers["abi"].as_object().unwrap() {
                let abi: Abi = serde_json::from_value(answer["abi"].clone()).unwrap();
                abis.0.insert(account.parse().unwrap(), Some(AbiSerializer::new(&abi)));
            }
        }
        let (mut actions, mut failures) = (0, 0);
        for block in blocks {
            let transactions = block["transactions"].as_array().unwrap();
            for act in transactions.iter().flat_map(|transaction| transaction["actions"].as_array().unwrap()) {
                let (account, action, data) = (name(&act["account"]), name(&act["action"]), hex(&act["data"]));
                if act["action"] == "setabi" && act["receiver"] == "eosio" && chain != "busy" {
                    abis.set(&data);
                }
                let Some(abi) = abis.get(account) else { continue };
                let what = format!("{chain} {} {account}:{action}", act["global_sequence"]);
                let mut json = Vec::new();
                let decoded = abi.action(action).and_then(|abi_type| {
                    let read = abi_type.decode(&data, Rendering::Nodeos, LIMIT, &mut json)?;
                    Ok((abi_type, read))
                });
                match decoded {
                    Ok((abi_type, read)) => {
                        let value = serde_json::from_slice(&json).unwrap();
                        check_encoding(&what, abi_type, &data[..read], &value);
                        actions += 1;
                    }
                    Err(error) => {
                        assert!(!matches!(error.cause(), Error::Limit { .. }), "{what}: {error}");
                        failures += 1;
                    }
                }
            }
        }
        println!("{chain}: {actions} actions round trip; {failures} do not fit the ABI");
        assert!(actions > 100);
    }
}
