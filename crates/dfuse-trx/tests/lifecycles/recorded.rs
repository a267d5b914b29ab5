//! Recorded chains: lifecycles are what the blocks and the nodes say.

use std::collections::{BTreeMap, BTreeSet};

use dfuse_antelope::{Checksum256, PublicKey, model::TransactionLifecycle};
use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use dfuse_trx::{Error, IdPrefix, Signers, Status, block_transactions, recent_transactions};
use serde_json::{Value, json};

use crate::node::{Node, check};

/// Follows a log to its end.
fn follow(log: &str, mut at_head: impl FnMut(&Node)) -> Option<Node> {
    let mut reader = Reader::new(recorded::open(log)?);
    let mut node = Node::new();
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            node.push(*block, &mut at_head);
        }
    }
    Some(node)
}

fn id(of: &Value) -> Checksum256 {
    of["id"].as_str().unwrap().parse().unwrap()
}

/// How many lifecycles have which status, or are unknown.
fn statuses(found: &[Option<TransactionLifecycle>]) -> BTreeMap<&'static str, usize> {
    let mut statuses = BTreeMap::new();
    for found in found {
        *statuses.entry(found.as_ref().map_or("none", |found| Status::of(found).as_str())).or_default() += 1;
    }
    statuses
}

#[test]
fn every_transaction_is_what_the_blocks_say() {
    let Some(node) = follow("small/small.dmlog.zst", |_| ()) else { return };
    let ids = node.model.all_ids();
    let found = check(&node, &ids);
    // Receipts, and 364 transactions of the chain itself beside the error handlers, which have the status of what failed.
    let wanted =
        [("executed", 798), ("soft_fail", 114), ("hard_fail", 3), ("expired", 2), ("canceled", 4), ("delayed", 2)];
    assert_eq!(statuses(&found), wanted.into());

    let view = node.view();
    let mut receipts: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = Vec::new();
    for block in node.model.best() {
        let listed = block_transactions(&view, block.number).unwrap();
        let traces = block.unfiltered_transaction_traces.iter().map(|trace| trace.id);
        assert!(listed.iter().map(|it| it.id).eq(traces));
        for it in listed.iter().filter(|it| it.has_receipt) {
            *receipts.entry(format!("{:?}", it.outcome)).or_default() += 1;
        }
        all.extend(listed);
    }
    let wanted = [("Executed", 434), ("Delayed", 4), ("SoftFail", 57), ("HardFail", 2), ("Expired", 2)];
    assert_eq!(receipts, wanted.map(|(outcome, count)| (outcome.to_owned(), count)).into());
    assert_eq!(block_transactions(&view, 366).unwrap(), []);

    all.reverse();
    let recent = |before| recent_transactions(&view, before).unwrap().map(Result::unwrap);
    assert!(recent(None).eq(all.iter().copied()));
    for at in [0, 1, 7, 100, all.len() - 1] {
        assert!(recent(Some(all[at].place)).eq(all[at + 1..].iter().copied()), "{at}");
    }
}

#[test]
fn ids_are_found_by_their_beginning() {
    let Some(node) = follow("small/small.dmlog.zst", |_| ()) else { return };
    let view = node.view();
    let lifecycles = node.lifecycles(&view, None);
    let ids = node.model.all_ids();
    for digits in [2, 4, 8, 64] {
        for id in &ids {
            let text = &id.to_string()[..digits];
            let several = ids.iter().filter(|other| other.to_string().starts_with(text)).count() > 1;
            match lifecycles.find(&IdPrefix::from_hex(text).unwrap()) {
                Ok(found) => assert!(found == Some(*id) && !several),
                Err(Error::AmbiguousPrefix { prefix }) => assert!(prefix == text && several),
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert_eq!(lifecycles.find(&IdPrefix::from_hex(&"ff".repeat(16)).unwrap()).unwrap(), None);
    assert_eq!(lifecycles.get(Checksum256::sha256(b"no transaction")).unwrap(), None);
}

#[test]
fn signers_are_recovered() {
    let Some(node) = follow("small/small.dmlog.zst", |_| ()) else { return };
    let Some(answers) = recorded::json("small/answers.json.gz") else { return };
    let signers = Signers::new(answers["get_info"]["chain_id"].as_str().unwrap().parse().unwrap());
    let view = node.view();
    let lifecycles = node.lifecycles(&view, Some(&signers)).get_all(&node.model.all_ids()).unwrap();
    let genesis: PublicKey = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV".parse().unwrap();
    let mut keys: BTreeMap<String, usize> = BTreeMap::new();
    for found in lifecycles.into_iter().flatten() {
        let transaction = found.transaction.unwrap();
        assert_eq!(found.public_keys.len(), transaction.signatures.len(), "{}", found.id);
        for key in found.public_keys {
            *keys.entry(key).or_default() += 1;
        }
    }
    // Whoever recorded the chain signed nearly everything with the key of its genesis.
    assert!(keys.len() > 1 && keys[&genesis.to_string()] > 100, "{keys:?}");
}

/// Receipts, sequences and receivers as the node's trace API gives them.
fn compare_with_trace_api(node: &Node, file: &str) {
    let Some(blocks) = recorded::json_lines(file) else { return };
    let view = node.view();
    let lifecycles = node.lifecycles(&view, None);
    for block in blocks {
        for theirs in block["transactions"].as_array().unwrap() {
            let found = lifecycles.get(id(theirs)).unwrap().unwrap();
            let trace = found.execution_trace.as_ref().unwrap();
            let receipt = found.transaction_receipt.as_ref().map(|it| (it.cpu_usage_micro_seconds, it.net_usage_words));
            let receipt = receipt.or(trace.receipt.as_ref().map(|it| (it.cpu_usage_micro_seconds, it.net_usage_words)));
            let (cpu, net) = receipt.unwrap();
            let irreversible = block["status"] == "irreversible";
            let ours = json!([Status::of(&found).as_str(), trace.block_num, cpu, net, found.execution_irreversible]);
            let wanted = ["status", "block_num", "cpu_usage_us", "net_usage_words"].map(|key| theirs[key].clone());
            let mut wanted = wanted.to_vec();
            wanted.push(irreversible.into());
            assert_eq!(ours, Value::from(wanted), "{}", found.id);
            // The trace API has the actions of the handler under the id of the transaction that failed.
            if Status::of(&found) == Status::Executed {
                let mut actions: Vec<_> = trace.action_traces.iter().filter(|action| !action.context_free).collect();
                actions.sort_by_key(|action| action.receipt.as_ref().unwrap().global_sequence);
                let sequences =
                    actions.iter().map(|it| json!([it.receipt.as_ref().unwrap().global_sequence, it.receiver]));
                let theirs = theirs["actions"].as_array().unwrap();
                let theirs = theirs.iter().map(|it| json!([it["global_sequence"], it["receiver"]]));
                assert!(sequences.eq(theirs), "{}", found.id);
            }
        }
    }
}

/// What `push_transaction` answered: how many of the transactions have which status now, refused ones apart.
fn compare_with_pushed(node: &Node, file: &str) -> Option<(BTreeMap<&'static str, usize>, usize)> {
    let answers: Vec<Value> = recorded::json_lines(file)?.collect();
    let view = node.view();
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer["ok"] == true);
    let ids: Vec<_> = accepted.iter().map(|answer| id(answer)).collect();
    let lifecycles = node.lifecycles(&view, None);
    let found = lifecycles.get_all(&ids).unwrap();
    for (found, answer) in found.iter().zip(&accepted) {
        let Some(found) = found else { continue };
        assert!(!found.transaction.as_ref().unwrap().signatures.is_empty());
        let status = &answer["processed"]["receipt"]["status"];
        let expected = if found.created_by.is_some() { "delayed" } else { "executed" };
        assert!(Status::of(found) == Status::Pending || status == expected, "{status} {}", found.id);
    }
    assert!(refused.iter().all(|answer| answer["id"].is_null() || lifecycles.get(id(answer)).unwrap().is_none()));
    Some((statuses(&found), refused.len()))
}

#[test]
fn the_node_said_the_same() {
    let Some(node) = follow("small/small.dmlog.zst", |_| ()) else { return };
    compare_with_trace_api(&node, "small/trace_api_blocks.jsonl.gz");
    let Some(pushed) = compare_with_pushed(&node, "small/pushed.jsonl.gz") else { return };
    assert_eq!(pushed, ([("executed", 421), ("hard_fail", 1), ("canceled", 1), ("expired", 1)].into(), 11));
}

/// Follows three switches of branches, and compares at every head on the way what is not settled, now and then everything.
#[test]
fn forked_out_transactions_before_during_and_after() {
    let (mut heads, mut ever_pending) = (0, BTreeSet::new());
    // How many were pending at each head.
    let mut pending = Vec::new();
    let node = follow("fork/fork.dmlog.zst", |node| {
        heads += 1;
        let ids = if heads % 40 == 0 { node.model.all_ids() } else { node.model.unsettled_ids() };
        let found = check(node, &ids);
        let now: Vec<_> =
            found.iter().flatten().filter(|it| Status::of(it) == Status::Pending).map(|it| it.id).collect();
        pending.push((node.model.head().unwrap().number, now.len()));
        ever_pending.extend(now);
    });
    let Some(node) = node else { return };
    // None before the first switch; most where the branches part; some come into the other branch, the rest expires.
    let at =
        |head: u32| pending.iter().filter(|(number, _)| *number == head).map(|(_, count)| *count).collect::<Vec<_>>();
    assert_eq!([at(58), at(83), at(59), at(60)], [vec![0], vec![0, 101], vec![0, 104], vec![0, 83, 101]]);
    assert_eq!([at(98), at(99), at(123)], [[101], [48], [4]]);
    assert_eq!([at(135), at(147), at(204), at(227)], [vec![4, 46], vec![4, 42], vec![3, 77], vec![3, 6, 72]]);
    assert_eq!([at(302), at(303), at(414)], [[1], [0], [0]]);

    let found = check(&node, &node.model.all_ids());
    assert_eq!(statuses(&found), [("executed", 1825), ("none", 71)].into());
    compare_with_trace_api(&node, "fork/trace_api_blocks.jsonl.gz");
    let pushed = ["a", "b"].map(|name| compare_with_pushed(&node, &format!("fork/pushed-{name}.jsonl.gz")));
    assert_eq!(pushed, [Some(([("executed", 629), ("none", 11)].into(), 1)), Some(([("executed", 786)].into(), 0))]);
    let answers = recorded::json_lines("fork/pushed-a.jsonl.gz").unwrap();
    let accepted = answers.filter(|answer| answer["ok"] == true).map(|answer| id(&answer));
    let lost: Vec<_> = accepted.filter(|id| node.model.is_lost(*id)).collect();
    assert!(lost.len() == 11 && lost.iter().all(|id| ever_pending.contains(id)));
}
