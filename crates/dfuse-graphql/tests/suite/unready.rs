//! Before the first block, and while the store is away: what would be looked up says so, and what follows the chain waits.

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

/// Each field of subscriptions but `head`, which reads nothing.
const SUBSCRIPTIONS: [(&str, &str); 4] = [
    ("searchTransactionsForward", "query: \"receiver:eosio\", lowBlockNum: 2"),
    ("searchTransactionsBackward", "query: \"receiver:eosio\", lowBlockNum: 2"),
    ("transactionLifecycle", "id: \"0000000200000000000000000000000000000000000000000000000000000000\""),
    ("tableDeltas", "code: \"eosio.token\", table: \"accounts\", scope: \"eosio\", lowBlockNum: 2"),
];

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]["code"]
}

/// The names of the fields of a root of the schema.
async fn fields(chain: &TestChain, root: &str) -> BTreeSet<String> {
    let schema = chain.answer(request(&format!("{{__schema{{{root}{{fields{{name}}}}}}}}"), json!({}))).await;
    let fields = schema["data"]["__schema"][root]["fields"].as_array().unwrap();
    fields.iter().map(|field| field["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_block() {
    let mut log = Vec::new();
    SyntheticChain::builder().seed(1).blocks(3).build().write_log(&mut log).unwrap();
    let mut chain = TestChain::new(Box::new(std::io::Cursor::new(log))).await;
    // The schema is there already, and names what is asked below.
    assert_eq!(fields(&chain, "queryType").await, QUERIES.into_iter().map(|(name, _)| name.to_owned()).collect());
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

/// Nothing that could not be looked up counts as absent, and each error has everything that errors have.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away() {
    let mut log = Vec::new();
    SyntheticChain::builder().seed(1).blocks(30).build().write_log(&mut log).unwrap();
    let mut chain = TestChain::new(Box::new(std::io::Cursor::new(log))).await;
    chain.grow(usize::MAX).await;
    let subscriptions = SUBSCRIPTIONS.into_iter().map(|(name, _)| name.to_owned()).chain(["head".to_owned()]);
    assert_eq!(fields(&chain, "subscriptionType").await, subscriptions.collect());
    chain.store.set_away(true);
    let queries = QUERIES.map(|(field, arguments)| (field, format!("{{{field}({arguments}){{__typename}}}}")));
    let subscriptions =
        SUBSCRIPTIONS.map(|(field, arguments)| (field, format!("subscription{{{field}({arguments}){{__typename}}}}")));
    for (field, document) in queries.into_iter().chain(subscriptions) {
        let answer = written(chain.execute(request(&document, json!({}))).next().await.unwrap());
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "service_unavailable_error", "{document}: {answer}");
        assert_eq!(extensions["status"], "Unavailable", "{field}");
        assert_eq!(extensions["terminal"], document.starts_with("subscription"), "{field}");
        assert_eq!(extensions["trace_id"].as_str().map(str::len), Some(32), "{field}: {answer}");
        let nothing = answer["data"].is_null() || answer["data"][field].is_null();
        assert!(nothing, "{field}: {answer}");
    }
    let mut heads = chain.execute(request("subscription{head{block{num}}}", json!({})));
    assert!(written(heads.next().await.unwrap())["errors"].is_null());
    chain.store.set_away(false);
    for (field, arguments) in QUERIES {
        let answer = chain.answer(request(&format!("{{{field}({arguments}){{__typename}}}}"), json!({}))).await;
        assert_ne!(*code(&answer), "service_unavailable_error", "{field}: {answer}");
    }
}
