//! What answers lack, and say so: of blocks that were filtered, of a chain that is known from its middle on, and of state history.

use dfuse_antelope::model::{Block, TransactionStatus, TransactionTrace};
use dfuse_search::{Filter, SYSTEM_ACTIONS};
use serde_json::{Value, json};

use super::{Walk, documents, expected::items, others::lacks_nothing};
use crate::{
    history,
    support::{TestChain, request},
};

const EXECUTED: &str = "status:executed";
const PAGES: [&str; 2] = ["searchTransactionsForward", "searchTransactionsBackward"];

async fn empty() -> TestChain {
    TestChain::new(Box::new(std::io::empty())).await
}

async fn ask(chain: &TestChain, walk: &mut Walk, document: &str, variables: Value) -> Value {
    let answer = chain.answer(request(document, variables)).await;
    assert!(answer["errors"].is_null(), "{answer}");
    walk.see("Query", &answer["data"]);
    answer["data"].clone()
}

/// What answers over a chain lack: pages, a count and a history.
async fn coverage(chain: &TestChain, walk: &mut Walk, query: &str) -> Value {
    ask(chain, walk, &documents::coverage(), json!({"query": query, "account": "eosio"})).await
}

/// Asserts that all these answers say the same of what they lack.
#[track_caller]
fn all_say(answers: &Value, fields: &[&str], name: &str, value: &Value) {
    for field in fields {
        assert_eq!(answers[field][name], *value, "{field} {name}");
    }
}

/// Half of these blocks are filtered: results say so of their block, and answers of the chain.
pub(super) async fn of_filtered_blocks(blocks: &[Block], walk: &mut Walk) {
    let filter = Filter::new("", "action == 'onblock'", SYSTEM_ACTIONS).unwrap();
    let mut chain = empty().await;
    let (whole, to_filter) = blocks.split_at(blocks.len() / 2);
    for block in whole {
        chain.push(block.clone()).await;
    }
    let before = coverage(&chain, walk, EXECUTED).await;
    before.as_object().unwrap().values().for_each(lacks_nothing);
    for block in to_filter {
        let mut block = block.clone();
        assert!(filter.apply(&mut block, &mut |_, _| Ok(None)).unwrap());
        chain.push(block).await;
    }
    let after = coverage(&chain, walk, EXECUTED).await;
    all_say(&after, &PAGES, "filtered", &json!(true));
    all_say(&after, &["searchCount", "getAccountHistoryActions"], "filtered", &json!(true));
    let is_filtered = |block: &Block| to_filter.iter().any(|other| other.id == block.id);
    let is_found = |block: &Block, trace: &TransactionTrace| {
        let is_onblock = trace.action_traces.iter().all(|action| action.action.name.to_string() == "onblock");
        let status = trace.receipt.as_ref().map(|receipt| receipt.status);
        status == Some(TransactionStatus::Executed) && !(is_filtered(block) && is_onblock)
    };
    let mut expected = Vec::new();
    for block in blocks {
        for trace in block.transaction_traces().iter().filter(|trace| is_found(block, trace)) {
            expected.push(json!([block.number, trace.id.to_string(), is_filtered(block)]));
        }
    }
    let forward = items(&after[PAGES[0]]["results"]).iter();
    let forward: Vec<_> = forward.map(|it| json!([it["block"]["num"], it["trace"]["id"], it["filtered"]])).collect();
    assert_eq!(forward, expected);
    let mut backward = items(&after[PAGES[1]]["results"]).to_vec();
    backward.reverse();
    assert_eq!(backward, items(&after[PAGES[0]]["results"]));
}

/// Nothing is known of before these blocks.
pub(super) async fn of_the_middle(blocks: &[Block], walk: &mut Walk) {
    let mut chain = TestChain::from_block(blocks[0].clone()).await;
    for block in &blocks[1..] {
        chain.push(block.clone()).await;
    }
    let first = blocks[0].number;
    let holes = json!([{"lowBlockNum": 2, "highBlockNum": first - 1}]);
    // ABIs of before decide about the first one, and nothing of before about the second one.
    for (query, from) in [("data.to:bob", json!(first)), (EXECUTED, Value::Null)] {
        let answers = coverage(&chain, walk, query).await;
        let fields = [PAGES[0], PAGES[1], "searchCount"];
        all_say(&answers, &fields, "stateFromBlockNum", &from);
        all_say(&answers, &fields, "holes", &holes);
        all_say(&answers, &["getAccountHistoryActions"], "holes", &holes);
        all_say(&answers, &fields, "filtered", &json!(false));
    }
    let mut ops = blocks.iter().flat_map(|block| block.transaction_traces()).flat_map(|trace| &trace.db_ops);
    // A row that is there at the head, in a table of a contract whose rows need not be decoded.
    let op = ops.rfind(|op| op.code.to_string() == "eosio" && op.table_name.to_string() == "global").unwrap();
    let row = json!({"code": op.code.to_string(), "table": op.table_name.to_string(), "scope": op.scope.to_string(),
        "key": op.primary_key.to_string(), "from": first + 1});
    let answers = ask(&chain, walk, &documents::state(), row).await;
    for (field, state) in answers.as_object().unwrap() {
        let is_complete = json!(field == "tableRow");
        assert_eq!((&state["stateFromBlockNum"], &state["isComplete"]), (&json!(first), &is_complete), "{field}");
        let is_of_tokens = ["tokens", "accountBalances"].contains(&field.as_str());
        let block = if is_of_tokens { &state["irreversibleBlockNum"] } else { &json!(blocks.last().unwrap().number) };
        assert_eq!(state["blockRef"]["number"], block.to_string(), "{field}");
        assert_eq!(state["isIrreversible"], is_of_tokens, "{field}");
    }
}

/// State history does not tell which action did what.
pub(super) async fn of_state_history(walk: &mut Walk) {
    let Some(blocks) = history::blocks("small") else { return };
    let blocks = &blocks[..100];
    let mut chain = empty().await;
    for block in blocks {
        chain.push(block.clone()).await;
    }
    let (first, last) = (blocks[0].number, blocks.last().unwrap().number);
    let of = |fields: &[&str], first: u32, last: u32| {
        let message = format!(
            "Blocks {first} to {last} come from state history, which does not say which action changed what: {} can only tell what \
             no other action can have done, and RAM as a sum for each action and account.",
            fields.join(", ")
        );
        json!([{"reason": "state_history", "fields": fields, "lowBlockNum": first, "highBlockNum": last, "message": message}])
    };
    let answers = coverage(&chain, walk, "(db.table:accounts OR ram.consumed:eosio OR action:onblock)").await;
    let fields = ["db.table", "ram.consumed"];
    all_say(&answers, &[PAGES[0], PAGES[1], "searchCount"], "details", &of(&fields, first, last));
    // An account's history is none of operations.
    assert_eq!(answers["getAccountHistoryActions"]["details"], json!([]));
    for page in PAGES {
        let results = items(&answers[page]["results"]);
        assert!(results.len() > 50, "{}", results.len());
        for result in results {
            let number = u32::try_from(result["block"]["num"].as_u64().unwrap()).unwrap();
            assert_eq!(result["details"], of(&fields, number, number));
            let operations = ["dbOps", "dtrxOps", "ramOps", "tableOps"];
            assert_eq!(result["trace"]["details"], of(&operations, number, number));
        }
    }
    let answers = coverage(&chain, walk, "action:onblock").await;
    answers.as_object().unwrap().values().for_each(lacks_nothing);
}
