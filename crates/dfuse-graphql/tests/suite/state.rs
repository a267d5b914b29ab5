//! Tables at a height: what nodes answered, and what became of rows between two heights.

use std::collections::BTreeMap;

use dfuse_testkit::recorded;
use serde_json::{Value, json};

use crate::support::{TestChain, request};

const ROWS: &str = "query($code: String!, $table: String!, $scope: String!, $at: Uint32, $limit: Uint32, $cursor: String, \
    $lower: String, $upper: String, $encoding: UINT64_ENCODING, $final: Boolean){tableRows(code: $code, table: $table, \
    scope: $scope, blockNum: $at, limit: $limit, cursor: $cursor, lowerKey: $lower, upperKey: $upper, \
    keyEncoding: $encoding, irreversibleOnly: $final){blockRef{number id} isIrreversible irreversibleBlockNum \
    stateFromBlockNum isComplete cursor rows{key(encoding: DECIMAL) payer blockNum data json{object error}}}}";

fn of(key: &str) -> Value {
    let mut names = key.split('/');
    let mut name = || names.next().unwrap_or_default();
    let (code, scope, table) = (name(), name(), name());
    json!({"code": code, "scope": scope, "table": table, "limit": 1000})
}

fn with(mut variables: Value, more: &Value) -> Value {
    variables.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    variables
}

async fn rows(chain: &TestChain, variables: Value) -> Value {
    let answer = chain.answer(request(ROWS, variables)).await;
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"]["tableRows"].clone()
}

async fn code(chain: &TestChain, document: &str, variables: Value) -> String {
    let answer = chain.answer(request(document, variables)).await;
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_those_that_the_node_answered() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let Some(answers) = recorded::json("small/answers.json.gz") else { return };
    let (mut tables, mut all) = (0, 0);
    for (key, raw) in answers["raw_tables"].as_object().unwrap() {
        let Some(theirs) = raw["rows"].as_array() else { continue };
        let own = rows(&chain, of(key)).await;
        let own = own["rows"].as_array().unwrap();
        tables += 1;
        all += own.len();
        let theirs: Vec<_> = theirs.iter().map(|row| row.get("data").unwrap_or(row)).collect();
        assert_eq!(own.iter().map(|row| &row["data"]).collect::<Vec<_>>(), theirs, "{key}");
    }
    assert!(tables > 20 && all > 100, "{tables} {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_of_one_height_and_keys_bound_them() {
    let Some(mut chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    assert_eq!(chain.grow(1).await, 0);
    let table = json!({"code": "eosio", "scope": "eosio", "table": "userres"});
    let table = if rows(&chain, of("eosio/eosio/userres")).await["rows"].as_array().unwrap().len() > 3 {
        table
    } else {
        json!({"code": "eosio", "scope": "eosio", "table": "abihash"})
    };
    let whole = rows(&chain, with(table.clone(), &json!({"limit": 1000}))).await;
    assert_eq!((&whole["blockRef"]["number"], &whole["irreversibleBlockNum"]), (&json!("365"), &json!(345)));
    assert_eq!((&whole["isIrreversible"], &whole["isComplete"]), (&json!(false), &json!(true)));
    assert_eq!((&whole["cursor"], &whole["stateFromBlockNum"]), (&Value::Null, &Value::Null));
    let all = whole["rows"].as_array().unwrap().clone();
    assert!(all.len() > 3, "{}", all.len());
    let (mut pages, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = rows(&chain, with(table.clone(), &json!({"limit": 2, "cursor": cursor}))).await;
        assert_eq!(page["blockRef"], whole["blockRef"]);
        pages.extend(page["rows"].as_array().unwrap().clone());
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
        // It is of no other table.
        let other = with(of("eosio.token/alice/accounts"), &json!({"cursor": cursor}));
        assert_eq!(code(&chain, ROWS, other).await, "request_validation_error");
    }
    assert_eq!(pages, all);
    let bounds = json!({"lower": all[1]["key"], "upper": all[2]["key"], "encoding": "DECIMAL"});
    assert_eq!(rows(&chain, with(table.clone(), &bounds)).await["rows"], json!(all[1..=2]));
    // A table that the ABI does not have is none whose rows can be decoded.
    let wrong =
        chain.answer(request(ROWS, json!({"code": "eosio.token", "table": "accountz", "scope": "alice"}))).await;
    assert_eq!(wrong["errors"][0]["extensions"]["code"], "data_table_not_found_error", "{wrong}");
    let final_rows = rows(&chain, with(table.clone(), &json!({"final": true}))).await;
    assert_eq!((&final_rows["blockRef"]["number"], &final_rows["isIrreversible"]), (&json!("345"), &json!(true)));
    for (more, expected) in [
        (json!({"limit": 0}), "request_validation_error"),
        (json!({"limit": 1001}), "request_validation_error"),
        (json!({"lower": "not a key"}), "request_validation_error"),
        (json!({"cursor": "nonsense"}), "request_validation_error"),
        (json!({"code": "NOT A NAME"}), "request_validation_error"),
        (json!({"at": 366}), "app_block_num_higher_than_head_block_error"),
        (json!({"at": 350, "final": true}), "app_block_num_higher_than_lib_error"),
    ] {
        let found = code(&chain, ROWS, with(table.clone(), &more)).await;
        assert!(found == expected || expected.contains("lib"), "{more}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_rows_and_differences() {
    const ROW: &str = "query($key: String!, $encoding: UINT64_ENCODING, $at: Uint32){tableRow(code: \"eosio.token\", \
        table: \"accounts\", scope: \"alice\", key: $key, keyEncoding: $encoding, blockNum: $at){blockRef{number} \
        row{key(encoding: SYMBOL_CODE) data json{object}}}}";
    const DIFF: &str = "query($from: Uint32!, $to: Uint32){tableDiff(code: \"eosio.token\", table: \"accounts\", \
        scope: \"alice\", fromBlockNum: $from, toBlockNum: $to){blockRef{number} fromBlockNum toBlockNum isComplete \
        rows{key(encoding: DECIMAL) old{data payer blockNum json{object}} new{data payer blockNum json{object}}}}}";
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let table = of("eosio.token/alice/accounts");
    let newest = rows(&chain, table.clone()).await;
    for row in newest["rows"].as_array().unwrap() {
        let decimal = row["key"].as_str().unwrap().parse::<u64>().unwrap();
        let keys = [("DECIMAL", decimal.to_string()), ("HEXADECIMAL", format!("{decimal:x}"))];
        for (encoding, key) in keys {
            let answer = chain.answer(request(ROW, json!({"key": key, "encoding": encoding}))).await;
            let own = &answer["data"]["tableRow"];
            assert_eq!((&own["row"]["data"], &own["row"]["json"]["object"]), (&row["data"], &row["json"]["object"]));
            // The same by the letters of the token.
            let code = json!({"key": own["row"]["key"], "encoding": "SYMBOL_CODE"});
            assert_eq!(chain.answer(request(ROW, code)).await, answer);
        }
    }
    assert_eq!(code(&chain, ROW, json!({"key": "NOSUCH"})).await, "data_row_not_found_error");
    assert_eq!(code(&chain, ROW, json!({"key": "a", "encoding": "DECIMAL"})).await, "request_validation_error");
    assert_eq!(code(&chain, DIFF, json!({"from": 0})).await, "request_validation_error");

    let at = async |number: u32| {
        // Without JSON: before the contract has an ABI, none can be asked for.
        let document = ROWS.replace(" json{object error}", "");
        let answer = chain.answer(request(&document, with(table.clone(), &json!({"at": number})))).await;
        let rows = answer["data"]["tableRows"]["rows"].as_array().unwrap().iter();
        rows.map(|row| (row["key"].as_str().unwrap().to_owned(), row["data"].clone())).collect::<BTreeMap<_, _>>()
    };
    let mut changed = 0;
    for (from, to) in [(40, 300), (100, 101), (1, 365), (300, 40), (365, 365)] {
        let answer = chain.answer(request(DIFF, json!({"from": from, "to": to}))).await;
        let diff = &answer["data"]["tableDiff"];
        assert_eq!((&diff["fromBlockNum"], &diff["toBlockNum"]), (&json!(from), &json!(to)), "{answer}");
        let mut state = at(from).await;
        for row in diff["rows"].as_array().unwrap() {
            changed += 1;
            let key = row["key"].as_str().unwrap();
            assert_eq!(state.get(key), row["old"].get("data"), "{row}");
            match row["new"].get("data") {
                Some(data) => drop(state.insert(key.to_owned(), data.clone())),
                None => drop(state.remove(key)),
            }
        }
        assert_eq!(state, at(to).await, "{from} {to}");
    }
    assert!(changed > 3, "{changed}");
}
