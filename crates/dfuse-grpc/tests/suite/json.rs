//! The JSON in blocks, against what the reader of firehose-antelope fills in for the same log.

use std::collections::BTreeMap;

use dfuse_antelope::model::{Action, Block, Message as _, TransactionTrace};
use dfuse_blocks::EncodedBlock;
use dfuse_grpc::Options;
use dfuse_proto::sf::firehose::v2::{
    ForkStep, Request, Response, SingleBlockRequest,
    fetch_client::FetchClient,
    single_block_request::{BlockNumber, Reference},
    stream_client::StreamClient,
};
use dfuse_testkit::recorded;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{FORKS, TestChain, code};

const SMALL: &str = "small/small.dmlog.zst";
const THEIRS: &str = "small/firehose-json.jsonl.gz";

fn block(response: &Response) -> Block {
    Block::decode(&response.block.as_ref().unwrap().value).unwrap()
}

/// JSON text as a value; none where it is empty.
fn value(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { serde_json::from_str(text).unwrap() }
}

/// The actions of a trace that have JSON, as the recording tells them.
fn actions(trace: &TransactionTrace) -> Vec<Value> {
    let of = |it: &dfuse_antelope::model::ActionTrace| {
        json!([
            it.action_ordinal,
            it.action.account.to_string(),
            it.action.name.to_string(),
            value(&it.action.json_data),
            value(&it.json_return_value)
        ])
    };
    trace.action_traces.iter().map(of).collect()
}

fn their_actions(list: &Value) -> Vec<Value> {
    let of =
        |it: &Value| json!([it["action_ordinal"], it["account"], it["name"], it["json_data"], it["json_return_value"]]);
    list.as_array().into_iter().flatten().map(of).collect()
}

fn deferred_actions(trace: &TransactionTrace) -> Vec<Value> {
    let transactions = trace.dtrx_ops.iter().filter_map(|op| op.transaction.as_ref());
    let of = |it: &Action| json!([it.account.to_string(), it.name.to_string(), value(&it.json_data)]);
    let actions = transactions.flat_map(|it| it.transaction.context_free_actions.iter().chain(&it.transaction.actions));
    actions.map(of).collect()
}

/// Whether values are the same, but for the fraction of a second, which theirs leave out in rows.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::String(ours), Value::String(theirs)) => {
            ours == theirs || ours.strip_prefix(&**theirs).is_some_and(|rest| [".000", ".500"].contains(&rest))
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, ours)| theirs.get(key).is_some_and(|theirs| same(ours, theirs)))
        }
        _ => ours == theirs,
    }
}

/// Compares the rows of a transaction. Returns how many have JSON.
fn compare_rows(number: u32, ours: &TransactionTrace, theirs: &Value, given_up: &mut Vec<u32>) -> usize {
    let theirs: Vec<_> = theirs.as_array().into_iter().flatten().collect();
    assert_eq!(ours.db_ops.len(), theirs.len(), "block {number}");
    let mut filled = 0;
    for (op, theirs) in ours.db_ops.iter().zip(theirs) {
        let names = [op.code, op.scope, op.table_name, op.primary_key].map(|it| it.to_string());
        assert_eq!(names.clone().map(Value::from)[..], theirs.as_array().unwrap()[..4], "block {number}");
        for (ours, theirs) in [(&op.old_data_json, &theirs[4]), (&op.new_data_json, &theirs[5])] {
            let ours = value(ours);
            filled += usize::from(!ours.is_null());
            // Proposals that can be decoded, and on which theirs gives up.
            let is_given_up =
                theirs.is_null() && !ours.is_null() && (&*names[0], &*names[2]) == ("eosio.msig", "proposal");
            given_up.extend(is_given_up.then_some(number));
            assert!(is_given_up || same(&ours, theirs), "block {number}, {op:?}: {ours} instead of {theirs}");
        }
    }
    filled
}

/// The block without its JSON.
fn bare(mut block: Block) -> Block {
    fn clear(trace: &mut TransactionTrace) {
        for action in &mut trace.action_traces {
            action.action.json_data.clear();
            action.json_return_value.clear();
        }
        for op in &mut trace.db_ops {
            op.old_data_json.clear();
            op.new_data_json.clear();
        }
        trace.dtrx_ops.iter_mut().filter_map(|op| op.transaction.as_mut()).for_each(|it| clear_actions(it));
        trace.failed_dtrx_trace.iter_mut().for_each(|it| clear(it));
    }
    fn clear_actions(transaction: &mut dfuse_antelope::model::SignedTransaction) {
        let transaction = &mut transaction.transaction;
        let actions = transaction.actions.iter_mut().chain(&mut transaction.context_free_actions);
        actions.for_each(|action| action.json_data.clear());
    }
    block.unfiltered_transaction_traces.iter_mut().for_each(clear);
    let implicit = block.unfiltered_implicit_transaction_ops.iter_mut();
    implicit.filter_map(|op| op.transaction.as_mut()).for_each(clear_actions);
    block
}

#[tokio::test]
async fn blocks_have_the_json_that_the_family_fills_in() {
    let (Some(mut chain), Some(theirs)) =
        (TestChain::recorded_with(SMALL, Options::default()).await, recorded::lines(THEIRS))
    else {
        return;
    };
    // Some come as they are new, the others from bundles.
    let client = || StreamClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
    let mut live = client().blocks(Request::default()).await.unwrap().into_inner();
    let mut history = client();
    let mut new = Vec::new();
    while chain.grow(1).await > 0 {
        new.push(live.message().await.unwrap().unwrap());
    }
    chain.write_bundles().await;
    chain.served().await;
    let stop_block_num = chain.blocks.last().unwrap().number.into();
    let asked = Request { stop_block_num, ..Request::default() };
    let mut old = history.blocks(asked.clone()).await.unwrap().into_inner();
    let (mut rows, mut implicit, mut given_up) = (0, 0, Vec::new());
    for ((theirs, new), plain) in theirs.zip(&new).zip(&chain.blocks) {
        let theirs: Value = serde_json::from_slice(&theirs).unwrap();
        let old = old.message().await.unwrap().unwrap();
        assert!((old.step, &old.block, &old.metadata) == (new.step, &new.block, &new.metadata), "{:?}", new.metadata);
        let ours = block(new);
        assert_eq!(theirs["id"], ours.id.to_string());
        let transactions: Vec<_> = theirs["transactions"].as_array().into_iter().flatten().collect();
        assert_eq!(transactions.len(), ours.unfiltered_transaction_traces.len());
        for (trace, theirs) in ours.unfiltered_transaction_traces.iter().zip(transactions) {
            assert_eq!(actions(trace), their_actions(&theirs["actions"]), "block {}", ours.number);
            let failed = trace.failed_dtrx_trace.as_ref().map(|it| actions(it)).unwrap_or_default();
            assert_eq!(failed, their_actions(&theirs["failed_dtrx_actions"]), "block {}", ours.number);
            let deferred = theirs["dtrx_actions"].as_array().cloned().unwrap_or_default();
            assert_eq!(deferred_actions(trace), deferred, "block {}", ours.number);
            // Operations of genesis are in our block 2 and not in theirs.
            if ours.number > 2 {
                rows += compare_rows(ours.number, trace, &theirs["db_ops"], &mut given_up);
            }
        }
        let ops = ours.unfiltered_implicit_transaction_ops.iter().filter_map(|op| op.transaction.as_ref());
        implicit += ops.flat_map(|it| &it.transaction.actions).filter(|it| !it.json_data.is_empty()).count();
        // Everything else is as it was.
        assert_eq!(bare(ours), **plain);
    }
    let count = |block| given_up.iter().filter(|it| **it == block).count();
    assert_eq!((count(59), count(60), count(73), given_up.len()), (5, 6, 3, 14));
    assert!(rows > 3500 && implicit > 300, "{rows} rows, {implicit} implicit actions");

    // One request wants none, another one something else.
    let with = |text: &'static str| {
        let mut request = tonic::Request::new(asked.clone());
        request.metadata_mut().insert("x-dfuse-json", text.parse().unwrap());
        request
    };
    let mut raw = history.blocks(with("false")).await.unwrap().into_inner();
    for plain in &chain.blocks {
        assert_eq!(raw.message().await.unwrap().unwrap().block.unwrap().value, plain.to_bytes());
    }
    let status = history.blocks(with("no")).await.unwrap_err();
    assert_eq!((status.code(), &*code(&status)), (Code::InvalidArgument, "request_validation_error"));
    // A single block has the same.
    let mut fetch = FetchClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
    let reference = Some(Reference::BlockNumber(BlockNumber { num: new[100].metadata.as_ref().unwrap().num }));
    let single = fetch.block(SingleBlockRequest { reference, transforms: Vec::new() }).await.unwrap();
    assert_eq!(single.into_inner().block, new[100].block);
    // The files have none.
    let stored = chain.feed.handle().canonical_block(chain.blocks[100].number).await.unwrap();
    let encoded: &EncodedBlock = stored.encoded();
    assert_eq!(encoded.decode().unwrap(), *chain.blocks[100]);
}

#[tokio::test]
async fn blocks_of_forks_have_their_json_as_they_come_and_as_they_go() {
    let Some(mut chain) = TestChain::recorded_with(FORKS, Options::default()).await else { return };
    let mut client = StreamClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
    let mut live = client.blocks(Request::default()).await.unwrap().into_inner();
    let mut came = BTreeMap::new();
    let (mut tip, mut undone, mut decoded) = (None, 0, 0);
    while chain.grow(1).await > 0 {
        let head = chain.feed.handle().head().unwrap();
        while tip != Some(head.id) {
            let response = live.message().await.unwrap().unwrap();
            let ours = block(&response);
            let actions = ours.unfiltered_transaction_traces.iter().flat_map(|it| &it.action_traces);
            decoded += actions.filter(|it| !it.action.json_data.is_empty()).count();
            let is_undo = response.step() == ForkStep::StepUndo;
            undone += usize::from(is_undo);
            tip = Some(if is_undo { ours.header.previous } else { ours.id });
            // Each goes as it came.
            assert_eq!(came.insert(ours.id, response.block.clone()).unwrap_or(response.block.clone()), response.block);
        }
    }
    assert!(undone > 3 && decoded > 4000, "{undone} undone, {decoded} actions");
}
