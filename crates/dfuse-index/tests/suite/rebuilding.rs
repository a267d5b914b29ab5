//! Indexes added later, built again and checked, from block files.

use std::sync::Arc;

use dfuse_antelope::{
    AbiDump,
    model::{Block, wire::ReverseWriter},
};
use dfuse_blocks::{BlockRef, BlockStore, EncodedBlock, Merger, StoreOptions};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{
    Difference, DifferenceKind, Error, Index, IndexState, Options, Pipeline, Progress, Rebuild,
    abi::{self, Abis},
    accounts::{self, Accounts},
    blocks::{self, Blocks},
    check_dumps, check_indexes, check_replaceable, keyspaces, reindex,
};
use dfuse_kv::{Direction, Durability, KeyRange, MemoryStore, Store, WriteBatch};
use dfuse_testkit::synthetic::SyntheticChain;

use crate::chain::{contents, reference};

fn all() -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts)]
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(&keyspaces(&all())))
}

/// A chain without forks, its dump and its files.
async fn chain() -> (Vec<Block>, AbiDump, BlockStore) {
    chain_at("memory://").await
}

async fn chain_at(place: &str) -> (Vec<Block>, AbiDump, BlockStore) {
    let mut log = Vec::new();
    SyntheticChain::builder().seed(5).blocks(260).build().write_log(&mut log).unwrap();
    let mut reader = Reader::new(&log[..]);
    let (mut blocks, mut dump) = (Vec::new(), AbiDump::default());
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Block(block) => blocks.push(*block),
            Event::AbiDump(found) => dump = found,
            Event::SwitchFork { .. } => {}
        }
    }
    let files = BlockStore::open(place, StoreOptions::default()).unwrap();
    files.write_abi_dump(dump.clone()).await.unwrap();
    let mut merger = Merger::open(files.clone(), blocks[0].number, "test").await.unwrap();
    let mut writer = ReverseWriter::new();
    for block in &blocks {
        merger.push(EncodedBlock::encode(block, &mut writer).unwrap()).await.unwrap();
    }
    merger.finish().await.unwrap();
    assert_eq!(files.bundles().await.unwrap(), [0, 100]);
    (blocks, dump, files)
}

/// Takes the blocks; those of the last sixteen stay reversible.
fn follow(store: &Arc<dyn Store>, indexes: Vec<Arc<dyn Index>>, blocks: &[Block], dump: &AbiDump) -> Pipeline {
    let mut pipeline = Pipeline::open(store.clone(), None, indexes, Options::default()).unwrap();
    pipeline.abi_dump(dump.clone()).unwrap();
    for block in blocks {
        pipeline.apply(block).unwrap();
    }
    pipeline.finalize(reference(&blocks[blocks.len() - 17])).unwrap();
    pipeline
}

#[tokio::test]
async fn an_index_added_later_is_built_while_others_serve() {
    let (blocks, dump, files) = chain().await;
    let complete = store();
    let whole = follow(&complete, all(), &blocks, &dump);

    let late = store();
    drop(follow(&late, vec![Arc::new(Blocks)], &blocks, &dump));
    let mut pipeline = Pipeline::open(late.clone(), None, all(), Options::default()).unwrap();
    let committed = pipeline.committed().unwrap();
    assert!(committed.number > 199, "the last blocks are in one-block files");
    for block in &blocks[committed.number as usize - 1..] {
        pipeline.apply(block).unwrap();
    }
    let serving = pipeline.serving().clone();
    assert_eq!(serving.status().indexes[1].state, IndexState::Behind(None));
    let eosio = "eosio".parse().unwrap();
    assert!(matches!(abi::at_head(serving.snapshot().view(), eosio), Err(Error::NotBuilt { index: "abi" })));
    assert!(blocks::by_number(serving.snapshot().view(), 9).unwrap().is_some());

    for name in ["abi", "accounts"] {
        // Killed a few times on the way.
        for stop in [3, 50, 120] {
            let mut rebuild =
                Rebuild::open(late.clone(), &all(), name, Options { batch_bytes: 2000, ..Options::default() }, |_| {})
                    .unwrap();
            rebuild.abi_dump(dump.clone()).unwrap();
            let next = rebuild.next_number().unwrap();
            for block in blocks.iter().filter(|block| (next..stop).contains(&block.number)) {
                rebuild.push(block).unwrap();
            }
        }
        assert!(matches!(pipeline.join(name, |_| unreachable!()), Err(Error::NotBuilt { .. })));
        let rebuild = Rebuild::open(late.clone(), &all(), name, Options::default(), |_| {}).unwrap();
        assert!(name != "accounts" || rebuild.next_number().unwrap() > 3);
        let mut last = 0;
        let progress = |progress| match progress {
            Progress::Blocks { number, last: end } => {
                assert!(number > last && end == committed.number);
                last = number;
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(reindex(&files, rebuild, progress).await.unwrap(), Some(committed));
        assert_eq!(last, committed.number);
        let find = |block: BlockRef| Ok(Arc::new(blocks[block.number as usize - 2].clone()));
        // A first attempt that fails on the way leaves nothing.
        let mut found = 0;
        let fail = |block| {
            found += 1;
            if found > 3 { Err(Error::Usage("no block".into())) } else { find(block) }
        };
        let before = serving.status().overlay_bytes;
        assert!(matches!(pipeline.join(name, fail), Err(Error::Usage(_))));
        assert_eq!(serving.status().overlay_bytes, before);
        pipeline.join(name, find).unwrap();
    }
    assert_eq!(contents(&*late, &[]), contents(&*complete, &[]));
    let (late_view, view) = (serving.snapshot(), whole.serving().snapshot());
    let accounts = |view| accounts::with_prefix(view, "".parse().unwrap(), None).unwrap().map(Result::unwrap);
    assert!(accounts(late_view.view()).eq(accounts(view.view())));
    for account in accounts(view.view()) {
        let account = account.name;
        assert_eq!(abi::at_head(late_view.view(), account).unwrap(), abi::at_head(view.view(), account).unwrap());
    }
    // All go on together.
    pipeline.finalize(reference(blocks.last().unwrap())).unwrap();
    assert!(serving.status().indexes.iter().all(|index| index.state == IndexState::Live));
}

#[tokio::test]
async fn a_complete_index_is_built_again_to_the_same_bytes() {
    let (blocks, dump, files) = chain().await;
    let store = store();
    drop(follow(&store, all(), &blocks, &dump));
    let before = contents(&*store, &[]);
    let mut dropped = Vec::new();
    let progress = |progress| {
        if let Progress::Dropping(family) = progress {
            dropped.push(family.name());
        }
    };
    let rebuild = Rebuild::open(store.clone(), &all(), "blocks", Options::default(), progress).unwrap();
    assert_eq!(dropped, ["block", "block-transactions", "sequence", "state-history-block", "time", "block-filter"]);
    reindex(&files, rebuild, |_| {}).await.unwrap();
    assert_eq!(contents(&*store, &[]), before);
    let missing = Rebuild::open(store, &all(), "rows", Options::default(), |_| {});
    assert!(matches!(missing, Err(Error::Usage(_))));
}

#[tokio::test]
async fn differences_are_found() {
    let (blocks, dump, files) = chain().await;
    let checked = store();
    let pipeline = follow(&checked, all(), &blocks, &dump);
    let report = check_indexes(&files, &*checked, store(), &all(), 10, |_| {}).await.unwrap();
    assert_eq!((report.block, report.different), (pipeline.committed(), 0));
    assert!(report.equal > 700);

    let (time, block, account) =
        (checked.keyspace("time").unwrap(), checked.keyspace("block").unwrap(), checked.keyspace("account").unwrap());
    let mut batch = WriteBatch::new();
    batch.put(time, "zzzzzzzz", "");
    batch.put(block, 7u32.to_be_bytes().to_vec(), "?");
    let scan = checked.snapshot().unwrap().scan(account, &KeyRange::all(), Direction::Forward).unwrap();
    let accounts: Vec<_> = scan.map(|entry| entry.unwrap().0).collect();
    for account_key in &accounts {
        batch.delete(account, account_key.clone());
    }
    checked.commit(batch, Durability::Buffer).unwrap();
    let damaged = check_indexes(&files, &*checked, store(), &all(), 3, |_| {}).await.unwrap();
    assert_eq!(damaged.different, 2 + accounts.len() as u64);
    let kinds: Vec<_> =
        damaged.differences.iter().map(|Difference { family, kind, .. }| (family.name(), *kind)).collect();
    let expected = [
        ("block", DifferenceKind::Different),
        ("time", DifferenceKind::Unexpected),
        ("account", DifferenceKind::Missing),
    ];
    assert_eq!(kinds, expected);
}

/// A sound index is not given up for files that it could not be built from again.
#[tokio::test]
async fn an_index_that_cannot_be_built_again_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (blocks, dump, _) = chain_at(folder.path().to_str().unwrap()).await;
    let store = store();
    drop(follow(&store, all(), &blocks, &dump));
    let one_blocks = std::fs::read_dir(folder.path().join("one-blocks")).unwrap();
    let lowest = one_blocks.map(|file| file.unwrap().file_name().into_string().unwrap()).min().unwrap();
    let one_block = format!("one-blocks/{lowest}");
    // Whatever another process has done to the files.
    let check = async |names: &'static [&'static str]| {
        let files = BlockStore::open(folder.path().to_str().unwrap(), StoreOptions::default()).unwrap();
        (check_replaceable(&files, &store, names, &[], |_| {}).await, check_dumps(&files).await)
    };
    assert!(matches!(check(&["blocks", "abi", "accounts"]).await, (Ok(()), Ok(()))));
    for (file, index) in [
        ("merged-blocks/0000000000.dbin.zst", "blocks"),
        ("merged-blocks/0000000100.dbin.zst", "accounts"),
        (one_block.as_str(), "blocks"),
        ("abi-dumps/0000000001.jsonl.zst", "abi"),
    ] {
        let path = folder.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x20;
        for content in [Some(flipped), Some(whole[..whole.len() / 3].to_vec()), Some(vec![]), None] {
            match &content {
                Some(content) => std::fs::write(&path, content).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let names: &'static [&'static str] = match index {
                "abi" => &["abi"],
                "accounts" => &["accounts"],
                _ => &["blocks"],
            };
            let (refused, dumps) = check(names).await;
            let Err(Error::Irreplaceable { why, .. }) = &refused else { panic!("{file} {content:?}: {refused:?}") };
            assert!(why.contains("dfuse tools merge --mend"), "{why}");
            assert_eq!(dumps.is_err(), index == "abi", "{file}");
        }
        std::fs::write(&path, whole).unwrap();
    }
    // A list of dumps that is gone with its dump does not hide it: the index has its ABIs.
    for name in ["abi-dumps/inventory", "abi-dumps/0000000001.jsonl.zst"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    assert!(matches!(check(&["abi"]).await, (Err(Error::Irreplaceable { index: "abi", .. }), Ok(()))));
    // What is incomplete anyway is not kept for that.
    let mut building = WriteBatch::new();
    let checkpoint = store.keyspace("checkpoint").unwrap();
    building.delete(checkpoint, b"abi".to_vec());
    store.commit(building, Durability::Sync).unwrap();
    assert!(matches!(check(&["abi"]).await, (Ok(()), Ok(()))));
}
