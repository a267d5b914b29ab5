//! A chain of which state history tells: rows change in its blocks, and no single action is known to have done it.

use std::{
    collections::{BTreeMap, HashMap},
    io::{Cursor, Read},
};

use bytes::Bytes;
use dfuse_antelope::{Checksum256, Name, model::Block};
use dfuse_query::GraphqlResponse;
use dfuse_ship::{Assembler, BlockLog, HistoryBlock, HistoryLog, MemoryRows};
use dfuse_testkit::recorded;
use futures::{StreamExt, stream::BoxStream};
use serde_json::{Value, json};

use crate::support::{TestChain, request, written};

const DELTAS: &str = "subscription($code: String!, $table: String!, $scope: String!, $cursor: String, $high: Uint32, \
    $markers: Uint32){tableDeltas(code: $code, table: $table, scope: $scope, lowBlockNum: 2, highBlockNum: $high, \
    cursor: $cursor, liveMarkerInterval: $markers){undo cursor block{num id} deltas{trace{id} dbOp{operation oldPayer \
    newPayer key{key} oldData newData oldJSON{object} newJSON{object}}}}}";
/// Tables that are looked at of each chain.
const TABLES: usize = 8;

fn log(chain: &str, file: &str) -> Option<Cursor<Vec<u8>>> {
    recorded::tar_member(&format!("{chain}/ship-and-blocks.tar.zst"), file).map(Cursor::new)
}

fn entries(chain: &str, name: &str) -> Option<HashMap<Checksum256, Bytes>> {
    let mut log = HistoryLog::open(log(chain, &format!("state-history/{name}_history.log"))?).unwrap();
    let mut all = HashMap::new();
    while let Some(entry) = log.next_entry().unwrap() {
        let mut content = Vec::new();
        log.content(&entry).unwrap().read_to_end(&mut content).unwrap();
        all.insert(entry.block_id, content.into());
    }
    Some(all)
}

/// The blocks from the second on, made of the logs of a node.
pub(crate) fn blocks(chain: &str) -> Option<Vec<Block>> {
    let (traces, deltas) = (entries(chain, "trace")?, entries(chain, "chain_state")?);
    let mut log = BlockLog::open(log(chain, "blocks/blocks.log")?).unwrap();
    let genesis = log.genesis().unwrap().clone();
    let (mut assembler, mut blocks): (Option<Assembler>, _) = (None, Vec::new());
    while let Some(logged) = log.next_block().unwrap() {
        let history = traces.get(&logged.id).cloned().unwrap_or_default();
        let block = HistoryBlock::decode(logged.id, &logged.block, &history, &deltas[&logged.id][..]).unwrap();
        match &mut assembler {
            None => {
                assembler = Some(Assembler::genesis(&genesis, block.id, block.deltas, Box::<MemoryRows>::default()));
            }
            Some(assembler) => blocks.push(assembler.block(block).unwrap()),
        }
    }
    Some(blocks)
}

/// Tables of which most changes are of no action.
fn tables(blocks: &[Block]) -> Vec<Value> {
    let mut counts = BTreeMap::new();
    for op in blocks.iter().filter_map(|block| block.state_history.as_ref()).flat_map(|history| &history.db_ops) {
        *counts.entry((op.code, op.table_name, op.scope)).or_insert(0) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().take(TABLES).map(|((code, name, scope), _)| table(code, name, scope)).collect()
}

/// The variables that name a table.
fn table(code: Name, table: Name, scope: Name) -> Value {
    json!({"code": code.to_string(), "table": table.to_string(), "scope": scope.to_string()})
}

fn with(table: &Value, more: &Value) -> Value {
    let mut variables = table.clone();
    variables.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    variables
}

async fn next(stream: &mut BoxStream<'static, GraphqlResponse>) -> Option<Value> {
    let answer = written(stream.next().await?);
    assert!(answer["errors"].is_null(), "{answer}");
    Some(answer["data"]["tableDeltas"].clone())
}

async fn all(chain: &TestChain, variables: Value) -> Vec<Value> {
    let mut stream = chain.execute(request(DELTAS, variables));
    let mut events = Vec::new();
    while let Some(event) = next(&mut stream).await {
        events.push(event);
    }
    events
}

fn deltas(event: &Value) -> &[Value] {
    event["deltas"].as_array().unwrap()
}

/// What rows were before and after a block, of those that it changed.
fn net(event: &Value) -> BTreeMap<String, [Value; 2]> {
    let mut rows: BTreeMap<String, [Value; 2]> = BTreeMap::new();
    for delta in deltas(event) {
        let op = &delta["dbOp"];
        let side = |payer: &str, data: &str, json: &str| json!([op[payer], op[data], op[json]["object"]]);
        let old = side("oldPayer", "oldData", "oldJSON");
        let new = side("newPayer", "newData", "newJSON");
        let key = op["key"]["key"].as_str().unwrap().to_owned();
        rows.entry(key).or_insert_with(|| [old, Value::Null])[1] = new;
    }
    rows.retain(|_, [old, new]| old != new);
    rows
}

/// The same of each block that changes something.
fn nets(events: &[Value]) -> BTreeMap<u64, BTreeMap<String, [Value; 2]>> {
    let all = events.iter().map(|event| (event["block"]["num"].as_u64().unwrap(), net(event)));
    all.filter(|(_, net)| !net.is_empty()).collect()
}

async fn compare(name: &str) -> Option<()> {
    let blocks = blocks(name)?;
    let deep_mind = TestChain::recorded(&format!("{name}/{name}.dmlog.zst")).await?;
    let mut chain = TestChain::new(Box::new(std::io::empty())).await;
    let high = blocks.last().unwrap().number;
    let tables = tables(&blocks);
    for block in blocks {
        chain.push(block).await;
    }
    let (mut of_block, mut of_actions) = (0, 0);
    for table in &tables {
        let variables = with(table, &json!({"high": high}));
        let own = all(&chain, variables.clone()).await;
        assert_eq!(nets(&own), nets(&all(&deep_mind, variables.clone()).await), "{name} {table}");
        let traces = own.iter().flat_map(deltas).map(|delta| &delta["trace"]);
        of_block += traces.clone().filter(|trace| trace.is_null()).count();
        of_actions += traces.filter(|trace| trace["id"].is_string()).count();
        for at in (0..own.len()).step_by(23) {
            let rest = all(&chain, with(&variables, &json!({"cursor": own[at]["cursor"]}))).await;
            assert_eq!(rest, own[at + 1..], "{name} {table}");
        }
    }
    assert!(of_block > 100 && of_actions > 10, "{name}: {of_block} {of_actions}");
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_change_as_deep_mind_tells() {
    for name in ["small", "fork"] {
        compare(name).await;
    }
}

/// The block in another branch.
fn again(mut block: Block, parent: Checksum256) -> Block {
    block.id.0[31] ^= 0xff;
    block.header.previous = parent;
    let id = block.id;
    block.unfiltered_transaction_traces.iter_mut().for_each(|trace| trace.producer_block_id = Some(id));
    block
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_block_changed_is_taken_back_with_it() {
    let Some(blocks) = blocks("small") else { return };
    let of_block = |block: &Block| block.state_history.as_ref().and_then(|history| history.db_ops.first().cloned());
    let (lost, op) = (100..).find_map(|at| Some((at, of_block(&blocks[at])?))).unwrap();
    let table = &table(op.code, op.table_name, op.scope);
    let mut chain = TestChain::new(Box::new(std::io::empty())).await;
    for block in &blocks[..=lost] {
        chain.push(block.clone()).await;
    }
    let mut stream = chain.execute(request(DELTAS, with(table, &json!({"markers": 1}))));
    let mut told = next(&mut stream).await.unwrap();
    let mut cursor_before = told["cursor"].clone();
    while told["block"]["id"] != blocks[lost].id.to_string() {
        cursor_before = std::mem::replace(&mut told, next(&mut stream).await.unwrap())["cursor"].clone();
    }
    assert!(deltas(&told).iter().any(|delta| delta["trace"].is_null()));
    let brother = again(blocks[lost].clone(), blocks[lost - 1].id);
    let (id, parent) = (brother.id.to_string(), brother.id);
    chain.push(brother).await;
    chain.push(again(blocks[lost + 1].clone(), parent)).await;
    let undone = next(&mut stream).await.unwrap();
    assert_eq!((&undone["undo"], &undone["block"]), (&json!(true), &told["block"]));
    assert!(deltas(&undone).iter().eq(deltas(&told).iter().rev()), "{undone}");
    let new = next(&mut stream).await.unwrap();
    assert_eq!((&new["undo"], &new["block"]["id"], net(&new)), (&json!(false), &json!(id), net(&told)));
    // Whoever had the block hears that it is undone, others do not.
    for (cursor, expected) in [(&told["cursor"], &undone), (&cursor_before, &new)] {
        let mut resumed = chain.execute(request(DELTAS, with(table, &json!({"cursor": cursor, "markers": 1}))));
        assert_eq!(next(&mut resumed).await.unwrap(), *expected);
    }
}

/// The chain may come back to a block before the indexes have left it. Whoever was told of it is told that it is undone all the same,
/// because the block is new to them once more.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_does_not_wait_for_the_indexes() {
    let Some(blocks) = blocks("small") else { return };
    let of_block = |block: &Block| block.state_history.as_ref().and_then(|history| history.db_ops.first().cloned());
    let (lost, op) = (100..).find_map(|at| Some((at, of_block(&blocks[at])?))).unwrap();
    let mut chain = TestChain::new(Box::new(std::io::empty())).await;
    for block in &blocks[..=lost] {
        chain.push(block.clone()).await;
    }
    let low = json!({"low": blocks[lost].number});
    let rows = "subscription($code: String!, $table: String!, $scope: String!, $low: Uint32){tableDeltas(code: $code, \
        table: $table, scope: $scope, lowBlockNum: $low){undo block{id}}}";
    let found = "subscription($low: Int64!){searchTransactionsForward(query: \"action:onblock\", lowBlockNum: $low)\
        {undo block{id}}}";
    let documents = [
        (request(rows, with(&table(op.code, op.table_name, op.scope), &low)), "tableDeltas"),
        (request(found, low), "searchTransactionsForward"),
    ];
    let mut streams: Vec<_> = documents.map(|(document, field)| (chain.execute(document), field)).into();
    let mut told = Vec::new();
    for (stream, field) in &mut streams {
        let first = written(stream.next().await.unwrap());
        assert_eq!(first["data"][*field]["block"]["id"], blocks[lost].id.to_string(), "{first}");
        told.push(first);
    }
    chain.stop_indexing().await;
    let brother = again(blocks[lost].clone(), blocks[lost - 1].id);
    let parent = brother.id;
    chain.take(brother).await;
    chain.take(again(blocks[lost + 1].clone(), parent)).await;
    for ((stream, field), told) in streams.iter_mut().zip(told) {
        let undone = loop {
            let next = written(stream.next().await.unwrap());
            if next["data"][*field]["undo"] != false {
                break next;
            }
        };
        assert_eq!(undone["data"][*field], json!({"undo": true, "block": told["data"][*field]["block"]}), "{undone}");
    }
}
