//! Lists in pages, what became of rows, and tokens.

use crate::support::Options;
use dfuse_antelope::BlockTimestamp;
use dfuse_query::ErrorCode;
use serde_json::{Value, json};

use super::made::{Maker, asset, chain, id, key};
use crate::support::TestChain;

/// All pages of a list; the heights that they are of must be the same.
async fn pages(chain: &TestChain, path: &str, list: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = chain.get(&format!("/v0/{path}&cursor={cursor}")).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let page = page.json();
        pages.push(page[list].as_array().unwrap().clone());
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            return pages;
        }
    }
}

#[tokio::test]
async fn rows_in_pages() {
    let (mut chain, mut maker) = chain().await;
    let path = "state/table?account=eosio.test&table=rows2&scope=s";
    let keys = |pages: &[Vec<Value>]| {
        let page =
            |page: &Vec<Value>| page.iter().map(|row| row["key"].as_str().unwrap().to_owned()).collect::<String>();
        pages.iter().map(page).collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("limit=2", &["bc", "de", "f"][..]),
        ("limit=5", &["bcdef"]),
        ("limit=100", &["bcdef"]),
        ("limit=1&lower_bound=c&upper_bound=e", &["c", "d", "e"]),
        ("limit=2&offset=1", &["cd", "ef"]),
        ("limit=2&offset=9", &[""]),
        ("limit=2&lower_bound=e&upper_bound=d", &[""]),
        ("limit=2&block_num=5", &["ab", "c"]),
        ("limit=2&irreversible_only=1", &["ab", "c"]),
    ] {
        assert_eq!(keys(&pages(&chain, &format!("{path}&{query}"), "rows").await), expected, "{query}");
    }
    let answer = chain.get(&format!("/v0/{path}&offset=3&lower_bound=c")).await.json();
    assert_eq!((answer.get("cursor"), answer["rows"].as_array().unwrap().len()), (None, 1));
    // Further pages are of the block of the first.
    let first = chain.get(&format!("/v0/{path}&limit=2")).await.json();
    let cursor = first["cursor"].as_str().unwrap().to_owned();
    let mut other = maker.clone();
    maker.set(key("eosio.test", "rows2", "s", "d"), "s", [9; 8]);
    chain.push(maker.block(0xaa, 5)).await;
    let second = chain.get(&format!("/v0/{path}&limit=2&cursor={cursor}")).await.json();
    assert_eq!((&second["up_to_block_num"], &second["rows"][0]["hex"]), (&json!(6), &json!("0400000000000000")));
    let refused = async |query: &str| {
        let (code, error) = chain.get(&format!("/v0/{query}&cursor={cursor}")).await.error();
        assert_eq!(code, ErrorCode::RequestValidation);
        error["details"]["errors"]["cursor"][0].as_str().unwrap().to_owned()
    };
    assert!(refused(&format!("{path}&block_num=5")).await.starts_with("is of block 6"));
    assert!(refused("state/table?account=eosio.test&table=rows2&scope=t").await.starts_with("is of another list"));
    assert!(
        refused("state/table/row/history?account=a&table=t&scope=&primary_key=a").await.starts_with("is not valid")
    );
    // Its block is undone.
    let parent = chain.blocks.iter().find(|block| block.number == 5).unwrap().id;
    other.rewind(5, parent);
    for _ in 0..3 {
        chain.push(other.block(0xbb, 5)).await;
    }
    assert_eq!(chain.get("/v0/state/table?account=a&table=t&scope=").await.json()["up_to_block_id"], id(8, 0xbb));
    let (_, error) = chain.get(&format!("/v0/{path}&limit=2&cursor={cursor}")).await.error();
    assert!(error["details"]["errors"]["cursor"][0].as_str().unwrap().starts_with("is of a block that was undone"));
}

#[tokio::test]
async fn what_changed_in_a_table() {
    let (chain, _) = chain().await;
    let get = async |query: &str| chain.get(&format!("/v0/state/table/diff?{query}")).await.json();
    let row = |to: Option<u64>| to.map(|to| json!({"payer": "s", "json": {"to": to}}));
    let change = |key: &str, old: Option<u64>, new: Option<u64>| json!({"key": key, "old": row(old), "new": row(new)});
    let query = "account=eosio.test&table=rows2&scope=s&json=1";
    let answer = get(&format!("{query}&from_block=5")).await;
    let expected = [
        change("a", Some(1), None),
        change("b", Some(2), Some(20)),
        change("d", None, Some(4)),
        change("e", None, Some(5)),
        change("f", None, Some(6)),
    ];
    assert_eq!((&answer["rows"], &answer["from_block"], &answer["to_block"]), (&json!(expected), &json!(5), &json!(6)));
    assert_eq!(answer["up_to_block_num"], 6);
    // Backwards, and without a change.
    let answer = get(&format!("{query}&from_block=6&to_block=5&with_block_num=1")).await;
    assert_eq!(
        answer["rows"][0],
        json!({"key": "a", "old": null, "new": {"payer": "s", "json": {"to": 1}, "block": 5}})
    );
    assert_eq!(get(&format!("{query}&from_block=6")).await["rows"], json!([]));
    assert_eq!(get(&format!("{query}&from_block=5&irreversible_only=1")).await["rows"], json!([]));
    // Rows of before there was an ABI with the table.
    let answer = get("account=eosio.test&table=rows&scope=s&json=1&from_block=3&to_block=5").await;
    assert_eq!(answer["rows"], json!([]));
    let answer = get("account=eosio.test&table=rows&scope=s&json=1&from_block=2&to_block=6").await;
    let new = &answer["rows"][0]["new"];
    assert_eq!((&new["hex"], new["error"].as_str().unwrap().contains("no table")), (&json!("0161"), true));
}

#[tokio::test]
async fn what_became_of_a_row() {
    let mut chain = TestChain::made(Options::default()).await;
    let mut maker = Maker::after(1);
    let row = key("c", "t", "s", "k");
    maker.tables("c", &[("t", "n", "uint8")]);
    chain.push(maker.block(1, 0)).await;
    let mut transactions = vec![Vec::new()];
    for i in 0..7u8 {
        maker.set(key("c", "t", "s", "other"), "p", [i]);
        maker.transaction();
        maker.set(row, "p", [i]);
        transactions.push(vec![maker.transaction().to_string()]);
        if i == 3 {
            maker.set(row, "q", [100]);
            transactions[4].push(maker.transaction().to_string());
        }
        if i == 5 {
            maker.tables("c", &[("t", "m", "int8")]);
        }
        chain.push(maker.block(1, 4)).await;
    }
    maker.remove(row);
    transactions.push(vec![maker.transaction().to_string()]);
    chain.push(maker.block(1, 4)).await;

    let path = "state/table/row/history?account=c&table=t&scope=s&primary_key=k&json=1";
    let now = |field: &str, payer: &str, n: u8| json!({"payer": payer, "json": {field: n}});
    let rows = [
        Value::Null,
        now("n", "p", 0),
        now("n", "p", 1),
        now("n", "p", 2),
        now("n", "q", 100),
        now("n", "p", 4),
        now("m", "p", 5),
        now("m", "p", 6),
        Value::Null,
    ];
    let change = |number: usize| {
        let at = BlockTimestamp(1_000_000_000 + number as u32).to_string();
        let mut old = rows[number - 3].clone();
        // By the ABI of before the block.
        if number == 9 {
            old = now("m", "p", 5);
        }
        json!({
            "block_num": number, "block_id": id(number as u32, 1), "block_time": at.trim_end_matches(".000"),
            "trx_ids": transactions[number - 2], "old": old, "new": rows[number - 2],
        })
    };
    let ascending: Vec<_> = (3..=10).map(change).collect();
    let descending: Vec<_> = ascending.iter().rev().cloned().collect();
    for (query, expected) in [
        ("", &descending[..]),
        ("sort=desc&limit=3", &descending),
        ("sort=desc&limit=8", &descending),
        ("sort=asc", &ascending),
        ("sort=ASC&limit=1", &ascending),
        ("sort=asc&limit=3&from_block=5&to_block=8", &ascending[2..6]),
        ("limit=3&from_block=5&to_block=8", &descending[2..6]),
        ("limit=2&from_block=4000000000", &[]),
        ("irreversible_only=1", &descending[6..]),
    ] {
        let found = pages(&chain, &format!("{path}&{query}"), "changes").await;
        assert_eq!(found.concat(), expected, "{query}");
        if let Some(limit) = query.split("limit=").nth(1).and_then(|limit| limit[..1].parse::<usize>().ok()) {
            assert_eq!(found.len(), expected.len().div_ceil(limit).max(1), "{query}");
        }
    }
    let hex = chain.get("/v0/state/table/row/history?account=c&table=t&scope=s&primary_key=k&limit=1").await.json();
    assert_eq!(hex["changes"][0]["old"], json!({"payer": "p", "hex": "06"}));
    let never = chain.get("/v0/state/table/row/history?account=c&table=t&scope=s&primary_key=never").await.json();
    assert_eq!((&never["changes"], &never["cursor"]), (&json!([]), &json!("")));
}

#[tokio::test]
async fn tokens_and_holders() {
    let mut chain = TestChain::made(Options::default()).await;
    let mut maker = Maker::after(1);
    let abi: dfuse_antelope::abi::Abi = serde_json::from_value(json!({
        "version": "eosio::abi/1.1",
        "structs": [
            {"name": "account", "base": "", "fields": [{"name": "balance", "type": "asset"}]},
            {"name": "stat", "base": "", "fields": [
                {"name": "supply", "type": "asset"}, {"name": "max_supply", "type": "asset"}, {"name": "issuer", "type": "name"},
            ]},
        ],
        "tables": [{"name": "accounts", "type": "account"}, {"name": "stat", "type": "stat"}],
    }))
    .unwrap();
    let stat = |supply: &str, max: &str| [asset(supply), asset(max), b"\0\0\0\0\0\0\0\x30".to_vec()].concat();
    let code = |code: &str| {
        let row = key("x", "stat", "", code);
        dfuse_antelope::Name(row.primary_key).to_string()
    };
    // What looks like a token, but is none by its contract's ABI.
    for contract in ["abc", "fake", "token", "tokens"] {
        if contract != "fake" {
            maker.abi(contract, &abi.to_bytes());
        }
        for symbol in ["AAA", "EOS"] {
            let (supply, max) = (format!("3.0000 {symbol}"), format!("9.0000 {symbol}"));
            maker.set(key(contract, "stat", &code(symbol), symbol), contract, stat(&supply, &max));
            for account in ["alice", "bob", "carol"] {
                maker.set(key(contract, "accounts", account, symbol), contract, asset(&format!("1.0000 {symbol}")));
            }
        }
    }
    chain.push(maker.block(1, 0)).await;
    maker.set(key("token", "accounts", "dan", "EOS"), "token", asset("0.0000 EOS"));
    maker.remove(key("abc", "accounts", "alice", "AAA"));
    chain.push(maker.block(1, 2)).await;

    let all = pages(&chain, "tokens?", "tokens").await.concat();
    assert_eq!(
        all[5],
        json!({"contract": "tokens", "symbol": "EOS", "precision": 4, "issuer": "a", "supply": "3.0000 EOS",
               "max_supply": "9.0000 EOS", "holders": 3})
    );
    let names: Vec<_> = all.iter().map(|it| [&it["contract"], &it["symbol"]].map(|it| it.as_str().unwrap())).collect();
    let three = ["abc", "token", "tokens"];
    assert_eq!(names, three.map(|it| [[it, "AAA"], [it, "EOS"]]).concat());
    for limit in [1, 2, 4, 6] {
        let found = pages(&chain, &format!("tokens?limit={limit}"), "tokens").await;
        assert_eq!((found.len(), found.concat()), (6usize.div_ceil(limit), all.clone()));
    }
    let of_one = pages(&chain, "tokens?contract=token&limit=1", "tokens").await.concat();
    assert_eq!(of_one, all[2..4]);
    assert_eq!(chain.get("/v0/tokens?contract=fake").await.json()["tokens"], json!([]));

    let holders = |names: &[&str], balance: &str| {
        names.iter().map(|name| json!({"account": name, "balance": balance})).collect::<Vec<_>>()
    };
    let path = "tokens/token/EOS/holders?";
    let mut expected = holders(&["alice", "bob", "carol"], "1.0000 EOS");
    assert_eq!(pages(&chain, &format!("{path}irreversible_only=1"), "accounts").await.concat(), expected);
    expected.extend(holders(&["dan"], "0.0000 EOS"));
    assert_eq!(pages(&chain, &format!("{path}limit=3"), "accounts").await, [&expected[..3], &expected[3..]]);
    let answer = chain.get("/v0/tokens/token/4,EOS/holders").await.json();
    assert_eq!(
        (&answer["holders"], &answer["supply"], &answer["up_to_block_num"]),
        (&json!(4), &json!("3.0000 EOS"), &json!(3))
    );
    for path in ["fake/EOS", "token/EUR", "nobody/EOS"] {
        assert_eq!(chain.get(&format!("/v0/tokens/{path}/holders")).await.error().0, ErrorCode::TokenNotFound);
    }

    let balance = |contract: &str, symbol: &str| json!({"contract": contract, "symbol": symbol, "balance": format!("1.0000 {symbol}")});
    let expected = [
        balance("abc", "EOS"),
        balance("token", "AAA"),
        balance("token", "EOS"),
        balance("tokens", "AAA"),
        balance("tokens", "EOS"),
    ];
    for limit in [1, 2, 5] {
        let found = pages(&chain, &format!("accounts/alice/balances?limit={limit}"), "balances").await;
        assert_eq!((found.len(), found.concat()), (5usize.div_ceil(limit), expected.to_vec()));
    }
    let staked = pages(&chain, "accounts/alice/balances?with_staked=1", "balances").await.concat();
    assert_eq!(staked, expected);
    let old = pages(&chain, "accounts/alice/balances?irreversible_only=1", "balances").await.concat();
    assert_eq!((old.len(), &old[0]), (6, &balance("abc", "AAA")));
    assert_eq!(chain.get("/v0/accounts/nobody/balances").await.json()["balances"], json!([]));
}

#[tokio::test]
async fn what_is_staked_stands_beside_the_balance() {
    let mut chain = TestChain::made(Options::default()).await;
    let mut maker = Maker::after(1);
    let asset_type = |name: &str| json!({"name": name, "type": "asset"});
    let abi: dfuse_antelope::abi::Abi = serde_json::from_value(json!({
        "version": "eosio::abi/1.1",
        "structs": [
            {"name": "account", "base": "", "fields": [asset_type("balance")]},
            {"name": "stat", "base": "", "fields": [
                asset_type("supply"), asset_type("max_supply"), {"name": "issuer", "type": "name"},
            ]},
        ],
        "tables": [{"name": "accounts", "type": "account"}, {"name": "stat", "type": "stat"}],
    }))
    .unwrap();
    for (contract, symbol) in [("eosio.token", "EOS"), ("eosio.token", "EUR"), ("other", "EOS")] {
        maker.abi(contract, &abi.to_bytes());
        let amount = format!("9.0000 {symbol}");
        let scope = dfuse_antelope::Name(key("x", "t", "", symbol).primary_key).to_string();
        let stat = [asset(&amount), asset(&amount), vec![0; 8]].concat();
        maker.set(key(contract, "stat", &scope, symbol), contract, stat);
        for account in ["alice", "bob"] {
            maker.set(key(contract, "accounts", account, symbol), account, asset(&format!("1.0000 {symbol}")));
        }
    }
    let stake = |net: &str, cpu: &str| [vec![0; 16], asset(net), asset(cpu)].concat();
    maker.set(key("eosio", "delband", "alice", "alice"), "alice", stake("2.0000 EOS", "0.5000 EOS"));
    maker.set(key("eosio", "delband", "alice", "carol"), "alice", stake("0.0000 EOS", "1.0000 EOS"));
    maker.set(key("eosio", "delband", "alice", "none"), "alice", [1, 2]);
    chain.push(maker.block(1, 0)).await;
    maker.set(key("eosio", "delband", "alice", "alice"), "alice", stake("3.0000 EOS", "0.5000 EOS"));
    maker.set(key("eosio", "delband", "bob", "bob"), "bob", stake("0.0001 EOS", "0.0000 EOS"));
    chain.push(maker.block(1, 2)).await;

    let get = async |path: &str| chain.get(&format!("/v0/{path}")).await.json();
    let staked = |list: &Value| {
        list.as_array().unwrap().iter().map(|it| it.get("staked").cloned().unwrap_or_default()).collect::<Vec<_>>()
    };
    for (query, alice, bob) in [
        ("with_staked=1", json!("4.5000 EOS"), json!("0.0001 EOS")),
        ("with_staked=1&irreversible_only=1", json!("3.5000 EOS"), Value::Null),
        ("", Value::Null, Value::Null),
    ] {
        let balances = get(&format!("accounts/alice/balances?{query}")).await["balances"].take();
        // Ordered by the numbers of the codes.
        assert_eq!((&balances[0]["symbol"], &balances[1]["symbol"]), (&json!("EUR"), &json!("EOS")));
        assert_eq!(staked(&balances), [Value::Null, alice.clone(), Value::Null], "{query}");
        let holders = get(&format!("tokens/eosio.token/EOS/holders?{query}")).await["accounts"].take();
        assert_eq!(staked(&holders), [alice, bob], "{query}");
        for other in ["eosio.token/EUR", "other/EOS"] {
            let holders = get(&format!("tokens/{other}/holders?{query}")).await["accounts"].take();
            assert_eq!(staked(&holders), [Value::Null, Value::Null], "{other}");
        }
    }
}
