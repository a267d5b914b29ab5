//! Subscriptions to tables, transactions and heads, over a recorded chain with forks.

use std::collections::BTreeMap;

use dfuse_query::GraphqlResponse;
use dfuse_testkit::recorded;
use futures::{FutureExt, StreamExt, stream::BoxStream};
use serde_json::{Value, json};

use crate::support::{TestChain, request, written};

const LOG: &str = "fork/fork.dmlog.zst";
const DELTAS: &str = "subscription($cursor: String, $low: Int64, $high: Uint32, $final: Boolean, $confirmations: Uint32, \
    $markers: Uint32){tableDeltas(code: \"eosio.token\", table: \"accounts\", scope: \"alice\", lowBlockNum: $low, \
    highBlockNum: $high, cursor: $cursor, irreversibleOnly: $final, confirmations: $confirmations, \
    liveMarkerInterval: $markers){undo cursor isIrreversible irreversibleBlockNum block{num id} deltas{trace{id block{num}} \
    dbOp{operation key{key(encoding: DECIMAL)} oldData newData newJSON{object error}}}}}";
const ROWS: &str = "{tableRows(code: \"eosio.token\", table: \"accounts\", scope: \"alice\"){rows{key(encoding: DECIMAL) data \
    json{object}}}}";

/// The next answer, which must be no error.
async fn next(stream: &mut BoxStream<'static, GraphqlResponse>, field: &str) -> Value {
    let answer = written(stream.next().await.expect("it goes on"));
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"][field].clone()
}

/// A table that is folded from its changes.
#[derive(Debug, Default)]
struct Folded {
    rows: BTreeMap<String, Value>,
    cursor: String,
    undone: usize,
    /// The newest block that was told of.
    block: Value,
}

impl Folded {
    fn apply(&mut self, event: &Value) {
        let undo = event["undo"].as_bool().unwrap();
        self.undone += usize::from(undo);
        for delta in event["deltas"].as_array().unwrap() {
            assert_eq!(delta["trace"]["block"]["num"], event["block"]["num"]);
            let op = &delta["dbOp"];
            let key = op["key"]["key"].as_str().unwrap();
            let [old, new] = if undo { ["newData", "oldData"] } else { ["oldData", "newData"] }.map(|side| &op[side]);
            assert_eq!(self.rows.get(key).unwrap_or(&Value::Null), old, "{event}");
            match new {
                Value::Null => self.rows.remove(key),
                data => self.rows.insert(key.to_owned(), data.clone()),
            };
        }
        event["cursor"].as_str().unwrap().clone_into(&mut self.cursor);
        self.block = event["block"]["id"].clone();
    }
}

async fn rows(chain: &TestChain) -> BTreeMap<String, Value> {
    let answer = chain.answer(request(ROWS, json!({}))).await;
    let rows = answer["data"]["tableRows"]["rows"].as_array().unwrap_or_else(|| panic!("{answer}"));
    rows.iter().map(|row| (row["key"].as_str().unwrap().to_owned(), row["data"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_what_their_changes_add_up_to() {
    let Some(log) = recorded::open(LOG) else { return };
    let mut chain = TestChain::new(Box::new(log)).await;
    assert_eq!(chain.grow(70).await, 70);
    let markers = json!({"low": 2, "markers": 1});
    let mut calm = chain.execute(request(DELTAS, markers.clone()));
    let (mut table, mut again) = (Folded::default(), Folded::default());
    let mut pushes = 0;
    loop {
        let head = chain.service.chain().serving.snapshot().head().unwrap().id.to_string();
        while table.block != head.as_str() {
            let event = next(&mut calm, "tableDeltas").await;
            table.apply(&event);
            let is_marker = event["deltas"].as_array().unwrap().is_empty();
            assert!(!is_marker || event["undo"] == false, "{event}");
        }
        assert_eq!(table.rows, rows(&chain).await);
        // One that is opened anew for a while, and goes on where it was.
        if pushes % 3 == 0 {
            let variables = json!({"low": 2, "markers": 1, "cursor": again.cursor});
            let mut resumed = chain.execute(request(DELTAS, variables));
            while again.block != head.as_str() {
                again.apply(&next(&mut resumed, "tableDeltas").await);
            }
            assert_eq!(again.rows, table.rows);
        }
        pushes += 1;
        // A push that loses changes nothing.
        if chain.grow(1).await == 0 {
            break;
        }
    }
    assert!(table.undone > 5 && again.undone > 0, "{} {}", table.undone, again.undone);
    assert!(calm.next().now_or_never().is_none(), "nothing comes after the head");
}

#[tokio::test(flavor = "multi_thread")]
async fn final_and_confirmed_changes_end_where_they_shall() {
    let Some(chain) = TestChain::recorded(LOG).await else { return };
    let all = async |variables: Value| {
        let mut events = Vec::new();
        let mut stream = chain.execute(request(DELTAS, variables));
        while let Some(answer) = stream.next().await {
            let answer = written(answer);
            assert!(answer["errors"].is_null(), "{answer}");
            events.push(answer["data"]["tableDeltas"].clone());
        }
        events
    };
    let events = all(json!({"low": 2, "high": 300, "final": true})).await;
    assert!(events.len() > 5, "{}", events.len());
    assert!(events.iter().all(|it| it["isIrreversible"] == true && it["undo"] == false));
    assert!(events.iter().all(|it| it["irreversibleBlockNum"] == it["block"]["num"]));
    let confirmed = all(json!({"low": 2, "high": 300, "confirmations": 10})).await;
    let blocks = |events: &[Value]| events.iter().map(|it| it["block"].clone()).collect::<Vec<_>>();
    assert_eq!(blocks(&confirmed), blocks(&events));
    // Decoded by the ABI in force.
    let json = &events.last().unwrap()["deltas"][0]["dbOp"]["newJSON"];
    assert!(json["object"]["balance"].as_str().is_some(), "{json}");
    // Nothing is left after the last one, and markers come at their intervals alone.
    let cursor = events.last().unwrap()["cursor"].clone();
    assert_eq!(all(json!({"cursor": cursor, "high": 300, "final": true})).await, Vec::<Value>::new());
    let marked = all(json!({"low": 2, "high": 300, "final": true, "markers": 2})).await;
    let numbers: Vec<_> = marked.iter().map(|it| it["block"]["num"].as_u64().unwrap()).collect();
    assert!(marked.len() > events.len() && numbers.windows(2).all(|pair| pair[1] - pair[0] <= 2), "{numbers:?}");
}

/// The first error of a stream, which ends it.
async fn refused(chain: &TestChain, document: &str, variables: Value) -> (Value, Value) {
    let mut stream = chain.execute(request(document, variables));
    let answer = written(stream.next().await.unwrap());
    assert!(stream.next().await.is_none());
    let error = &answer["errors"][0]["extensions"];
    assert_eq!(error["terminal"], true, "{answer}");
    (error["code"].clone(), error["details"]["errors"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_stream_can_be_of_is_refused() {
    let Some(chain) = TestChain::recorded("empty.dmlog.gz").await else { return };
    for (variables, about) in
        [(json!({"cursor": "nonsense"}), "cursor"), (json!({"low": 4_294_967_296_u64}), "start_block")]
    {
        let (code, errors) = refused(&chain, DELTAS, variables).await;
        assert_eq!(code, "request_validation_error");
        assert!(errors.get(about).is_some() || about == "cursor", "{errors}");
    }
    // The cursor of a search is none of a table.
    let search = "{searchTransactionsForward(query: \"receiver:eosio\", limit: 1){cursor}}";
    let answer = chain.answer(request(search, json!({}))).await;
    let cursor = answer["data"]["searchTransactionsForward"]["cursor"].clone();
    assert!(cursor.is_string(), "{answer}");
    assert_eq!(refused(&chain, DELTAS, json!({"cursor": cursor})).await.0, "request_validation_error");
    for document in [
        "subscription{tableDeltas(code: \"NOT\", table: \"a\", scope: \"\"){cursor}}",
        "subscription{tableDeltas(code: \"a\", table: \"\", scope: \"\"){cursor}}",
        "subscription{tableDeltas(code: \"a\", table: \"b\", scope: \"no scope\"){cursor}}",
        "subscription{transactionLifecycle(id: \"abcdef12\"){id}}",
    ] {
        assert_eq!(refused(&chain, document, json!({})).await.0, "request_validation_error", "{document}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_come_as_the_chain_goes_on() {
    const HEADS: &str = "subscription($c: Uint32){head(confirmations: $c){block{num id timestamp producer} \
        irreversibleBlockNum irreversibleBlockID}}";
    let Some(log) = recorded::open(LOG) else { return };
    let mut chain = TestChain::new(Box::new(log)).await;
    assert_eq!(chain.grow(80).await, 80);
    let mut heads = chain.execute(request(HEADS, json!({})));
    let mut confirmed = chain.execute(request(HEADS, json!({"c": 3})));
    for _ in 0..40 {
        let snapshot = chain.service.chain().serving.snapshot();
        let (head, lib) = (snapshot.head().unwrap(), snapshot.lib().unwrap());
        loop {
            let event = next(&mut heads, "head").await;
            if event["block"]["id"] == head.id.to_string().as_str() {
                assert_eq!(event["block"]["num"], head.number);
                assert_eq!(event["irreversibleBlockNum"], lib.number);
                assert_eq!(event["irreversibleBlockID"], lib.id.to_string().as_str());
                assert!(event["block"]["producer"].is_string() && event["block"]["timestamp"].is_string());
                break;
            }
        }
        let number = head.number.saturating_sub(3).max(lib.number);
        while next(&mut confirmed, "head").await["block"]["num"] != number {}
        let before = head;
        // A block that loses brings no head.
        while chain.service.chain().serving.snapshot().head() == Some(before) {
            assert_eq!(chain.grow(1).await, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_told_until_nothing_can_change() {
    const WATCH: &str = "subscription($id: String!){transactionLifecycle(id: $id){id status executionIrreversible \
        trace{id block{num id}}}}";
    let Some(whole) = TestChain::recorded(LOG).await else { return };
    // One that is in both branches of a fork.
    let search = "{searchTransactionsForward(query: \"account:eosio.token action:transfer\", lowBlockNum: 140, limit: 1)\
        {results{block{num} trace{id}}}}";
    let answer = whole.answer(request(search, json!({}))).await;
    let found = &answer["data"]["searchTransactionsForward"]["results"][0];
    let (id, block) = (found["trace"]["id"].clone(), found["block"]["num"].clone());
    let mut chain = TestChain::new(Box::new(recorded::open(LOG).unwrap())).await;
    assert_eq!(chain.grow(50).await, 50);
    let mut watch = chain.execute(request(WATCH, json!({"id": id})));
    assert!(watch.next().now_or_never().is_none(), "it is unknown");
    assert!(chain.grow(usize::MAX).await > 300);
    let mut told = Vec::new();
    while let Some(answer) = watch.next().await {
        let answer = written(answer);
        assert!(answer["errors"].is_null(), "{answer}");
        told.push(answer["data"]["transactionLifecycle"].clone());
    }
    let last = told.last().unwrap();
    assert_eq!((&last["id"], &last["trace"]["id"], &last["trace"]["block"]["num"]), (&id, &id, &block));
    assert_eq!((&last["status"], &last["executionIrreversible"]), (&json!("EXECUTED"), &json!(true)));
    // The query tells the same.
    let query = WATCH.replacen("subscription", "query", 1);
    let answer = whole.answer(request(&query, json!({"id": id}))).await;
    assert_eq!(&answer["data"]["transactionLifecycle"], last);
    let begin = &id.as_str().unwrap()[..10];
    let answer = whole.answer(request(&query, json!({"id": begin}))).await;
    assert_eq!(&answer["data"]["transactionLifecycle"], last);
}
