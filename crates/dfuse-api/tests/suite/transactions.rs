//! `/v0/transactions` and `/v0/blocks/{id}/transactions`.

use crate::support::Options;
use dfuse_antelope::{Checksum256, model::Block};
use dfuse_query::{ErrorCode, OpenAccess};
use dfuse_testkit::{recorded, synthetic::SyntheticChain};
use serde_json::{Value, json};

use crate::support::TestChain;

fn ids(page: &Value) -> Vec<Checksum256> {
    let transactions = page["transactions"].as_array().unwrap();
    transactions.iter().map(|transaction| transaction["id"].as_str().unwrap().parse().unwrap()).collect()
}

/// All pages of a list, each of at most so many, until `last` says that a page is the last one.
async fn pages(chain: &TestChain, path: &str, limit: usize, last: impl Fn(&Value) -> bool) -> Vec<Checksum256> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = chain.get(&format!("{path}?limit={limit}&cursor={cursor}")).await.json();
        let ids = ids(&page);
        assert!(ids.len() <= limit);
        all.extend(ids);
        if last(&page) {
            return all;
        }
        cursor = page["cursor"].as_str().unwrap().to_owned();
    }
}

/// A block, what it ran, and what of that it names: all but what the chain itself made.
struct Run {
    block: Checksum256,
    all: Vec<Checksum256>,
    named: Vec<Checksum256>,
}

/// What the blocks of the best chain ran, in the order of execution.
fn run(chain: &TestChain) -> Vec<Run> {
    let mut best = Vec::new();
    let mut id = chain.blocks.last().unwrap().id;
    for block in chain.blocks.iter().rev().filter(|block| block.number > 0) {
        if block.id == id {
            let receipts: Vec<_> = block.transactions().iter().map(|receipt| receipt.id).collect();
            let all: Vec<_> = block.transaction_traces().iter().map(|trace| trace.id).collect();
            let named = all.iter().filter(|id| receipts.contains(id)).copied().collect();
            best.push(Run { block: block.id, all, named });
            id = block.header.previous;
        }
    }
    best.reverse();
    best
}

#[tokio::test(flavor = "multi_thread")]
async fn one_by_its_id() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let pushed = recorded::json_lines("small/pushed.jsonl.gz").unwrap().filter(|answer| answer["ok"] == true);
    for answer in pushed.step_by(20) {
        let id = answer["id"].as_str().unwrap();
        let lifecycle = chain.get(&format!("/v0/transactions/{}", id.to_uppercase())).await.json();
        assert_eq!((&lifecycle["id"], &lifecycle["execution_trace"]["id"]), (&json!(id), &json!(id)));
    }
    let unknown = "ab".repeat(32);
    let (code, error) = chain.get(&format!("/v0/transactions/{}", unknown.to_uppercase())).await.error();
    assert_eq!((code, &error["details"]), (ErrorCode::TransactionNotFound, &json!({"trx_id": unknown})));
    for (id, problems) in
        [("ab".repeat(16), 1), ("zz".repeat(32), 1), ("x".to_owned(), 2), (format!("0x{}", "ab".repeat(32)), 2)]
    {
        let (code, error) = chain.get(&format!("/v0/transactions/{id}")).await.error();
        let found = error["details"]["errors"]["id"].as_array().map(Vec::len);
        assert_eq!((code, found), (ErrorCode::RequestValidation, Some(problems)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_everything_once() {
    let Some(chain) = TestChain::recorded("fork/fork.dmlog.zst").await else { return };
    let blocks = run(&chain);
    let mut newest_first: Vec<_> = blocks.iter().flat_map(|run| run.named.clone()).collect();
    newest_first.reverse();
    for limit in [7, 100] {
        assert_eq!(pages(&chain, "/v0/transactions", limit, |page| page["cursor"] == "").await, newest_first);
    }
    // After the last transaction of a block there is always another cursor.
    let is_empty = |page: &Value| page["transactions"] == json!([]);
    for Run { block: id, all: expected, named } in blocks.iter().step_by(10) {
        assert!(expected.len() > named.len() && !named.contains(&expected[0]));
        assert_eq!(pages(&chain, &format!("/v0/blocks/{id}/transactions"), 3, is_empty).await, *expected);
        let page = chain.get(&format!("/v0/blocks/{id}/transactions")).await.json();
        assert_eq!(ids(&page), expected[..expected.len().min(100)]);
        let first = &page["transactions"][0]["execution_trace"]["action_traces"][0]["act"];
        assert_eq!((&first["account"], &first["name"]), (&json!("eosio"), &json!("onblock")));
    }
    let (code, error) = chain.get(&format!("/v0/blocks/{}/transactions", "ab".repeat(32))).await.error();
    assert_eq!((code, &error["details"]["block"]), (ErrorCode::BlockNotFound, &json!("ab".repeat(32))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_on_a_fork_tells_its_own_branch() {
    let fork = dfuse_testkit::synthetic::Fork::new(20, 3, 4);
    let log = SyntheticChain::builder().seed(3).blocks(30).lib_lag(20).fork(fork).build();
    let mut chain = TestChain::synthetic(log, std::sync::Arc::new(OpenAccess), Options::default()).await;
    chain.grow(usize::MAX).await;
    let best = run(&chain);
    let (mut lost, mut pending) = (0, 0);
    for block in chain.blocks.iter().filter(|block| best.iter().all(|run| run.block != block.id)) {
        lost += 1;
        let page = chain.get(&format!("/v0/blocks/{}/transactions", block.id)).await.json();
        assert_eq!(ids(&page).len(), block.transaction_traces().len());
        for transaction in page["transactions"].as_array().unwrap() {
            let id = transaction["id"].as_str().unwrap();
            assert_eq!(transaction["execution_irreversible"], false);
            assert_ne!(transaction["transaction_status"], "pending");
            // The best chain has another opinion.
            let answer = chain.get(&format!("/v0/transactions/{id}")).await;
            if answer.status.is_success() {
                let now = answer.json();
                assert_ne!(now["execution_trace"]["producer_block_id"], block.id.to_string());
                pending += u32::from(now["transaction_status"] == "pending");
            }
        }
    }
    assert!(lost > 2 && pending > 0, "{lost} {pending}");
}

#[tokio::test(flavor = "multi_thread")]
async fn error_handlers_are_in_the_lists_of_their_blocks() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let with_handler = run(&chain).into_iter().filter(|run| run.all.len() > run.named.len() + 1);
    let mut handlers = 0;
    for Run { block, all, named } in with_handler.take(5) {
        let page = chain.get(&format!("/v0/blocks/{block}/transactions")).await.json();
        assert_eq!(ids(&page), all);
        for transaction in page["transactions"].as_array().unwrap().iter().skip(1) {
            if !named.iter().any(|id| transaction["id"] == json!(id)) {
                handlers += 1;
                assert_eq!(transaction["execution_trace"]["action_traces"][0]["act"]["name"], "onerror");
            }
        }
    }
    assert!(handlers > 0);
}

/// What only ran on a branch that died is not there, but not as if it had never been.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_died_with_their_blocks() {
    let Some(chain) = TestChain::recorded("fork/fork.dmlog.zst").await else { return };
    let best: std::collections::BTreeSet<_> = run(&chain).into_iter().flat_map(|run| run.all).collect();
    // Deferred ones are in the blocks that created them, too.
    let mentions = |block: &Block| {
        let traces = block.transaction_traces().iter();
        let deferred = traces.clone().flat_map(|trace| &trace.dtrx_ops).map(|op| op.transaction_id);
        let ids: std::collections::BTreeSet<_> = traces.map(|trace| trace.id).chain(deferred).collect();
        ids
    };
    let ran = chain.blocks.iter().flat_map(|block| block.transaction_traces()).map(|trace| trace.id);
    let dead: std::collections::BTreeSet<_> = ran.filter(|id| !best.contains(id)).collect();
    let mentions: Vec<_> = chain.blocks.iter().map(|block| (block.id, mentions(block))).collect();
    let (mut gone, mut several) = (0, 0);
    for id in dead {
        let blocks: std::collections::BTreeSet<_> =
            mentions.iter().filter(|(_, ids)| ids.contains(&id)).map(|(block, _)| *block).collect();
        let mut blocks: Vec<_> = blocks.into_iter().collect();
        let answer = chain.get(&format!("/v0/transactions/{id}")).await;
        if answer.status.is_success() {
            assert_eq!(answer.json()["transaction_status"], "pending");
            continue;
        }
        gone += 1;
        several += u32::from(blocks.len() > 1);
        blocks.reverse();
        let (code, error) = answer.error();
        let expected = json!({"trx_id": id, "forked_out": blocks});
        assert_eq!((code, &error["details"]), (ErrorCode::TransactionNotFound, &expected));
        for block in blocks {
            assert_eq!(chain.get(&format!("/v0/blocks/{block}")).await.json()["id"], json!(block));
        }
    }
    assert!(gone > 10, "{gone} {several}");
}

#[tokio::test]
async fn wrong_parameters() {
    let chain = TestChain::small().await;
    let page = chain.get("/v0/transactions?limit=1").await.json();
    let cursor = page["cursor"].as_str().unwrap();
    let block = chain.blocks.last().unwrap().id;
    let damaged = format!("{}A", &cursor[..cursor.len() - 1]);
    let feed = chain.api().chain().feed.clone();
    let of_stream = {
        use dfuse_blocks::{Cursor, Step};
        let head = feed.head().unwrap();
        feed.seal(&Cursor { step: Step::New, block: head, tip: head, lib: head.number })
    };
    for (path, names) in [
        ("/v0/transactions".to_owned(), &["limit"][..]),
        ("/v0/transactions?limit=0&cursor=---".to_owned(), &["cursor", "limit"]),
        ("/v0/transactions?limit=101".to_owned(), &["limit"]),
        (format!("/v0/transactions?limit=1&cursor={damaged}"), &["cursor"]),
        (format!("/v0/transactions?limit=1&cursor={of_stream}"), &["cursor"]),
        // Of another list.
        (format!("/v0/blocks/{block}/transactions?cursor={cursor}"), &["cursor"]),
        (format!("/v0/transactions?limit=1&cursor={}", "A".repeat(500)), &["cursor"]),
        (format!("/v0/blocks/{block}/transactions?limit=0&cursor=a"), &["cursor", "limit"]),
        ("/v0/blocks/1/transactions?limit=x".to_owned(), &["id", "limit"]),
    ] {
        let (code, error) = chain.get(&path).await.error();
        let errors = error["details"]["errors"].as_object().unwrap();
        assert_eq!(code, ErrorCode::RequestValidation, "{path}");
        assert!(errors.keys().eq(names), "{path}: {error}");
    }
    assert!(feed.open_cursor(cursor).is_err());
}
