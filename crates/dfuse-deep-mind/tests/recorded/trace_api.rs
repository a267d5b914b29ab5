//! What the node's trace API says of blocks. It has every transaction but deferred ones that failed.

use std::collections::BTreeMap;

use dfuse_antelope::{
    Checksum256,
    model::{ActionTrace, Block, SignedTransaction, TransactionTrace},
};
use dfuse_testkit::{compare::assert_same, recorded};
use serde_json::{Value, json};

use crate::{
    chains::{BUSY, FORK, Log, SMALL},
    node_json::{self, hex, list},
};

/// Signed transactions by id, from wherever a chain says them.
type Transactions = BTreeMap<Checksum256, SignedTransaction>;

/// The transactions that traces are of: packed in a receipt, scheduled earlier, or made by the chain.
fn collect(blocks: &[&Block]) -> Transactions {
    let mut transactions = Transactions::new();
    for block in blocks {
        for receipt in &block.unfiltered_transactions {
            if let Some(packed) = &receipt.packed_transaction {
                transactions.insert(receipt.id, packed.signed_transaction().unwrap());
            }
        }
        let traces = &block.unfiltered_transaction_traces;
        for op in traces.iter().flat_map(|trace| &trace.dtrx_ops) {
            transactions.insert(op.transaction_id, *op.transaction.clone().unwrap());
        }
        for op in &block.unfiltered_implicit_transaction_ops {
            transactions.insert(op.transaction_id, op.transaction.clone().unwrap());
        }
    }
    transactions
}

fn action(action: &ActionTrace) -> Value {
    let act = &action.action;
    json!({
        "global_sequence": action.receipt.as_ref().unwrap().global_sequence,
        "receiver": action.receiver,
        "account": act.account,
        "action": act.name,
        "authorization": list(&act.authorization, |level| json!({
            "account": level.actor,
            "permission": level.permission,
        })),
        "data": hex(&act.raw_data),
        "return_value": hex(&action.raw_return_value),
    })
}

fn transaction(trace: &TransactionTrace, transactions: &Transactions) -> Value {
    let receipt = trace.receipt.as_ref().unwrap();
    // A handler goes by the id of the transaction whose failure it handles.
    let id = trace.failed_dtrx_trace.as_ref().map_or(trace.id, |failed| failed.id);
    let signed = &transactions[&id];
    // The trace API leaves out context-free actions.
    let actions = trace.action_traces.iter().filter(|action| !action.context_free);
    json!({
        "id": id,
        "block_num": trace.block_num,
        "block_time": trace.block_time,
        "producer_block_id": trace.producer_block_id,
        "actions": actions.map(action).collect::<Value>(),
        "status": node_json::status(receipt.status),
        "cpu_usage_us": receipt.cpu_usage_micro_seconds,
        "net_usage_words": receipt.net_usage_words,
        // Who signed a deferred transaction is said when it is pushed.
        "signatures": if trace.scheduled { &[][..] } else { &signed.signatures },
        "transaction_header": node_json::header(&signed.transaction.header),
    })
}

fn block(block: &Block, is_final: bool, transactions: &Transactions) -> Value {
    let header = &block.header;
    let traces: Vec<&TransactionTrace> =
        block.unfiltered_transaction_traces.iter().filter(|trace| !trace.is_reverted()).collect();
    json!({
        "id": block.id,
        "number": block.number,
        "previous_id": header.previous,
        "status": if is_final { "irreversible" } else { "pending" },
        "timestamp": format!("{}Z", header.timestamp),
        "producer": header.producer,
        "transaction_mroot": hex(header.transaction_mroot),
        "action_mroot": hex(header.action_mroot),
        "schedule_version": header.schedule_version,
        "transactions": list(&traces, |trace| transaction(trace, transactions)),
    })
}

fn compare(log: &'static Log, wanted: (usize, usize, usize)) {
    let Some(chain) = log.chain() else { return };
    let Some(answers) = recorded::json_lines(&log.beside("trace_api_blocks.jsonl.gz")) else { return };
    let canonical = chain.canonical();
    let transactions = collect(&canonical);
    let lib = chain.head().lib_num();
    let mut compared = (0, 0, 0);
    for theirs in answers {
        let number = theirs["number"].as_u64().unwrap() as usize;
        let ours = canonical[number - canonical[0].number as usize];
        let ours = block(ours, ours.number <= lib, &transactions);
        assert_same(format!("{}, block {number}: ", log.name), &ours, &theirs);
        let transactions = theirs["transactions"].as_array().unwrap();
        compared.0 += 1;
        compared.1 += transactions.len();
        compared.2 += transactions.iter().map(|t| t["actions"].as_array().unwrap().len()).sum::<usize>();
    }
    assert_eq!(compared, wanted, "{}: blocks, transactions, actions", log.name);
}

#[test]
fn transactions_are_those_of_the_trace_api() {
    compare(&SMALL, (364, 855, 1379));
    compare(&FORK, (413, 1825, 4891));
    compare(&BUSY, (40, 1410, 5346));
}
