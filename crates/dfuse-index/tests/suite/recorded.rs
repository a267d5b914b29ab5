//! Recorded chains: what the indexes say is what the nodes said.

use std::{collections::BTreeMap, sync::Arc};

use dfuse_antelope::{
    BlockTimestamp, Name,
    abi::{Abi, AbiSerializer},
    model::{Block, wire::ReverseWriter},
};
use dfuse_blocks::{
    BlockStore, CursorKey, EncodedBlock, StoreOptions, SystemClock,
    feed::{Feed, FeedOptions, Keeper},
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{
    ChainObserver, Index, Options, Pipeline, View,
    abi::{self, Abis},
    accounts::{self, Accounts},
    blocks::{self, Blocks, TimeMatch},
    follow_feed, keyspaces,
};
use dfuse_kv::{Direction, EngineOptions, MemoryStore, Store};
use dfuse_testkit::recorded;
use futures::{channel::mpsc, stream};

use crate::chain::{Source, contents, reference};

fn indexes() -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts)]
}

fn run(log: &str, mut at_step: impl FnMut(&Source, &Pipeline)) -> Option<(Source, Pipeline, Arc<dyn Store>)> {
    let mut reader = Reader::new(recorded::open(log)?);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&keyspaces(&indexes())));
    let mut pipeline = Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap();
    let mut source: Option<Source> = None;
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Block(block) => {
                let source = source.get_or_insert_with(|| Source::new(&block));
                source.push(*block, &mut pipeline);
                at_step(source, &pipeline);
            }
            Event::AbiDump(dump) => pipeline.abi_dump(dump).unwrap(),
            Event::SwitchFork { .. } => {}
        }
    }
    Some((source?, pipeline, store))
}

/// Every block of the best chain by number, id, time and sequence.
fn check_blocks(source: &Source, view: &View) {
    let chain = source.best_chain();
    let mut next_sequence = None;
    let first_from = |number| blocks::first_global_sequence_from(view, number).unwrap();
    assert_eq!(first_from(0), first_from(chain[0].number));
    assert_eq!(first_from(chain[chain.len() - 1].number + 1), None);
    for block in &chain {
        let indexed = blocks::by_number(view, block.number).unwrap().unwrap();
        assert_eq!((indexed.id, indexed.time), (block.id, block.header.timestamp));
        assert_eq!(indexed.lib_number, block.dpos_irreversible_blocknum);
        assert_eq!(indexed.actions, block.unfiltered_executed_total_action_count);
        assert_eq!(blocks::by_id(view, block.id).unwrap().unwrap(), indexed);
        for which in [TimeMatch::Exact, TimeMatch::AtOrBefore, TimeMatch::AtOrAfter] {
            assert_eq!(blocks::by_time(view, indexed.time, which).unwrap().unwrap(), indexed);
        }
        let before = blocks::by_time(view, indexed.time, TimeMatch::Before).unwrap();
        assert_eq!(before.map_or(chain[0].number - 1, |before| before.number), block.number - 1);
        let after = blocks::by_time(view, indexed.time, TimeMatch::After).unwrap();
        assert_eq!(after.is_none(), block.id == chain[chain.len() - 1].id);
        assert!(after.is_none_or(|after| after.number == block.number + 1));

        let transactions = blocks::transactions(view, block.number).unwrap();
        let ids: Vec<_> = block.unfiltered_transaction_traces.iter().map(|trace| trace.id).collect();
        assert_eq!(transactions.iter().map(|transaction| transaction.id).collect::<Vec<_>>(), ids);
        // No gaps on the canonical chain.
        for first in transactions.iter().filter_map(|transaction| transaction.first_global_sequence) {
            assert_eq!(blocks::by_global_sequence(view, first).unwrap().unwrap(), indexed);
        }
        if let Some(sequences) = &indexed.global_sequences {
            assert_eq!(first_from(block.number), Some(*sequences.start()));
            assert!(next_sequence.is_none_or(|next| next == *sequences.start()), "{indexed:?}");
            next_sequence = Some(sequences.end() + 1);
            assert_eq!(blocks::by_global_sequence(view, *sequences.end()).unwrap().unwrap(), indexed);
        }
    }
    assert_eq!(blocks::by_global_sequence(view, next_sequence.unwrap()).unwrap(), None);
    let all = blocks::range(view, 0..=u32::MAX, Direction::Reverse).unwrap().map(|block| block.unwrap().number);
    assert!(all.eq(chain.iter().rev().map(|block| block.number)));
}

fn check_answers(folder: &str, view: &View) {
    let answers = recorded::json(&format!("{folder}/answers.json.gz")).unwrap();
    let mut checked = 0;
    for (number, answer) in answers["blocks"].as_object().unwrap() {
        let Some(block) = blocks::by_number(view, number.parse().unwrap()).unwrap() else {
            assert_eq!(number, "1");
            continue;
        };
        assert_eq!(block.id.to_string(), answer["id"].as_str().unwrap());
        assert_eq!(block.time, answer["timestamp"].as_str().unwrap().parse::<BlockTimestamp>().unwrap());
        assert_eq!(block.transactions as usize, answer["transactions"].as_array().unwrap().len());
        checked += 1;
    }
    for (account, answer) in answers["abi"].as_object().unwrap() {
        let account: Name = account.parse().unwrap();
        let stored = abi::at_head(view, account).unwrap();
        let Some(expected) = answer.get("abi") else {
            assert_eq!(stored, None, "{account}");
            continue;
        };
        let expected: Abi = serde_json::from_value(expected.clone()).unwrap();
        let found = Abi::from_bytes(&stored.unwrap().abi).unwrap();
        assert_eq!(serde_json::to_value(&found).unwrap(), serde_json::to_value(&expected).unwrap(), "{account}");
        AbiSerializer::new(&found);
        checked += 1;
    }
    let mut known = BTreeMap::new();
    for (account, answer) in answers["account"].as_object().unwrap() {
        let name: Name = account.parse().unwrap();
        let found = accounts::get(view, name).unwrap().unwrap_or_else(|| panic!("{account} is unknown"));
        known.insert(name, found);
        checked += 1;
        let Some(creation) = found.creation else {
            assert!(["eosio", "eosio.null", "eosio.prods"].contains(&&**account), "{account}");
            let first = blocks::range(view, 0..=u32::MAX, Direction::Forward).unwrap().next().unwrap().unwrap();
            assert_eq!(found.block_number, first.number);
            continue;
        };
        let block = blocks::by_number(view, found.block_number).unwrap().unwrap();
        assert_eq!(block.time, answer["created"].as_str().unwrap().parse::<BlockTimestamp>().unwrap(), "{account}");
        let transactions = blocks::transactions(view, found.block_number).unwrap();
        assert!(transactions.iter().any(|transaction| transaction.id == creation.transaction_id));
    }
    for prefix in ["", "a", "eosio.", "eosio.token", "zzz"] {
        let found = accounts::with_prefix(view, prefix.parse().unwrap(), None).unwrap().map(|account| account.unwrap());
        let found: Vec<_> = found.filter(|account| known.contains_key(&account.name)).collect();
        // Dots at the end of a name are no part of it.
        let beginning = prefix.trim_end_matches('.');
        let expected = known.values().filter(|it| it.name.to_string().starts_with(beginning));
        let expected: Vec<_> = expected.copied().collect();
        assert_eq!(found, expected, "{prefix}");
        if let [first, rest @ ..] = &expected[..] {
            let after = accounts::with_prefix(view, prefix.parse().unwrap(), Some(first.name)).unwrap();
            assert_eq!(after.filter(|it| known.contains_key(&it.as_ref().unwrap().name)).count(), rest.len());
        }
    }
    assert!(checked > 400, "{checked}");
}

/// The indexes begin with a block in the middle of the chain: accounts of before are known as soon as they are used.
#[test]
fn a_chain_from_its_middle_on() {
    const START: u32 = 50;
    let Some((source, whole, _)) = run("small/small.dmlog.zst", |_, _| {}) else { return };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&keyspaces(&indexes())));
    let mut pipeline = Pipeline::open(store, None, indexes(), Options::default()).unwrap();
    assert_eq!(pipeline.serving().snapshot().mid_chain_start(), None);
    let blocks: Vec<_> = source.best_chain().into_iter().filter(|block| block.number >= START).collect();
    blocks.iter().for_each(|block| {
        pipeline.append_final(block).unwrap();
    });
    pipeline.flush().unwrap();
    let (late, whole) = (pipeline.serving().snapshot(), whole.serving().snapshot());
    assert_eq!((late.mid_chain_start(), whole.mid_chain_start()), (Some(START), None));
    let is_used = |account: Name| {
        let traces = blocks.iter().flat_map(|block| block.transaction_traces()).filter(|trace| !trace.is_reverted());
        let mut actions = traces.flat_map(|trace| &trace.action_traces).filter(|trace| trace.receipt.is_some());
        actions.any(|trace| {
            trace.receiver == account || trace.action.authorization.iter().any(|level| level.actor == account)
        })
    };
    let (mut used, mut created) = (0, 0);
    for account in accounts::with_prefix(whole.view(), Name(0), None).unwrap().map(Result::unwrap) {
        let found = accounts::get(late.view(), account.name).unwrap();
        if account.block_number >= START {
            assert_eq!(found, Some(account));
            created += 1;
        } else if is_used(account.name) {
            let found = found.unwrap_or_else(|| panic!("{} is unknown", account.name));
            assert!(found.creation.is_none() && found.block_number >= START, "{found:?}");
            used += 1;
        }
    }
    assert!(used > 10 && created > 0, "{used} {created}");
    for genesis in ["eosio", "eosio.null", "eosio.prods"] {
        let found = accounts::get(late.view(), genesis.parse().unwrap()).unwrap().unwrap();
        assert_eq!((found.creation, found.block_number), (None, START));
    }
}

#[test]
fn a_chain_without_forks() {
    let Some((source, pipeline, _)) = run("small/small.dmlog.zst", |_, _| {}) else { return };
    let serving = pipeline.serving().snapshot();
    assert_eq!((serving.head().unwrap().number, serving.lib().unwrap().number), (365, 345));
    check_blocks(&source, serving.view());
    check_answers("small", serving.view());
}

#[test]
fn three_forks() {
    let mut forked = 0;
    let mut last_head = None;
    let result = run("fork/fork.dmlog.zst", |source, pipeline| {
        let serving = pipeline.serving().snapshot();
        let head = serving.head().unwrap();
        // Around every switch, and now and then.
        let switched =
            last_head.replace(head).is_some_and(|last| source.best_chain().iter().rev().nth(1).unwrap().id != last.id);
        if switched || head.number % 50 == 0 {
            check_blocks(source, serving.view());
        }
        for block in serving.forked_blocks() {
            let view = serving.view_at(block.id).unwrap().unwrap();
            assert_eq!(blocks::by_id(&view, block.id).unwrap().unwrap().id, block.id);
            assert_eq!(blocks::by_id(serving.view(), block.id).unwrap(), None);
            forked += 1;
        }
        let chain = source.best_chain();
        let lib = serving.lib().map_or(0, |lib| lib.number);
        for block in chain.iter().rev().take(3).filter(|block| block.number >= lib.max(2)) {
            let view = serving.view_at(block.id).unwrap().unwrap();
            assert_eq!(view.block(), Some(reference(block)));
            assert_eq!(blocks::by_number(&view, block.number + 1).unwrap(), None);
        }
    });
    let Some((source, pipeline, _)) = result else { return };
    assert!(forked > 60, "{forked}");
    let serving = pipeline.serving().snapshot();
    assert_eq!((serving.head().unwrap().number, serving.lib().unwrap().number), (414, 374));
    check_blocks(&source, serving.view());
    check_answers("fork", serving.view());
    let status = pipeline.serving().status();
    assert_eq!((status.reversible_blocks, status.stall.clone()), (40, None));
}

#[test]
fn every_abi_at_its_moment() {
    let mut expected = Vec::new();
    let Some((source, pipeline, _)) = run("small/small.dmlog.zst", |_, _| {}) else { return };
    let serving = pipeline.serving().snapshot();
    for block in source.best_chain() {
        for (account, record) in abi::changes(&dfuse_index::BlockContext::new(block)) {
            expected.push((record.global_sequence, account, record));
        }
    }
    expected.sort_by_key(|(sequence, ..)| *sequence);
    assert!(expected.len() > 10);
    let mut before: BTreeMap<Name, abi::AbiRecord> = BTreeMap::new();
    let mut in_one_block = 0;
    for (sequence, account, record) in expected {
        let known = before.get(&account).cloned().or_else(|| abi::at(serving.view(), account, 1).unwrap());
        in_one_block += u32::from(known.as_ref().is_some_and(|known| known.block_number == record.block_number));
        let known = known.filter(|record| !record.abi.is_empty());
        assert_eq!(abi::at(serving.view(), account, sequence).unwrap(), known);
        let now = Some(record.clone()).filter(|record| !record.abi.is_empty());
        assert_eq!(abi::at(serving.view(), account, sequence + 1).unwrap(), now);
        let since = before.get(&account).map_or(1, |record| record.global_sequence + 1);
        for earlier in [since, sequence] {
            assert_eq!(abi::next_change(serving.view(), account, earlier).unwrap(), Some(sequence));
        }
        before.insert(account, record);
    }
    assert!(in_one_block > 0);
    // The native ABI of the system account is in the dump only.
    assert!(
        abi::at(serving.view(), "eosio".parse().unwrap(), 1).unwrap().is_some_and(|record| record.global_sequence == 0)
    );
    for (account, record) in before {
        assert_eq!(abi::next_change(serving.view(), account, record.global_sequence + 1).unwrap(), None);
        let after = abi::after_block(serving.view(), account, record.block_number).unwrap();
        assert_eq!(after, Some(record).filter(|record| !record.abi.is_empty()));
    }
}

/// The embedded engine, dropped now and then as by a killed process, ends with the same bytes as one in memory.
#[test]
fn restarts_of_the_embedded_engine() {
    let Some(log) = recorded::bytes("fork/fork.dmlog.zst") else { return };
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let store = dfuse_kv::open(folder.path(), &keyspaces(&indexes()), EngineOptions::default()).unwrap().0;
        (store.clone(), Pipeline::open(store, None, indexes(), Options::default()).unwrap())
    };
    let mut committed = Vec::new();
    for blocks in [100, 7, 300, 0, usize::MAX] {
        let (store, mut pipeline) = open();
        committed.push(pipeline.committed().map_or(0, |block| block.number));
        let mut reader = Reader::new(&log[..]);
        let (mut source, mut taken): (Option<Source>, _) = (None, 0);
        while let Some(event) = reader.next_event().unwrap() {
            match event {
                Event::Block(block) if pipeline.committed().is_none_or(|it| it.number < block.number) => {
                    // What was committed is passed over, as in any replay.
                    if pipeline.committed().is_some_and(|it| source.is_none() && it.id != block.header.previous) {
                        continue;
                    }
                    source.get_or_insert_with(|| Source::new(&block)).push(*block, &mut pipeline);
                    taken += 1;
                }
                Event::AbiDump(dump) => pipeline.abi_dump(dump).unwrap(),
                _ => {}
            }
            if taken >= blocks {
                break;
            }
        }
        if blocks == usize::MAX {
            let (_, whole, uninterrupted) = run("fork/fork.dmlog.zst", |_, _| {}).unwrap();
            assert_eq!(pipeline.committed(), whole.committed());
            assert_eq!(contents(&*store, &[]), contents(&*uninterrupted, &[]));
            check_answers("fork", pipeline.serving().snapshot().view());
        }
    }
    assert!(committed.is_sorted() && committed[3] > 100, "{committed:?}");
}

/// The feed drives the pipeline, which is stopped on the way and goes on where it was.
struct Nobody;

impl ChainObserver for Nobody {
    fn undone(&self, _: &Block) {}

    fn finalized(&self, _: BlockTimestamp) {}
}

async fn empty_feed() -> (Feed, Keeper) {
    let files = BlockStore::open("memory://", StoreOptions::default()).unwrap();
    Feed::open(files, CursorKey::new([7; 32]), FeedOptions::default(), &SystemClock::new()).await.unwrap()
}

#[tokio::test]
async fn the_feed_is_followed() {
    let Some((_, whole, expected)) = run("fork/fork.dmlog.zst", |_, _| {}) else { return };
    let (mut feed, _keeper) = empty_feed().await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&keyspaces(&indexes())));
    let mut reader = Reader::new(recorded::open("fork/fork.dmlog.zst").unwrap());
    let mut writer = ReverseWriter::new();
    let mut dump = None;
    for blocks in [60, 90, 40, usize::MAX] {
        let mut pipeline = Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap();
        let serving = pipeline.serving().clone();
        let mut left = blocks;
        while left > 0
            && let Some(event) = reader.next_event().unwrap()
        {
            match event {
                Event::Block(block) => {
                    feed.push(EncodedBlock::encode(&block, &mut writer).unwrap()).await.unwrap();
                    left -= 1;
                }
                Event::AbiDump(found) => dump = Some(found),
                Event::SwitchFork { .. } => {}
            }
        }
        pipeline.abi_dump(dump.clone().unwrap()).unwrap();
        let handle = feed.handle();
        let arrived = async {
            while serving.snapshot().head() != handle.head() || serving.snapshot().lib() != handle.lib() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = follow_feed(pipeline, &handle, stream::empty(), &Nobody, std::future::pending()) => panic!("{:?}", ended.map(drop)),
            () = arrived => {}
        }
    }
    assert_eq!(whole.head(), feed.handle().head());
    assert_eq!(contents(&*store, &[]), contents(&*expected, &[]));
}

/// A kill can take block files that were committed to the indexes. A source that repeats them may have branches that lost first:
/// longer than what is committed, which is not known then.
#[tokio::test]
async fn what_files_have_lost_is_waited_for() {
    const LOG: &str = "fork/fork.dmlog.zst";
    let Some((source, whole, expected)) = run(LOG, |_, _| {}) else { return };
    for number in [70, 140, 217] {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&keyspaces(&indexes())));
        let mut pipeline = Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap();
        source.best_chain().iter().take_while(|block| block.number <= number).for_each(|block| {
            pipeline.append_final(block).unwrap();
        });
        pipeline.flush().unwrap();
        let committed = pipeline.committed().unwrap();
        let (mut feed, _keeper) = empty_feed().await;
        let handle = feed.handle();
        let serving = pipeline.serving().clone();
        let mut reader = Reader::new(recorded::open(LOG).unwrap());
        let mut writer = ReverseWriter::new();
        let (dumps, coming) = mpsc::unbounded();
        let repeated = async {
            let mut lost_branch_was_longer = false;
            while let Some(event) = reader.next_event().unwrap() {
                let block = match event {
                    Event::Block(block) => block,
                    Event::AbiDump(dump) => {
                        dumps.unbounded_send(dump).unwrap();
                        continue;
                    }
                    Event::SwitchFork { .. } => continue,
                };
                feed.push(EncodedBlock::encode(&block, &mut writer).unwrap()).await.unwrap();
                lost_branch_was_longer |=
                    handle.is_off_chain(committed) && handle.head().is_some_and(|head| head.number >= committed.number);
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
            }
            assert!(lost_branch_was_longer, "{committed}");
            while serving.snapshot().head() != handle.head() || serving.snapshot().lib() != handle.lib() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = follow_feed(pipeline, &handle, coming, &Nobody, std::future::pending()) => panic!("{:?}", ended.map(drop)),
            () = repeated => {}
        }
        assert_eq!(whole.head(), feed.handle().head());
        assert_eq!(contents(&*store, &[]), contents(&*expected, &[]));
    }
}
