//! `/v0/block_id/by_time` and `/v0/blocks`.

use std::{cmp::Reverse, sync::Arc};

use crate::support::Options;
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use dfuse_antelope::model::Block;
use dfuse_query::{ErrorCode, OpenAccess};
use dfuse_testkit::synthetic::{Fork, SyntheticChain};
use serde_json::{Value, json};

use crate::support::TestChain;

fn number(answer: &Value) -> u64 {
    answer["block"]["num"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_by_time() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let block = |number: u32| chain.blocks.iter().find(|block| block.number == number).unwrap();
    let at = |block: &Block, ms: i64| block.header.timestamp.to_unix_ms() + ms;
    let (first, some, last) = (&chain.blocks[0], block(200), chain.blocks.last().unwrap());
    for (block, ms, comparator, expected) in [
        (some, 0, "eq", Some(200)),
        (some, 1, "eq", None),
        (some, 0, "gt", Some(201)),
        (some, 0, "gte", Some(200)),
        (some, 0, "lt", Some(199)),
        (some, 0, "lte", Some(200)),
        (some, 1, "gt", Some(201)),
        (some, 1, "gte", Some(201)),
        (some, 1, "lt", Some(200)),
        (some, 1, "lte", Some(200)),
        (some, -1, "gt", Some(200)),
        (some, -1, "gte", Some(200)),
        (some, -1, "lt", Some(199)),
        (some, -1, "lte", Some(199)),
        (first, 0, "lt", None),
        (first, 0, "lte", Some(first.number)),
        (first, -86_400_000, "gte", Some(first.number)),
        (first, -86_400_000, "lte", None),
        (last, 0, "gt", None),
        (last, 0, "gte", Some(last.number)),
        (last, 86_400_000, "lte", Some(last.number)),
        (last, 86_400_000, "gt", None),
    ] {
        let answer = chain.get(&format!("/v0/block_id/by_time?time={}&comparator={comparator}", at(block, ms))).await;
        match expected {
            Some(expected) => assert_eq!(number(&answer.json()), u64::from(expected), "{comparator} {ms}"),
            None => assert_eq!(answer.error().0, ErrorCode::BlockTimeNotFound, "{comparator} {ms}"),
        }
    }
    let time = format!("{}Z", some.header.timestamp);
    let answer = chain.get(&format!("/v0/block_id/by_time?time={time}&comparator=eq")).await.json();
    let shown = time.replace(".000Z", "Z").replace(".500Z", ".5Z");
    assert_eq!(answer, json!({"block": {"id": some.id, "num": 200, "time": shown}}));

    let form = format!("comparator=lt&time={time}");
    let request = Request::post("/v0/block_id/by_time?comparator=gt").body(Body::from(form)).unwrap();
    assert_eq!(number(&chain.request(request).await.json()), 199);
}

#[tokio::test]
async fn wrong_parameters_are_told_together() {
    let chain = TestChain::small().await;
    let (_, error) = chain.get("/v0/block_id/by_time?tiem=2019-03-04&comparator=GT").await.error();
    assert_eq!(
        error["details"]["errors"],
        json!({
            "time": [
                "is required; did you mean it by \"tiem\"?",
                "must be a time such as 2019-03-04T10:36:14.5Z, 2019-03-04, 1551695774 or 1551695774500 (since 1970), not empty",
            ],
            "comparator": ["must be one of gt, gte, lt, lte, eq, not \"GT\"; did you mean \"gt\"?"],
        })
    );
}

/// The chain of a recorded log with forks, and the blocks of its best chain.
async fn forked() -> Option<(TestChain, Vec<u32>)> {
    let chain = TestChain::recorded("fork/fork.dmlog.zst").await?;
    let mut numbers = Vec::new();
    let mut id = chain.blocks.last()?.id;
    for block in chain.blocks.iter().rev() {
        if block.id == id {
            numbers.push(block.number);
            id = block.header.previous;
        }
    }
    Some((chain, numbers))
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_down_the_best_chain() {
    let Some((chain, numbers)) = forked().await else { return };
    let list = async |query: &str| chain.get(&format!("/v0/blocks?{query}")).await.json();
    let shown = |blocks: &Value| {
        let blocks = blocks.as_array().unwrap();
        blocks.iter().map(|block| block["block_num"].as_u64().unwrap() as u32).collect::<Vec<_>>()
    };
    assert_eq!(shown(&list("limit=100").await), numbers[..100]);
    // The explorer begins with a number that no chain has.
    for skip in ["4294967296", "100000000000", "18446744073709551616"] {
        assert_eq!(shown(&list(&format!("limit=3&skip={skip}")).await), numbers[..3], "{skip}");
    }
    assert_eq!(shown(&list("limit=3&skip=140").await), [140, 139, 138]);
    assert_eq!(shown(&list("limit=100&skip=4").await), [4, 3, 2]);
    assert_eq!(list("limit=5&skip=1").await, json!([]));
    let lib = chain.api().chain().serving.snapshot().lib().unwrap().number;
    for block in list("limit=100").await.as_array().unwrap() {
        assert_eq!(block["irreversible"], block["block_num"].as_u64().unwrap() <= u64::from(lib));
        assert_eq!(block["sibling_blocks"], Value::Null);
    }
    for (query, count) in [("", 2), ("limit=0", 1), ("limit=101", 1), ("limit=5&skip=-1", 1), ("limit=5&skip=", 1)] {
        let (code, error) = chain.get(&format!("/v0/blocks?{query}")).await.error();
        let errors = error["details"]["errors"].as_object().unwrap().values();
        let problems: usize = errors.map(|problems| problems.as_array().unwrap().len()).sum();
        assert_eq!((code, problems), (ErrorCode::RequestValidation, count), "{query}");
    }
}

/// The header extension that activates protocol features, of which the node shows the content instead.
fn extensions(features: &Value) -> Value {
    let digests: Vec<_> =
        features.as_array().into_iter().flatten().map(|it| it["feature_digest"].as_str().unwrap()).collect();
    match digests.len() {
        0 => Value::Null,
        count => json!([[0, format!("{count:02x}{}", digests.concat())]]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_as_the_node_showed_it() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let answers = dfuse_testkit::recorded::json("small/answers.json.gz").unwrap();
    let mut schedules = 0;
    for (number, expected) in answers["blocks"].as_object().unwrap() {
        let id = expected["id"].as_str().unwrap();
        let answer = chain.get(&format!("/v0/blocks/{}", id.to_uppercase())).await;
        if answer.status != StatusCode::OK {
            // Block 1 is in no log.
            assert_eq!((number.as_str(), answer.error().0), ("1", ErrorCode::BlockNotFound));
            continue;
        }
        let mut block = answer.json();
        assert_eq!((&block["id"], block["block_num"].to_string()), (&json!(id), number.clone()));
        assert_eq!(block["transaction_count"], expected["transactions"].as_array().unwrap().len());
        let header = block["header"].as_object_mut().unwrap();
        let time = header.remove("timestamp").unwrap();
        assert_eq!(expected["timestamp"].as_str().unwrap().trim_end_matches(".000"), time);
        // What there is none of is left out, or null: as in the headers of lifecycles.
        assert_eq!(header.contains_key("new_producers"), !expected["new_producers"].is_null(), "block {number}");
        for (key, value) in header {
            let wanted = match key.as_str() {
                // A new schedule is an extension, too, once its producers may have several keys.
                "header_extensions" if !expected["new_producer_schedule"].is_null() => {
                    schedules += 1;
                    assert_eq!(value[0][0], 1, "block {number}");
                    continue;
                }
                "header_extensions" => extensions(&expected["new_protocol_features"]),
                key => expected[key].clone(),
            };
            assert_eq!(*value, wanted, "{key} of block {number}");
        }
    }
    assert!(schedules > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn siblings_of_all_branches() {
    // The lost branch is reversible still, or was lost for good.
    for blocks in [30, 80] {
        siblings(blocks).await;
    }
}

async fn siblings(blocks: u32) {
    let chain = SyntheticChain::builder().seed(3).blocks(blocks).lib_lag(20).fork(Fork::new(20, 3, 4)).build();
    let mut chain = TestChain::synthetic(chain, Arc::new(OpenAccess), Options::default()).await;
    chain.grow(usize::MAX).await;
    let lost: Vec<_> = chain
        .blocks
        .iter()
        .filter(|block| {
            let others = chain.blocks.iter().filter(|other| other.number == block.number && other.id != block.id);
            others.count() > 0
        })
        .map(|block| (block.number, block.id))
        .collect();
    assert_eq!(lost.len(), 6);
    for (number, id) in &lost {
        let block = chain.get(&format!("/v0/blocks/{id}")).await.json();
        let is_canonical = chain.get(&format!("/v0/blocks?limit=1&skip={number}")).await.json()[0]["id"] == json!(id);
        assert_eq!((&block["id"], &block["irreversible"]), (&json!(id), &json!(is_canonical && blocks == 80)));
        // Its transactions are told whatever became of them.
        let listed = chain.get(&format!("/v0/blocks/{id}/transactions")).await.json();
        let of_block = chain.blocks.iter().find(|block| block.id == *id).unwrap();
        let run = of_block.transaction_traces().len();
        assert!(listed["transactions"].as_array().is_some_and(|listed| listed.len() == run), "{run} {listed}");
        let siblings = block["sibling_blocks"].as_array().unwrap();
        let mut expected: Vec<_> = chain.blocks.iter().filter(|other| other.number.abs_diff(*number) <= 5).collect();
        expected.sort_by_key(|other| Reverse((other.number, other.id)));
        assert_eq!(
            siblings.iter().map(|sibling| sibling["id"].clone()).collect::<Vec<_>>(),
            expected.iter().map(|other| json!(other.id)).collect::<Vec<_>>()
        );
    }
    let unknown = format!("/v0/blocks/00000016{}", "ab".repeat(28));
    let (code, error) = chain.get(&unknown).await.error();
    assert_eq!((code, &error["details"]["block"]), (ErrorCode::BlockNotFound, &json!(unknown[11..])));
}
