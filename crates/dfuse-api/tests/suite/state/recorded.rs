//! A recorded chain answers as its node did.

use std::collections::{BTreeMap, BTreeSet};

use dfuse_testkit::recorded;
use serde_json::{Map, Value, json};

use crate::support::TestChain;

/// A row as this API has it and as nodeos renders it: numbers that are texts there, flags that are numbers, longer fractions.
fn is_same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let given: Map<_, _> = theirs.clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
            ours.len() == given.len()
                && ours.iter().all(|(key, ours)| given.get(key).is_some_and(|theirs| is_same(ours, theirs)))
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
        }
        (Value::Bool(ours), theirs) => *theirs == json!(u8::from(*ours)),
        (Value::Number(ours), Value::String(theirs)) => {
            let (ours, theirs) = (ours.as_f64().unwrap(), theirs.parse::<f64>().unwrap_or(f64::NAN));
            // Seventeen decimals of something small are less than a double has.
            (ours - theirs).abs() <= f64::max(1e-17, ours.abs() * 1e-15)
        }
        (Value::String(ours), Value::String(theirs)) if ours != theirs => {
            let is_time = theirs.len() == 23 && theirs.as_bytes()[10] == b'T';
            let hex = ours.strip_prefix("0x").and_then(|hex| const_hex::decode(hex).ok()).filter(|it| it.len() == 16);
            let is_wide = hex.is_some_and(|bytes| {
                let wide: [u8; 16] = bytes.try_into().unwrap();
                [i128::from_le_bytes(wide).to_string(), u128::from_le_bytes(wide).to_string()].contains(theirs)
            });
            is_wide
                || is_time && theirs.trim_end_matches('0').trim_end_matches('.') == ours.trim_end_matches('0')
                || is_time && theirs.starts_with(&**ours) && theirs[ours.len()..].trim_matches(['.', '0']).is_empty()
        }
        (ours, theirs) => ours == theirs,
    }
}

async fn get(chain: &TestChain, path: &str) -> Value {
    let answer = chain.get(&format!("/v0/state/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// Lists that are empty are left out by us.
fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| *value != &json!([]));
            fields.map(|(key, value)| (key.clone(), without_empty(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(without_empty).collect(),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_answers_as_its_node() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let Some(answers) = recorded::json("small/answers.json.gz") else { return };
    let tables = answers["tables"].as_object().unwrap();
    let mut scopes: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let (mut rows, mut compared) = (0, 0);
    for (path, raw) in answers["raw_tables"].as_object().unwrap() {
        let [contract, scope, table] = path.split('/').collect::<Vec<_>>()[..] else { panic!("{path}") };
        scopes.entry((contract, table)).or_default().insert(scope);
        let Some(raw) = raw["rows"].as_array() else { continue };
        let query = format!("account={contract}&table={table}&scope={scope}");
        let ours = get(&chain, &format!("table?{query}")).await;
        let ours = ours["rows"].as_array().unwrap();
        let found: Vec<_> = ours.iter().map(|row| json!({"data": row["hex"], "payer": row["payer"]})).collect();
        assert_eq!(found, *raw, "{path}");
        let pages = get(&chain, &format!("table?{query}&limit=1")).await;
        assert_eq!(pages["rows"].as_array().unwrap()[..], ours[..ours.len().min(1)], "{path}");
        for row in ours {
            let key = row["key"].as_str().unwrap();
            assert_eq!(get(&chain, &format!("table/row?{query}&primary_key={key}")).await["row"], *row);
            rows += 1;
        }
        let Some(theirs) = tables[path]["rows"].as_array() else { continue };
        if tables[path]["rows"].as_array().is_some_and(|rows| rows.iter().any(|row| row["data"].is_string())) {
            continue;
        }
        let decoded = get(&chain, &format!("table?{query}&json=true")).await;
        for (ours, theirs) in decoded["rows"].as_array().unwrap().iter().zip(theirs) {
            assert!(is_same(&ours["json"], &theirs["data"]), "{path}: {ours} {theirs}");
            compared += 1;
        }
    }
    for ((contract, table), expected) in scopes {
        let ours = get(&chain, &format!("table_scopes?account={contract}&table={table}")).await;
        let ours: BTreeSet<_> = ours["scopes"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        assert_eq!(ours, expected, "{contract} {table}");
    }
    let mut abis = 0;
    for (account, theirs) in answers["abi"].as_object().unwrap() {
        let Some(theirs) = theirs.get("abi") else {
            assert_eq!(chain.get(&format!("/v0/state/abi?account={account}")).await.status, 404, "{account}");
            continue;
        };
        let ours = get(&chain, &format!("abi?account={account}&json=true")).await;
        assert_eq!(without_empty(&ours["abi"]), without_empty(theirs), "{account}");
        abis += 1;
    }
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (account, answer) in answers["account"].as_object().unwrap() {
        for permission in answer["permissions"].as_array().unwrap() {
            for key in permission["required_auth"]["keys"].as_array().unwrap() {
                keys.entry(key["key"].as_str().unwrap()).or_default().insert(account);
            }
        }
    }
    for (key, expected) in &keys {
        let ours = get(&chain, &format!("key_accounts?public_key={key}")).await;
        assert_eq!(ours["account_names"], json!(expected), "{key}");
        assert_eq!(ours["block_num"], answers["get_info"]["head_block_num"]);
    }
    let links = get(&chain, "permission_links?account=alice").await;
    assert_eq!(links["last_irreversible_block_id"], answers["get_info"]["last_irreversible_block_id"]);
    assert_eq!(links["up_to_block_id"], answers["get_info"]["head_block_id"]);
    assert_eq!((rows, compared, abis), (113, 113, 21));
    assert!(keys.values().map(BTreeSet::len).sum::<usize>() > 20, "{keys:?}");
}
