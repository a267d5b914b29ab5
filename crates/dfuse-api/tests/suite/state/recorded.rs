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

/// Contract, table and scope of a key of `tables` and `raw_tables`.
fn parts(path: &str) -> [&str; 3] {
    let [contract, scope, table] = path.split('/').collect::<Vec<_>>()[..] else { panic!("{path}") };
    [contract, table, scope]
}

/// Compares tables, their rows one by one, and scopes. Returns how many rows there were, and how many of them as JSON.
async fn check_tables(chain: &TestChain, answers: &Value) -> [usize; 2] {
    let tables = answers["tables"].as_object().unwrap();
    let mut scopes: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let (mut rows, mut compared) = (0, 0);
    for (path, raw) in answers["raw_tables"].as_object().unwrap() {
        let [contract, table, scope] = parts(path);
        scopes.entry((contract, table)).or_default().insert(scope);
        let Some(raw) = raw["rows"].as_array() else { continue };
        let query = format!("account={contract}&table={table}&scope={scope}");
        let ours = get(chain, &format!("table?{query}")).await;
        let ours = ours["rows"].as_array().unwrap();
        let found: Vec<_> = ours.iter().map(|row| json!({"data": row["hex"], "payer": row["payer"]})).collect();
        assert_eq!(found, *raw, "{path}");
        let pages = get(chain, &format!("table?{query}&limit=1")).await;
        assert_eq!(pages["rows"].as_array().unwrap()[..], ours[..ours.len().min(1)], "{path}");
        for row in ours {
            let key = row["key"].as_str().unwrap();
            assert_eq!(get(chain, &format!("table/row?{query}&primary_key={key}")).await["row"], *row);
            rows += 1;
        }
        let Some(theirs) = tables[path]["rows"].as_array() else { continue };
        if theirs.iter().any(|row| row["data"].is_string()) {
            continue;
        }
        compared += check_decoded(chain, &query, theirs).await;
    }
    for ((contract, table), expected) in scopes {
        check_scopes(chain, contract, table, &expected).await;
    }
    [rows, compared]
}

/// Compares the rows of a table as JSON.
async fn check_decoded(chain: &TestChain, query: &str, theirs: &[Value]) -> usize {
    let decoded = get(chain, &format!("table?{query}&json=true")).await;
    let ours = decoded["rows"].as_array().unwrap();
    assert_eq!(ours.len(), theirs.len(), "{query}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!(is_same(&ours["json"], &theirs["data"]), "{query}: {ours} {theirs}");
        assert_eq!(ours["payer"], theirs["payer"]);
    }
    ours.len()
}

async fn check_scopes(chain: &TestChain, contract: &str, table: &str, expected: &BTreeSet<&str>) {
    let ours = get(chain, &format!("table_scopes?account={contract}&table={table}")).await;
    // In the order of their texts.
    let expected: Vec<_> = expected.iter().collect();
    assert_eq!(ours["scopes"], json!(expected), "{contract} {table}");
}

/// Compares ABIs; returns how many there were.
async fn check_abis(chain: &TestChain, answers: &Value) -> usize {
    let mut abis = 0;
    for (account, theirs) in answers["abi"].as_object().unwrap() {
        let Some(theirs) = theirs.get("abi") else {
            assert_eq!(chain.get(&format!("/v0/state/abi?account={account}")).await.status, 404, "{account}");
            continue;
        };
        let ours = get(chain, &format!("abi?account={account}&json=true")).await;
        assert_eq!(without_empty(&ours["abi"]), without_empty(theirs), "{account}");
        abis += 1;
    }
    abis
}

/// Compares the hashes of code; returns how many accounts have any.
async fn check_code(chain: &TestChain, answers: &Value) -> usize {
    let mut with_code = 0;
    for (account, hash) in answers["code_hash"].as_object().unwrap() {
        let ours = get(chain, &format!("code_hash?account={account}")).await;
        assert_eq!(ours["code_hash"], *hash, "{account}");
        with_code += usize::from(hash.as_str().unwrap().contains(|digit| digit != '0'));
    }
    with_code
}

/// Compares the accounts of keys, and the links of accounts, of all accounts or of some. Returns how many there were of the
/// former.
async fn check_accounts(chain: &TestChain, accounts: &Value, are_all: bool) -> usize {
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (account, answer) in accounts.as_object().unwrap() {
        let mut links = Vec::new();
        for permission in answer["permissions"].as_array().unwrap() {
            for key in permission["required_auth"]["keys"].as_array().unwrap() {
                keys.entry(key["key"].as_str().unwrap()).or_default().insert(account);
            }
            links.extend(permission["linked_actions"].as_array().unwrap());
        }
        links.extend(answer["eosio_any_linked_actions"].as_array().unwrap());
        let ours = get(chain, &format!("permission_links?account={account}")).await;
        assert_eq!(ours["linked_permissions"].as_array().unwrap().len(), links.len(), "{account}: {ours}");
    }
    let mut found = 0;
    for (key, expected) in keys {
        let ours = get(chain, &format!("key_accounts?public_key={key}")).await;
        let ours: BTreeSet<_> =
            ours["account_names"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        assert!(if are_all { ours == expected } else { ours.is_superset(&expected) }, "{key}");
        found += expected.len();
    }
    found
}

/// Compares at which blocks answers are.
async fn check_height(chain: &TestChain, answers: &Value) {
    let info = &answers["get_info"];
    let ours = get(chain, "permission_links?account=alice").await;
    assert_eq!(ours["last_irreversible_block_id"], info["last_irreversible_block_id"]);
    assert_eq!(ours["last_irreversible_block_num"], info["last_irreversible_block_num"]);
    assert_eq!(ours["up_to_block_id"], info["head_block_id"]);
    let key = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV";
    assert_eq!(get(chain, &format!("key_accounts?public_key={key}")).await["block_num"], info["head_block_num"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_answers_as_its_node() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let Some(answers) = recorded::json("small/answers.json.gz") else { return };
    assert_eq!(check_tables(&chain, &answers).await, [113, 113]);
    assert_eq!(check_abis(&chain, &answers).await, 21);
    assert!(check_code(&chain, &answers).await > 10);
    assert!(check_accounts(&chain, &answers["account"], true).await > 20);
    check_height(&chain, &answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_with_forks_answers_as_its_node() {
    let Some(chain) = TestChain::recorded("fork/fork.dmlog.zst").await else { return };
    let Some(answers) = recorded::json("fork/answers.json.gz") else { return };
    assert_eq!(check_tables(&chain, &answers).await, [19, 19]);
    assert_eq!(check_abis(&chain, &answers).await, 4);
    assert!(check_code(&chain, &answers).await > 1);
    assert_eq!(check_accounts(&chain, &answers["account"], true).await, 17);
    check_height(&chain, &answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_chain_answers_as_its_node() {
    let Some(chain) = TestChain::recorded("busy/busy.dmlog.zst").await else { return };
    let Some(answers) = recorded::json("busy/answers.json.gz") else { return };
    assert_eq!(check_abis(&chain, &answers).await, 5);
    assert_eq!(check_accounts(&chain, &answers["accounts"], false).await, 45);
    check_height(&chain, &answers).await;
    for contract in ["eosio.token", "othertoken"] {
        let mut tables: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for it in answers[format!("scopes_{contract}")].as_array().unwrap() {
            tables.entry(it["table"].as_str().unwrap()).or_default().insert(it["scope"].as_str().unwrap());
        }
        assert_eq!(tables.len(), 2);
        for (table, scopes) in tables {
            check_scopes(&chain, contract, table, &scopes).await;
        }
    }
    let mut rows = 0;
    for (scope, theirs) in answers["integ_rows"].as_object().unwrap() {
        let query = format!("account=integ&table=payloads&scope={scope}");
        rows += check_decoded(&chain, &query, theirs["rows"].as_array().unwrap()).await;
    }
    assert!(rows > 100, "{rows}");

    let get = async |path: String| chain.get(&format!("/v0/{path}")).await.json();
    let (mut tokens, mut balances) = (0, 0);
    for (contract, answer) in [("eosio.token", "balances"), ("othertoken", "usd")] {
        for (symbol, theirs) in answers["stat"][contract].as_object().unwrap() {
            let path = format!("tokens/{contract}/{symbol}/holders?limit=1000");
            let ours = get(path).await;
            for key in ["supply", "max_supply", "issuer"] {
                assert_eq!(ours[key], theirs[key], "{contract}");
            }
            let held = answers[answer].as_object().unwrap().iter().filter(|(_, held)| **held != json!([]));
            let held: Vec<_> = held.map(|(account, held)| json!({"account": account, "balance": held[0]})).collect();
            let accounts = ours["accounts"].as_array().unwrap();
            let mut sorted = held.clone();
            sorted.sort_by_key(|it| it["account"].as_str().unwrap().to_owned());
            assert_eq!((&ours["holders"], accounts), (&json!(sorted.len()), &sorted));
            tokens += 1;
            for it in held {
                let path = format!("accounts/{}/balances", it["account"].as_str().unwrap());
                let ours = get(path).await;
                let ours = ours["balances"].as_array().unwrap().iter().find(|it| it["contract"] == contract);
                assert_eq!(ours.unwrap()["balance"], it["balance"]);
                balances += 1;
            }
        }
    }
    assert_eq!((tokens, balances), (2, 1189));
}
