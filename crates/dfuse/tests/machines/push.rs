//! Pushes with a guarantee through machines, of which the one that was asked is lost while the push waits.

use std::{fs, process::Stdio};

use dfuse_node::rpc::{NodeClient, NodeOptions};
use serde_json::{Value, json};

use crate::support::{
    Server,
    machines::Machine,
    nodes::{RealChain, abi, answers, transfer, until},
    proxy::Proxy,
    pushes::{boot, boot_sequence, push, try_push},
};

/// Every kind of guarantee, with a call that takes it.
const GUARANTEES: [(&str, &str); 4] = [
    ("push_transaction", "in-block"),
    ("send_transaction", "handoff:1"),
    ("send_transaction2", "handoffs:2"),
    ("push_transaction", "irreversible"),
];

fn client(server: &mut Server) -> NodeClient {
    NodeClient::new(&format!("http://{}", server.address()), NodeOptions::default()).unwrap()
}

/// What a machine says of the block that has a transaction.
fn block_of(server: &mut Server, id: &str) -> Value {
    server.get(&format!("/v0/transactions/{id}")).json()["execution_trace"]["producer_block_id"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_repeated_at_another_machine() {
    let Some(chain) = RealChain::new() else { return };
    let node = chain.producer("node", &["eosio", "a", "b", "c"], &[]);
    answers(&node.client).await;
    let mut follower = chain.follower("follower", &node);
    let folder = chain.folder.path().join("machines");
    fs::create_dir(&folder).unwrap();
    let upstreams = format!("[\"{}\"]", node.client.url());
    let mut a = Machine::new(&folder, "a", "ingest", &[]);
    a.start_with(Stdio::from(follower.log()));
    // The first machine that answers has a way of its own to the one that takes blocks.
    let way = Proxy::new();
    way.lead_to(&a.server().grpc_address());
    let mut c = Machine::new(&folder, "c", "api", &[&a])
        .by_way()
        .with("DFUSE_CHAIN_API__UPSTREAMS", &upstreams)
        .with("DFUSE_MACHINES__INGESTS", &format!("[\"{}\"]", way.address()));
    let mut d = Machine::new(&folder, "d", "api", &[&a]).with("DFUSE_CHAIN_API__UPSTREAMS", &upstreams);
    let file = folder.join("bootseq.yaml");
    fs::write(&file, boot_sequence(&chain)).unwrap();
    assert!(boot(&file, &node).contains("the chain is booted"));
    for machine in [&mut c, &mut d] {
        machine.start(&[]);
        machine.server().wait_for("ready");
    }
    let (first, second) = (client(c.server()), client(d.server()));
    until("block production by all", async || {
        let head = second.get_info().await.ok()?.head_block_producer.to_string();
        (head == "c").then_some(())
    })
    .await;

    // The one that is asked sees no block any more: what it pushes comes into blocks, and it waits.
    way.close();
    c.lose_store();
    let token = abi(&chain.contract("eosio.token/eosio.token.abi"));
    let mut pushes = Vec::new();
    for (call, guarantee) in GUARANTEES {
        let packed = transfer(&node.client, &token, 600, guarantee).await;
        let id = packed.id().unwrap().to_string();
        let waiting = tokio::spawn(try_push(first.clone(), call, guarantee, packed.clone()));
        pushes.push((call, guarantee, id, packed, waiting));
    }
    let all_wait = format!("dfuse_guaranteed_pushes_waiting {}\n", GUARANTEES.len());
    c.server().wait_until("/metrics", |answer| String::from_utf8_lossy(&answer.body).contains(&all_wait));
    for (_, _, id, ..) in &pushes {
        d.server().wait_until(&format!("/v0/transactions/{id}"), |answer| {
            answer.status == 200 && answer.json()["execution_trace"]["producer_block_id"].is_string()
        });
    }
    assert!(pushes.iter().all(|(.., waiting)| !waiting.is_finished()));
    c.kill();
    let mut answered = Vec::new();
    for (call, guarantee, id, packed, waiting) in pushes {
        assert!(waiting.await.unwrap().is_err(), "{guarantee}: the machine is gone");
        // To the node it is a duplicate, which it refuses; the other machine has its history.
        let (status, refused) = push(second.clone(), "push_transaction", None::<&str>, packed.clone()).await;
        assert_eq!((status, &refused["error"]["name"]), (409, &json!("tx_duplicate")), "{refused}");
        let (status, answer) = push(second.clone(), call, guarantee, packed.clone()).await;
        assert_eq!((status, &answer["transaction_id"]), (200, &json!(id)), "{guarantee}: {answer}");
        assert_eq!(answer["block_id"], block_of(d.server(), &id), "{guarantee}");
        assert_eq!(answer["processed"]["action_traces"][0]["act"]["data"]["memo"], guarantee);
        answered.push((call, guarantee, packed, answer["block_id"].clone()));
    }
    // The same by one that has only just begun.
    d.stop();
    d.start(&[]);
    d.server().wait_for("ready");
    let again = client(d.server());
    for (call, guarantee, packed, block) in answered {
        let (status, answer) = push(again.clone(), call, guarantee, packed).await;
        assert_eq!((status, &answer["block_id"]), (200, &block), "{guarantee}: {answer}");
    }
    d.stop();
}
