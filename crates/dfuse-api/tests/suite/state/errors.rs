//! What is refused, and how.

use crate::support::Options;
use axum::{body::Body, http::Request};
use dfuse_query::ErrorCode;
use serde_json::{Value, json};

use super::made::{K1, Maker, asset, chain, key};
use crate::support::TestChain;

/// Path, query, and how many problems each wrong parameter has.
type Wrong = (&'static str, &'static str, &'static [(&'static str, usize)]);

const WRONG: &[Wrong] = &[
    ("state/abi", "", &[("account", 1)]),
    ("state/abi", "account=9", &[("account", 1)]),
    ("state/abi", "account=a&block_num=a", &[("block_num", 1)]),
    ("state/abi", "account=a&block_num=-1", &[("block_num", 1)]),
    ("state/abi", "account=a&block_num=", &[("block_num", 1)]),
    ("state/abi", "account=a&json=a", &[("json", 1)]),
    ("state/abi", "account=a&json=", &[("json", 1)]),
    ("state/key_accounts", "", &[("public_key", 2)]),
    ("state/key_accounts", "public_key=", &[("public_key", 2)]),
    ("state/key_accounts", "public_key=EOS1&block_num=x", &[("public_key", 1), ("block_num", 1)]),
    ("state/permission_links", "", &[("account", 1)]),
    ("state/permission_links", "account=A", &[("account", 1)]),
    ("state/table", "", &[("account", 1), ("table", 1), ("scope", 1)]),
    ("state/table", "account=a&table=t&scope=0", &[("scope", 1)]),
    ("state/table", "account=a&table=t&scope=s&offset=a", &[("offset", 1)]),
    ("state/table", "account=a&table=t&scope=s&offset=-1", &[("offset", 1)]),
    ("state/table", "account=a&table=t&scope=s&limit=a", &[("limit", 1)]),
    ("state/table", "account=a&table=t&scope=s&limit=", &[("limit", 1)]),
    ("state/table", "account=a&table=t&scope=s&key_type=a", &[("key_type", 1)]),
    ("state/table", "account=a&table=t&scope=s&key_type=", &[("key_type", 1)]),
    ("state/table", "account=a&table=t&scope=s&json=a", &[("json", 1)]),
    ("state/table", "account=a&table=t&scope=s&with_abi=a", &[("with_abi", 1)]),
    ("state/table", "account=a&table=t&scope=s&with_block_num=a", &[("with_block_num", 1)]),
    ("state/table", "account=a&table=t&scope=s&irreversible_only=a", &[("irreversible_only", 1)]),
    ("state/table", "account=a&table=t&scope=s&block_num=a", &[("block_num", 1)]),
    ("state/table", "account=a&table=t&scope=s&block_num=1e20", &[("block_num", 1)]),
    ("state/table", "account=a&table=t&scope=s&limit=-1&offset=1e3", &[("limit", 1), ("offset", 1)]),
    ("state/table", "account=a&table=t&scope=s&limit=%2B1&offset=-1", &[("limit", 1), ("offset", 1)]),
    ("state/tables/scopes", "account=a&table=t&scopes=s&limit=-1&block_num=-1", &[("limit", 1), ("block_num", 1)]),
    ("state/table", "account=a&table=t&scope=s&cursor=---", &[("cursor", 1)]),
    ("state/table", "account=a&table=t&scope=s&lower_bound=x&upper_bound=9&key_type=uint64", &[("lower_bound", 1)]),
    ("state/table", "account=a&table=t&scope=s&lower_bound=x&key_type=x", &[("key_type", 1)]),
    ("state/table/row", "account=a&table=t&scope=s", &[("primary_key", 1)]),
    ("state/table/row", "account=a&table=t&scope=s&primary_key=abc&key_type=uint64", &[("primary_key", 1)]),
    ("state/table/row", "account=a&table=t&scope=s&primary_key=&key_type=hex", &[("primary_key", 1)]),
    ("state/table/row", "account=a&table=t&primary_key=a", &[("scope", 1)]),
    ("state/table/row/history", "account=a&table=t&scope=s&primary_key=a&limit=0&sort=x", &[("limit", 1), ("sort", 1)]),
    (
        "state/table/row/history",
        "account=a&table=t&scope=s&primary_key=a&limit=101&from_block=x",
        &[("limit", 1), ("from_block", 1)],
    ),
    ("state/table/diff", "account=a&table=t&scope=s", &[("from_block", 2)]),
    ("state/table/diff", "account=a&table=t&scope=s&from_block=0&to_block=-1", &[("from_block", 1), ("to_block", 1)]),
    ("state/table_scopes", "", &[("account", 1), ("table", 1)]),
    ("state/tables/accounts", "table=t&scope=", &[("accounts", 2)]),
    ("state/tables/accounts", "table=t&scope=&accounts=9", &[("accounts", 1)]),
    ("state/tables/accounts", "table=t&accounts=a", &[("scope", 1)]),
    ("state/tables/scopes", "account=a&table=t&scopes=", &[("scopes", 2)]),
    ("state/tables/scopes", "account=a&table=t&scopes=9", &[("scopes", 1)]),
    ("tokens", "limit=0&contract=A&cursor=x", &[("limit", 1), ("contract", 1), ("cursor", 1)]),
    ("tokens/eosio.token/eos/holders", "limit=1001&with_staked=x", &[("symbol", 1), ("limit", 1), ("with_staked", 1)]),
    ("accounts/EOS/balances", "", &[("account", 1)]),
];

#[tokio::test]
async fn wrong_parameters() {
    let (chain, _) = chain().await;
    let check = |what: &str, code: ErrorCode, error: &Value, expected: &[(&str, usize)]| {
        assert_eq!(code, ErrorCode::RequestValidation, "{what}: {error}");
        let mut found: Vec<_> = error["details"]["errors"].as_object().unwrap().iter().collect();
        found.sort_by_key(|(name, _)| name.as_str());
        let found: Vec<_> = found.iter().map(|(name, it)| (name.as_str(), it.as_array().unwrap().len())).collect();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{what}: {error}");
    };
    for (path, query, expected) in WRONG {
        let (code, error) = chain.get(&format!("/v0/{path}?{query}")).await.error();
        check(&format!("{path}?{query}"), code, &error, expected);
        let form = Request::post(format!("/v0/{path}")).body(Body::from(*query)).unwrap();
        let (code, error) = chain.request(form).await.error();
        check(&format!("POST {path} {query}"), code, &error, expected);
    }
    for parameter in ["accounts", "scopes"] {
        let form = format!("account=a&scope=&table=t&{parameter}={}", vec!["a"; 1501].join("|"));
        let request = Request::post(format!("/v0/state/tables/{parameter}")).body(Body::from(form)).unwrap();
        let (_, error) = chain.request(request).await.error();
        assert_eq!(error["details"]["errors"], json!({parameter: ["must have at most 1500 elements"]}));
    }
    for (body, code, expected) in [
        (r#"{"table":"t","hex_rows":["ab"]}"#, ErrorCode::RequestValidation, &[("account", 1)][..]),
        (r#"{"account":"9","table":"t","hex_rows":["ab"]}"#, ErrorCode::RequestValidation, &[("account", 1)]),
        (r#"{"account":"a","table":"9999","hex_rows":["ab"]}"#, ErrorCode::RequestValidation, &[("table", 1)]),
        (r#"{"account":"a","table":"t"}"#, ErrorCode::RequestValidation, &[("hex_rows", 2)]),
        (r#"{"account":"a","table":"t","hex_rows":[]}"#, ErrorCode::RequestValidation, &[("hex_rows", 2)]),
        (r#"{"account":"a","table":"t","hex_rows":["abc","zzz"]}"#, ErrorCode::RequestValidation, &[("hex_rows", 1)]),
        (r#"{"hex_rows":[""]}"#, ErrorCode::RequestValidation, &[("account", 1), ("hex_rows", 1), ("table", 1)]),
        (r#"{"account":"a","table":"t","hex_rows":"abc"}"#, ErrorCode::InvalidJson, &[]),
        (r#"{"account":"a","table":"t","hex_rows":["ab"],"block_num":"11"}"#, ErrorCode::InvalidJson, &[]),
        (r#"{"account":"a","table":"t","hex_rows":["ab"],"block_num":-1}"#, ErrorCode::InvalidJson, &[]),
        (r#" ["a","t",["ab"]]"#, ErrorCode::InvalidJson, &[]),
        ("{", ErrorCode::InvalidJson, &[]),
        (" ", ErrorCode::MissingBody, &[]),
        (r#"{"account":"c","table":"t","hex_rows":["abcf"],"block_num":11}"#, ErrorCode::BlockNumAboveHead, &[]),
        (
            r#"{"account":"c","table":"t","hex_rows":["abcf"],"block_num":99999999999}"#,
            ErrorCode::BlockNumAboveHead,
            &[],
        ),
        (r#"{"account":"c","table":"t","hex_rows":["abcf"]}"#, ErrorCode::AbiNotFound, &[]),
        (r#"{"account":"eosio.token","table":"t","hex_rows":["abcf"]}"#, ErrorCode::TableNotFound, &[]),
        (r#"{"account":"eosio.token","table":"accounts","hex_rows":["abcf"]}"#, ErrorCode::TableRowNotDecoded, &[]),
    ] {
        let request = Request::post("/v0/state/abi/bin_to_json").body(Body::from(body)).unwrap();
        let (found, error) = chain.request(request).await.error();
        if code == ErrorCode::RequestValidation {
            check(body, found, &error, expected);
        }
        assert_eq!(found, code, "{body}");
        if body.contains("zzz") {
            assert!(error["details"]["errors"]["hex_rows"][0].as_str().unwrap().starts_with("hex_rows[0] must be"));
        }
    }
}

/// What is no text is no JSON, in fields that nobody asks for as well.
#[tokio::test]
async fn json_that_is_no_text() {
    let (chain, _) = chain().await;
    for body in [
        &b"{\"account\":\"\xff\",\"table\":\"t\",\"hex_rows\":[\"ab\"]}"[..],
        b"{\"account\":\"a\",\"table\":\"t\",\"hex_rows\":[\"ab\"],\"other\":\"\xc3\x28\"}",
        b"{\"\xfe\":1}",
    ] {
        let request = Request::post("/v0/state/abi/bin_to_json").body(Body::from(body)).unwrap();
        let (code, error) = chain.request(request).await.error();
        assert_eq!(code, ErrorCode::InvalidJson, "{error}");
    }
}

/// A number that no integer holds is told as it came.
#[tokio::test]
async fn numbers_of_blocks_beyond_64_bits() {
    let (chain, _) = chain().await;
    let number = "99999999999999999999";
    let paths = ["table?account=a&table=t&scope=", "abi?account=a", "permission_links?account=a"];
    let asked = paths.map(|path| Request::get(format!("/v0/state/{path}&block_num={number}")).body(Body::empty()));
    let body = format!(r#"{{"account":"c","table":"t","hex_rows":["ab"],"block_num":{number}}}"#);
    let body = Request::post("/v0/state/abi/bin_to_json").body(Body::from(body));
    for request in asked.into_iter().chain([body]) {
        let (code, error) = chain.request(request.unwrap()).await.error();
        assert_eq!((code, &error["details"]["request_block_num"]), (ErrorCode::BlockNumAboveHead, &json!(1e20)));
        assert!(error["message"].as_str().unwrap().contains(number), "{error}");
    }
}

#[tokio::test]
async fn a_history_does_not_end_before_it_begins() {
    let (chain, _) = chain().await;
    let history = "/v0/state/table/row/history?account=eosio.token&table=accounts&scope=eosio1&primary_key=EOS&key_type=symbol_code";
    for range in ["&from_block=5&to_block=4", "&from_block=7&to_block=6", "&from_block=4294967295&to_block=1"] {
        let (code, error) = chain.get(&format!("{history}{range}")).await.error();
        assert_eq!(code, ErrorCode::RequestValidation, "{range}: {error}");
        assert!(error["details"]["errors"]["from_block"][0].as_str().unwrap().contains("to_block"), "{error}");
    }
    for range in ["&from_block=4&to_block=4", "&from_block=6", "&from_block=7", "&from_block=6&irreversible_only=true"]
    {
        assert_eq!(chain.get(&format!("{history}{range}")).await.status, 200, "{range}");
    }
}

#[tokio::test]
async fn what_is_not_there() {
    let (chain, _) = chain().await;
    let table = "account=eosio.token&table=accounts&scope=eosio1";
    let abi = |account: &str, block_num: u32| json!({"account": account, "block_num": block_num});
    let unknown = |account: &str, table: &str| json!({"account": account, "table": table});
    let head = |number: u64| json!({"request_block_num": number, "head_block_num": 6, "last_written_block_num": 5});
    let absent =
        |account: &str, table: &str| json!({"account": account, "scope": "", "table": table, "primary_key": "a"});
    let row = json!({"account": "eosio.token", "scope": "4,EOS", "table": "accounts", "primary_key": "SOE"});
    let other = "EOS1111111111111111111111111111111114T1Anm";
    let cases = [
        ("state/abi?account=nobody".to_owned(), ErrorCode::AbiNotFound, abi("nobody", 6)),
        ("state/abi?account=eosio.test&block_num=1".to_owned(), ErrorCode::AbiNotFound, abi("eosio.test", 1)),
        ("state/abi?account=a&block_num=7".to_owned(), ErrorCode::BlockNumAboveHead, head(7)),
        (format!("state/key_accounts?public_key={other}"), ErrorCode::PublicKeyNotFound, json!({"public_key": other})),
        (
            format!("state/key_accounts?public_key={K1}&block_num=4294967295"),
            ErrorCode::BlockNumAboveHead,
            head(u32::MAX.into()),
        ),
        ("state/permission_links?account=a&block_num=7".to_owned(), ErrorCode::BlockNumAboveHead, head(7)),
        // What is above 32 bits is above the head like any other.
        (format!("state/table?{table}&block_num=4294967296"), ErrorCode::BlockNumAboveHead, head(1 << 32)),
        ("state/abi?account=a&block_num=99999999999".to_owned(), ErrorCode::BlockNumAboveHead, head(99_999_999_999)),
        (
            format!("state/table_scopes?account=a&table=t&block_num={}", u64::MAX),
            ErrorCode::BlockNumAboveHead,
            head(u64::MAX),
        ),
        (
            format!("state/table?{table}&block_num=4294967297&irreversible_only=1"),
            ErrorCode::BlockNumAboveHead,
            head((1 << 32) + 1),
        ),
        (format!("state/table?{table}&block_num=7"), ErrorCode::BlockNumAboveHead, head(7)),
        (
            format!("state/table?{table}&block_num=6&irreversible_only=true"),
            ErrorCode::BlockNumAboveLib,
            json!({"request_block_num": 6, "last_written_block_num": 5}),
        ),
        ("state/table?account=nobody&table=t&scope=&json=1".to_owned(), ErrorCode::AbiNotFound, abi("nobody", 6)),
        (format!("state/table?{table}&json=1&block_num=1"), ErrorCode::AbiNotFound, abi("eosio.token", 1)),
        (
            "state/table?account=eosio.token&table=t&scope=&json=1".to_owned(),
            ErrorCode::TableNotFound,
            unknown("eosio.token", "t"),
        ),
        (
            "state/table/row?account=eosio.token&table=accounts&scope=4,EOS&primary_key=SOE".to_owned(),
            ErrorCode::RowNotFound,
            row,
        ),
        // It needs no ABI, nor one with the table.
        (
            "state/table/row?account=nobody&table=t&scope=&primary_key=a&json=1".to_owned(),
            ErrorCode::RowNotFound,
            absent("nobody", "t"),
        ),
        (
            "state/table/row?account=eosio.token&table=t&scope=&primary_key=a&json=1".to_owned(),
            ErrorCode::RowNotFound,
            absent("eosio.token", "t"),
        ),
        (
            "state/table/row?account=eosio.token&table=accounts&scope=&primary_key=a&json=1&block_num=1".to_owned(),
            ErrorCode::RowNotFound,
            absent("eosio.token", "accounts"),
        ),
        (format!("state/table/row?{table}&primary_key=eos&block_num=7"), ErrorCode::BlockNumAboveHead, head(7)),
        (format!("state/table/row/history?{table}&primary_key=eos&to_block=7"), ErrorCode::BlockNumAboveHead, head(7)),
        (format!("state/table/diff?{table}&from_block=7"), ErrorCode::BlockNumAboveHead, head(7)),
        (format!("state/table/diff?{table}&from_block=1&to_block=8"), ErrorCode::BlockNumAboveHead, head(8)),
        (
            format!("state/table/diff?{table}&from_block=99999999999"),
            ErrorCode::BlockNumAboveHead,
            head(99_999_999_999),
        ),
        (
            "state/table/diff?account=nobody&table=t&scope=&json=1&from_block=1".to_owned(),
            ErrorCode::AbiNotFound,
            abi("nobody", 6),
        ),
        (
            "state/table_scopes?account=eosio.token&table=t".to_owned(),
            ErrorCode::TableNotFound,
            unknown("eosio.token", "t"),
        ),
        (
            "tokens/eosio.token/EOS/holders".to_owned(),
            ErrorCode::TokenNotFound,
            json!({"contract": "eosio.token", "symbol": "EOS"}),
        ),
    ];
    for (path, code, details) in cases {
        let (found, error) = chain.get(&format!("/v0/{}", path.replace('|', "%7C"))).await.error();
        assert_eq!((found, &error["details"]), (code, &details), "{path}");
    }
}

#[tokio::test]
async fn before_the_first_block() {
    let mut chain = TestChain::made(Options::default()).await;
    for path in ["state/table?account=a&table=t&scope=", "state/abi?account=a", "tokens", "accounts/a/balances"] {
        assert_eq!(chain.get(&format!("/v0/{path}")).await.error().0, ErrorCode::NotReady, "{path}");
    }
    // No block is irreversible yet.
    let mut maker = Maker::after(1);
    maker.set(key("a", "t", "", "k"), "a", [1]);
    chain.push(maker.block(1, 0)).await;
    let path = "/v0/state/table?account=a&table=t&scope=";
    let answer = chain.get(path).await.json();
    assert_eq!(
        (&answer["last_irreversible_block_id"], &answer["last_irreversible_block_num"]),
        (&json!(""), &json!(0))
    );
    assert_eq!(answer["rows"].as_array().unwrap().len(), 1);
    let answer = chain.get(&format!("{path}&irreversible_only=1")).await.json();
    assert_eq!((answer.get("up_to_block_num"), &answer["rows"]), (None, &json!([])));
    assert_eq!(chain.get("/v0/tokens?irreversible_only=1").await.json()["tokens"], json!([]));
}

#[tokio::test]
async fn what_does_not_decode() {
    let mut chain = TestChain::made(Options::default()).await;
    let mut maker = Maker::after(1);
    maker.tables("a", &[("t", "balance", "asset")]);
    maker.set(key("a", "t", "", "k"), "", [1, 2]);
    maker.set(key("a", "t", "", "l"), "b", asset("1.0000 EOS"));
    chain.push(maker.block(1, 0)).await;
    // A row of which nobody pays, and which is none.
    let answer = chain.get("/v0/state/table?account=a&table=t&scope=&json=1").await.json();
    let error = answer["rows"][0]["error"].as_str().unwrap();
    assert!(error.contains("ABI of block 2") && error.contains("t.balance"), "{error}");
    assert_eq!(answer["rows"][0], json!({"key": "k", "hex": "0102", "error": error}));
    assert_eq!(answer["rows"][1], json!({"key": "l", "payer": "b", "json": {"balance": "1.0000 EOS"}}));
    // An ABI that was taken away.
    maker.abi("a", b"");
    chain.push(maker.block(1, 0)).await;
    assert_eq!(chain.get("/v0/state/abi?account=a").await.error().0, ErrorCode::AbiNotFound);
    assert_eq!(chain.get("/v0/state/abi?account=a&block_num=2").await.json()["block_num"], 2);
    for path in ["table?account=a", "table/row?primary_key=l&account=a"] {
        let path = format!("/v0/state/{path}&table=t&scope=");
        let (code, error) = chain.get(&format!("{path}&json=1")).await.error();
        assert_eq!((code, &error["details"]["block_num"]), (ErrorCode::AbiNotFound, &json!(3)), "{path}");
        assert!(error["message"].as_str().unwrap().contains("block 3"));
        let old = chain.get(&format!("{path}&json=1&block_num=2")).await.body;
        assert!(String::from_utf8(old.to_vec()).unwrap().contains("1.0000 EOS"), "{path}");
        assert_eq!(chain.get(&path).await.status, 200, "{path}");
    }
    // What became of the rows goes on, in hex from then on.
    maker.set(key("a", "t", "", "l"), "b", asset("2.0000 EOS"));
    chain.push(maker.block(1, 0)).await;
    let now = json!({"payer": "b", "hex": "204e00000000000004454f5300000000", "error": "Account \"a\" has no ABI at block 4."});
    let diff = chain.get("/v0/state/table/diff?account=a&table=t&scope=&json=1&from_block=2").await.json();
    let old = json!({"payer": "b", "json": {"balance": "1.0000 EOS"}});
    assert_eq!(diff["rows"], json!([{"key": "l", "old": old, "new": now}]));
    let history = chain.get("/v0/state/table/row/history?account=a&table=t&scope=&json=1&primary_key=l").await.json();
    assert_eq!((&history["changes"][0]["new"], &history["changes"][1]["new"]), (&now, &old));
}

/// Of many tables, one without an ABI takes nothing from the others.
#[tokio::test]
async fn many_tables_of_which_some_have_no_abi() {
    let mut chain = TestChain::made(Options::default()).await;
    let mut maker = Maker::after(1);
    maker.set(key("bare", "t", "s", "k"), "p", [1, 2]);
    chain.push(maker.block(1, 0)).await;
    maker.tables("good", &[("t", "n", "uint8")]);
    maker.tables("other", &[("u", "n", "uint8")]);
    for account in ["good", "other"] {
        maker.set(key(account, "t", "s", "k"), "p", [7]);
    }
    chain.push(maker.block(1, 0)).await;
    let get = async |path: &str| chain.get(&format!("/v0/state/{path}")).await.json()["tables"].take();
    let no_abi = |account: &str, number: u32| format!("Account \"{account}\" has no ABI at block {number}.");
    let no_table = "The ABI of \"other\" of block 3 has no table \"t\"; did you mean \"u\"?";
    let hex = |hex: &str, error: &str| json!([{"key": "k", "payer": "p", "hex": hex, "error": error}]);
    let good = json!([{"key": "k", "payer": "p", "json": {"n": 7}}]);
    let all = "tables/accounts?accounts=other%7Cbare%7Cgood%7Cnobody&table=t&scope=s";
    let (bare, nobody) = (no_abi("bare", 3), no_abi("nobody", 3));
    let entries = [
        json!({"account": "bare", "scope": "s", "error": bare, "rows": hex("0102", &bare)}),
        json!({"account": "good", "scope": "s", "rows": good}),
        json!({"account": "nobody", "scope": "s", "error": nobody, "rows": []}),
        json!({"account": "other", "scope": "s", "error": no_table, "rows": hex("07", no_table)}),
    ];
    assert_eq!(get(&format!("{all}&json=1")).await, json!(entries));
    // At every height, of one contract, in many scopes.
    let early = get(&format!("{all}&json=1&block_num=2")).await;
    assert_eq!(early[1], json!({"account": "good", "scope": "s", "error": no_abi("good", 2), "rows": []}));
    assert_eq!(
        get("tables/accounts?accounts=nobody&table=t&scope=s&json=1&block_num=1").await[0]["error"],
        no_abi("nobody", 1)
    );
    let scopes = get("tables/scopes?account=bare&scopes=s%7Cx&table=t&json=1&with_abi=1").await;
    assert_eq!((&scopes[0]["rows"], &scopes[1]["error"]), (&hex("0102", &bare), &json!(bare)));
    // Who does not want JSON misses nothing.
    let plain = get(all).await;
    assert!(plain.as_array().unwrap().iter().all(|entry| entry.get("error").is_none()), "{plain}");
    assert_eq!(plain[0]["rows"], json!([{"key": "k", "payer": "p", "hex": "0102"}]));
}

#[tokio::test]
async fn an_abi_that_is_malformed() {
    let mut chain = TestChain::made(Options::default()).await;
    let mut maker = Maker::after(1);
    for account in ["a", "broken"] {
        maker.tables(account, &[("t", "n", "uint8")]);
        maker.set(key(account, "t", "", "k"), "p", [7]);
    }
    chain.push(maker.block(1, 0)).await;
    maker.abi("broken", b"\xff\xff");
    maker.set(key("broken", "t", "", "k"), "p", [8]);
    chain.push(maker.block(1, 0)).await;
    let get = async |path: &str| chain.get(&format!("/v0/state/{path}")).await.json();
    let good = |n: u8| json!({"key": "k", "payer": "p", "json": {"n": n}});
    let check = |row: &Value| {
        let error = row["error"].as_str().unwrap();
        assert!(error.starts_with("The ABI that \"broken\" set in block 3 is malformed: "), "{error}");
        assert_eq!((&row["hex"], row.get("json")), (&json!("08"), None));
    };
    // No row decodes, which is no reason not to give them, nor those of others.
    let query = "table=t&scope=&json=1";
    check(&get(&format!("table?{query}&account=broken")).await["rows"][0]);
    check(&get(&format!("table/row?{query}&account=broken&primary_key=k")).await["row"]);
    check(&get("tables/scopes?table=t&scopes=.%7Ca&json=1&account=broken").await["tables"][0]["rows"][0]);
    assert_eq!(get(&format!("table?{query}&account=broken&block_num=2")).await["rows"][0], good(7));
    let tables = get(&format!("tables/accounts?{query}&accounts=a%7Cbroken&with_abi=1")).await;
    assert_eq!((&tables["tables"][0]["rows"][0], tables["tables"][1].get("abi")), (&good(7), None));
    assert_eq!(tables["tables"][0]["abi"]["tables"][0]["name"], "t");
    check(&tables["tables"][1]["rows"][0]);
    let diff = get(&format!("table/diff?{query}&account=broken&from_block=2")).await;
    assert_eq!(diff["rows"][0]["old"], json!({"payer": "p", "json": {"n": 7}}));
    check(&diff["rows"][0]["new"]);
    let history = get(&format!("table/row/history?{query}&account=broken&primary_key=k")).await;
    check(&history["changes"][0]["new"]);
    assert_eq!(history["changes"][0]["old"], json!({"payer": "p", "json": {"n": 7}}));
    // The ABI itself, and what the request brings, have no other form.
    assert_eq!(get("abi?account=broken").await["abi"], "ffff");
    let rows = json!({"account": "broken", "table": "t", "hex_rows": ["07"]}).to_string();
    let rows = Request::post("/v0/state/abi/bin_to_json").body(Body::from(rows)).unwrap();
    for answer in [chain.get("/v0/state/abi?account=broken&json=1").await, chain.request(rows).await] {
        let (code, error) = answer.error();
        assert_eq!((code, &error["details"]), (ErrorCode::AbiMalformed, &json!({"account": "broken", "block_num": 3})));
    }
}

#[tokio::test]
async fn an_abi_that_changes_within_a_block() {
    let mut chain = TestChain::made(Options::default()).await;
    let mut maker = Maker::after(1);
    maker.tables("a", &[("t", "n", "uint8"), ("gone", "n", "uint8")]);
    maker.set(key("a", "t", "", "k"), "p", [1]);
    maker.set(key("a", "gone", "", "k"), "p", [1]);
    maker.transaction();
    maker.tables("a", &[("t", "n", "uint32")]);
    maker.set(key("a", "t", "", "l"), "p", [1, 1, 0, 0]);
    chain.push(maker.block(1, 0)).await;
    // The state after the block: the last ABI, by which what was written before it is no row.
    let rows = chain.get("/v0/state/table?account=a&table=t&scope=&json=1").await.json()["rows"].take();
    assert_eq!(rows[1], json!({"key": "l", "payer": "p", "json": {"n": 257}}));
    assert_eq!((&rows[0]["hex"], rows[0]["error"].as_str().unwrap().contains("t.n")), (&json!("01"), true));
    let (code, error) = chain.get("/v0/state/table?account=a&table=gone&scope=&json=1").await.error();
    assert_eq!((code, &error["details"]["table"]), (ErrorCode::TableNotFound, &json!("gone")));
    assert_eq!(chain.get("/v0/state/table?account=a&table=gone&scope=").await.json()["rows"][0]["hex"], "01");
    let history =
        chain.get("/v0/state/table/row/history?account=a&table=gone&scope=&primary_key=k&json=1").await.json();
    let new = &history["changes"][0]["new"];
    assert_eq!((&new["hex"], new["error"].as_str().unwrap().contains("no table")), (&json!("01"), true));
    assert_eq!(
        chain.get("/v0/state/abi?account=a&json=1").await.json()["abi"]["structs"][0]["fields"][0]["type"],
        "uint32"
    );
}

#[tokio::test]
async fn messages_help() {
    let (chain, _) = chain().await;
    let message = async |path: &str| {
        let (_, error) = chain.get(&format!("/v0/state/{path}")).await.error();
        error["message"].as_str().unwrap().to_owned()
    };
    for (path, expected) in [
        (
            "table?account=eosio.token&table=acounts&scope=&json=1",
            "The ABI of \"eosio.token\" of block 2 has no table \"acounts\"; did you mean \"accounts\"?",
        ),
        (
            "table?account=eosio.token&table=x&scope=&json=1",
            "The ABI of \"eosio.token\" of block 2 has no table \"x\".",
        ),
        (
            "table/row?account=eosio.token&table=accounts&scope=eosio1&primary_key=4,EOS&block_num=4",
            "At block 4 the table has no row of the primary key \"4,EOS\", read as name.",
        ),
        (
            "table/row?account=eosio.token&table=accounts&scope=eosio1&primary_key=",
            "At block 6 the table has no row of the primary key that is empty, read as name.",
        ),
        ("abi?account=nobody", "Account \"nobody\" has no ABI at block 6."),
    ] {
        assert_eq!(message(path).await, expected);
    }
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    /// The text with some bytes changed, left out or put in.
    fn change(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, b"\"{}[]:,0a\\-\xff\0"[self.below(13)]),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => {}
            }
        }
        bytes
    }
}

/// What comes of bytes that are nearly right is an answer, or an error that says that they are wrong.
#[tokio::test]
async fn nearly_right_bodies_and_cursors() {
    let (chain, _) = chain().await;
    let mut random = Random(5);
    let bodies = [
        r#"{"account":"eosio.token","table":"accounts","hex_rows":["aa2c0b010000000004454f5300000000"],"block_num":5}"#,
        r#"{"account":"eosio.test","table":"rows","hex_rows":["0161","03616263"],"block_num":3}"#,
    ];
    let path = "/v0/state/table?account=eosio.test&table=rows2&scope=s&limit=2";
    let cursor = chain.get(path).await.json()["cursor"].take();
    let cursor = cursor.as_str().unwrap();
    let (mut good, mut bad) = (0, 0);
    for i in 0..1000 {
        let body = random.change(bodies[i % 2]);
        let request = Request::post("/v0/state/abi/bin_to_json").body(Body::from(body.clone())).unwrap();
        let answer = chain.request(request).await;
        if answer.status == 200 {
            good += 1;
        } else {
            let (code, error) = answer.error();
            assert!(code.row().status.is_client_error(), "{}: {error}", String::from_utf8_lossy(&body));
            bad += 1;
        }
        let changed = random.change(cursor);
        if changed != cursor.as_bytes() && !changed.is_empty() {
            let changed = form_urlencoded::byte_serialize(&changed).collect::<String>();
            let (code, error) = chain.get(&format!("{path}&cursor={changed}")).await.error();
            assert_eq!(code, ErrorCode::RequestValidation, "{changed}");
            assert_eq!(error["details"]["errors"]["cursor"].as_array().unwrap().len(), 1);
        }
    }
    assert!(good > 10 && bad > 500, "{good} {bad}");
}
