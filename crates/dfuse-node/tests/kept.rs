//! Histories that go on from rows on disk, or begin in mid-chain.
#![allow(clippy::unwrap_used)]

mod history_node;

use std::{
    fs,
    io::Cursor,
    path::Path,
    sync::{Arc, atomic::AtomicU32},
};

use dfuse_antelope::{Checksum256, model::Block};
use dfuse_node::{
    Error, KeptState, Source, SourceEvent, SourceOptions, SourceSpec, StateEvent, StateLoader, first_state,
};
use dfuse_ship::{HistoryLog, StateRow};
use dfuse_testkit::recorded;
use history_node::{Script, Sent, chain, mid_chain, write_logs};
use tempfile::TempDir;

const BEGIN: u32 = 200;

async fn blocks(spec: &SourceSpec, options: SourceOptions, count: usize) -> Result<Vec<Arc<Block>>, Error> {
    let mut source = Source::open(spec, options)?;
    let mut blocks = vec![];
    while blocks.len() < count
        && let Some(event) = source.next().await?
    {
        if let SourceEvent::Block { block, .. } = event {
            blocks.push(block.unwrap());
        }
    }
    Ok(blocks)
}

fn node(folder: &Path) -> Option<SourceSpec> {
    for member in recorded::tar("small/ship-and-blocks.tar.zst")? {
        let path = folder.join(member.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, member.content).unwrap();
    }
    Some(format!("ship-log:{}", folder.display()).parse().unwrap())
}

/// Options of a data directory that has blocks below `start_block` for good.
fn options(state: &TempDir, start_block: u32) -> SourceOptions {
    SourceOptions {
        start_block,
        state: Some(KeptState::in_folder(state.path().join("rows"))),
        durable: Arc::new(AtomicU32::new(start_block.saturating_sub(1))),
        ..SourceOptions::default()
    }
}

#[tokio::test]
async fn a_start_goes_on_from_the_rows_that_are_kept() {
    let (folder, state) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let Some(spec) = node(folder.path()) else { return };
    let all = blocks(&spec, SourceOptions::default(), usize::MAX).await.unwrap();
    let durable = SourceOptions { start_block: 0, durable: Arc::new(AtomicU32::new(120)), ..options(&state, 0) };
    assert!(blocks(&spec, durable, usize::MAX).await.unwrap() == all);

    // It reads nothing of what came before.
    let traces = folder.path().join("state-history/trace_history.log");
    let whole = fs::read(&traces).unwrap();
    let mut damaged = whole.clone();
    let mut log = HistoryLog::open(Cursor::new(&whole)).unwrap();
    log.next_entry().unwrap();
    for _ in 0..100 {
        let entry = log.next_entry().unwrap().unwrap();
        let begin = usize::try_from(entry.offset).unwrap() + 60;
        damaged[begin..begin + usize::try_from(entry.size).unwrap() - 12].fill(0xff);
    }
    fs::write(&traces, damaged).unwrap();
    let later = blocks(&spec, options(&state, 121), usize::MAX).await.unwrap();
    assert_eq!(later[0].number, 121);
    assert!(later == all[119..]);
    // And not beyond what is there for good, however often.
    assert!(blocks(&spec, options(&state, 121), usize::MAX).await.unwrap() == later);

    // Rows that are later than the blocks are of no use.
    fs::write(&traces, whole).unwrap();
    assert!(blocks(&spec, options(&state, 60), usize::MAX).await.unwrap() == all[58..]);
    let loaded = SourceOptions { loaded: Some(20), ..options(&state, 30) };
    let message = blocks(&spec, loaded, 1).await.unwrap_err().to_string();
    assert!(message.contains("of block") && message.contains("which is later"), "{message}");
    let loaded = SourceOptions { loaded: Some(20), ..options(&TempDir::new().unwrap(), 21) };
    let message = blocks(&spec, loaded, 1).await.unwrap_err().to_string();
    assert!(message.contains("begin after block 20") && message.contains("are gone"), "{message}");
}

/// Loads the state that a source begins with, and gives its block and how many rows of contracts it has.
async fn load(spec: &SourceSpec, state: &TempDir) -> Option<(Checksum256, usize)> {
    let (spec, folder) = (spec.clone(), state.path().join("rows"));
    let load = move || {
        let (mut loader, mut begins, mut rows) = (StateLoader::begin(&folder).unwrap(), None, 0);
        let position = first_state::<Error>(&spec, |event| {
            match event {
                StateEvent::Begins(id, _) => begins = Some(id),
                StateEvent::Row(row) => {
                    rows += usize::from(matches!(row, StateRow::Contract(_)));
                    loader.push(&row)?;
                }
            }
            Ok(())
        });
        position.unwrap().map(|position| {
            assert_eq!(Some(position.id()), begins);
            loader.finish(&position).unwrap();
            (position.id(), rows)
        })
    };
    tokio::task::spawn_blocking(load).await.unwrap()
}

/// What differs where the state of headers is not known.
fn without_header_state(block: &Block) -> Block {
    Block {
        active_schedule_v2: None,
        valid_block_signing_authority_v2: None,
        blockroot_merkle: None,
        producer_to_last_produced: vec![],
        producer_to_last_implied_irb: vec![],
        confirm_count: vec![],
        pending_schedule: None,
        dpos_proposed_irreversible_blocknum: 0,
        dpos_irreversible_blocknum: 0,
        ..block.clone()
    }
}

/// All but the header state is as in a history from the first block on; the LIB is never above the right one, and soon is it.
fn assert_goes_on(found: &[Arc<Block>], all: &[Arc<Block>]) {
    let expected = &all[all.len() - found.len()..];
    for (found, expected) in found.iter().zip(expected) {
        let (found_dtrx, expected_dtrx) = (without_header_state(found), without_header_state(expected));
        assert_eq!(found.id, expected.id);
        for (found, expected) in
            found_dtrx.unfiltered_transaction_traces.iter().zip(&expected_dtrx.unfiltered_transaction_traces)
        {
            assert_eq!((&found.db_ops, &found.ram_ops), (&expected.db_ops, &expected.ram_ops));
            assert_eq!((&found.perm_ops, &found.table_ops), (&expected.perm_ops, &expected.table_ops));
            assert_eq!((&found.action_traces, &found.receipt), (&expected.action_traces, &expected.receipt));
        }
        assert_eq!(found_dtrx.activated_protocol_features, expected_dtrx.activated_protocol_features);
        let of_block =
            |block: &Block| block.state_history.as_ref().map(|it| (it.db_ops.clone(), it.rlimit_ops.clone()));
        assert_eq!(of_block(&found_dtrx), of_block(&expected_dtrx));
        assert!(found.lib_num() <= expected.lib_num().max(BEGIN), "{}", found.number);
    }
    assert_eq!(found.last().unwrap().lib_num(), expected.last().unwrap().lib_num());
}

#[tokio::test]
async fn a_history_that_began_in_mid_chain_goes_on_from_its_state() {
    let Some(chain) = chain("small") else { return };
    let whole = TempDir::new().unwrap();
    let all = blocks(&node(whole.path()).unwrap(), SourceOptions::default(), usize::MAX).await.unwrap();
    let folder = TempDir::new().unwrap();
    let later = mid_chain(&chain, BEGIN);
    let script = Script { begin: BEGIN + 1, ..Script::new(later.clone()) };
    write_logs(folder.path(), &later, script.chain_id);
    let (history, of_blocks) = (folder.path().join("state-history"), folder.path().join("blocks"));
    let logs = format!("ship-log:history={},blocks={}", history.display(), of_blocks.display());
    let (address, _requests) = script.serve();
    for spec in [logs, address] {
        let (spec, state) = (spec.parse().unwrap(), TempDir::new().unwrap());
        let (id, rows) = load(&spec, &state).await.unwrap();
        assert_eq!(id.block_num(), BEGIN);
        assert!(rows > 50, "{rows}");
        let options = SourceOptions { loaded: Some(BEGIN), ..options(&state, BEGIN + 1) };
        let found = blocks(&spec, options, all.len() + 1 - BEGIN as usize).await.unwrap();
        assert_eq!(found[0].number, BEGIN + 1);
        assert_goes_on(&found, &all);
    }
}

#[tokio::test]
async fn a_history_without_state_says_so() {
    let Some(chain) = chain("small") else { return };
    // A history from the first block on needs none.
    let folder = TempDir::new().unwrap();
    assert_eq!(load(&node(folder.path()).unwrap(), &TempDir::new().unwrap()).await, None);
    let later: Vec<Sent> = chain[199..].to_vec();
    let folder = TempDir::new().unwrap();
    write_logs(folder.path(), &later, Checksum256::default());
    let logs: SourceSpec = format!("ship-log:{}", folder.path().display()).parse().unwrap();
    let (address, _requests) = Script { begin: 201, ..Script::new(later) }.serve();
    for spec in [logs, address.parse().unwrap()] {
        let take = move || first_state::<Error>(&spec, |_| Ok(()));
        let message = tokio::task::spawn_blocking(take).await.unwrap().unwrap_err().to_string();
        assert!(message.contains("begins with block 200, without the whole state"), "{message}");
    }
    // Nobody has loaded anything.
    let state = TempDir::new().unwrap();
    let logs: SourceSpec = format!("ship-log:{}", folder.path().display()).parse().unwrap();
    let message = blocks(&logs, options(&state, 2), 1).await.unwrap_err().to_string();
    assert!(message.contains("no state of a later one was loaded"), "{message}");
}
