//! Recorded chains.

use std::collections::{BTreeMap, BTreeSet};

use dfuse_antelope::{Asset, Name, PublicKey};
use dfuse_index::View;
use dfuse_testkit::{
    recorded,
    synthetic::{History, Software, SyntheticChain},
};
use serde_json::{Value, json};

use super::node::Node;
use crate::{RowRange, StateAt, TableKey, account_state, tokens};

fn follow(log: &str, sample: u32, at_head: impl FnMut(&mut Node)) -> Option<Node> {
    Some(Node::follow(recorded::open(log)?, sample, at_head))
}

/// Every height that is kept, and what only the head has.
fn check_all(node: &Node) {
    let head = node.best.last().unwrap().number;
    for number in 0..=head {
        if number < node.best[0].number || node.state(node.best[(number - node.best[0].number) as usize].id).is_some() {
            node.check_at(number);
        }
    }
    let snapshot = node.snapshot();
    assert!(StateAt::at_number(&snapshot, head + 1).unwrap().is_none());
    let at = StateAt::at_number(&snapshot, head).unwrap().unwrap();
    node.head_state().check_seen(&at, &node.head_state());
    node.head_state().check_tokens(&at);
}

/// Rows, permissions' keys and links as the node answers.
pub(crate) fn check_answers(folder: &str, view: &View) -> [usize; 2] {
    let answers = recorded::json(&format!("{folder}/answers.json.gz")).unwrap();
    let at = StateAt::of(view.clone());
    let mut counts = [0, 0];
    let answered = answers["raw_tables"].as_object().unwrap();
    for (key, answer) in answered {
        let [contract, scope, table] = key.split('/').map(|part| part.parse::<Name>().unwrap()).collect::<Vec<_>>()[..]
        else {
            panic!("{key}")
        };
        let scopes: BTreeMap<_, _> = at
            .scopes(contract, table, None)
            .unwrap()
            .map(Result::unwrap)
            .map(|it| (it.scope.to_string(), it.payer.to_string()))
            .collect();
        assert_eq!(answer["payer"], scopes[&scope.to_string()], "{key}");
        if !answer["rows"]["http_error"].is_null() {
            continue;
        }
        let rows = at.rows(TableKey { contract, table, scope }, RowRange::default()).unwrap().map(Result::unwrap);
        let ours: Vec<_> =
            rows.map(|row| json!({"payer": row.row.payer, "data": const_hex::encode(&row.row.data)})).collect();
        counts[0] += ours.len();
        assert_eq!(Value::from(ours), answer["rows"], "{key}");
    }
    let mut keys: BTreeMap<PublicKey, Vec<(Name, Name)>> = BTreeMap::new();
    for (account, answer) in answers["account"].as_object().unwrap() {
        for permission in answer["permissions"].as_array().unwrap() {
            let name: Name = permission["perm_name"].as_str().unwrap().parse().unwrap();
            for key in permission["required_auth"]["keys"].as_array().unwrap() {
                let key = key["key"].as_str().unwrap().parse().unwrap();
                keys.entry(key).or_default().push((account.parse().unwrap(), name));
            }
        }
    }
    for (key, mut expected) in keys {
        expected.sort();
        counts[1] += expected.len();
        let found = at.key_accounts(&key, None).unwrap().map(Result::unwrap);
        assert!(found.map(|it| (it.account, it.permission)).eq(expected), "{key}");
    }
    for (account, answer) in answers["account"].as_object().unwrap() {
        check_account(at.view(), account, answer);
    }
    counts
}

/// What the chain itself keeps of an account, as the node answers.
fn check_account(view: &View, account: &str, answer: &Value) {
    let name = account.parse().unwrap();
    let permissions = account_state::permissions(view, name).unwrap();
    let ours: Vec<_> = permissions
        .iter()
        .map(|permission| {
            let authority = &permission.authority;
            let keys = authority.keys.iter().map(|it| json!({"key": it.public_key, "weight": it.weight}));
            let accounts = authority.accounts.iter().map(|it| {
                let level = json!({"actor": it.permission.actor, "permission": it.permission.permission});
                json!({"permission": level, "weight": it.weight})
            });
            let waits = authority.waits.iter().map(|it| json!({"wait_sec": it.wait_sec, "weight": it.weight}));
            let required = json!({"threshold": authority.threshold, "keys": keys.collect::<Vec<_>>(),
                "accounts": accounts.collect::<Vec<_>>(), "waits": waits.collect::<Vec<_>>()});
            json!({"perm_name": permission.name, "parent": permission.parent, "required_auth": required,
                "linked_actions": []})
        })
        .collect();
    assert_eq!(json!(ours), answer["permissions"], "{account}");
    let limits = account_state::limits(view, name).unwrap().unwrap();
    // Numbers above 32 bits are texts.
    let number = |key: &str| answer[key].as_i64().unwrap_or_else(|| answer[key].as_str().unwrap().parse().unwrap());
    let theirs = [number("net_weight"), number("cpu_weight"), number("ram_quota")];
    assert_eq!([limits.net_weight, limits.cpu_weight, limits.ram_bytes], theirs, "{account}");
    assert_eq!(account_state::ram_usage(view, name).unwrap(), answer["ram_usage"].as_u64(), "{account}");
    let base = account_state::base(view, name).unwrap();
    assert_eq!(base.is_privileged, answer["privileged"], "{account}");
    assert_eq!(base.created.to_string(), answer["created"].as_str().unwrap(), "{account}");
    let never = ("2000-01-01T00:00:00.000", "1970-01-01T00:00:00.000");
    let code_updated = base.code_updated.to_string();
    let code_updated = if code_updated == never.0 { never.1 } else { &code_updated };
    assert_eq!(code_updated, answer["last_code_update"], "{account}");
}

#[test]
fn a_chain_without_forks() {
    let node = follow("small/small.dmlog.zst", 1, |node| {
        let at = StateAt::of(node.snapshot().view().clone());
        node.head_state().check(&at, &node.head_state());
        node.head_state().check_tokens(&at);
    });
    let Some(mut node) = node else { return };
    assert_eq!(node.best.len(), 364);
    check_all(&node);
    assert_eq!(node.head_state().counts(), [178, 68, 81, 1]);
    assert_eq!(check_answers("small", node.snapshot().view()), [113, 81]);
    node.restart();
    check_answers("small", node.snapshot().view());
    let at = StateAt::of(node.snapshot().view().clone());
    let staked = |account: &str| tokens::staked(at.view(), account.parse().unwrap()).unwrap();
    assert_eq!(staked("alice"), Some("2002.0000 SYS".parse::<Asset>().unwrap()));
    assert_eq!(staked("nobody"), None);
    // As the node says of accounts, what they have delegated to others included.
    let answers = recorded::json("small/answers.json.gz").unwrap();
    let mut expected: BTreeMap<Name, i64> = BTreeMap::new();
    let rows = answers["tables"].as_object().unwrap().iter().filter(|(path, _)| path.ends_with("/delband"));
    for row in rows.flat_map(|(_, table)| table["rows"].as_array().unwrap()) {
        let amount = |key: &str| row["data"][key].as_str().unwrap().parse::<Asset>().unwrap().amount;
        let from = row["data"]["from"].as_str().unwrap().parse().unwrap();
        *expected.entry(from).or_default() += amount("net_weight") + amount("cpu_weight");
    }
    let all = tokens::all_staked(at.view(), Name(0)..=Name(u64::MAX)).unwrap().map(Result::unwrap);
    assert!(all.map(|(account, staked)| (account, staked.amount)).eq(expected.iter().map(|(k, v)| (*k, *v))));
    assert!(expected.len() > 1);
}

#[test]
fn three_forks() {
    let mut forked = 0;
    let node = follow("fork/fork.dmlog.zst", 1, |node| {
        let head = node.best.last().unwrap().number;
        let at = StateAt::of(node.snapshot().view().clone());
        node.head_state().check(&at, &node.head_state());
        if head % 10 == 0 {
            forked += node.check_branches();
            ((node.lib().max(3) - 2)..=head).for_each(|number| node.check_at(number));
        }
    });
    let Some(node) = node else { return };
    assert!(forked > 60, "{forked}");
    check_all(&node);
    assert_eq!(check_answers("fork", node.snapshot().view()), [19, 34]);
}

#[test]
fn a_long_chain() {
    let Some(node) = follow("demo/demo.dmlog.zst", 499, |_| ()) else { return };
    check_all(&node);
    assert_eq!(node.head_state().counts(), [793, 69, 81, 0]);
}

#[test]
fn balances_of_a_busy_chain() {
    let Some(node) = follow("busy/busy.dmlog.zst", 150, |_| ()) else { return };
    check_all(&node);
    let Some(answers) = recorded::json("busy/answers.json.gz") else { return };
    let view = node.snapshot().view().clone();
    let mut compared = 0;
    for (key, contract) in [("balances", "eosio.token"), ("usd", "othertoken")] {
        for (owner, theirs) in answers[key].as_object().unwrap() {
            let balances = tokens::balances(&view, owner.parse().unwrap(), None).unwrap().map(Result::unwrap);
            let ours: Vec<_> = balances.filter(|it| it.token.contract.to_string() == contract).collect();
            let ours: Vec<_> = ours.iter().map(|it| it.balance.to_string()).collect();
            assert_eq!(json!(ours), *theirs, "{contract}: {owner}");
            compared += ours.len();
        }
    }
    assert_eq!(compared, 1189);
}

/// Chains of other software, with forks. What their maker says of them is what the model says.
#[test]
fn synthetic_chains() {
    for (seed, software) in [Software::Leap, Software::Eosio20, Software::Eosio21].into_iter().enumerate() {
        let chain = SyntheticChain::builder().seed(seed as u64).software(software).blocks(120).random_forks(80, 4);
        let chain = chain.build();
        let (mut log, mut history, mut links) = (chain.prelude().to_vec(), History::new(), BTreeMap::new());
        for block in chain {
            log.extend_from_slice(&block.lines);
            history.record(&block);
            links.insert(block.id, block.facts.changes().flat_map(|it| it.links.clone()).collect::<Vec<_>>());
        }
        let node = Node::follow(&log[..], 1, |node| {
            node.check_branches();
        });
        check_all(&node);
        let state = node.head_state();
        assert!(state.counts().iter().all(|count| *count > 0), "{:?}", state.counts());
        let head = node.best.last().unwrap().id;
        let rows = state.rows.iter().map(|(key, row)| {
            let TableKey { contract, table, scope } = key.table;
            ((contract, table, scope, key.primary_key), (row.row.payer, row.row.data.to_vec()))
        });
        let expected = history.rows(&head).into_iter().map(|(key, row)| {
            ((key.table.code, key.table.table, key.table.scope, key.primary_key), (row.payer, row.data.to_vec()))
        });
        assert_eq!(rows.collect::<BTreeMap<_, _>>(), expected.collect::<BTreeMap<_, _>>());
        let mut linked = BTreeMap::new();
        for change in node.best.iter().flat_map(|block| &links[&block.id]) {
            let link = [change.account, change.code, change.action];
            match change.permission {
                Some(permission) => drop(linked.insert(link, permission)),
                None => assert!(linked.remove(&link).is_some()),
            }
        }
        assert!(state.links().eq(linked));
        let mut keys: BTreeSet<_> = state.keys().map(|(key, place)| (place, key.clone())).collect();
        for (place, expected) in history.keys(&head) {
            for key in expected {
                assert!(keys.remove(&(place, key.parse().unwrap())), "{place:?}");
            }
        }
        // Genesis has one for each of these.
        assert!(keys.iter().all(|((account, _), _)| account.to_string() == "eosio"), "{keys:?}");
    }
}
