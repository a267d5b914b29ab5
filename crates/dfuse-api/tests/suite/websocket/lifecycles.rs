//! Lifecycles that change: of every signed transaction of a chain with forks, against a naive model.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dfuse_antelope::{
    Checksum256,
    model::{Block, TransactionReceipt, TransactionStatus},
};
use dfuse_api::WebSocketOptions;
use dfuse_query::{ErrorCode, OpenAccess};
use dfuse_testkit::synthetic::{Fork, Mix, SyntheticChain};
use serde_json::{Value, json};

use super::{Client, serve};
use crate::support::{Options, TestChain};

fn listen(id: &str) -> Value {
    json!({"type": "get_transaction_lifecycle", "req_id": id, "listen": true, "data": {"id": id}})
}

/// What a block says something of.
fn mentioned(block: &Block) -> BTreeSet<Checksum256> {
    let traces = block.transaction_traces().iter();
    let deferred = traces.clone().flat_map(|trace| &trace.dtrx_ops).map(|op| op.transaction_id);
    traces.map(|trace| trace.id).chain(block.transactions().iter().map(|it| it.id)).chain(deferred).collect()
}

/// The best chain, and what changed with the last block.
#[derive(Default)]
struct Model {
    best: Vec<Arc<Block>>,
    /// Of branches that are not longer than the best.
    aside: BTreeMap<Checksum256, Arc<Block>>,
    lib: u32,
    /// Steps that mention a transaction.
    steps: BTreeMap<Checksum256, usize>,
}

impl Model {
    fn push(&mut self, block: &Arc<Block>, lib: u32) {
        self.steps.clear();
        self.aside.insert(block.id, block.clone());
        if self.best.last().is_none_or(|head| head.number < block.number) {
            let mut branch = vec![block.clone()];
            let position = loop {
                let previous = branch.last().unwrap().header.previous;
                match self.best.iter().rposition(|it| it.id == previous) {
                    Some(position) => break position + 1,
                    None if self.best.is_empty() => break 0,
                    None => branch.push(self.aside[&previous].clone()),
                }
            };
            let undone = self.best.split_off(position);
            branch.reverse();
            self.count(undone.iter().chain(&branch));
            self.best.extend(branch);
        }
        let newly_final: Vec<_> =
            self.best.iter().filter(|it| it.number > self.lib && it.number <= lib).cloned().collect();
        self.count(newly_final.iter());
        self.lib = lib;
    }

    fn count<'a>(&mut self, blocks: impl Iterator<Item = &'a Arc<Block>>) {
        for id in blocks.flat_map(|block| mentioned(block)) {
            *self.steps.entry(id).or_default() += 1;
        }
    }

    /// Status and whether it is irreversible, of a transaction that is not deferred.
    fn status(&self, id: Checksum256) -> (&'static str, bool) {
        let found = self.best.iter().rev().find_map(|block| {
            let trace = block.transaction_traces().iter().find(|trace| trace.id == id)?;
            Some((block, trace))
        });
        match found {
            Some((block, _)) => ("executed", block.number <= self.lib),
            None => ("pending", false),
        }
    }
}

/// The whole stream of one transaction after another, with the chain growing block by block: after each, the last message is
/// what the REST endpoint and the model say.
async fn follow(chain: &mut TestChain, client: &mut Client, ids: &[Checksum256]) -> BTreeMap<Checksum256, Vec<String>> {
    let mut model = Model::default();
    let mut open: BTreeSet<_> = ids.iter().copied().collect();
    let mut histories: BTreeMap<Checksum256, Vec<String>> = BTreeMap::new();
    for id in ids {
        client.ask(listen(&id.to_string())).await;
        client.of("listening", &id.to_string()).await;
    }
    while chain.grow(1).await > 0 {
        let lib = chain.api().chain().feed.lib().unwrap().number;
        model.push(chain.blocks.last().unwrap(), lib);
        assert_eq!(chain.api().chain().feed.head().unwrap().id, model.best.last().unwrap().id);
        let mut due: BTreeMap<_, _> =
            model.steps.iter().filter(|(id, _)| open.contains(id)).map(|(id, n)| (*id, *n)).collect();
        // Streams of one connection have no order among each other.
        let mut ending = BTreeSet::new();
        while !due.is_empty() || !ending.is_empty() {
            let message = client.message().await;
            let id: Checksum256 = message["req_id"].as_str().unwrap().parse().unwrap();
            if message["type"] == "complete" {
                assert!(ending.remove(&id) && message["data"] == json!({"success": true}), "{message}");
                continue;
            }
            assert_eq!(message["type"], "transaction_lifecycle", "{message}");
            let lifecycle = &message["data"]["lifecycle"];
            assert_eq!(lifecycle["id"], message["req_id"]);
            let left = due.get_mut(&id).unwrap();
            *left -= 1;
            let settled = lifecycle["execution_irreversible"] == true && lifecycle["transaction_status"] != "delayed";
            if *left == 0 || settled {
                due.remove(&id);
                let answer = chain.get(&format!("/v0/transactions/{id}")).await;
                assert_eq!(*lifecycle, answer.json());
                let (status, irreversible) = model.status(id);
                assert_eq!(
                    (&lifecycle["transaction_status"], &lifecycle["execution_irreversible"]),
                    (&json!(status), &json!(irreversible))
                );
                let step = format!("{status}{}", if irreversible { "!" } else { "" });
                let history = histories.entry(id).or_default();
                if history.last() != Some(&step) {
                    history.push(step);
                }
            }
            if settled {
                assert!(open.remove(&id) && ending.insert(id));
            }
        }
    }
    histories
}

/// Signed transactions that end in a block: all that were in several, and some that were in one.
fn interesting(whole: &TestChain) -> Vec<Checksum256> {
    let mut seen: BTreeMap<Checksum256, usize> = BTreeMap::new();
    let in_the_end: BTreeSet<_> = whole.best().iter().flat_map(|block| mentioned(block)).collect();
    for block in &whole.blocks {
        for receipt in block.transactions() {
            let executed = block.transaction_traces().iter().any(|trace| {
                trace.id == receipt.id
                    && trace.dtrx_ops.is_empty()
                    && trace.receipt.as_ref().is_some_and(|it| it.status == TransactionStatus::Executed)
            });
            if receipt.packed_transaction.is_some() && executed {
                *seen.entry(receipt.id).or_default() += 1;
            }
        }
    }
    seen.retain(|id, _| in_the_end.contains(id));
    let mut several: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).map(|(id, _)| *id).collect();
    several.truncate(60);
    several.extend(seen.iter().filter(|(_, count)| **count == 1).map(|(id, _)| *id).take(20));
    several
}

fn options() -> Options {
    Options { websocket: WebSocketOptions { max_streams: 1000, ..WebSocketOptions::default() }, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_a_recorded_chain_with_forks() {
    let Some(whole) = TestChain::recorded("fork/fork.dmlog.zst").await else { return };
    let ids = interesting(&whole);
    drop(whole);
    let mut chain = TestChain::recorded_from_start("fork/fork.dmlog.zst", options()).await.unwrap();
    let listening = chain.listen().await;
    let mut client = Client::connect(&listening).await;
    let histories = follow(&mut chain, &mut client, &ids).await;
    let has = |wanted: &[&str]| histories.values().any(|history| history == wanted);
    assert!(has(&["executed", "executed!"]), "{histories:?}");
    assert!(has(&["executed", "pending", "executed", "executed!"]), "{histories:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_synthetic_chains_with_forks() {
    for seed in 0..4 {
        let build =
            || SyntheticChain::builder().seed(seed).blocks(70).random_forks(150, 4).lib_lag(15).shared(500).build();
        let access = Arc::new(OpenAccess);
        let mut whole = TestChain::synthetic(build(), access.clone(), options()).await;
        whole.grow(usize::MAX).await;
        let ids = interesting(&whole);
        let mut chain = TestChain::synthetic(build(), access, options()).await;
        let listening = chain.listen().await;
        let mut client = Client::connect(&listening).await;
        follow(&mut chain, &mut client, &ids).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_expires_without_a_block_is_unknown() {
    // Nothing of the losing branch is pushed again, and some of it expires before the chain ends.
    const BLOCKS: u32 = 300;
    let chain = SyntheticChain::builder().seed(4).blocks(BLOCKS).fork(Fork::new(20, 5, 6)).shared(0).lib_lag(5);
    let chain = chain.transactions_per_block(20..=22).mix(Mix::transfers());
    let options = WebSocketOptions { max_streams: 1000, ..WebSocketOptions::default() };
    let (mut chain, listening) = serve(chain.build(), options).await;
    let mut client = Client::connect(&listening).await;
    chain.grow(24).await;
    let end = chain.blocks.last().unwrap().header.timestamp.to_unix_ms() / 1000 + i64::from(BLOCKS - 40) / 2;
    let expires = |receipt: &TransactionReceipt| {
        let signed = receipt.packed_transaction.as_ref().map(|packed| packed.signed_transaction().unwrap());
        signed.is_some_and(|signed| i64::from(signed.transaction.header.expiration.0) < end)
    };
    let losing = chain.blocks[19..].iter().flat_map(|block| block.transactions());
    let losing: Vec<_> = losing.filter(|receipt| expires(receipt)).map(|receipt| receipt.id.to_string()).collect();
    assert!(!losing.is_empty());
    for id in &losing {
        client.ask(listen(id)).await;
        assert_eq!(client.of("transaction_lifecycle", id).await["lifecycle"]["execution_irreversible"], false);
        client.of("listening", id).await;
    }
    while chain.grow(1).await > 0 {}
    let mut statuses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut open = losing.len();
    while open > 0 {
        let message = client.message().await;
        let id = message["req_id"].as_str().unwrap().to_owned();
        let status = message["data"]["lifecycle"]["transaction_status"].as_str().unwrap_or("complete").to_owned();
        open -= usize::from(status == "complete");
        statuses.entry(id).or_default().push(status);
    }
    for (id, statuses) in statuses {
        let [.., last, end] = &statuses[..] else { panic!("{id}: {statuses:?}") };
        assert_eq!((last.as_str(), end.as_str()), ("unknown", "complete"), "{id}: {statuses:?}");
        assert!(statuses.contains(&"pending".to_owned()), "{id}: {statuses:?}");
        let gone =
            client.refused(json!({"type": "get_transaction", "req_id": id, "fetch": true, "data": {"id": id}})).await;
        assert_eq!((gone.0, gone.1["forked_out"].as_array().map(Vec::len)), (ErrorCode::TransactionNotFound, Some(1)));
        // Whoever listens waits, as for one that was never seen; the beginning of an id is enough otherwise.
        client.ask(listen(&id)).await;
        client.of("listening", &id).await;
        let found = client.refused(json!({"type": "get_transaction", "fetch": true, "data": {"id": id[..16]}})).await;
        assert_eq!((found.0, &found.1["forked_out"]), (gone.0, &gone.1["forked_out"]));
        client.ask(json!({"type": "unlisten", "data": {"req_id": id}})).await;
        client.of("unlistened", "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_comes_at_once() {
    let chain = SyntheticChain::builder().seed(2).blocks(40).lib_lag(10).build();
    let (mut chain, listening) = serve(chain, WebSocketOptions::default()).await;
    chain.grow(usize::MAX).await;
    let mut client = Client::connect(&listening).await;
    let head = chain.blocks.last().unwrap().number;
    let lib = chain.api().chain().feed.lib().unwrap().number;
    let id_in = |number: u32| {
        let block = chain.blocks.iter().find(|block| block.number == number).unwrap();
        block.transaction_traces()[0].id.to_string()
    };
    // Irreversible: nothing can follow.
    let old = id_in(lib);
    for modes in [(false, true), (true, true)] {
        client.ask(json!({"type": "get_transaction", "req_id": "t", "fetch": modes.0, "listen": modes.1, "data": {"id": old}})).await;
        assert_eq!(client.of("transaction_lifecycle", "t").await["lifecycle"]["id"], old);
        assert_eq!(client.of("listening", "t").await, json!({"next_block": lib}));
        client.of("complete", "t").await;
    }
    // Upper case and prefixes.
    let young = id_in(head);
    for id in [young.to_uppercase(), young[..16].to_owned()] {
        client.ask(json!({"type": "get_transaction", "req_id": "t", "fetch": true, "data": {"id": id}})).await;
        assert_eq!(client.of("transaction_lifecycle", "t").await["lifecycle"]["id"], young);
    }
    client
        .ask(json!({"type": "get_transaction", "req_id": "t", "listen": true, "data": {"id": young.to_uppercase()}}))
        .await;
    assert_eq!(client.of("transaction_lifecycle", "t").await["lifecycle"]["id"], young);
    assert_eq!(client.of("listening", "t").await, json!({"next_block": head}));
}
