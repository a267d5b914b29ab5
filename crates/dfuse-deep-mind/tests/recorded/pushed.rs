//! What `push_transaction` answered, for the transactions that came into a block.

use std::collections::BTreeMap;

use dfuse_antelope::{
    Checksum256,
    model::{ActionTrace, RamAction, TransactionTrace},
};
use dfuse_testkit::{compare::assert_same, recorded};
use serde_json::{Value, json};

use crate::{
    chains::{FORK, Log, SMALL},
    node_json::{self, hex, list, ram_delta, without},
};

fn action(action: &ActionTrace) -> Value {
    let receipt = action.receipt.as_ref().unwrap();
    json!({
        "action_ordinal": action.action_ordinal,
        "creator_action_ordinal": action.creator_action_ordinal,
        "closest_unnotified_ancestor_action_ordinal": action.closest_unnotified_ancestor_action_ordinal,
        "receipt": {
            "receiver": receipt.receiver,
            "act_digest": receipt.digest,
            "global_sequence": receipt.global_sequence,
            "recv_sequence": receipt.recv_sequence,
            "auth_sequence": list(&receipt.auth_sequence, |entry| json!([entry.account_name, entry.sequence])),
            "code_sequence": receipt.code_sequence,
            "abi_sequence": receipt.abi_sequence,
        },
        "receiver": action.receiver,
        "act": node_json::action(&action.action),
        "context_free": action.context_free,
        "block_num": action.block_num,
        "block_time": action.block_time,
        "console": action.console,
        "trx_id": action.transaction_id,
        "account_ram_deltas": list(&action.account_ram_deltas, ram_delta),
        "except": null,
        "error_code": null,
        "return_value_hex_data": hex(&action.raw_return_value),
    })
}

fn transaction(trace: &TransactionTrace) -> Value {
    let receipt = trace.receipt.as_ref().unwrap();
    json!({
        "id": trace.id,
        "receipt": {
            "status": node_json::status(receipt.status),
            "cpu_usage_us": receipt.cpu_usage_micro_seconds,
            "net_usage_words": receipt.net_usage_words,
        },
        "net_usage": trace.net_usage,
        "block_num": trace.block_num,
        "block_time": trace.block_time,
        "scheduled": trace.scheduled,
        "action_traces": list(&trace.action_traces, action),
        // The only change of RAM that no action makes is that of a deferred transaction.
        "account_ram_delta": trace.ram_ops.iter().find(|op| op.action == RamAction::Push).map(|op| json!({
            "account": op.payer,
            "delta": op.delta,
        })),
        "except": null,
        "error_code": null,
    })
}

/// The action and those nested in it, without what the node decoded with ABIs, and times that were measured.
fn flatten(mut action: Value, flat: &mut Vec<Value>) {
    let inline = action["inline_traces"].take();
    action["act"] = without(action["act"].take(), &["data"]);
    flat.push(without(action, &["inline_traces", "elapsed", "producer_block_id", "return_value_data"]));
    for action in inline.as_array().unwrap() {
        flatten(action.clone(), flat);
    }
}

/// An answer in the form of [`transaction`], actions in the order of execution.
fn answered(processed: Value) -> Value {
    let mut processed = without(processed, &["elapsed", "producer_block_id"]);
    let mut flat = vec![];
    for action in processed["action_traces"].as_array().unwrap() {
        flatten(action.clone(), &mut flat);
    }
    flat.sort_by_key(|action| action["receipt"]["global_sequence"].as_u64());
    processed["action_traces"] = flat.into();
    processed
}

/// Leaves out what depends on the place in the chain. The node that was asked executed the transaction on top of its own
/// head; where another producer put it in a block, or another branch won, that place is another one. What the action
/// did, the order, and the versions of code and ABI are the same.
fn without_place(transaction: Value) -> Value {
    let mut transaction = without(transaction, &["block_num", "block_time"]);
    transaction["receipt"] = without(transaction["receipt"].take(), &["cpu_usage_us"]);
    for action in transaction["action_traces"].as_array_mut().unwrap() {
        *action = without(action.take(), &["block_num", "block_time"]);
        let mut receipt = without(action["receipt"].take(), &["global_sequence", "recv_sequence"]);
        for entry in receipt["auth_sequence"].as_array_mut().unwrap() {
            *entry = entry[0].take();
        }
        action["receipt"] = receipt;
    }
    transaction
}

/// How many of the answers are of which kind.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    compared: usize,
    actions: usize,
    /// Executed when they were pushed, and in no block of the canonical chain.
    lost: usize,
    /// Refused, hence in no block at all.
    refused: usize,
}

fn compare(log: &'static Log, file: &str, same_place: bool, wanted: &Answers) {
    let Some(chain) = log.chain() else { return };
    let Some(answers) = recorded::json_lines(&log.beside(file)) else { return };
    let canonical = chain.canonical();
    // A transaction that was pushed with a delay has a second trace, of its execution.
    let traces: BTreeMap<Checksum256, &TransactionTrace> = canonical
        .iter()
        .flat_map(|block| &block.unfiltered_transaction_traces)
        .filter(|trace| !trace.scheduled)
        .map(|trace| (trace.id, trace))
        .collect();
    let mut found = Answers { compared: 0, actions: 0, lost: 0, refused: 0 };
    for mut answer in answers {
        let trace = traces.get(&answer["id"].as_str().unwrap().parse().unwrap());
        let what = format!("{file}, transaction {}: ", answer["id"]);
        match (answer["ok"].as_bool().unwrap(), trace) {
            (true, Some(trace)) => {
                let (ours, theirs) = (transaction(trace), answered(answer["processed"].take()));
                found.compared += 1;
                found.actions += trace.action_traces.len();
                if same_place {
                    assert_same(what, &ours, &theirs);
                } else {
                    assert_same(what, &without_place(ours), &without_place(theirs));
                }
            }
            (true, None) => found.lost += 1,
            (false, None) => found.refused += 1,
            (false, Some(_)) => panic!("{what}was refused and is in a block"),
        }
    }
    assert_eq!(found, *wanted, "{file}");
}

#[test]
fn executed_as_it_was_answered() {
    // One producer made the blocks of `small` and answered: even what was predicted came true.
    let wanted = Answers { compared: 424, actions: 935, lost: 0, refused: 11 };
    compare(&SMALL, "pushed.jsonl.gz", true, &wanted);
    let wanted = Answers { compared: 629, actions: 1928, lost: 11, refused: 1 };
    compare(&FORK, "pushed-a.jsonl.gz", false, &wanted);
    let wanted = Answers { compared: 786, actions: 2559, lost: 0, refused: 0 };
    compare(&FORK, "pushed-b.jsonl.gz", false, &wanted);
}
