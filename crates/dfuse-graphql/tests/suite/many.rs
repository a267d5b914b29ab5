//! Many subscriptions at once.

use dfuse_query::GraphqlResponse;
use dfuse_testkit::recorded;
use futures::{StreamExt, stream::BoxStream};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{TestChain, request, written};

const SUBSCRIPTIONS: usize = 50;
/// Blocks with many transfers.
const FIRST: u32 = 95;
const BLOCKS: usize = 12;

/// What comes until the stream has come to a block: blocks and transactions, and how many markers.
async fn follow(mut answers: BoxStream<'static, GraphqlResponse>, last: u32) -> (Vec<String>, usize) {
    let (mut found, mut markers) = (Vec::new(), 0);
    loop {
        let answer = written(answers.next().await.expect("it goes on"));
        assert!(answer["errors"].is_null(), "{answer}");
        let result = &answer["data"]["searchTransactionsForward"];
        assert_eq!(result["undo"], false);
        match result["trace"]["id"].as_str() {
            Some(id) => found.push(format!("{} {id}", result["block"]["num"])),
            None => {
                markers += 1;
                if result["block"]["num"] == last {
                    return (found, markers);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_subscription_gets_every_match_and_the_marker() {
    const SEARCH: &str = "(query: \"account:eosio.token action:transfer\", lowBlockNum: $low";
    let Some(log) = recorded::open("busy/busy.dmlog.zst") else { return };
    let mut chain = TestChain::new(Box::new(log)).await;
    assert_eq!(chain.grow(100).await, 100);
    let document = format!(
        "subscription($low: Int64!){{searchTransactionsForward{SEARCH}, liveMarkerInterval: 1){{undo block{{num}} \
         trace{{id matchingActions{{receiver name json}}}}}}}}"
    );
    let last = 101 + u32::try_from(BLOCKS).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..SUBSCRIPTIONS {
        tasks.spawn(follow(chain.execute(request(&document, json!({"low": FIRST}))), last));
    }
    assert_eq!(chain.grow(BLOCKS).await, BLOCKS);
    let streams = tasks.join_all().await;

    let page = format!(
        "query($low: Int64!){{searchTransactionsForward{SEARCH}, limit: 1000){{cursor results{{block{{num}} trace{{id}}}}}}}}"
    );
    let page = chain.answer(request(&page, json!({"low": FIRST}))).await;
    let page = &page["data"]["searchTransactionsForward"];
    let results = page["results"].as_array().unwrap().iter();
    let expected: Vec<_> =
        results.map(|it| format!("{} {}", it["block"]["num"], it["trace"]["id"].as_str().unwrap())).collect();
    assert!(expected.len() > 300 && page["cursor"].is_null(), "{} {}", expected.len(), page["cursor"]);
    for (found, markers) in streams {
        assert_eq!(found, expected);
        assert!((1..=BLOCKS + 1).contains(&markers), "{markers}");
    }
}
