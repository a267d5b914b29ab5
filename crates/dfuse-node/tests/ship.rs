//! Nodes that serve state history as a source: a scripted one, made of recorded logs.
#![allow(clippy::unwrap_used)]

mod history_node;

use std::{net::TcpListener, sync::Arc, time::Duration};

use dfuse_antelope::{Checksum256, model::Block};
use dfuse_node::{Error, Source, SourceEvent, SourceOptions, SourceSpec};
use dfuse_testkit::recorded;
use history_node::{Script, abi, chain};
use serde_json::json;

fn options() -> SourceOptions {
    SourceOptions { poll: Duration::from_millis(1), ..SourceOptions::default() }
}

async fn next(source: &mut Source) -> Result<Arc<Block>, Error> {
    loop {
        match source.next().await?.unwrap() {
            SourceEvent::Block { block, .. } => return Ok(block.unwrap()),
            SourceEvent::AbiDump(_) => {}
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
    let mut eosio = abi();
    eosio["variants"][5]["types"] = json!(["table_delta_v0", "table_delta_v1"]);
    fails(Script { abi: eosio, ..Script::new(chain.clone()) }, options(), "EOSIO 2.1").await;
    let mut replayed = chain;
    replayed[0].deltas = None;
    fails(Script::new(replayed), options(), "has no state of the first block").await;
}
