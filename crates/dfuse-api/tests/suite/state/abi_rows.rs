//! Rows of contracts with odd ABIs look the same in every answer, and keep the types of their values.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use crate::{support::TestChain, websocket::Client};

/// What every answer says of a row.
#[derive(Debug, Clone)]
enum Row {
    Json(Value),
    /// Its bytes, and a part of the error.
    Hex(&'static str, &'static str),
}

/// Contract, which is the scope, too; table; primary key; row. As the node itself shows them (Leap 4.1), but for the forms that
/// docs/rest-api.md tells.
fn rows() -> Vec<(&'static str, &'static str, &'static str, Row)> {
    let id = "ab".repeat(32);
    let alice = json!({"owner": "alice", "bal": "0.0001 EOS"});
    let json = |json| Row::Json(json);
    let vartab = [
        ("account", "1", json(json!(["account_v0", {"owner": "alice", "bal": "1.2345 EOS"}]))),
        ("account", "2", json(json!(["account_v1", {"owner": "bob", "bal": "-1 A", "memo": "hi"}]))),
        ("account", "3", Row::Hex("020000000000000e3d", "alternative 2 of 2")),
        ("plainv", "1", json(json!(["chain_alias", 1]))),
        ("plainv", "2", json(json!(["chain_id", id]))),
        ("plainv", "3", json(json!(["string[]", ["a", "b"]]))),
        ("plainv", "4", json(json!(["account_v0[]", [{"owner": "carol", "bal": "0.05 XYZ"}]]))),
        ("plainv", "5", json(json!(["bool", true]))),
        ("aliasv", "1", json(json!(["account_v0", alice]))),
        ("optrow", "1", json(Value::Null)),
        ("optrow", "2", json(alice.clone())),
        ("arrrow", "1", json(json!([alice]))),
        ("u.4row", "1", json(json!("18446744073709551615"))),
        ("strrow", "1", json(json!("plain"))),
        ("aliasst", "1", json(json!({"owner": "dave", "bal": "0.7 Q", "memo": ""}))),
    ];
    let six = json!({"v": 6, "kids": []});
    let exts = [
        ("bt", "1", json(json!({"id": 1, "x": "x"}))),
        ("bt", "4", json(json!({"id": 1, "x": "x", "y": "yy", "z": [1, 2]}))),
        (
            "bt",
            "5",
            json(json!({"id": 1, "x": "x", "y": "yy", "z": [1, 2], "o": "q", "p": ["rec", {"v": 5, "kids": [six]}]})),
        ),
        ("bt", "a", json(json!({"id": 1, "x": "x", "y": "yy", "z": [1, 2], "p": ["uint8", 7]}))),
        ("emptyt", "2", json(json!({}))),
        ("hasemptyt", "1", json(json!({"e": {}, "a": 7}))),
        (
            "mapt",
            "1",
            json(json!({"m": [{"key": 5, "value": "five"}], "vv": [1, 2], "vvs": [[1], []], "ov": [null, "o"]})),
        ),
    ];
    let badopt = [("qt", "1", json(json!({"accounts": ["x"], "b": [[1], []], "c": [null, "bob"]})))];
    // What is common to all is as it was.
    let builtins = [
        ("t1b", "1", json(json!({"v": true}))),
        ("t1o", "i", json(json!({"v": format!("0x{}", "f".repeat(32))}))),
        ("t3g", "3e", json(json!({"v": "18,GEM"}))),
        ("t3r", "45", json(json!({"v": true}))),
        ("t3s", "4a", json(json!({}))),
        ("t3v", "4d", json(json!({"v": "0.0001 EOS"}))),
    ];
    let of = |contract, rows: Vec<(&'static str, &'static str, Row)>| {
        rows.into_iter().map(move |(table, key, row)| (contract, table, key, row))
    };
    let all = of("vartab", vartab.into()).chain(of("exts", exts.into()));
    all.chain(of("badopt", badopt.into())).chain(of("builtins", builtins.into())).collect()
}

async fn get(chain: &TestChain, path: &str) -> Value {
    let answer = chain.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

#[track_caller]
fn check(place: &str, row: &Value, wanted: &Row) {
    match wanted {
        Row::Json(json) => {
            assert_eq!(row.get("json"), Some(json), "{place}: {row}");
            assert!(row.get("hex").is_none() && row.get("error").is_none(), "{place}: {row}");
        }
        Row::Hex(hex, error) => {
            assert_eq!((row["hex"].as_str(), row.get("json")), (Some(*hex), None), "{place}: {row}");
            assert!(row["error"].as_str().unwrap().contains(error), "{place}: {row}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_shows_the_same_row() {
    let Some(chain) = TestChain::recorded("cases/abi-rows.dmlog.gz").await else { return };
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    for (contract, table, key, wanted) in rows() {
        let key = format!("{key:.>13}").trim_end_matches('.').to_owned();
        let place = format!("{contract} {table} {key}");
        let of = format!("account={contract}&scope={contract}&table={table}");
        let row = format!("{of}&primary_key={key}");
        let is_it = |row: &&Value| row["key"] == key.as_str();
        let found = get(&chain, &format!("/v0/state/table/row?{row}&json=true")).await;
        check(&place, &found["row"], &wanted);
        let found = get(&chain, &format!("/v0/state/table?{of}&json=true")).await;
        check(&place, found["rows"].as_array().unwrap().iter().find(is_it).unwrap(), &wanted);
        let found = get(&chain, &format!("/v0/state/table/diff?{of}&from_block=2&json=true")).await;
        check(&place, &found["rows"].as_array().unwrap().iter().find(is_it).unwrap()["new"], &wanted);
        let found = get(&chain, &format!("/v0/state/table/row/history?{row}&json=true")).await;
        check(&place, &found["changes"][0]["new"], &wanted);

        let hex = get(&chain, &format!("/v0/state/table/row?{row}")).await["row"]["hex"].take();
        let body = json!({"account": contract, "table": table, "hex_rows": [hex]}).to_string();
        let answer = chain.request(Request::post("/v0/state/abi/bin_to_json").body(Body::from(body)).unwrap()).await;
        match &wanted {
            Row::Json(json) => assert_eq!(answer.json()["rows"], json!([json]), "{place}"),
            Row::Hex(hex, _) => assert_eq!(answer.error().1["details"]["data"], *hex, "{place}"),
        }

        let data = json!({"code": contract, "scope": contract, "table": table, "json": true});
        client.ask(json!({"type": "get_table_rows", "req_id": "s", "fetch": true, "data": data})).await;
        let snapshot = client.of("table_snapshot", "s").await;
        check(&place, snapshot["rows"].as_array().unwrap().iter().find(is_it).unwrap(), &wanted);
        let listen = json!({"type": "get_table_rows", "req_id": "d", "listen": true, "start_block": 2, "data": data});
        client.ask(listen).await;
        client.of("listening", "d").await;
        let delta = loop {
            let delta = client.of("table_delta", "d").await;
            if delta["dbop"]["key"] == key.as_str() && delta["dbop"]["op"] == "ins" {
                break delta;
            }
        };
        check(&place, &delta["dbop"]["new"], &wanted);
        client.ask(json!({"type": "unlisten", "req_id": "u", "data": {"req_id": "d"}})).await;
        while client.message().await["type"] != "unlistened" {}
    }
}
