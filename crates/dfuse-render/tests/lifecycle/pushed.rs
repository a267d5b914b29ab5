//! What a push answers is what the node itself said.

use std::collections::BTreeMap;

use dfuse_antelope::{Checksum256, model::TransactionTrace};
use dfuse_render::Nesting;
use dfuse_testkit::{compare::assert_same, recorded};
use serde_json::{Value, json};

use crate::chain::Chain;

/// Leaves out what the node measured, and the block's id, which it cannot know.
fn without_measures(trace: &mut Value) {
    let object = trace.as_object_mut().unwrap();
    for key in ["elapsed", "producer_block_id"] {
        assert!(object.remove(key).is_some(), "no {key} in {object:?}");
    }
    for key in ["action_traces", "inline_traces"] {
        for nested in object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            without_measures(nested);
        }
    }
}

fn by_id(chain: &Chain) -> BTreeMap<Checksum256, &TransactionTrace> {
    let traces = chain.best.iter().flat_map(|block| block.transaction_traces());
    traces.filter(|trace| !trace.scheduled).map(|trace| (trace.id, trace)).collect()
}

fn pushed(chain: &Chain, trace: &TransactionTrace, nesting: Nesting) -> Value {
    serde_json::from_str(&chain.render(|renderer| renderer.pushed_trace(trace, nesting))).unwrap()
}

#[test]
fn a_push_answers_with_all_that_the_node_said() {
    let Some(chain) = Chain::whole("small") else { return };
    let traces = by_id(&chain);
    let (mut compared, mut returned, mut nested) = (0, 0, 0);
    for mut answer in recorded::json_lines("small/pushed.jsonl.gz").unwrap().filter(|answer| answer["ok"] == true) {
        let id: Checksum256 = answer["id"].as_str().unwrap().parse().unwrap();
        let Some(trace) = traces.get(&id) else { continue };
        let mut theirs = answer["processed"].take();
        let mut ours = pushed(&chain, trace, Nesting::Tree);
        without_measures(&mut ours);
        without_measures(&mut theirs);
        // How long the node that made the block took for it.
        ours["receipt"]["cpu_usage_us"] = theirs["receipt"]["cpu_usage_us"].clone();
        assert_same(format!("{id}: "), &ours, &theirs);
        compared += 1;
        returned += usize::from(ours["action_traces"].to_string().contains("return_value_data"));
        nested += usize::from(ours["action_traces"][0]["inline_traces"] != json!([]));
    }
    assert!(compared > 400 && returned > 2 && nested > 50, "{compared} {returned} {nested}");
}

#[test]
fn actions_are_nested_or_in_the_order_of_execution() {
    let Some(chain) = Chain::whole("small") else { return };
    for trace in by_id(&chain).into_values().filter(|trace| trace.action_traces.len() > 2).take(20) {
        let (mut tree, list) = (pushed(&chain, trace, Nesting::Tree), pushed(&chain, trace, Nesting::Flat));
        let mut flat = Vec::new();
        let mut rest: Vec<_> = tree["action_traces"].as_array_mut().unwrap().drain(..).rev().collect();
        while let Some(mut action) = rest.pop() {
            let inline = action.as_object_mut().unwrap().remove("inline_traces").unwrap();
            rest.extend(inline.as_array().unwrap().iter().rev().cloned());
            flat.push(action);
        }
        flat.sort_by_key(|action| action["receipt"]["global_sequence"].as_u64());
        assert_eq!(list["action_traces"], json!(flat));
    }
}

#[test]
fn what_failed_tells_why() {
    let Some(chain) = Chain::whole("small") else { return };
    let failed = chain.best.iter().flat_map(|block| block.transaction_traces());
    let failed: Vec<_> = failed.filter(|trace| trace.exception.is_some()).collect();
    assert!(!failed.is_empty());
    for trace in failed {
        let ours = pushed(&chain, trace, Nesting::Flat);
        let exception = &ours["except"];
        assert!(exception["code"].is_number() && exception["name"].is_string(), "{ours}");
        for message in exception["stack"].as_array().unwrap() {
            let time = message["context"]["timestamp"].as_str().unwrap();
            assert_eq!((time.len(), time.as_bytes()[19]), (23, b'.'), "{time}");
        }
        assert!(ours.get("error_code").is_some());
        for action in ours["action_traces"].as_array().unwrap() {
            assert_eq!(action["receipt"]["receiver"], action["receiver"]);
            assert!(action.get("except").is_some() && action.get("error_code").is_some());
        }
    }
}
