//! Pushes with a guarantee, on chains whose blocks the test makes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{http::StatusCode, response::Response};
use dfuse_antelope::{
    BlockTimestamp, Checksum, Checksum256, Name, TimePointSec,
    model::{
        Action, ActionTrace, Block, BlockHeader, Transaction, TransactionHeader, TransactionReceiptHeader,
        TransactionStatus, TransactionTrace,
    },
    raw::Writer,
};
use dfuse_api::ChainApiOptions;
use dfuse_http::Server;
use dfuse_query::push::PushOptions;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::{JoinHandle, yield_now},
    time::timeout,
};

use super::{
    fake::{FakeNode, Got, nobody, refusal, reply},
    node_shaped, options, post,
};
use crate::support::{Answer, Options, TestChain};

/// When a test gives up.
const GIVE_UP: Duration = Duration::from_secs(60);
/// First of the slots of blocks: block 0 would be at it.
const FIRST_SLOT: u32 = 1_000_000_000;

/// A transaction that expires with the block of that number.
fn transaction(expires_with: u32) -> (Checksum256, Value) {
    let expires = BlockTimestamp(FIRST_SLOT + expires_with).to_unix_ms() / 1000;
    let header = TransactionHeader { expiration: TimePointSec(expires as u32), ..TransactionHeader::default() };
    let action = Action { account: name("eosio"), name: name("act"), ..Action::default() };
    let transaction = Transaction { header, actions: vec![action], ..Transaction::default() };
    let mut writer = Writer::new();
    transaction.pack(&mut writer);
    let packed = json!({"signatures": [], "compression": "none", "packed_context_free_data": "",
        "packed_trx": const_hex::encode(writer.bytes)});
    (transaction.id(), packed)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Blocks by hand: `3b` is block 3 of producer b. The transaction is in those with a star.
struct Made {
    chain: TestChain,
    ids: BTreeMap<String, Checksum256>,
    id: Checksum256,
    status: TransactionStatus,
}

impl Made {
    async fn new(chain_api: ChainApiOptions, id: Checksum256) -> Self {
        let chain = TestChain::made(Options { chain_api, ..Options::default() }).await;
        Self { chain, ids: BTreeMap::new(), id, status: TransactionStatus::Executed }
    }

    /// `3b*<2a!1`: block 3b, with the transaction, after 2a, which makes block 1 irreversible. The parent is the last block
    /// if it is not said.
    async fn push(&mut self, text: &str) {
        let (text, lib) = text.split_once('!').unwrap_or((text, "1"));
        let (own, parent) = text.split_once('<').unwrap_or((text, ""));
        let has_it = own.ends_with('*');
        let own = own.trim_end_matches('*');
        let (number, producer) = own.split_at(own.len() - 1);
        let number: u32 = number.parse().unwrap();
        let mut id = Checksum([0; 32]);
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        id.0[4] = producer.as_bytes()[0];
        let previous = match (self.ids.get(parent), self.chain.blocks.last()) {
            (Some(parent), _) => *parent,
            (None, Some(last)) => last.id,
            (None, None) => {
                let mut genesis = Checksum([0; 32]);
                genesis.0[3] = number as u8 - 1;
                genesis
            }
        };
        self.ids.insert(own.to_owned(), id);
        let mut trace = TransactionTrace { id: self.id, block_num: number.into(), ..TransactionTrace::default() };
        trace.producer_block_id = Some(id);
        trace.receipt = Some(TransactionReceiptHeader { status: self.status, ..TransactionReceiptHeader::default() });
        let action = Action { account: name("eosio"), name: name("act"), ..Action::default() };
        trace.action_traces = vec![ActionTrace { receiver: name("eosio"), action, ..ActionTrace::default() }];
        let header = BlockHeader {
            previous,
            producer: name(producer),
            timestamp: BlockTimestamp(FIRST_SLOT + number),
            ..BlockHeader::default()
        };
        let block = Block {
            id,
            number,
            header,
            dpos_irreversible_blocknum: lib.parse().unwrap(),
            unfiltered_transaction_traces: if has_it { vec![trace] } else { Vec::new() },
            ..Block::default()
        };
        self.chain.push(block).await;
    }

    fn send(&self, call: &str, guarantee: &str, body: &Value) -> JoinHandle<Answer> {
        let request = post(call, &[("x-eos-push-guarantee", guarantee)], body.to_string());
        tokio::spawn(ask(self.chain.server.clone(), request))
    }

    fn block_id(&self, name: &str) -> Checksum256 {
        self.ids[name]
    }
}

async fn ask(server: Server, request: axum::http::Request<axum::body::Body>) -> Answer {
    use http_body_util::BodyExt;
    let (parts, body) = server.handle(request).await.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

async fn done(answer: JoinHandle<Answer>) -> Answer {
    timeout(GIVE_UP, answer).await.expect("an answer in time").unwrap()
}

/// Answers of a node that takes the transaction.
fn accepted(id: Checksum256) -> Response {
    reply(202, &json!({"transaction_id": id, "processed": {"id": id}}))
}

async fn accepting(id: Checksum256) -> FakeNode {
    FakeNode::start(move |_, _| Some(accepted(id))).await
}

/// Short pauses; what waits, waits for as long as the test.
fn quick(node: &FakeNode) -> ChainApiOptions {
    let push = PushOptions {
        away_pause: Duration::ZERO,
        busy_pause: Duration::ZERO,
        push_again: Duration::from_secs(3600),
        in_block_timeout: Duration::from_secs(3600),
        handoffs_timeout: Duration::from_secs(3600),
        irreversible_timeout: Duration::from_secs(3600),
        ..PushOptions::default()
    };
    ChainApiOptions { push, ..options([node.client()]) }
}

/// The answer to a push before blocks 2z and those of `steps`, all of which but the last leave it open.
async fn reached(guarantee: &str, steps: &str) -> (Made, Answer, FakeNode) {
    let (id, packed) = transaction(1000);
    let node = accepting(id).await;
    let mut made = Made::new(quick(&node), id).await;
    made.push("2z").await;
    let answer = made.send("push_transaction", guarantee, &packed);
    node.has_got(1).await;
    for step in steps.split(' ') {
        assert!(!answer.is_finished(), "{guarantee}: done before {step} of {steps}");
        made.push(step).await;
    }
    let answer = done(answer).await;
    (made, answer, node)
}

#[tokio::test]
async fn every_guarantee_on_chains_with_forks() {
    for (guarantee, steps, block) in [
        ("in-block", "3a*", "3a"),
        ("in-block", "3a 4a*", "4a"),
        ("in-block", "3a 3b<2z 4b*<3b", "4b"),
        // The vectors of the reference: a switch away and back, with the transaction in the first branch.
        ("handoff:1", "3a* 3b<2z 4b<3b 4c<3a 5c<4c", "3a"),
        ("handoffs:1", "3a* 3b<2z 4b<3b 4c<3a 5c<4c", "3a"),
        ("handoff:2", "3a* 4c 5d", "3a"),
        ("handoffs:3", "3a* 4c 5d 6e", "3a"),
        ("handoff:1", "3a* 4a 5a 6b", "3a"),
        ("handoff:2", "3a* 4b 5a 6b 7c", "3a"),
        // Lost, and in another block of the branch that wins.
        ("handoff:1", "3a* 3b<2z 4b*<3b 5c", "4b"),
        ("irreversible", "3a* 4b 5c!3", "3a"),
        ("irreversible", "3a* 3b<2z 4b<3b 5b*!4 6b!5", "5b"),
    ] {
        let (made, answer, node) = reached(guarantee, steps).await;
        let body = answer.json();
        assert_eq!(answer.status, StatusCode::OK, "{guarantee} {steps}: {body}");
        let expected = made.block_id(block);
        assert_eq!(
            (&body["transaction_id"], &body["block_id"], &body["block_num"]),
            (&json!(made.id), &json!(expected), &json!(expected.block_num())),
            "{guarantee} {steps}"
        );
        let processed = &body["processed"];
        assert_eq!((&processed["id"], &processed["receipt"]["status"]), (&json!(made.id), &json!("executed")));
        assert_eq!(processed["producer_block_id"], json!(expected));
        assert_eq!(processed["action_traces"][0]["act"]["name"], "act");
        assert_eq!(processed["account_ram_delta"], json!(null));
        assert_eq!(processed["action_traces"][0]["inline_traces"], json!([]));
        assert_eq!(body.as_object().unwrap().len(), 4);
        assert_eq!(node.got().len(), 1);
    }
}

#[tokio::test]
async fn the_answer_has_the_form_of_the_call() {
    for (call, is_nested) in [("push_transaction", true), ("send_transaction", false)] {
        let (id, packed) = transaction(1000);
        let node = accepting(id).await;
        let mut made = Made::new(quick(&node), id).await;
        made.push("2z").await;
        let answer = made.send(call, "in-block", &packed);
        node.has_got(1).await;
        made.push("3a*").await;
        let processed = done(answer).await.json()["processed"].take();
        let action = &processed["action_traces"][0];
        assert_eq!(action.get("inline_traces").is_some(), is_nested, "{call}: {processed}");
        for of in [&processed, action] {
            assert_eq!((of.get("except"), of.get("error_code")), (Some(&Value::Null), Some(&Value::Null)), "{of}");
            let time = of["block_time"].as_str().unwrap();
            assert_eq!((time.len(), time.as_bytes()[19]), (23, b'.'), "{time}");
        }
        assert_eq!(
            (&action["return_value_hex_data"], &action["receipt"]["receiver"]),
            (&json!(""), &action["receiver"])
        );
    }
}

#[tokio::test]
async fn a_losing_branch_reaches_nothing() {
    let (id, packed) = transaction(1000);
    let node = accepting(id).await;
    let mut made = Made::new(quick(&node), id).await;
    made.push("2z").await;
    let handoff = made.send("push_transaction", "handoff:1", &packed);
    let irreversible = made.send("send_transaction", "irreversible", &packed);
    node.has_got(2).await;
    for step in ["3a*", "3b<2z", "4b<3b", "5c", "6c!4", "7d!6"] {
        made.push(step).await;
        tokio::task::yield_now().await;
        assert!(!handoff.is_finished() && !irreversible.is_finished(), "{step}");
    }
    // Who leaves is not waited for.
    handoff.abort();
    irreversible.abort();
    assert!(handoff.await.is_err() && irreversible.await.is_err());
    let metrics = String::from_utf8(made.chain.get("/metrics").await.body.to_vec()).unwrap();
    assert!(metrics.contains("dfuse_guaranteed_pushes_waiting 0"), "{metrics}");
}

#[tokio::test]
async fn a_client_that_leaves() {
    let (id, packed) = transaction(1000);
    let node = accepting(id).await;
    let mut made = Made::new(quick(&node), id).await;
    made.push("2a").await;
    let listening = made.chain.listen().await;
    let body = packed.to_string();
    let request = format!(
        "POST /v1/chain/push_transaction HTTP/1.1\r\nhost: x\r\nx-eos-push-guarantee: irreversible\r\ncontent-length: {}\r\n\r\n\
         {body}",
        body.len()
    );
    let mut client = TcpStream::connect(listening.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    node.has_got(1).await;
    let waiting = async || {
        let metrics = String::from_utf8(made.chain.get("/metrics").await.body.to_vec()).unwrap();
        metrics
            .lines()
            .find_map(|line| line.strip_prefix("dfuse_guaranteed_pushes_waiting ").map(str::to_owned))
            .unwrap()
    };
    assert_eq!(waiting().await, "1");
    drop(client);
    let left = async {
        while waiting().await != "0" {
            yield_now().await;
        }
    };
    timeout(GIVE_UP, left).await.expect("it is noticed in time");
}

#[tokio::test]
async fn what_is_sent_to_the_node() {
    let (id, packed) = transaction(1000);
    let node = accepting(id).await;
    let mut made = Made::new(quick(&node), id).await;
    made.push("2a*").await;
    for (call, body, sent) in [
        ("push_transaction", packed.clone(), packed.clone()),
        ("send_transaction", packed.clone(), packed.clone()),
        (
            "send_transaction2",
            json!({"transaction": packed, "return_failure_trace": true, "retry_trx": true, "retry_trx_num_blocks": 5}),
            json!({"transaction": packed, "return_failure_trace": false, "retry_trx": false}),
        ),
    ] {
        // It is in the head block already: that is enough.
        let answer = done(made.send(call, "in-block", &body)).await;
        assert_eq!((answer.status, &answer.json()["block_num"]), (StatusCode::OK, &json!(2)));
        if let Some(Got { method, target, headers, body }) = node.got().pop() {
            assert_eq!((method.as_str(), target), ("POST", format!("/v1/chain/{call}")));
            assert_eq!(headers["content-type"], "application/json");
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), sent);
        }
    }
    // On other calls, and without a value, the header says nothing.
    let other = made.send("compute_transaction", "in-block", &packed);
    assert_eq!(done(other).await.status, StatusCode::ACCEPTED);
    let empty = made.send("push_transaction", "", &packed);
    assert_eq!(done(empty).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn wrong_requests() {
    let (id, packed) = transaction(1000);
    let node = accepting(id).await;
    let mut made = Made::new(quick(&node), id).await;
    let answer = done(made.send("push_transaction", "in-block", &packed)).await;
    let error = node_shaped(&answer, 503, 3_990_001);
    assert!(error["message"].as_str().unwrap().contains("No block"), "{error}");
    made.push("2a").await;
    for wrong in ["handoff:4", "In-Block", "soon"] {
        let answer = done(made.send("push_transaction", wrong, &packed)).await;
        let error = node_shaped(&answer, 400, 3_990_001);
        assert!(error["message"].as_str().unwrap().contains(wrong), "{error}");
    }
    let answer = done(made.send("push_transaction", "in-block", &json!("text"))).await;
    let error = node_shaped(&answer, 500, 4);
    assert_eq!((&error["message"], &error["error"]["what"]), (&json!("Internal Service Error"), &json!("Parse Error")));
    let answer = done(made.send("push_transaction", "in-block", &json!({"actions": []}))).await;
    assert_eq!(node_shaped(&answer, 500, 3_010_010)["error"]["what"], "Invalid packed transaction");
    assert!(node.got().is_empty());
}

#[tokio::test]
async fn the_first_push() {
    let (id, packed) = transaction(1000);
    let busy = || reply(500, &refusal(3_080_004, "tx_cpu_usage_exceeded"));
    // Refused at once.
    for code in [3_090_003, 3_040_006, 3_050_003, 3_080_001] {
        let node = FakeNode::always(500, refusal(code, "some_exception")).await;
        let mut made = Made::new(quick(&node), id).await;
        made.push("2a").await;
        let answer = done(made.send("push_transaction", "in-block", &packed)).await;
        let error = node_shaped(&answer, 500, code);
        assert_eq!(error["error"], refusal(code, "some_exception")["error"]);
        assert_eq!(node.got().len(), 1, "{code}");
    }
    // Over a limit, and away, is tried again.
    let node = FakeNode::start(move |_, _| Some(busy())).await;
    let mut made = Made::new(quick(&node), id).await;
    made.push("2a").await;
    node_shaped(&done(made.send("push_transaction", "in-block", &packed)).await, 500, 3_080_004);
    assert_eq!(node.got().len(), 3);
    let node = FakeNode::start(move |_, _| Some(accepted(Checksum([7; 32])))).await;
    let mut made = Made::new(quick(&node), id).await;
    made.push("2a").await;
    node_shaped(&done(made.send("push_transaction", "in-block", &packed)).await, 503, 3_990_001);
    assert_eq!(node.got().len(), 3, "another id is no answer");
    let node = FakeNode::start(move |position, _| {
        Some(match position {
            0 => busy(),
            1 => reply(502, &json!("a gateway")),
            _ => accepted(id),
        })
    })
    .await;
    let mut made = Made::new(quick(&node), id).await;
    made.push("2a").await;
    let answer = made.send("push_transaction", "in-block", &packed);
    node.has_got(3).await;
    made.push("3a*").await;
    assert_eq!(done(answer).await.status, StatusCode::OK);
    // The next node takes over.
    let node = accepting(id).await;
    let options = ChainApiOptions { upstreams: vec![nobody().await, node.client()], ..quick(&node) };
    let mut made = Made::new(options, id).await;
    made.push("2a").await;
    let answer = made.send("push_transaction", "in-block", &packed);
    node.has_got(1).await;
    made.push("3a*").await;
    assert_eq!(done(answer).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_transaction_that_the_node_has_already() {
    let (id, packed) = transaction(4);
    for code in [3_040_008, 3_040_009] {
        let node = FakeNode::always(500, refusal(code, "tx_duplicate")).await;
        let mut made = Made::new(quick(&node), id).await;
        for step in ["2a", "3a*", "4b", "5b", "6c"] {
            made.push(step).await;
        }
        // In a block below the head.
        let answer = done(made.send("push_transaction", "in-block", &packed)).await;
        assert_eq!((answer.status, &answer.json()["block_num"]), (StatusCode::OK, &json!(3)));
        let answer = done(made.send("push_transaction", "handoff:2", &packed)).await;
        assert_eq!(answer.json()["block_id"], json!(made.block_id("3a")));
        let answer = made.send("push_transaction", "irreversible", &packed);
        node.has_got(3).await;
        made.push("7c!3").await;
        assert_eq!(done(answer).await.json()["block_num"], 3);
        // In one that is irreversible, and long gone from memory.
        made.push("8c!7").await;
        let answer = done(made.send("push_transaction", "irreversible", &packed)).await;
        assert_eq!(answer.json()["block_num"], 3);
    }
    // The node has it, but in no block yet.
    let node = FakeNode::always(500, refusal(3_040_008, "tx_duplicate")).await;
    let mut made = Made::new(quick(&node), id).await;
    made.push("2a").await;
    let answer = made.send("push_transaction", "in-block", &packed);
    node.has_got(1).await;
    made.push("3a").await;
    made.push("4a*").await;
    assert_eq!(done(answer).await.json()["block_num"], 4);
    // Expired for the node, but in time for a block.
    let node = FakeNode::always(500, refusal(3_040_005, "expired_tx_exception")).await;
    let mut made = Made::new(quick(&node), id).await;
    for step in ["2a", "3a*", "4b", "5b"] {
        made.push(step).await;
    }
    assert_eq!(done(made.send("push_transaction", "handoff:1", &packed)).await.json()["block_num"], 3);
    // And not.
    let (_, other) = transaction(2);
    let error = node_shaped(&done(made.send("push_transaction", "handoff:1", &other)).await, 500, 3_040_005);
    assert_eq!(error["error"]["name"], "expired_tx_exception");
}

#[tokio::test]
async fn a_transaction_that_expires() {
    // It expires with block 4: when a later one is irreversible, it can come no more.
    let (id, packed) = transaction(4);
    for (steps, block) in
        [("3a 4b 5b 6c!4 7c!6", None), ("3a* 3b<2z 4b<3b 5c 6c!4 7d!6", None), ("3a 4b* 5b 6c!5", Some(4))]
    {
        let node = accepting(id).await;
        let mut made = Made::new(quick(&node), id).await;
        made.push("2z").await;
        let answer = made.send("push_transaction", "irreversible", &packed);
        node.has_got(1).await;
        for step in steps.split(' ') {
            made.push(step).await;
        }
        let answer = done(answer).await;
        match block {
            Some(number) => assert_eq!(answer.json()["block_num"], number),
            None => {
                let error = node_shaped(&answer, 500, 3_040_005);
                assert_eq!(error["error"]["what"], "Expired Transaction");
                assert!(error["error"]["details"][0]["message"].as_str().unwrap().contains(&id.to_string()));
            }
        }
    }
}

#[tokio::test]
async fn pushes_are_repeated() {
    let (id, packed) = transaction(1000);
    // What a node says to the second push, and how many more there are.
    for (second, code) in [
        (refusal(3_040_008, "tx_duplicate"), None),
        (refusal(3_080_004, "tx_cpu_usage_exceeded"), None),
        (json!("no node"), None),
        (refusal(3_090_003, "unsatisfied_authorization"), Some(3_090_003)),
    ] {
        let reply_to_second = second.clone();
        let node = FakeNode::start(move |position, _| {
            Some(if position == 0 { accepted(id) } else { reply(500, &reply_to_second) })
        })
        .await;
        // Only pushed to, once a transaction waits.
        let other = FakeNode::start(move |_, _| Some(reply(500, &second))).await;
        let mut options = quick(&node);
        options.push.push_again = Duration::from_millis(5);
        options.push_upstreams = vec![other.client()];
        let mut made = Made::new(options, id).await;
        made.push("2a").await;
        let answer = made.send("push_transaction", "in-block", &packed);
        match code {
            Some(code) => drop(node_shaped(&done(answer).await, 500, code)),
            None => {
                node.has_got(3).await;
                other.has_got(2).await;
                made.push("3a*").await;
                assert_eq!(done(answer).await.status, StatusCode::OK);
            }
        }
    }
    // One that has expired for the node is not pushed any more, but can be in a block that comes.
    let node = FakeNode::start(move |position, _| {
        Some(if position == 0 { accepted(id) } else { reply(500, &refusal(3_040_005, "expired_tx_exception")) })
    })
    .await;
    let mut options = quick(&node);
    options.push.push_again = Duration::from_millis(5);
    let mut made = Made::new(options, id).await;
    made.push("2a").await;
    let answer = made.send("push_transaction", "in-block", &packed);
    node.has_got(2).await;
    made.push("3a*").await;
    assert_eq!(done(answer).await.status, StatusCode::OK);
    assert_eq!(node.got().len(), 2);
}

#[tokio::test]
async fn what_a_node_says_of_a_transaction_on_the_chain() {
    let (id, packed) = transaction(1000);
    let is_included = Arc::new(AtomicBool::new(false));
    let included = is_included.clone();
    let node = FakeNode::start(move |_, _| {
        Some(match included.load(Ordering::Relaxed) {
            false => accepted(id),
            true => reply(500, &refusal(3_040_007, "invalid_ref_block_exception")),
        })
    })
    .await;
    let mut options = quick(&node);
    options.push.push_again = Duration::from_millis(5);
    let mut made = Made::new(options, id).await;
    made.push("2a").await;
    let irreversible = made.send("push_transaction", "irreversible", &packed);
    let in_block = made.send("push_transaction", "in-block", &packed);
    node.has_got(2).await;
    made.push("3a*").await;
    // When this one knows of the block, so does the other.
    assert_eq!(done(in_block).await.status, StatusCode::OK);
    is_included.store(true, Ordering::Relaxed);
    node.has_got(node.got().len() + 3).await;
    made.push("4b").await;
    made.push("5c!3").await;
    assert_eq!(done(irreversible).await.json()["block_num"], 3);
}

#[tokio::test]
async fn waiting_has_an_end() {
    let (id, packed) = transaction(1000);
    let node = accepting(id).await;
    let mut options = quick(&node);
    options.push.in_block_timeout = Duration::from_millis(20);
    options.push.handoffs_timeout = Duration::from_millis(20);
    options.push.irreversible_timeout = Duration::from_millis(20);
    options.push.max_waiting = 1;
    let mut made = Made::new(options.clone(), id).await;
    made.push("2a*").await;
    for (guarantee, so_far) in [("handoff:1", "it is in block 2"), ("irreversible", "it is in block 2")] {
        let error = node_shaped(&done(made.send("push_transaction", guarantee, &packed)).await, 500, 3_990_002);
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains(so_far) && message.contains(&id.to_string()) && message.contains("0 times"),
            "{message}"
        );
    }
    let mut made = Made::new(options.clone(), id).await;
    made.push("2a").await;
    let error = node_shaped(&done(made.send("push_transaction", "in-block", &packed)).await, 500, 3_990_002);
    assert!(error["message"].as_str().unwrap().contains("no block"), "{error}");
    // Only so many wait.
    options.push.in_block_timeout = Duration::from_secs(3600);
    let node = accepting(id).await;
    options.upstreams = vec![node.client()];
    let mut made = Made::new(options, id).await;
    made.push("2a").await;
    let waiting = made.send("push_transaction", "in-block", &packed);
    node.has_got(1).await;
    let error = node_shaped(&done(made.send("push_transaction", "in-block", &packed)).await, 503, 3_990_001);
    assert!(error["message"].as_str().unwrap().contains("Too many"), "{error}");
    // Who leaves makes room.
    waiting.abort();
    assert!(waiting.await.is_err());
    let answer = made.send("push_transaction", "in-block", &packed);
    node.has_got(2).await;
    made.push("3a*").await;
    assert_eq!(done(answer).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_failed_on_the_chain_is_no_success() {
    let (id, packed) = transaction(1000);
    for (status, code, text) in [
        (TransactionStatus::HardFail, 3_040_000, "hard_fail"),
        (TransactionStatus::SoftFail, 3_040_000, "soft_fail"),
        (TransactionStatus::Expired, 3_040_005, "expired"),
    ] {
        let node = accepting(id).await;
        let mut made = Made::new(quick(&node), id).await;
        made.status = status;
        made.push("2a*").await;
        let answer = done(made.send("push_transaction", "in-block", &packed)).await;
        let error = node_shaped(&answer, 500, code);
        assert!(error["error"]["details"][0]["message"].as_str().unwrap().contains(text), "{error}");
        assert_eq!((&error["transaction_id"], &error["block_num"]), (&json!(id), &json!(2)));
        assert_eq!(error["processed"]["receipt"]["status"], text);
    }
    // Put off by its sender: the guarantee is about that.
    let node = accepting(id).await;
    let mut made = Made::new(quick(&node), id).await;
    made.status = TransactionStatus::Delayed;
    made.push("2a*").await;
    let answer = done(made.send("push_transaction", "in-block", &packed)).await;
    assert_eq!((answer.status, &answer.json()["processed"]["receipt"]["status"]), (StatusCode::OK, &json!("delayed")));
}

#[tokio::test]
async fn many_wait_for_the_same_blocks() {
    let (id, packed) = transaction(1000);
    let node = accepting(id).await;
    let mut made = Made::new(quick(&node), id).await;
    made.push("2a").await;
    let answers: Vec<_> = (0..100).map(|_| made.send("push_transaction", "handoff:1", &packed)).collect();
    node.has_got(100).await;
    made.push("3a*").await;
    made.push("4b").await;
    for answer in answers {
        assert_eq!(done(answer).await.json()["block_num"], 3);
    }
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let (id, packed) = transaction(1000);
    let node = accepting(id).await;
    let mut made = Made::new(quick(&node), id).await;
    made.push("2a").await;
    let listening = made.chain.listen().await;
    let answer = made.send("push_transaction", "in-block", &packed);
    node.has_got(1).await;
    listening.stop.send(()).unwrap();
    let error = node_shaped(&done(answer).await, 503, 3_990_001);
    assert!(error["message"].as_str().unwrap().contains("going away"), "{error}");
    listening.task.await.unwrap();
}
