//! Every field that both we and the nodes know.

use std::collections::{BTreeMap, BTreeSet};

use dfuse_antelope::Checksum256;
use dfuse_testkit::{compare::assert_same, recorded};
use serde_json::{Map, Value, json};

use crate::chain::Chain;

/// A number that may be text.
fn number(value: &Value) -> Value {
    value.as_str().map_or_else(|| value.clone(), |text| text.parse::<u64>().unwrap().into())
}

/// `.000` is left out by us and not by nodes.
fn time(value: &Value) -> Value {
    let text = value.as_str().unwrap();
    if text.contains('.') { value.clone() } else { format!("{text}.000").into() }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn flatten<'a>(actions: &'a Value, flat: &mut Vec<&'a Value>) {
    for action in items(actions) {
        flat.push(action);
        flatten(&action["inline_traces"], flat);
    }
}

/// All actions in the order of execution.
fn actions(trace: &Value) -> Vec<&Value> {
    let mut flat = Vec::new();
    flatten(&trace["action_traces"], &mut flat);
    flat.sort_by_key(|action| number(&action["receipt"]["global_sequence"]).as_u64());
    flat
}

/// A lifecycle in the form of the trace API.
fn in_trace_api(lifecycle: &Value, by_id: &BTreeMap<String, &Value>) -> Value {
    let trace = &lifecycle["execution_trace"];
    // A handler goes by the id of the transaction whose failure it handles.
    let failed = &trace["failed_dtrx_trace"]["id"];
    let of = if failed.is_null() { lifecycle } else { by_id[failed.as_str().unwrap()] };
    let header =
        ["expiration", "ref_block_num", "ref_block_prefix", "max_net_usage_words", "max_cpu_usage_ms", "delay_sec"];
    let header = header.map(|key| (key.to_owned(), of["transaction"][key].clone()));
    let action = |action: &&Value| {
        json!({
            "global_sequence": number(&action["receipt"]["global_sequence"]),
            "receiver": action["receiver"],
            "account": action["act"]["account"],
            "action": action["act"]["name"],
            "authorization": items(&action["act"]["authorization"]).map(|level| json!({
                "account": level["actor"],
                "permission": level["permission"],
            })).collect::<Value>(),
            "data": action["act"].get("hex_data").cloned().unwrap_or_else(|| "".into()),
            "return_value": action.get("return_value_hex_data").cloned().unwrap_or_else(|| "".into()),
        })
    };
    json!({
        "id": of["id"],
        "block_num": trace["block_num"],
        "block_time": time(&trace["block_time"]),
        "producer_block_id": trace["producer_block_id"],
        "actions": actions(trace).iter().filter(|it| it["context_free"] == false).map(action).collect::<Value>(),
        "status": lifecycle["transaction_status"],
        "cpu_usage_us": trace["receipt"]["cpu_usage_us"],
        "net_usage_words": trace["receipt"]["net_usage_words"],
        // Who signed a deferred transaction is said when it is pushed.
        "signatures": if trace["scheduled"] == true { json!([]) } else { of["transaction"]["signatures"].clone() },
        "transaction_header": Map::from_iter(header),
    })
}

/// Blocks, transactions and actions that are the same.
fn compare_with_trace_api(name: &str, chain: &Chain) -> Option<[usize; 3]> {
    let mut compared = [0; 3];
    for mut theirs in recorded::json_lines(&format!("{name}/trace_api_blocks.jsonl.gz"))? {
        let at = theirs["number"].as_u64().unwrap() as usize - chain.best[0].number as usize;
        let block = &chain.best[at];
        let ids: Vec<_> = block.transaction_traces().iter().map(|trace| trace.id).collect();
        let lifecycles = chain.json(&ids);
        let by_id = lifecycles.iter().map(|it| (it["id"].as_str().unwrap().to_owned(), it)).collect();
        // It has every transaction but deferred ones that failed, and those that wait.
        let ours = lifecycles.iter().filter(|it| it["execution_trace"]["block_num"] == block.number);
        let ours = ours.filter(|it| match it["transaction_status"].as_str().unwrap() {
            "executed" => true,
            "soft_fail" => !it["execution_trace"]["failed_dtrx_trace"].is_null(),
            _ => false,
        });
        let ours: Value = ours.map(|it| in_trace_api(it, &by_id)).collect();
        let theirs = &mut theirs["transactions"];
        compared[0] += 1;
        for transaction in theirs.as_array_mut().unwrap() {
            compared[1] += 1;
            for action in transaction["actions"].as_array_mut().unwrap() {
                compared[2] += 1;
                let action = action.as_object_mut().unwrap();
                action.entry("return_value").or_insert_with(|| "".into());
            }
        }
        assert_same(format!("{name}, block {}: ", block.number), &ours, theirs);
        lifecycles.iter().for_each(check);
    }
    Some(compared)
}

/// What must hold of any lifecycle of these chains, whatever the nodes say.
fn check(lifecycle: &Value) {
    const KEYS: [&str; 18] = [
        "cancelation_irreversible",
        "canceled_by",
        "created_by",
        "creation_irreversible",
        "creation_tree",
        "dbops",
        "dtrx_cancelation_irreversible",
        "dtrx_creation_irreversible",
        "dtrxops",
        "execution_block_header",
        "execution_irreversible",
        "execution_trace",
        "id",
        "pub_keys",
        "ramops",
        "tableops",
        "transaction",
        "transaction_status",
    ];
    let keys: BTreeSet<_> = lifecycle.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(keys.into_iter().eq(KEYS), "{lifecycle}");
    let (transaction, trace) = (&lifecycle["transaction"], &lifecycle["execution_trace"]);
    let bodies = items(&transaction["context_free_actions"]).chain(items(&transaction["actions"]));
    let acts = actions(trace).into_iter().filter(|it| it["creator_action_ordinal"] == 0);
    if trace["receipt"]["status"] == "executed" {
        let mut acts: Vec<_> = acts.collect();
        acts.sort_by_key(|it| it["action_ordinal"].as_u64());
        assert!(bodies.eq(acts.into_iter().map(|it| &it["act"])), "{lifecycle}");
    }
    assert_eq!(lifecycle["creation_tree"].is_null(), trace.is_null());
    for action in actions(trace).into_iter().chain(actions(&trace["failed_dtrx_trace"])) {
        // Clients read the fields of receipts without asking.
        assert_eq!(action["receipt"]["receiver"], action["receiver"], "{lifecycle}");
        assert!(action["receipt"]["auth_sequence"].is_array() && action["receipt"]["act_digest"].is_string());
    }
    for list in ["context_free_actions", "actions", "transaction_extensions"] {
        assert!(transaction.is_null() || transaction[list].is_array(), "{lifecycle}");
    }
    assert!(trace.is_null() || trace["action_traces"].is_array(), "{lifecycle}");
}

/// An answer of `push_transaction` without what only it has, and in our forms; its times were measured.
fn in_lifecycle(mut action: Value) -> Value {
    let object = action.as_object_mut().unwrap();
    for key in ["elapsed", "producer_block_id", "error_code"] {
        object.remove(key);
    }
    if object["return_value_hex_data"] == "" {
        object.remove("return_value_hex_data");
    }
    object["block_time"] = time(&object["block_time"]);
    if object["account_ram_deltas"] == json!([]) {
        object["account_ram_deltas"] = Value::Null;
    }
    let act = object["act"].as_object_mut().unwrap();
    // What it cannot decode is hex.
    if act.get("data").is_some_and(Value::is_string) {
        act.remove("data");
    }
    if act.get("hex_data").is_some_and(|hex| hex == "") {
        act.remove("hex_data");
    }
    let nested = object["inline_traces"].take();
    object["inline_traces"] = nested.as_array().unwrap().iter().cloned().map(in_lifecycle).collect();
    action
}

/// Leaves out what depends on the place in the chain: another producer, or another branch, gave it another one.
fn without_place(action: &mut Value) {
    let object = action.as_object_mut().unwrap();
    object.remove("block_num");
    object.remove("block_time");
    let receipt = object["receipt"].as_object_mut().unwrap();
    receipt.remove("global_sequence");
    receipt.remove("recv_sequence");
    for entry in receipt["auth_sequence"].as_array_mut().unwrap() {
        *entry = entry[0].take();
    }
    object["inline_traces"].as_array_mut().unwrap().iter_mut().for_each(without_place);
}

/// How many transactions are the same, how many actions of them are decoded and how many are not.
fn compare_with_pushed(chain: &Chain, file: &str, same_place: bool) -> Option<[usize; 3]> {
    let answers = recorded::json_lines(file)?.filter(|answer| answer["ok"] == true);
    let mut answers: BTreeMap<Checksum256, Value> = answers
        .map(|mut answer| (answer["id"].as_str().unwrap().parse().unwrap(), answer["processed"].take()))
        .collect();
    let ids: Vec<_> = answers.keys().copied().collect();
    let mut compared = [0; 3];
    for (id, mut ours) in ids.iter().zip(chain.json(&ids)) {
        // What is not in the chain, or was executed later.
        if ours.is_null() || !ours["created_by"].is_null() {
            continue;
        }
        let mut theirs = answers.remove(id).unwrap()["action_traces"].take();
        let mut ours = ours["execution_trace"]["action_traces"].take();
        for action in theirs.as_array_mut().unwrap() {
            *action = in_lifecycle(action.take());
        }
        for action in ours.as_array_mut().unwrap() {
            *action = in_lifecycle_ours(action.take());
        }
        if !same_place {
            ours.as_array_mut().unwrap().iter_mut().for_each(without_place);
            theirs.as_array_mut().unwrap().iter_mut().for_each(without_place);
        }
        assert_same(format!("{file}, {id}: "), &ours, &theirs);
        compared[0] += 1;
        let mut flat = Vec::new();
        flatten(&ours, &mut flat);
        for action in flat {
            compared[1 + usize::from(action["act"].get("data").is_none())] += 1;
        }
    }
    Some(compared)
}

/// Our form of an action, without times that were measured.
fn in_lifecycle_ours(mut action: Value) -> Value {
    let object = action.as_object_mut().unwrap();
    object.remove("elapsed");
    object.remove("producer_block_id");
    object["block_time"] = time(&object["block_time"]);
    let nested = object["inline_traces"].take();
    object["inline_traces"] = nested.as_array().unwrap().iter().cloned().map(in_lifecycle_ours).collect();
    action
}

#[test]
fn a_chain_with_everything() {
    let Some(chain) = Chain::whole("small") else { return };
    assert_eq!(compare_with_trace_api("small", &chain), Some([364, 855, 1379]));
    assert_eq!(compare_with_pushed(&chain, "small/pushed.jsonl.gz", true), Some([420, 905, 30]));
}

#[test]
fn a_chain_with_forks() {
    let Some(chain) = Chain::whole("fork") else { return };
    assert_eq!(compare_with_trace_api("fork", &chain), Some([413, 1825, 4891]));
    assert_eq!(compare_with_pushed(&chain, "fork/pushed-a.jsonl.gz", false), Some([629, 1928, 0]));
    assert_eq!(compare_with_pushed(&chain, "fork/pushed-b.jsonl.gz", false), Some([786, 2559, 0]));
}

#[test]
fn a_busy_chain() {
    let Some(chain) = Chain::whole("busy") else { return };
    assert_eq!(compare_with_trace_api("busy", &chain), Some([40, 1410, 5346]));
}
