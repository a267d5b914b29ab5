//! Answers that are known.

use std::collections::BTreeSet;

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use super::made::{K1, K1_PREFIXED, TEST_ABI, chain, id};
use crate::support::TestChain;

async fn get(chain: &TestChain, path: &str) -> Value {
    let answer = chain.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    assert!(answer.body.ends_with(b"}\n"));
    answer.json()
}

/// The keys that say at which height it is.
fn heights(is_reversible: bool) -> Value {
    let mut heights = json!({"last_irreversible_block_id": id(5, 0xaa), "last_irreversible_block_num": 5});
    if is_reversible {
        heights["up_to_block_id"] = json!(id(6, 0xaa));
        heights["up_to_block_num"] = json!(6);
    }
    heights
}

fn with(mut heights: Value, mut more: Value) -> Value {
    heights.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
    heights
}

#[tokio::test]
async fn tables() {
    let (chain, _) = chain().await;
    let token = "account=eosio.token&table=accounts&scope=eosio1";
    let hex = json!([{"key": "eos", "payer": "eosio1", "hex": "a08601000000000004454f5300000000"}]);
    let rows = json!([{"key": "eos", "payer": "eosio1", "json": {"balance": "10.0000 EOS"}}]);
    let to = |of: &[(&str, u64)]| {
        of.iter().map(|(key, to)| json!({"key": key, "payer": "s", "json": {"to": to}})).collect::<Vec<_>>()
    };
    let from = |of: &[(&str, &str)]| {
        of.iter().map(|(key, from)| json!({"key": key, "payer": "s", "json": {"from": from}})).collect::<Vec<_>>()
    };
    let rows2 = "account=eosio.test&table=rows2&scope=s&json=true";
    for (query, expected) in [
        (token.to_owned(), with(heights(true), json!({"rows": hex}))),
        (format!("{token}&block_num=0"), with(heights(true), json!({"rows": hex}))),
        (format!("{token}&block_num=6"), with(heights(true), json!({"rows": hex}))),
        (format!("{token}&json=true"), with(heights(true), json!({"rows": rows}))),
        (format!("{token}&json=True&block_num=4"), with(heights(false), json!({"rows": rows}))),
        (format!("{token}&json=1&irreversible_only=true"), with(heights(false), json!({"rows": rows}))),
        (
            "account=eosio.token&table=accounts&scope=eosio2&json=true&irreversible_only=true&block_num=5".to_owned(),
            with(
                heights(false),
                json!({"rows": [{"key": "eos", "payer": "eosio2", "json": {"balance": "20.0000 EOS"}}]}),
            ),
        ),
        (format!("{token}&block_num=2"), with(heights(false), json!({"rows": []}))),
        (format!("{token}&block_num=1"), with(heights(false), json!({"rows": []}))),
        (
            "account=eosio.token&table=accounts&scope=nobody&json=true".to_owned(),
            with(heights(true), json!({"rows": []})),
        ),
        ("account=nobody&table=accounts&scope=".to_owned(), with(heights(true), json!({"rows": []}))),
        (
            rows2.to_owned(),
            with(heights(true), json!({"rows": to(&[("b", 20), ("c", 3), ("d", 4), ("e", 5), ("f", 6)])})),
        ),
        (
            format!("{rows2}&irreversible_only=1"),
            with(heights(false), json!({"rows": to(&[("a", 1), ("b", 2), ("c", 3)])})),
        ),
        (
            "account=eosio.test&table=rows&scope=s&json=true&block_num=3".to_owned(),
            with(heights(false), json!({"rows": from(&[("a", "a"), ("b", "b2"), ("c", "c")])})),
        ),
        (format!("{rows2}&limit=2&offset=1"), Value::Null),
    ] {
        let mut answer = get(&chain, &format!("/v0/state/table?{query}")).await;
        if expected.is_null() {
            assert!(!answer["cursor"].take().as_str().unwrap().is_empty());
            assert_eq!(answer["rows"], json!(to(&[("c", 3), ("d", 4)])));
            continue;
        }
        assert_eq!(answer, expected, "{query}");
        let form = Request::post("/v0/state/table").body(Body::from(query.clone())).unwrap();
        assert_eq!(chain.request(form).await.json(), expected, "{query}");
    }
    // The order of keys, for who reads the text.
    let text = chain.get(&format!("/v0/state/table?{token}&json=1&with_block_num=1")).await.body;
    let expected = format!(
        "{{\"up_to_block_id\":\"{}\",\"up_to_block_num\":6,\"last_irreversible_block_id\":\"{}\",\
         \"last_irreversible_block_num\":5,\"rows\":[{{\"key\":\"eos\",\"payer\":\"eosio1\",\
         \"json\":{{\"balance\":\"10.0000 EOS\"}},\"block\":4}}]}}\n",
        id(6, 0xaa),
        id(5, 0xaa)
    );
    assert_eq!(String::from_utf8(text.to_vec()).unwrap(), expected);
    // The ABI without JSON rows, and none where there is none.
    let answer = get(&chain, &format!("/v0/state/table?{token}&with_abi=true")).await;
    assert_eq!(answer["abi"]["tables"][0]["name"], "accounts");
    let answer = get(&chain, "/v0/state/table?account=nobody&table=t&scope=s&with_abi=true").await;
    assert_eq!(answer.get("abi"), None);
    // A row that the ABI does not fit.
    let answer =
        get(&chain, "/v0/state/table?account=eosio.token&table=accounts&scope=eosio1&json=1&with_block_num=1").await;
    assert_eq!(answer["rows"][0]["block"], 4);
}

#[tokio::test]
async fn one_row() {
    let (chain, _) = chain().await;
    let path = "/v0/state/table/row?account=eosio.nekot&table=accounts&scope=eosio5&json=true";
    let answer = get(&chain, &format!("{path}&primary_key=SOE&key_type=symbol_code")).await;
    let row = json!({"key": "SOE", "payer": "eosio5", "json": {"balance": "5.0000 SOE"}});
    assert_eq!(answer, with(heights(true), json!({"row": row})));
    // Every type of key, there and back.
    for (key_type, key) in [
        ("name", "........cpbp3"),
        ("uint64", "4542291"),
        ("symbol", "83,OE"),
        ("symbol_code", "SOE"),
        ("hex", "534f450000000000"),
        ("hex_be", "0000000000454f53"),
    ] {
        let answer = get(&chain, &format!("{path}&primary_key={key}&key_type={key_type}&with_abi=1")).await;
        assert_eq!(answer["row"]["key"], key, "{key_type}");
        assert_eq!(answer["abi"]["tables"][0]["name"], "accounts");
    }
    assert_eq!(get(&chain, &format!("{path}&primary_key=SOE")).await["row"]["key"], "........cpbp3");
}

#[tokio::test]
async fn many_tables() {
    let (chain, _) = chain().await;
    let table = |account: &str, scope: &str, rows: Value| json!({"account": account, "scope": scope, "rows": rows});
    let row =
        |key: &str, payer: &str, balance: &str| json!([{"key": key, "payer": payer, "json": {"balance": balance}}]);
    let accounts = json!([
        table("eosio.nekot", "eosio1", row("........cpbp3", "eosio1", "1.0000 SOE")),
        table("eosio.token", "eosio1", row("eos", "eosio1", "10.0000 EOS")),
    ]);
    let form = "accounts=eosio.token|eosio.nekot&scope=eosio1&table=accounts&json=true";
    let post = async |path: &str, form: &str| {
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        chain.request(request.body(Body::from(form.to_owned())).unwrap()).await.json()
    };
    let path = "/v0/state/tables/accounts";
    assert_eq!(post(path, form).await, with(heights(true), json!({"tables": accounts})));
    let answer = post(path, &format!("{form}&block_num=4")).await;
    assert_eq!(answer, with(heights(false), json!({"tables": accounts})));
    assert_eq!(get(&chain, &format!("{path}?{}", form.replace('|', "%7C"))).await["tables"], accounts);
    // As often as it is asked for.
    let answer = post(path, "accounts=eosio.token||eosio.token&scope=eosio1&table=accounts").await;
    assert_eq!(answer["tables"].as_array().unwrap().len(), 2);

    let path = "/v0/state/tables/scopes";
    let form = "account=eosio.token&scopes=eosio3|eosio1|eosio2&table=accounts&json=true";
    let balances = |balances: [Option<&str>; 3]| {
        let tables = balances.iter().enumerate().map(|(i, balance)| {
            let scope = format!("eosio{}", i + 1);
            let rows = balance.map_or(json!([]), |balance| row("eos", &scope, balance));
            table("eosio.token", &scope, rows)
        });
        tables.collect::<Vec<_>>()
    };
    let head = balances([Some("10.0000 EOS"), Some("22.0000 EOS"), None]);
    assert_eq!(post(path, form).await, with(heights(true), json!({"tables": head})));
    let old = balances([Some("1.0000 EOS"), Some("20.0000 EOS"), Some("3.0000 EOS")]);
    assert_eq!(post(path, &format!("{form}&block_num=3")).await, with(heights(false), json!({"tables": old})));
    let answer = post(path, &format!("{form}&with_abi=true&limit=1")).await;
    assert_eq!(answer["tables"][2]["abi"]["tables"][0]["name"], "accounts");
    // The official client looks for it here.
    assert_eq!(answer["abi"], answer["tables"][2]["abi"]);
    assert_eq!((&answer["tables"][2]["cursor"], &answer["tables"][2]["rows"]), (&json!(""), &json!([])));
    let answer = post(path, "account=eosio.token&scopes=s|4,EOS|EOS&table=accounts").await;
    let scopes: Vec<_> = answer["tables"].as_array().unwrap().iter().map(|it| it["scope"].as_str().unwrap()).collect();
    assert_eq!(scopes, ["4,EOS", "EOS", "s"]);
}

#[tokio::test]
async fn abis() {
    let (chain, _) = chain().await;
    let path = "/v0/state/abi?account=eosio.test";
    let expected = json!({"block_num": 5, "account": "eosio.test", "abi": TEST_ABI});
    assert_eq!(get(&chain, path).await, expected);
    assert_eq!(get(&chain, &format!("{path}&json=0")).await, expected);
    let answer = get(&chain, &format!("{path}&json=true")).await;
    let tables = json!([{"name": "rows2", "index_type": "", "type": "value"}]);
    assert_eq!((&answer["abi"]["version"], &answer["abi"]["tables"]), (&json!("eosio::abi/1.0"), &tables));
    let keys: BTreeSet<_> = answer["abi"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["structs", "tables", "version"].into());
    assert_eq!(get(&chain, &format!("{path}&block_num=4")).await["block_num"], 2);

    let post = async |body: Value| {
        chain.request(Request::post("/v0/state/abi/bin_to_json").body(Body::from(body.to_string())).unwrap()).await
    };
    let rows = ["aa2c0b010000000004454f5300000000", "A08601000000000004454f5300000000"];
    let answer = post(json!({"account": "eosio.token", "table": "accounts", "hex_rows": rows, "other": 1})).await;
    assert_eq!(
        answer.json(),
        json!({
            "block_num": 2, "account": "eosio.token", "table": "accounts",
            "rows": [{"balance": "1750.9546 EOS"}, {"balance": "10.0000 EOS"}],
        })
    );
    let old = json!({"account": "eosio.test", "table": "rows", "hex_rows": ["0161"], "block_num": 4});
    assert_eq!(post(old).await.json()["rows"], json!([{"from": "a"}]));
}

#[tokio::test]
async fn keys_links_and_scopes() {
    let (chain, _) = chain().await;
    let path = "/v0/state/key_accounts?public_key=";
    for key in [K1, K1_PREFIXED] {
        let answer = get(&chain, &format!("{path}{key}&block_num=3")).await;
        assert_eq!(answer, json!({"block_num": 3, "account_names": ["eosio1", "eosio2"]}));
        assert_eq!(get(&chain, &format!("{path}{key}")).await, json!({"block_num": 6, "account_names": ["eosio1"]}));
    }
    // Known later.
    assert_eq!(get(&chain, &format!("{path}{K1}&block_num=1")).await, json!({"block_num": 1, "account_names": []}));
    let path = "/v1/history/get_key_accounts";
    let known = json!({"block_num": 6, "account_names": ["eosio1"]});
    let unknown = json!({"block_num": 0, "account_names": []});
    let other = "EOS1111111111111111111111111111111114T1Anm";
    for (key, expected) in [(K1, &known), (K1_PREFIXED, &known), ("", &unknown), ("x", &unknown), (other, &unknown)] {
        assert_eq!(get(&chain, &format!("{path}?public_key={key}")).await, *expected);
        let body = json!({"public_key": key}).to_string();
        let request = Request::post(path).header("content-type", "text/plain").body(Body::from(body)).unwrap();
        assert_eq!(chain.request(request).await.json(), *expected, "{key}");
    }
    assert_eq!(get(&chain, path).await, unknown);
    assert_eq!(chain.request(Request::post(path).body(Body::from("{}")).unwrap()).await.json(), unknown);

    let links = |links: &[[&str; 3]]| {
        let links = links.iter().map(|[contract, action, permission]| {
            json!({"contract": contract, "action": action, "permission_name": permission})
        });
        json!({"linked_permissions": links.collect::<Vec<_>>()})
    };
    let path = "/v0/state/permission_links?account=";
    let now = links(&[["b", "", "owner"], ["eosio.token", "transfer", "active"]]);
    let old = links(&[["b", "", "owner"], ["eosio.token", "", "owner"], ["eosio.token", "transfer", "active"]]);
    assert_eq!(get(&chain, &format!("{path}eosio1")).await, with(heights(true), now));
    assert_eq!(get(&chain, &format!("{path}eosio1&block_num=3")).await, with(heights(false), old));
    assert_eq!(get(&chain, &format!("{path}nobody")).await, with(heights(true), links(&[])));

    let path = "/v0/state/table_scopes?account=eosio.token&table=accounts";
    assert_eq!(get(&chain, path).await, json!({"block_num": 6, "scopes": ["eosio1", "eosio2"]}));
    let all = json!({"block_num": 3, "scopes": ["eosio1", "eosio2", "eosio3"]});
    assert_eq!(get(&chain, &format!("{path}&block_num=3")).await, all);
    assert_eq!(get(&chain, &format!("{path}&block_num=2")).await, json!({"block_num": 2, "scopes": []}));
}
