//! Rows, actions and changes look the same on every surface, however odd their bytes and their ABIs are.

use std::collections::{BTreeMap, BTreeSet};

use axum::{body::Body, http::Request};
use dfuse_antelope::{Name, abi::Abi, model::Block, raw::Writer};
use serde_json::{Value, json};

use crate::{
    state::made::{Maker, asset, key, name},
    support::{Options, TestChain},
    websocket::Client,
};

const LIFECYCLE: &str = "query($id: String!){transactionLifecycle(id: $id){trace{executedActions{receiver account name json \
    data hexData dbOps{operation key{code table scope} oldData newData oldJSON{object error} newJSON{object error}}}}}}";
const ROWS: &str = "query($code: String!, $table: String!, $scope: String!){tableRows(code: $code, table: $table, \
    scope: $scope, limit: 1000){rows{data json{object error}}}}";

/// What a surface shows of some bytes: the JSON, and whether there is an error.
type Shown = (Value, bool);

async fn graphql(chain: &TestChain, document: &str, variables: Value) -> Value {
    let body = json!({"query": document, "variables": variables}).to_string();
    let answer = chain.request(Request::post("/graphql").body(Body::from(body)).unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// Of a row as REST and WebSocket have it.
fn shown(row: &Value) -> Shown {
    let has_error = row["error"].as_str().is_some_and(|error| !error.is_empty());
    assert!(!has_error || row["hex"].is_string() && row.get("json").is_none(), "{row}");
    (row["json"].clone(), has_error)
}

/// Of a row as GraphQL has it.
fn decoded(object: &Value) -> Shown {
    (object["object"].clone(), object["error"].is_string())
}

/// A table: contract, table, scope.
type Table = [String; 3];

/// The tables that the transactions of a chain changed, with what they did to their rows as GraphQL has it.
async fn compare_transactions(chain: &TestChain, client: &mut Client) -> BTreeMap<Table, Vec<Value>> {
    let mut tables: BTreeMap<Table, Vec<Value>> = BTreeMap::new();
    let ids: Vec<_> = chain.best().iter().flat_map(|block| block.transaction_traces().to_vec()).collect();
    for id in ids.iter().map(|trace| trace.id.to_string()) {
        let rest = chain.get(&format!("/v0/transactions/{id}")).await.json();
        let own = graphql(chain, LIFECYCLE, json!({"id": id})).await;
        assert!(own["errors"].is_null(), "{id}: {own}");
        client
            .ask(json!({"type": "get_transaction_lifecycle", "req_id": "t", "fetch": true, "data": {"id": id}}))
            .await;
        assert_eq!(client.of("transaction_lifecycle", "t").await["lifecycle"], rest, "{id}");
        let mut to_visit: Vec<_> = rest["execution_trace"]["action_traces"].as_array().unwrap().iter().collect();
        let mut of_rest = Vec::new();
        while let Some(trace) = to_visit.pop() {
            let act = &trace["act"];
            let text = |value: &Value| json!(value.as_str().unwrap_or_default()).to_string();
            let hex = text(&act["hex_data"]);
            of_rest.push([
                text(&trace["receiver"]),
                text(&act["account"]),
                text(&act["name"]),
                act["data"].to_string(),
                hex,
            ]);
            to_visit.extend(trace["inline_traces"].as_array().into_iter().flatten());
        }
        let actions = own["data"]["transactionLifecycle"]["trace"]["executedActions"].as_array().unwrap();
        let of_graphql = actions.iter().map(|action| {
            assert_eq!(action["json"], action["data"]);
            ["receiver", "account", "name", "json", "hexData"].map(|field| action[field].to_string())
        });
        of_rest.sort();
        let mut of_graphql: Vec<_> = of_graphql.collect();
        of_graphql.sort();
        assert_eq!(of_graphql, of_rest, "{id}");
        for op in actions.iter().flat_map(|action| action["dbOps"].as_array().unwrap()) {
            for (data, object) in [("oldData", "oldJSON"), ("newData", "newJSON")] {
                let has_one = op[object]["object"].is_null() != op[object]["error"].is_null();
                // A row may be JSON's null.
                assert!(
                    op[data].is_string() == has_one || op[data].is_string() && op[object]["error"].is_null(),
                    "{op}"
                );
            }
            let table = ["code", "table", "scope"].map(|field| op["key"][field].as_str().unwrap().to_owned());
            tables.entry(table).or_default().push(op.clone());
        }
    }
    tables
}

/// The code of an error, whichever surface it is of.
fn code(error: &Value) -> String {
    error["code"].as_str().unwrap_or_else(|| panic!("{error}")).to_owned()
}

/// Rows at the head over REST, GraphQL and WebSocket. Returns how many there are; none if all say the same error.
async fn compare_rows(chain: &TestChain, client: &mut Client, table: &Table) -> usize {
    let [contract, name, scope] = table;
    let of_table = format!("account={contract}&table={name}&scope={scope}");
    let rest = chain.get(&format!("/v0/state/table?{of_table}&json=true")).await;
    let own = graphql(chain, ROWS, json!({"code": contract, "table": name, "scope": scope})).await;
    let data = json!({"code": contract, "table": name, "scope": scope, "json": true});
    client.ask(json!({"type": "get_table_rows", "req_id": "r", "fetch": true, "data": data})).await;
    let message = client.message().await;
    let page = Request::get(format!("/table?{of_table}")).header("accept", "text/html").body(Body::empty()).unwrap();
    let page = chain.request(page).await;
    assert!(!page.status.is_server_error(), "{table:?}: {page:?}");
    if rest.status != 200 {
        let code = code(&rest.error().1);
        assert_eq!(own["errors"][0]["extensions"]["code"], *code, "{table:?}: {own}");
        return 0;
    }
    let rest = rest.json()["rows"].as_array().unwrap().iter().map(shown).collect::<Vec<_>>();
    let own = own["data"]["tableRows"]["rows"].as_array().unwrap_or_else(|| panic!("{table:?}: {own}")).iter();
    assert_eq!(own.map(|row| decoded(&row["json"])).collect::<Vec<_>>(), rest, "{table:?}");
    assert_eq!(message["type"], "table_snapshot", "{message}");
    assert_eq!(message["data"]["rows"].as_array().unwrap().iter().map(shown).collect::<Vec<_>>(), rest, "{table:?}");
    assert_eq!(page.status, 200, "{page:?}");
    rest.len()
}

/// Each change of a table over WebSocket is what GraphQL has of it.
async fn compare_changes(client: &mut Client, table: &Table, ops: &[Value]) {
    let [contract, name, scope] = table;
    let data = json!({"code": contract, "table": name, "scope": scope, "json": true});
    client.ask(json!({"type": "get_table_rows", "req_id": "d", "listen": true, "start_block": 2, "data": data})).await;
    client.of("listening", "d").await;
    for op in ops {
        let delta = client.of("table_delta", "d").await;
        for (side, bytes, object) in [("old", "oldData", "oldJSON"), ("new", "newData", "newJSON")] {
            // There is no row, or none of any bytes.
            if op[bytes].is_null() {
                assert!(delta["dbop"][side]["hex"].is_null(), "{delta}");
                continue;
            }
            assert_eq!(shown(&delta["dbop"][side]), decoded(&op[object]), "{table:?}: {delta} {op}");
        }
    }
    client.ask(json!({"type": "unlisten", "req_id": "u", "data": {"req_id": "d"}})).await;
    while client.message().await["type"] != "unlistened" {}
}

/// Compares a whole chain. Returns the tables without rows that any surface can decode, and how many rows the others have.
async fn compare(chain: &TestChain) -> (BTreeSet<String>, usize) {
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    let tables = compare_transactions(chain, &mut client).await;
    let (mut refused, mut rows) = (BTreeSet::new(), 0);
    for (table, ops) in &tables {
        compare_changes(&mut client, table, ops).await;
        match compare_rows(chain, &mut client, table).await {
            0 => drop(refused.insert(table[..2].join("/"))),
            found => rows += found,
        }
    }
    let contracts: BTreeSet<_> = tables.keys().map(|[contract, ..]| contract).collect();
    for contract in contracts {
        let page = Request::get(format!("/contract/{contract}")).header("accept", "text/html").body(Body::empty());
        let page = chain.request(page.unwrap()).await;
        assert!(!page.status.is_server_error(), "{contract}: {page:?}");
    }
    (refused, rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_contracts_with_odd_abis() {
    let Some(chain) = TestChain::recorded("cases/abi-rows.dmlog.gz").await else { return };
    let (_, rows) = compare(&chain).await;
    assert!(rows > 100, "{rows}");
}

/// Pushes the block with what a node says of traces, too.
async fn push(chain: &mut TestChain, mut block: Block) {
    let (number, id) = (block.number, block.id);
    for (at, trace) in block.unfiltered_transaction_traces.iter_mut().enumerate() {
        (trace.block_num, trace.producer_block_id, trace.index) = (number.into(), Some(id), at as u64);
        for (at, action) in (0..).zip(&mut trace.action_traces) {
            (action.action_ordinal, action.execution_index, action.transaction_id) = (at + 1, at, trace.id);
        }
        // Whatever the transaction did, its first action did it.
        if trace.action_traces.is_empty() && !trace.db_ops.is_empty() {
            trace.action_traces.push(dfuse_antelope::model::ActionTrace { action_ordinal: 1, ..Default::default() });
        }
    }
    block.unfiltered_transaction_trace_count = u32::try_from(block.unfiltered_transaction_traces.len()).unwrap();
    chain.push(block).await;
}

fn text(bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.blob(bytes);
    writer.bytes
}

/// An asset of that amount, precision and letters.
fn amount(amount: i64, precision: u8, letters: &str) -> Vec<u8> {
    let mut bytes = amount.to_le_bytes().to_vec();
    bytes.push(precision);
    bytes.extend(letters.bytes().chain(std::iter::repeat(0)).take(7));
    bytes
}

const ODD: &str = "odd.abi.a";

/// Types of the ABI of [`ODD`], with bytes and what they are; `None` if they cannot be decoded.
fn odd() -> Vec<(&'static str, Vec<u8>, Option<Value>)> {
    vec![
        ("string", text(b"caf\xc3\xa9"), Some(json!("caf\u{e9}"))),
        ("string", text(b"a\xff\xfeb\0\x1b"), Some(json!("a\u{fffd}\u{fffd}b\0\u{1b}"))),
        ("asset", amount(5, 0, "WHOLE"), Some(json!("5 WHOLE"))),
        ("asset", amount(1, 18, "TINY"), Some(json!("0.000000000000000001 TINY"))),
        ("asset", amount(1 - (1 << 62), 18, "TINY"), Some(json!("-4.611686018427387903 TINY"))),
        ("asset", amount(i64::MIN, 18, "TINY"), None),
        ("symbol", amount(0, 0, "WHOLE")[8..].to_vec(), Some(json!("0,WHOLE"))),
        ("name", name("a.b.c.d").0.to_le_bytes().to_vec(), Some(json!("a.b.c.d"))),
        ("extended", vec![7], Some(json!({"a": 7}))),
        ("extended", vec![7, 1, b'x'], Some(json!({"a": 7, "more": "x"}))),
        ("either", vec![0, 7], Some(json!(["uint8", 7]))),
        ("either", vec![1, 1, b'x'], Some(json!(["string", "x"]))),
        ("either", vec![2, 0], None),
        ("myself", vec![1], None),
        ("ping", vec![1], None),
        ("endless", vec![1, 2, 3], None),
        ("basing", vec![1], None),
        ("unknown", vec![1], None),
        ("uint64", vec![1], None),
        // What comes after a value is passed over, as by nodes.
        ("uint64", 1_u64.to_le_bytes().into_iter().chain([9]).collect(), Some(json!(1))),
        ("uint64", u64::MAX.to_le_bytes().to_vec(), Some(json!("18446744073709551615"))),
    ]
}

/// The ABI with all these types, each of a table and an action of its own.
fn odd_abi() -> Vec<u8> {
    let struct_of = |name: &str, base: &str, fields: &[(&str, &str)]| {
        let fields: Vec<_> = fields.iter().map(|(name, of)| json!({"name": name, "type": of})).collect();
        json!({"name": name, "base": base, "fields": fields})
    };
    let at = |at: usize| Name(name("t").0 | (at as u64 + 1) << 30).to_string();
    let types = odd();
    let tables: Vec<_> = types.iter().enumerate().map(|(n, (of, ..))| json!({"name": at(n), "type": of})).collect();
    let actions: Vec<_> = types
        .iter()
        .enumerate()
        .map(|(n, (of, ..))| json!({"name": at(n), "type": of, "ricardian_contract": ""}))
        .collect();
    let abi = json!({
        "version": "eosio::abi/1.2",
        "types": [{"new_type_name": "myself", "type": "myself"}, {"new_type_name": "ping", "type": "pong"},
            {"new_type_name": "pong", "type": "ping"}],
        "structs": [struct_of("extended", "", &[("a", "uint8"), ("more", "string$")]),
            struct_of("endless", "", &[("next", "endless")]), struct_of("basing", "based", &[]),
            struct_of("based", "basing", &[]), struct_of("unknown", "", &[("a", "nothing.like")])],
        "variants": [{"name": "either", "types": ["uint8", "string"]}],
        "tables": tables,
        "actions": actions,
    });
    serde_json::from_value::<Abi>(abi).unwrap().to_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_contracts_made_to_be_odd() {
    let mut chain = TestChain::made(Options::default()).await;
    let mut maker = Maker::after(1);
    maker.abi(ODD, &odd_abi());
    maker.abi("malformed", &[0xff, 0xff, 0xff]);
    maker.abi("empty", &[]);
    push(&mut chain, maker.block(0xaa, 0)).await;
    let at = |at: usize| Name(name("t").0 | (at as u64 + 1) << 30).to_string();
    for (n, (_, bytes, _)) in odd().into_iter().enumerate() {
        maker.action_of(ODD, &at(n), Writer { bytes: bytes.clone() });
        maker.set(key(ODD, &at(n), "s", "a"), "payer.dots", bytes.clone());
        // What has no ABI of any use.
        for contract in ["malformed", "empty", "absent"] {
            maker.action_of(contract, &at(n), Writer { bytes: bytes.clone() });
            maker.set(key(contract, &at(n), "s", "a"), "payer.dots", bytes.clone());
        }
        maker.transaction();
    }
    push(&mut chain, maker.block(0xaa, 2)).await;
    for (n, _) in odd().iter().enumerate() {
        maker.set(key(ODD, &at(n), "s", "a"), "payer.dots", asset("1.0000 EOS"));
    }
    push(&mut chain, maker.block(0xaa, 3)).await;
    let (refused, _) = compare(&chain).await;
    // Without an ABI nothing is decoded, and each surface says why. With one that is malformed, rows are hex.
    let has_abi = |table: &String| [ODD, "malformed"].iter().any(|contract| table.starts_with(contract));
    assert!(!refused.iter().any(has_abi), "{refused:?}");
    assert_eq!(refused.len(), 2 * odd().len(), "{refused:?}");
    for (n, (of, bytes, expected)) in odd().into_iter().enumerate() {
        let hex = const_hex::encode(&bytes);
        let row =
            format!("/v0/state/table/row?account={ODD}&table={}&scope=s&primary_key=a&block_num=3&json=true", at(n));
        let row = chain.get(&row).await.json()["row"].take();
        assert_eq!(shown(&row), (expected.clone().unwrap_or_default(), expected.is_none()), "{of} {hex}: {row}");
    }
}
