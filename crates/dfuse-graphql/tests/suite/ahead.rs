//! Documents that name a block which another machine had before: they wait for it.

use std::{io::Cursor, time::Duration};

use dfuse_query::Options;
use dfuse_testkit::synthetic::SyntheticChain;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::{
    task::{JoinHandle, yield_now},
    time::timeout,
};

use crate::support::{TestChain, request, written};

/// When the test gives up.
const GIVE_UP: Duration = Duration::from_secs(60);
/// Blocks that one machine lacks.
const LACKING: usize = 3;
const FORWARD: &str = "query($c: String, $low: Int64){searchTransactionsForward(query: \"receiver:eosio\", cursor: $c, \
    lowBlockNum: $low){results{cursor trace{id}}}}";
const BACKWARD: &str = "query($c: String){searchTransactionsBackward(query: \"receiver:eosio\", cursor: $c, limit: 1)\
    {results{cursor trace{id}}}}";
const FOLLOWED: &str = "subscription($c: String){searchTransactionsForward(query: \"receiver:eosio\", cursor: $c, \
    liveMarkerInterval: 1){undo cursor block{id num} trace{id}}}";
const PAST: &str = "subscription($c: String){searchTransactionsBackward(query: \"receiver:eosio\", cursor: $c, limit: 1)\
    {cursor block{id} trace{id}}}";
const ROWS: &str = "query($at: Uint32){tableRows(code: \"eosio.token\", scope: \"eosio\", table: \"accounts\", blockNum: $at)\
    {blockRef{number id} rows{data}}}";
const BLOCK: &str = "query($num: Uint32, $id: String){block(num: $num, id: $id){id num}}";

/// A document, and its first answer.
type Asked = (&'static str, JoinHandle<Value>);

async fn machine(options: Options) -> TestChain {
    let mut log = Vec::new();
    SyntheticChain::builder().seed(5).blocks(40).missed_slots(0).lib_lag(12).build().write_log(&mut log).unwrap();
    TestChain::with(Box::new(Cursor::new(log)), options).await
}

/// Returns when all wait for a block. One that is answered before did not.
async fn until_waiting(chain: &TestChain, mut asked: Vec<Asked>) -> Vec<Asked> {
    let line = format!("dfuse_requests_awaiting_block {}\n", asked.len());
    let waiting = async {
        while !chain.service.metrics().render().contains(&line) {
            if let Some(at) = asked.iter().position(|(_, answer)| answer.is_finished()) {
                let (document, answer) = asked.swap_remove(at);
                panic!("{document} did not wait: {}", answer.await.unwrap());
            }
            yield_now().await;
        }
        asked
    };
    timeout(GIVE_UP, waiting).await.expect("all wait")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_machine_had_is_waited_for() {
    let mut ahead = machine(Options::default()).await;
    let all = ahead.grow(usize::MAX).await;
    let mut behind = machine(Options { ahead_wait: Duration::from_secs(3600), ..Options::default() }).await;
    behind.grow(all - LACKING).await;
    let head = ahead.service.chain().feed.head().unwrap();
    let answer = async |document: &str, variables: Value| ahead.answer(request(document, variables)).await;
    let followed = async |document: &str, cursor: &Value| {
        let mut stream = ahead.execute(request(document, json!({"c": cursor})));
        written(stream.next().await.unwrap())
    };
    let forward = answer(FORWARD, json!({"low": head.number - 1})).await;
    let backward = answer(BACKWARD, json!({})).await;
    let last = |answer: &Value, field: &str| {
        answer["data"][field]["results"].as_array().unwrap().last().unwrap()["cursor"].clone()
    };
    let (after, before) =
        (&last(&forward, "searchTransactionsForward"), &last(&backward, "searchTransactionsBackward"));
    let mut documents = vec![
        (ROWS, json!({"at": head.number})),
        (BLOCK, json!({"num": head.number})),
        (BLOCK, json!({"id": head.id.to_string()})),
        (FORWARD, json!({"low": head.number})),
        (FORWARD, json!({"c": after})),
        (BACKWARD, json!({"c": before})),
    ];
    let mut wanted = Vec::new();
    for (document, variables) in &documents {
        let answer = answer(document, variables.clone()).await;
        assert!(answer["errors"].is_null(), "{document}: {answer}");
        wanted.push(answer);
    }
    for (document, cursor) in [(FOLLOWED, after), (PAST, before)] {
        documents.push((document, json!({"c": cursor})));
        let answer = followed(document, cursor).await;
        assert!(answer["errors"].is_null(), "{document}: {answer}");
        wanted.push(answer);
    }
    let ask = |(document, variables): &(&'static str, Value)| {
        let mut answers = behind.execute(request(document, variables.clone()));
        (*document, tokio::spawn(async move { written(answers.next().await.unwrap()) }))
    };
    let asked = until_waiting(&behind, documents.iter().map(ask).collect()).await;
    behind.grow(usize::MAX).await;
    for ((document, asked), wanted) in asked.into_iter().zip(wanted) {
        assert_eq!(asked.await.unwrap(), wanted, "{document}");
    }
    // What no machine can have is told at once.
    let far = behind.answer(request(ROWS, json!({"at": head.number + 1000}))).await;
    assert_eq!(far["errors"][0]["extensions"]["code"], "app_block_num_higher_than_head_block_error");
}
