//! Nodes that serve state history as a source: a scripted one, made of recorded logs.
#![allow(clippy::unwrap_used)]

mod history_node;

use std::{net::TcpListener, sync::Arc, time::Duration};

use dfuse_antelope::{
    Checksum256,
    model::{ActionTrace, Block},
};
use dfuse_node::{Error, Source, SourceEvent, SourceOptions, SourceSpec};
use dfuse_testkit::recorded;
use history_node::{Script, Sent, Version, chain, full_state};
use serde_json::json;

fn options() -> SourceOptions {
    SourceOptions { poll: Duration::from_millis(1), ..SourceOptions::default() }
}

/// The next block. What a source says beside them is not looked at.
async fn next(source: &mut Source) -> Result<Arc<Block>, Error> {
    loop {
        match source.next().await?.unwrap() {
            SourceEvent::Block { block, .. } => return Ok(block.unwrap()),
            SourceEvent::AbiDump(_)
            | SourceEvent::ServedBy(_)
            | SourceEvent::HasUpTo(_)
            | SourceEvent::Interrupted(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn take(source: &mut Source, count: usize) -> Vec<Arc<Block>> {
    let mut blocks = vec![];
    for _ in 0..count {
        blocks.push(next(source).await.unwrap());
    }
    blocks
}

/// What the source of logs on disk makes of the same blocks.
async fn of_logs() -> Vec<Arc<Block>> {
    let folder = tempfile::tempdir().unwrap();
    for member in recorded::tar("small/ship-and-blocks.tar.zst").unwrap() {
        let path = folder.path().join(member.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, member.content).unwrap();
    }
    let spec: SourceSpec = format!("ship-log:{}", folder.path().display()).parse().unwrap();
    let mut source = Source::open(&spec, options()).unwrap();
    let mut blocks = vec![];
    while let Some(event) = source.next().await.unwrap() {
        if let SourceEvent::Block { block, .. } = event {
            blocks.push(block.unwrap());
        }
    }
    blocks
}

#[tokio::test]
async fn a_node_gives_the_blocks_of_its_logs_across_lost_connections() {
    let Some(chain) = chain("small") else { return };
    let expected = of_logs().await;
    let mut script = Script::new(chain.clone());
    script.cuts = vec![0, 1, 7, 120, 33];
    let (address, requests) = script.serve();
    let mut source = Source::open(&address.parse().unwrap(), options()).unwrap();
    assert!(take(&mut source, expected.len()).await == expected);
    let requests: Vec<_> = requests.try_iter().collect();
    assert_eq!(requests.len(), 6);
    // Each goes on where the one before it ended, and says what it has since the LIB.
    assert_eq!(requests.iter().map(|it| it.start_block_num).collect::<Vec<_>>(), [1, 1, 2, 9, 129, 162]);
    let positions = &requests[5].have_positions;
    assert!(positions.iter().all(|at| at.block_id == chain[at.block_num as usize - 1].id));
    assert_eq!(positions.last().unwrap().block_num, 161);
}

#[tokio::test]
async fn another_node_takes_over_and_old_blocks_are_passed_over() {
    let Some(chain) = chain("small") else { return };
    let expected = of_logs().await;
    let (first, _requests) = Script::new(chain[..200].to_vec()).serve();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = format!("ship:{closed},{}", first.strip_prefix("ship:").unwrap());
    let mut source = Source::open(&address.parse().unwrap(), SourceOptions { start_block: 150, ..options() }).unwrap();
    assert!(take(&mut source, 51).await == expected[148..199]);
}

#[tokio::test]
async fn what_cannot_be_used_is_told() {
    let Some(chain) = chain("small") else { return };
    let fails = async |script: Script, options: SourceOptions, wanted: &str| {
        let (address, _requests) = script.serve();
        let mut source = Source::open(&address.parse().unwrap(), options).unwrap();
        let message = next(&mut source).await.unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    };
    let other = SourceOptions { chain_id: Some(Checksum256::sha256(b"another")), ..options() };
    fails(Script::new(chain.clone()), other, "is of chain").await;
    fails(
        Script { begin: 170, ..Script::new(chain.clone()) },
        options(),
        "traces from block 170 on, and block 1 is wanted",
    )
    .await;
    let mut eosio = Version::Leap4.abi();
    eosio["variants"][5]["types"] = json!(["table_delta_v0", "table_delta_v1"]);
    fails(Script { abi: eosio, ..Script::new(chain.clone()) }, options(), "EOSIO 2.1; use a node of Leap or Spring")
        .await;
    let mut older = Version::Eosio18.abi();
    older["variants"][4]["name"] = json!("something_else");
    fails(Script { abi: older, ..Script::new(chain.clone()) }, options(), "has no variant partial_transaction").await;
    let mut replayed = chain;
    replayed[0].deltas = None;
    fails(Script::new(replayed), options(), "has no state of the first block").await;
}

#[tokio::test]
async fn a_node_that_has_replayed_its_blocks_begins_with_the_state_of_the_second() {
    let Some(mut chain) = chain("small") else { return };
    let expected = of_logs().await;
    let first = chain[0].deltas.take().unwrap();
    let both = [first, chain[1].deltas.take().unwrap()];
    chain[1].deltas = Some(full_state(both.iter()));
    // The connection is lost between the two, too.
    let (address, _requests) = Script { cuts: vec![1], ..Script::new(chain) }.serve();
    let mut source = Source::open(&address.parse().unwrap(), options()).unwrap();
    let blocks = take(&mut source, 100).await;
    assert!(blocks[1..] == expected[1..100]);
    assert_eq!((blocks[0].id, blocks[0].lib_num()), (expected[0].id, expected[0].lib_num()));
}

/// A block as nodes without return values tell it.
fn without_return_values(block: &Block) -> Block {
    let mut block = block.clone();
    for trace in &mut block.unfiltered_transaction_traces {
        clear_return_values(&mut trace.action_traces);
        if let Some(failed) = &mut trace.failed_dtrx_trace {
            clear_return_values(&mut failed.action_traces);
        }
    }
    block
}

fn clear_return_values(actions: &mut [ActionTrace]) {
    actions.iter_mut().for_each(|action| action.raw_return_value.clear());
}

#[tokio::test]
async fn nodes_of_all_versions_give_the_same_blocks() {
    let Some(chain) = chain("small") else { return };
    let expected = of_logs().await;
    let without: Vec<_> = expected.iter().map(|block| without_return_values(block)).collect();
    assert!(expected.iter().zip(&without).any(|(with, without)| **with != *without));
    for version in Version::ALL {
        let (address, requests) = Script::of(version, &chain).serve();
        let mut source = Source::open(&address.parse().unwrap(), options()).unwrap();
        let blocks = take(&mut source, expected.len()).await;
        match version.is_eosio() {
            true => assert!(blocks.iter().map(|block| &**block).eq(&without), "{version:?}"),
            false => assert!(blocks == expected, "{version:?}"),
        }
        // Only Spring knows finality data.
        let finality = (version == Version::Spring1).then_some(true);
        assert_eq!(requests.recv().unwrap().fetch_finality_data, finality, "{version:?}");
    }
}

/// `ship:` with the addresses of several.
fn together(addresses: &[&str]) -> String {
    let places: Vec<_> = addresses.iter().map(|address| address.strip_prefix("ship:").unwrap()).collect();
    format!("ship:{}", places.join(","))
}

#[tokio::test]
async fn a_node_that_cannot_be_used_is_left_out_if_there_is_another() {
    let Some(chain) = chain("small") else { return };
    let expected = of_logs().await;
    let mut eosio = Version::Leap4.abi();
    eosio["variants"][5]["types"] = json!(["table_delta_v0", "table_delta_v1"]);
    let (eosio, _requests) = Script { abi: eosio, ..Script::new(chain.clone()) }.serve();
    let (other, _requests) = Script { chain_id: Checksum256::sha256(b"another"), ..Script::new(chain.clone()) }.serve();
    let (good, requests) = Script { cuts: vec![30], ..Script::new(chain) }.serve();
    let options = SourceOptions { chain_id: Some(Checksum256::sha256(b"chain")), ..options() };
    let address = together(&[&eosio, &other, &good]);
    let mut source = Source::open(&address.parse().unwrap(), options.clone()).unwrap();
    assert!(take(&mut source, 60).await == expected[..60]);
    assert_eq!(requests.try_iter().count(), 2);
    let mut source = Source::open(&together(&[&eosio, &other]).parse().unwrap(), options).unwrap();
    assert!(next(&mut source).await.unwrap_err().to_string().contains("is of chain"));
}

/// What is told until so many blocks have come, with their numbers in place of blocks.
async fn told(source: &mut Source, mut blocks: usize) -> Vec<String> {
    let mut told = vec![];
    while blocks > 0 {
        match source.next().await.unwrap().unwrap() {
            SourceEvent::Block { encoded, .. } => {
                blocks -= 1;
                told.push(encoded.number().to_string());
            }
            SourceEvent::HasUpTo(number) => told.push(format!("has {number}")),
            SourceEvent::Interrupted(None) => told.push("goes on".to_owned()),
            SourceEvent::Interrupted(Some(why)) => told.push(why),
            SourceEvent::AbiDump(_) | SourceEvent::ServedBy(_) => {}
            other => panic!("{other:?}"),
        }
    }
    told
}

#[tokio::test]
async fn a_source_says_how_far_nodes_are_and_that_they_give_nothing() {
    let Some(chain) = chain("small") else { return };
    let mut script = Script::new(chain);
    script.cuts = vec![3];
    let (address, _requests) = script.serve();
    let mut source = Source::open(&address.parse().unwrap(), options()).unwrap();
    let told = told(&mut source, 4).await;
    let place = address.strip_prefix("ship:").unwrap();
    assert!(told[3].starts_with(&format!("node {place}: ")), "{told:?}");
    let others: Vec<_> = told.iter().enumerate().filter(|(at, _)| *at != 3).map(|(_, told)| &**told).collect();
    assert_eq!(others, ["has 345", "2", "3", "goes on", "4", "5"]);
}

#[tokio::test]
async fn a_node_that_has_just_been_started_is_waited_for() {
    let Some(chain) = chain("small") else { return };
    let (address, _requests) = Script::new(chain[..1].to_vec()).serve();
    let mut source = Source::open(&address.parse().unwrap(), options()).unwrap();
    let SourceEvent::Interrupted(Some(why)) = source.next().await.unwrap().unwrap() else { panic!("no reason") };
    assert!(why.contains("has no traces"), "{why}");
}

/// Takes something of a block away.
type Loss = fn(&mut Sent);

/// A chain of which a node lacks something of one block.
fn lacking(chain: &[Sent], number: usize, lose: impl Fn(&mut Sent)) -> Script {
    let mut blocks = chain.to_vec();
    lose(&mut blocks[number - 1]);
    Script::new(blocks)
}

#[tokio::test]
async fn history_that_is_missing_is_told_apart_from_nothing() {
    let Some(chain) = chain("small") else { return };
    let expected = of_logs().await;
    let loses: [(&str, Loss); 3] = [
        ("traces", |sent| sent.traces = None),
        ("deltas", |sent| sent.deltas = None),
        ("block", |sent| sent.block = None),
    ];
    for (what, lose) in loses {
        let (address, _requests) = lacking(&chain, 40, lose).serve();
        let mut source = Source::open(&address.parse().unwrap(), options()).unwrap();
        assert!(take(&mut source, 38).await == expected[..38], "{what}");
        let SourceEvent::Interrupted(Some(why)) = source.next().await.unwrap().unwrap() else { panic!("{what}") };
        assert!(why.contains(&format!("its history is missing: it has no {what} of block 40 any more")), "{why}");
        // Another node has it.
        let (good, _requests) = Script::new(chain.clone()).serve();
        let mut source = Source::open(&together(&[&address, &good]).parse().unwrap(), options()).unwrap();
        assert!(take(&mut source, 60).await == expected[..60], "{what}");
    }
    // A node that has pruned its logs begins with what is left.
    let pruned = [&chain[..40], &chain[50..]].concat();
    let (address, _requests) = Script { cuts: vec![40], ..Script::new(pruned) }.serve();
    let mut source = Source::open(&address.parse().unwrap(), options()).unwrap();
    take(&mut source, 39).await;
    let mut reasons = vec![];
    while reasons.len() < 2 {
        if let SourceEvent::Interrupted(Some(why)) = source.next().await.unwrap().unwrap() {
            reasons.push(why);
        }
    }
    assert!(reasons[1].contains("its history is missing: block 41 is wanted, and it sent block 51"), "{reasons:?}");
    // A block without transactions has traces, of which there are none.
    let none = lacking(&chain, 345, |sent| sent.traces = Some(vec![0].into()));
    let (address, _requests) = none.serve();
    let mut source = Source::open(&address.parse().unwrap(), options()).unwrap();
    let last = take(&mut source, expected.len()).await.pop().unwrap();
    assert_eq!((last.number, last.transaction_traces().len()), (345, 0));
}
