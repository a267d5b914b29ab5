//! Every field of every type, over whole recorded chains, against what REST answers of the same transactions and what nodes
//! answered.

mod documents;
mod expected;
mod gaps;
mod others;
mod walk;

use std::collections::BTreeMap;

use dfuse_antelope::{
    Checksum256,
    model::{self, Block},
};
use dfuse_query::transactions;
use dfuse_render::{Renderer, RowChange, RowChangeForm};
use dfuse_testkit::recorded;
use serde_json::{Value, json};

use crate::support::{TestChain, request};
use expected::{Expected, block_header};
use others::Others;
pub(crate) use walk::Walk;

/// Of so many blocks one is compared with all that is in its transactions.
const WHOLE: usize = 10;

/// The blocks of the best chain, by number, of a chain that has all the log.
fn canonical(chain: &TestChain, blocks: Vec<Block>) -> Vec<Block> {
    let view = chain.service.chain().serving.snapshot().view().clone();
    let is_own = |block: &Block| dfuse_index::blocks::by_id(&view, block.id).unwrap().is_some();
    blocks.into_iter().filter(is_own).collect()
}

/// What REST answers of some transactions, and the indexes' rows of each of their changes.
async fn rest(chain: &TestChain, ids: Vec<Checksum256>) -> Vec<Value> {
    let read = chain.service.query(move |read| {
        let lifecycle = |id: &Checksum256| {
            let lifecycle = transactions::lifecycle(read, *id)?;
            let mut text = Vec::new();
            Renderer::new(&mut text, &read.abis(read.view())).lifecycle(&lifecycle)?;
            let mut answer: Value = serde_json::from_slice(&text).unwrap();
            answer["rows"] = Value::Array(rows(read, &lifecycle)?);
            Ok(answer)
        };
        ids.iter().map(lifecycle).collect::<Result<Vec<_>, dfuse_query::ApiError>>()
    });
    read.await.unwrap()
}

/// The changes of rows of a transaction as `table_delta` messages have them.
fn rows(
    read: &dfuse_query::ReadContext<'_>,
    lifecycle: &model::TransactionLifecycle,
) -> dfuse_query::ApiResult<Vec<Value>> {
    let Some(trace) = &lifecycle.execution_trace else { return Ok(Vec::new()) };
    let abis = read.abis(read.view());
    let mut found = Vec::new();
    for op in &trace.db_ops {
        let mut text = Vec::new();
        let change = RowChange { block_number: u32::try_from(trace.block_num).unwrap(), trace: Some(trace), op };
        Renderer::new(&mut text, &abis).table_delta(&change, false, RowChangeForm::Decoded(None))?;
        found.push(serde_json::from_slice::<Value>(&text).unwrap());
    }
    Ok(found)
}

/// Compares all of a chain, but of every so many transactions one. Returns the traces that were compared, by id.
async fn compare(chain: &TestChain, blocks: &[Block], every: usize, walk: &mut Walk) -> BTreeMap<String, Value> {
    let mut compared = BTreeMap::new();
    let all = blocks.iter().flat_map(|block| {
        let traces = block.transaction_traces().iter();
        traces.map(move |trace| (block, trace))
    });
    let all: Vec<_> = all.step_by(every).collect();
    for some in all.chunks(50) {
        let answers = rest(chain, some.iter().map(|(_, trace)| trace.id).collect()).await;
        for ((_, trace), rest) in some.iter().zip(&answers) {
            let id = trace.id.to_string();
            let answer = chain.answer(request(&documents::lifecycle(), json!({"id": id}))).await;
            assert!(answer["errors"].is_null(), "{id}: {answer}");
            walk.see("Query", &answer["data"]);
            let own = &answer["data"]["transactionLifecycle"];
            Expected::new(rest).compare(own);
            compared.insert(id, own["trace"].clone());
        }
    }
    compared
}

/// Compares the blocks, each with the traces of all that ran in it, most of which are known.
async fn compare_blocks(chain: &TestChain, blocks: &[Block], known: &BTreeMap<String, Value>, walk: &mut Walk) {
    let lib = chain.service.chain().serving.snapshot().lib().unwrap().number;
    for (at, block) in blocks.iter().enumerate() {
        // Traces are read in one way only, so that some blocks will do for what is in them.
        let document = documents::block(at % WHOLE == 0);
        let answer = chain.answer(request(&document, json!({"id": block.id.to_string()}))).await;
        assert!(answer["errors"].is_null(), "{answer}");
        walk.see("Query", &answer["data"]);
        let own = &answer["data"]["block"];
        let by_number = "query($num: Uint32){block(num: $num){id}}";
        let by_number = chain.answer(request(by_number, json!({"num": block.number}))).await;
        assert_eq!(by_number["data"]["block"]["id"], own["id"]);
        assert_eq!((&own["id"], &own["num"]), (&json!(block.id.to_string()), &json!(block.number)));
        assert_eq!(own["dposLIBNum"], block.lib_num());
        assert_eq!(own["irreversible"], block.number <= lib);
        let mut header = block_header(block.id, block.number, &block.header);
        if block.header.header_extensions.iter().any(|extension| extension.r#type == 1) {
            header["newProducers"] = announced(block);
        }
        assert_eq!(own["header"], header);
        let merkle = block.blockroot_merkle.clone().unwrap_or_default();
        let nodes: Vec<_> = merkle.active_nodes.iter().map(const_hex::encode).collect();
        assert_eq!(own["merkleRoot"], json!({"nodeCount": merkle.node_count, "activeNodes": nodes}));
        assert_eq!(own["executedTransactionCount"], block.unfiltered_transaction_count);
        let edges = own["transactionTraces"]["edges"].as_array().unwrap();
        let ids: Vec<_> = block.transaction_traces().iter().take(100).map(|trace| trace.id.to_string()).collect();
        assert_eq!(edges.iter().map(|edge| edge["node"]["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
        for trace in edges.iter().map(|edge| &edge["node"]) {
            let id = trace["id"].as_str().unwrap();
            let known = known.get(id).filter(|known| known["block"] == own["header"]);
            // The lifecycle of one that was delayed has what created it, too.
            let Some(known) = known.filter(|_| trace["scheduled"] == false) else { continue };
            for (field, value) in trace.as_object().unwrap() {
                assert_eq!(*value, known[field], "{field} of {id} in its block");
            }
        }
        let page = &own["transactionTraces"]["pageInfo"];
        let cursor = |edge: Option<&Value>| edge.map_or(json!(""), |edge| edge["cursor"].clone());
        assert_eq!((&page["startCursor"], &page["endCursor"]), (&cursor(edges.first()), &cursor(edges.last())));
        assert_eq!(page["hasNextPage"], block.transaction_traces().len() > 100);
        assert_eq!(page["hasPreviousPage"], false);
    }
}

/// The schedule that a block announces in an extension of its header: the node takes it as pending with this very block.
fn announced(block: &Block) -> Value {
    let pending = block.pending_schedule.as_ref().and_then(|pending| pending.schedule_v2.as_ref());
    let schedule =
        pending.filter(|schedule| !schedule.producers.is_empty()).or(block.active_schedule_v2.as_ref()).unwrap();
    let producer = |producer: &model::ProducerAuthority| {
        let key = producer.block_signing_authority.v0.as_ref().and_then(|authority| authority.keys.first());
        let key = key.map(|key| key.public_key.clone()).unwrap_or_default();
        json!({"producerName": producer.account_name.to_string(), "blockSigningKey": key})
    };
    json!({"version": schedule.version, "producers": schedule.producers.iter().map(producer).collect::<Vec<_>>()})
}

/// A chain of a log, as far as so many blocks, and its blocks.
async fn grown(file: &str, count: usize) -> Option<(TestChain, Vec<Block>)> {
    let mut blocks = Vec::new();
    let mut reader = dfuse_deep_mind::Reader::new(recorded::open(file)?);
    while blocks.len() < count
        && let Some(event) = reader.next_event().unwrap()
    {
        if let dfuse_deep_mind::Event::Block(block) = event {
            blocks.push(*block);
        }
    }
    let mut chain = TestChain::new(Box::new(recorded::open(file)?)).await;
    assert_eq!(chain.grow(count).await, blocks.len());
    let blocks = canonical(&chain, blocks);
    Some((chain, blocks))
}

/// Fields whose values say nothing here.
const SILENT: [&str; 12] = [
    // The history of an account asks for no operations and no data.
    "AccountHistoryActionsConnection.details",
    "AccountHistoryActionsConnection.stateFromBlockNum",
    // Nothing is undone here, as in `replay` and `history`.
    "SearchTransactionForwardResponse.undo",
    // No such action is in the history of the accounts.
    "SimpleActionTrace.contextFree",
    "TableDeltasResponse.undo",
    // These are asked at the head, from before the first row, and all at once; `state` has others.
    "TableDiffResponse.isIrreversible",
    "TableRowDiff.old",
    "TableRowResponse.isIrreversible",
    "TableRowsResponse.cursor",
    // Nobody set a limit.
    "Transaction.maxCPUUsageMS",
    "Transaction.maxNetUsageWords",
    // They are recovered where the chain's id is known.
    "TransactionLifecycle.publicKeys",
];

#[tokio::test(flavor = "multi_thread")]
async fn of_the_chain_with_everything() {
    let Some((chain, blocks)) = grown("small/small.dmlog.zst", usize::MAX).await else { return };
    let mut walk = Walk::of(&chain).await;
    gaps::of_filtered_blocks(&blocks[..60], &mut walk).await;
    // Stores of blocks begin at the beginning, or at a bundle.
    let middle = blocks.iter().position(|block| block.number == 200).unwrap();
    gaps::of_the_middle(&blocks[middle..middle + 60], &mut walk).await;
    gaps::of_state_history(&mut walk).await;
    let known = compare(&chain, &blocks, 1, &mut walk).await;
    assert!(known.len() > 855, "{}", known.len());
    compare_blocks(&chain, &blocks, &known, &mut walk).await;
    compare_with_nodes(&blocks, "small/answers.json.gz");
    histories(&chain, &blocks, &known, &mut walk).await;
    let mut others = Others { chain: &chain, blocks: &blocks, walk: &mut walk, known };
    others.searches(300).await;
    others.names_of_blocks().await;
    others.followed_transactions(50).await;
    others.tables(12).await;
    others.tokens().await;
    others.rows_of_node("small/answers.json.gz").await;
    // Whatever the schema has was looked at.
    let [unasked, silent] = walk.unvisited();
    assert_eq!(unasked, Vec::<String>::new());
    assert_eq!(silent, SILENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_chain_with_forks() {
    let Some((chain, blocks)) = grown("fork/fork.dmlog.zst", usize::MAX).await else { return };
    let mut walk = Walk::of(&chain).await;
    let known = compare(&chain, &blocks, 1, &mut walk).await;
    assert!(known.len() >= 1825, "{}", known.len());
    compare_blocks(&chain, &blocks, &known, &mut walk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_busy_chain_in_part() {
    let Some((chain, blocks)) = grown("busy/busy.dmlog.zst", 80).await else { return };
    let mut walk = Walk::of(&chain).await;
    let known = compare(&chain, &blocks, 10, &mut walk).await;
    assert!(known.len() > 50, "{}", known.len());
    compare_blocks(&chain, &blocks, &known, &mut walk).await;
    let mut others = Others { chain: &chain, blocks: &blocks, walk: &mut walk, known };
    others.searches(100).await;
    others.names_of_blocks().await;
    others.followed_transactions(100).await;
}

/// What a node answered of the same blocks: so the blocks that all is compared with are the node's.
fn compare_with_nodes(blocks: &[Block], file: &str) {
    let answers = recorded::json(file).unwrap();
    let theirs = answers["blocks"].as_object().unwrap();
    let mut compared = 0;
    for block in blocks {
        let Some(theirs) = theirs.get(&block.number.to_string()) else { continue };
        compared += 1;
        let own = block_header(block.id, block.number, &block.header);
        for (ours, name) in [
            ("id", "id"),
            ("num", "block_num"),
            ("producer", "producer"),
            ("confirmed", "confirmed"),
            ("previous", "previous"),
            ("transactionMRoot", "transaction_mroot"),
            ("actionMRoot", "action_mroot"),
            ("scheduleVersion", "schedule_version"),
        ] {
            assert_eq!(own[ours], theirs[name], "{name} of {}", block.number);
        }
        let count = theirs["transactions"].as_array().unwrap().len();
        assert_eq!(block.unfiltered_transaction_count as usize, count, "{}", block.number);
    }
    assert!(compared > 300, "{compared}");
}

/// Actions in the history of accounts are those of their transactions in final blocks, newest first, whatever the pages.
async fn histories(chain: &TestChain, blocks: &[Block], known: &BTreeMap<String, Value>, walk: &mut Walk) {
    let lib = chain.service.chain().serving.snapshot().lib().unwrap().number;
    let mut compared = 0;
    for account in ["alice", "bob", "eosio", "carol"] {
        let expected = done_by(account, blocks.iter().rev().filter(|block| block.number <= lib));
        let (mut found, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let variables = json!({"account": account, "cursor": cursor});
            let answer = chain.answer(request(&documents::history(), variables)).await;
            assert!(answer["errors"].is_null(), "{answer}");
            walk.see("Query", &answer["data"]);
            let page = &answer["data"]["getAccountHistoryActions"];
            others::lacks_nothing(page);
            let edges = page["edges"].as_array().unwrap();
            for edge in edges {
                let node = &edge["node"];
                let id = node["trxID"].as_str().unwrap().to_owned();
                let at = node["executionIndex"].as_u64().unwrap() as usize;
                same_action(node, &id, at, &known[&id]);
                found.push((id, at));
            }
            let has_next = found.len() < expected.len();
            let own = |edge: Option<&Value>| edge.map_or(json!(""), |edge| edge["cursor"].clone());
            let info = json!({"startCursor": own(edges.first()), "endCursor": own(edges.last()), "hasNextPage": has_next,
                "hasPreviousPage": !cursor.is_null()});
            assert_eq!(page["pageInfo"], info, "{account}");
            if !has_next {
                break;
            }
            cursor = own(edges.last());
        }
        assert_eq!(found, expected, "{account}");
        compared += found.len();
    }
    assert!(compared > 200, "{compared}");
}

/// What an account authorised or executed in blocks that come newest first: transactions, and positions of actions there.
fn done_by<'a>(account: &str, blocks: impl Iterator<Item = &'a Block>) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    for trace in blocks.flat_map(|block| block.transaction_traces().iter().rev()).filter(|trace| !trace.is_reverted()) {
        let is_own = |action: &&model::ActionTrace| {
            let mut authorizers = action.action.authorization.iter().map(|level| level.actor);
            action.receiver.to_string() == account || authorizers.any(|actor| actor.to_string() == account)
        };
        let own = trace.action_traces.iter().filter(is_own).map(|action| action.execution_index as usize);
        let mut own: Vec<_> = own.collect();
        own.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
        all.extend(own.into_iter().map(|at| (trace.id.to_string(), at)));
    }
    all
}

/// An action of a history is that of its trace.
fn same_action(node: &Value, id: &str, at: usize, trace: &Value) {
    let action = &trace["executedActions"][at];
    for (field, value) in node.as_object().unwrap() {
        let other = match field.as_str() {
            "blockNum" => json!(trace["block"]["num"].to_string()),
            "blockID" => trace["block"]["id"].clone(),
            "blockTime" => trace["block"]["timestamp"].clone(),
            "trxID" => json!(id),
            field => action[field].clone(),
        };
        assert_eq!(*value, other, "{field} of {id} {at}");
    }
}
