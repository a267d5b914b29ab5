//! Streams through the forks of a recorded chain, message by message, against a naive model.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use dfuse_antelope::{Checksum256, model::Block};
use dfuse_api::WebSocketOptions;
use serde_json::{Value, json};

use super::{
    Client,
    actions::{expected, seen},
};
use crate::support::{Options, TestChain};

const ACCOUNTS: [&str; 2] = ["eosio", "eosio.token"];

/// A stream as it should be.
struct Stream {
    req_id: String,
    actions: bool,
    with_undo: bool,
    confirmations: u32,
    irreversible_only: bool,
    /// Blocks that were told and not taken back.
    told: Vec<Arc<Block>>,
    wanted: VecDeque<Value>,
}

/// The branch of each block.
#[derive(Default)]
struct Chain {
    blocks: BTreeMap<Checksum256, Arc<Block>>,
    head: Option<Arc<Block>>,
}

impl Chain {
    fn push(&mut self, block: &Arc<Block>) {
        self.blocks.insert(block.id, block.clone());
        if self.head.as_ref().is_none_or(|head| head.number < block.number) {
            self.head = Some(block.clone());
        }
    }

    fn best(&self) -> Vec<Arc<Block>> {
        let parent = |block: &Arc<Block>| self.blocks.get(&block.header.previous).cloned();
        let mut best: Vec<_> = std::iter::successors(self.head.clone(), parent).collect();
        best.reverse();
        best
    }
}

impl Stream {
    fn request(&self) -> Value {
        let Self { req_id, confirmations, irreversible_only, with_undo, .. } = self;
        match self.actions {
            true => {
                json!({"type": "get_action_traces", "req_id": req_id, "listen": true, "start_block": 2, "confirmations": confirmations,
                "irreversible_only": irreversible_only, "data": {"accounts": ACCOUNTS.join("|"), "with_undo": with_undo}})
            }
            false => json!({"type": "get_head_info", "req_id": req_id, "listen": true, "confirmations": confirmations}),
        }
    }

    /// What the new state of the chain means to it; whether it takes something back.
    fn follow(&mut self, best: &[Arc<Block>], lib: u32) -> bool {
        let head = best.last().unwrap().number;
        let end = if self.irreversible_only { lib } else { head.saturating_sub(self.confirmations).max(lib) };
        let common = self.told.iter().zip(best).take_while(|(told, best)| told.id == best.id).count();
        let undone = self.told.split_off(common);
        for block in undone.iter().rev() {
            assert!(!self.irreversible_only);
            if self.with_undo {
                self.tell(block, "undo", lib);
            }
        }
        for block in best[common..].iter().take_while(|block| block.number <= end) {
            self.tell(block, "new", lib);
            self.told.push(block.clone());
        }
        !undone.is_empty()
    }

    fn tell(&mut self, block: &Arc<Block>, step: &str, lib: u32) {
        if !self.actions {
            self.wanted.push_back(json!([block.id.to_string(), lib.min(block.number)]));
            return;
        }
        let mut messages = expected(block, &ACCOUNTS, &ACCOUNTS, &[]);
        if step == "undo" {
            messages.reverse();
        }
        let step = if self.with_undo { json!(step) } else { Value::Null };
        self.wanted.extend(messages.into_iter().map(|message| json!([message, step])));
    }

    fn take(&mut self, message: &Value) {
        let data = &message["data"];
        let seen = match self.actions {
            true => json!([seen(data), data["step"]]),
            false => json!([data["head_block_id"], data["last_irreversible_block_num"]]),
        };
        assert_eq!(Some(seen), self.wanted.pop_front(), "{}", self.req_id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_and_heads_of_a_recorded_chain() {
    let websocket = WebSocketOptions { max_streams: 100, ..WebSocketOptions::default() };
    let options = Options { websocket, ..Options::default() };
    let Some(mut chain) = TestChain::recorded_from_start("fork/fork.dmlog.zst", options).await else { return };
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    for actions in [true, false] {
        for (with_undo, confirmations, irreversible_only) in [
            (false, 0, false),
            (true, 0, false),
            (true, 2, false),
            (true, 30, false),
            (true, 1000, false),
            (true, 0, true),
            (false, 7, true),
        ] {
            // Of heads there are no undone or irreversible ones.
            if !actions && (irreversible_only || with_undo && confirmations == 0) {
                continue;
            }
            let req_id = format!("{actions} {with_undo} {confirmations} {irreversible_only}");
            let with_undo = with_undo && actions;
            let (told, wanted) = (Vec::new(), VecDeque::new());
            let stream = Stream { req_id, actions, with_undo, confirmations, irreversible_only, told, wanted };
            client.ask(stream.request()).await;
            if actions {
                client.of("listening", &stream.req_id).await;
            }
            streams.insert(stream.req_id.clone(), stream);
        }
    }
    let mut model = Chain::default();
    let mut undone = BTreeSet::new();
    while chain.grow(1).await > 0 {
        model.push(chain.blocks.last().unwrap());
        let feed = &chain.api().chain().feed;
        assert_eq!(feed.head().unwrap().id, model.head.as_ref().unwrap().id);
        let (best, lib) = (model.best(), feed.lib().unwrap().number);
        for stream in streams.values_mut() {
            if stream.follow(&best, lib) {
                undone.insert(stream.confirmations);
            }
        }
        while streams.values().any(|stream| !stream.wanted.is_empty()) {
            let message = client.message().await;
            let kind = message["type"].as_str().unwrap();
            assert!(["action_trace", "head_info"].contains(&kind), "{message}");
            streams.get_mut(message["req_id"].as_str().unwrap()).unwrap().take(&message);
        }
    }
    assert!(undone.contains(&0) && undone.contains(&2) && !undone.contains(&30), "{undone:?}");
    let told = |name: &str| streams[name].told.last().map(|block| block.number);
    assert_eq!(told("true true 0 false"), Some(414));
    assert_eq!(told("true true 2 false"), Some(412));
    assert_eq!(told("true true 1000 false"), Some(374), "what is irreversible needs no confirmation");
    // That was all.
    client.ask(json!({"type": "get_head_info", "req_id": "end", "fetch": true})).await;
    client.of("head_info", "end").await;
}
