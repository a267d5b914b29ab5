//! Actions of long ago: found with the search index, without reading blocks that have none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dfuse_antelope::model::Block;
use dfuse_api::WebSocketOptions;
use dfuse_testkit::synthetic::SyntheticChain;
use serde_json::{Value, json};

use super::{
    Client,
    actions::{expected, seen},
    serve,
};
use crate::support::TestChain;

/// Contract and action, with the blocks that have them as executed by the contract itself.
fn actions(best: &[Arc<Block>]) -> BTreeMap<(String, String), BTreeSet<u32>> {
    let mut found: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
    for block in best {
        for action in block.transaction_traces().iter().flat_map(|trace| &trace.action_traces) {
            let (account, name) = (action.action.account.to_string(), action.action.name.to_string());
            if !expected(block, &[&account], &[&account], &[&name]).is_empty() {
                found.entry((account, name)).or_default().insert(block.number);
            }
        }
    }
    found
}

async fn replayed(chain: &TestChain) -> u64 {
    let metrics = String::from_utf8(chain.get("/metrics").await.body.to_vec()).unwrap();
    let line = metrics.lines().find(|line| line.starts_with("dfuse_websocket_replayed_blocks_total "));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_blocks_that_have_something_are_read() {
    let chain = SyntheticChain::builder().seed(21).blocks(700).random_forks(40, 3).lib_lag(20).missed_slots(0).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    chain.grow(690).await;
    let best = chain.best();
    let by_action = actions(&best);
    let lib = chain.api().chain().feed.lib().unwrap().number;
    let often = by_action.iter().max_by_key(|(_, blocks)| blocks.len()).unwrap();
    let rare = by_action.iter().filter(|(_, blocks)| blocks.len() > 2).min_by_key(|(_, blocks)| blocks.len()).unwrap();
    assert!(often.1.len() > 200 && rare.1.len() < 50, "{} {}", often.1.len(), rare.1.len());
    // Long pauses: progress is due whenever it may be.
    chain.clock.stride(300);
    let mut before = 0;
    for ((account, name), blocks) in [often, rare] {
        for (start, modes) in [
            (1, json!({})),
            (100, json!({"with_undo": true})),
            (2, json!({"irreversible_only": true})),
            (-650, json!({"confirmations": 5})),
        ] {
            let mut client = Client::connect(&listening).await;
            let mut request = json!({"type": "get_action_traces", "req_id": "a", "listen": true, "start_block": start,
                "with_progress": 7, "data": {"accounts": account, "action_names": name}});
            let mut end = best.last().unwrap().number;
            for (key, value) in modes.as_object().unwrap() {
                match key.as_str() {
                    "with_undo" => request["data"][key] = value.clone(),
                    _ => request[key] = value.clone(),
                }
            }
            end = match modes.get("confirmations") {
                Some(count) => end - count.as_u64().unwrap() as u32,
                None if modes.get("irreversible_only").is_some() => lib,
                None => end,
            };
            client.ask(request).await;
            let first = client.of("listening", "a").await["next_block"].as_u64().unwrap() as u32;
            let mut wanted = best
                .iter()
                .filter(|block| (first..=end).contains(&block.number))
                .flat_map(|block| expected(block, &[account], &[account], &[name]));
            let mut wanted: std::collections::VecDeque<_> = wanted.by_ref().collect();
            let (mut progress, mut passed_over) = (0, 0);
            // The last progress there can be.
            let last = end / 7 * 7;
            while progress < last || !wanted.is_empty() {
                let message = client.message().await;
                let data = &message["data"];
                let next = wanted.front().map_or(u64::MAX, |next| next[0].as_u64().unwrap());
                if message["type"] == "progress" {
                    let number = data["block_num"].as_u64().unwrap() as u32;
                    assert!(number > progress && number.is_multiple_of(7), "{message}");
                    assert!(next > u64::from(number), "{message}, but before that {:?}", wanted.front());
                    let block = best.iter().find(|block| block.number == number).unwrap();
                    assert_eq!(data["block_id"], block.id.to_string());
                    progress = number;
                    passed_over += usize::from(!blocks.contains(&number));
                } else {
                    assert_eq!(Some(seen(data)), wanted.pop_front(), "{message}");
                    assert_eq!(data.get("step").is_some(), modes.get("with_undo").is_some());
                }
            }
            assert!(passed_over > 0);
            let read = replayed(&chain).await;
            let has = blocks.iter().filter(|number| (first..=lib).contains(*number)).count() as u64;
            if blocks.len() == rare.1.len() {
                assert_eq!(read - before, has, "{name} from {first}");
            } else {
                // The newest of them are read as they come.
                assert!(read - before + 100 >= has && read > before, "{name} from {first}");
            }
            before = read;
        }
    }
    // From the past to the present without a gap.
    let ((account, name), _) = often;
    let mut client = Client::connect(&listening).await;
    let request = json!({"type": "get_action_traces", "req_id": "a", "listen": true, "start_block": 1,
        "data": {"accounts": account, "action_names": name}});
    client.ask(request).await;
    client.of("listening", "a").await;
    let mut told = BTreeSet::new();
    let mut read = async |client: &mut Client, wanted: Vec<Value>| {
        for wanted in wanted {
            if told.insert(wanted.to_string()) {
                assert_eq!(seen(&client.of("action_trace", "a").await), wanted);
            }
        }
    };
    loop {
        let best = chain.best();
        let on_best = chain.api().chain().feed.head().unwrap().id == best.last().unwrap().id;
        if on_best {
            let wanted = best.iter().flat_map(|block| expected(block, &[account], &[account], &[name])).collect();
            read(&mut client, wanted).await;
        }
        if chain.grow(1).await == 0 {
            break;
        }
    }
}

/// What no query can say is read from all blocks.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_of_thousands_of_accounts() {
    let chain = SyntheticChain::builder().seed(22).blocks(200).lib_lag(20).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    chain.grow(usize::MAX).await;
    let letters = || "abcdefghijkl".chars();
    let names: Vec<_> = letters()
        .flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("nobody{a}{b}{c}"))))
        .collect();
    let mut client = Client::connect(&listening).await;
    let request = json!({"type": "get_action_traces", "req_id": "a", "listen": true, "start_block": 1,
        "data": {"accounts": format!("eosio.token|{}", names.join("|")), "action_names": "transfer"}});
    client.ask(request).await;
    client.of("listening", "a").await;
    for block in chain.best() {
        for wanted in expected(&block, &["eosio.token"], &["eosio.token"], &["transfer"]) {
            assert_eq!(seen(&client.of("action_trace", "a").await), wanted);
        }
    }
    assert_eq!(replayed(&chain).await, 0);
}
