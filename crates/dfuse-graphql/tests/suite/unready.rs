//! Before the first block: what would be looked up says that it is not ready, and what follows the chain waits.

use std::collections::BTreeSet;

use dfuse_testkit::synthetic::SyntheticChain;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use crate::support::{TestChain, request, written};

/// Each field of queries, with arguments that it takes.
const QUERIES: [(&str, &str); 14] = [
    ("blockIDByTime", "time: \"2020-01-01T00:00:00Z\""),
    ("searchTransactionsForward", "query: \"receiver:eosio\""),
    ("searchTransactionsBackward", "query: \"receiver:eosio\""),
    ("searchCount", "query: \"receiver:eosio\""),
    ("blockIDAtAccountCreation", "account: \"eosio\""),
    ("getAccountHistoryActions", "account: \"eosio\""),
    ("block", "num: 2"),
    ("transactionLifecycle", "id: \"0000000000000000\""),
    ("tableRows", "code: \"eosio\", table: \"global\", scope: \"eosio\""),
    ("tableRow", "code: \"eosio\", table: \"global\", scope: \"eosio\", key: \"global\""),
    ("tableDiff", "code: \"eosio\", table: \"global\", scope: \"eosio\", fromBlockNum: 1"),
    ("tokens", "limit: 1"),
    ("accountBalances", "account: \"eosio\""),
    ("tokenBalances", "contract: \"eosio.token\", symbol: \"EOS\""),
];

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]["code"]
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_block() {
    let mut log = Vec::new();
    SyntheticChain::builder().seed(1).blocks(3).build().write_log(&mut log).unwrap();
    let mut chain = TestChain::new(Box::new(std::io::Cursor::new(log))).await;
    // The schema is there already, and names what is asked below.
    let schema = chain.answer(request("{__schema{queryType{fields{name}}}}", json!({}))).await;
    let fields = schema["data"]["__schema"]["queryType"]["fields"].as_array().unwrap();
    let fields: BTreeSet<_> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(fields, QUERIES.into_iter().map(|(name, _)| name).collect());
    for (field, arguments) in QUERIES {
        let answer = chain.answer(request(&format!("{{{field}({arguments}){{__typename}}}}"), json!({}))).await;
        assert_eq!(*code(&answer), "app_not_ready_error", "{field}: {answer}");
        assert_eq!(answer["errors"][0]["extensions"]["status"], "Unavailable", "{field}");
    }
    for direction in ["Forward", "Backward"] {
        let document = format!("subscription{{searchTransactions{direction}(query: \"receiver:eosio\"){{cursor}}}}");
        let answer = written(chain.execute(request(&document, json!({}))).next().await.unwrap());
        assert_eq!(*code(&answer), "app_not_ready_error", "{direction}: {answer}");
    }
    let mut heads = chain.execute(request("subscription{head{block{num}}}", json!({})));
    assert!(heads.next().now_or_never().is_none());
    chain.grow(1).await;
    let head = written(heads.next().await.unwrap());
    assert!(head["data"]["head"].is_object(), "{head}");
}
