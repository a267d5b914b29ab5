//! The index built again, and checked, from the block files; the same bytes whatever is committed at once.

use std::sync::Arc;

use dfuse_antelope::{
    AbiDump,
    model::{Block, wire::ReverseWriter},
};
use dfuse_blocks::{BlockStore, EncodedBlock, Merger, StoreOptions};
use dfuse_deep_mind::Event;
use dfuse_index::{
    Difference, DifferenceKind, Error, Index, Options, Pipeline, Rebuild, abi::Abis, blocks::Blocks, check_indexes,
    keyspaces, reindex,
};
use dfuse_kv::{Direction, Durability, KeyRange, MemoryStore, Store, WriteBatch};
use dfuse_search::{EventAction, Filter, SearchIndex, TermOptions};
use dfuse_testkit::synthetic::SyntheticChain;

use crate::node::{Node, stretched, synthetic_events};

fn indexes() -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(SearchIndex::default())]
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(&keyspaces(&indexes())))
}

/// Everything in the families of the index.
fn contents(store: &dyn Store) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let snapshot = store.snapshot().unwrap();
    let entries = |name: &'static str| {
        let scan = snapshot.scan(store.keyspace(name).unwrap(), &KeyRange::all(), Direction::Forward).unwrap();
        scan.map(Result::unwrap).map(move |(key, value)| (name, key.to_vec(), value.to_vec())).collect::<Vec<_>>()
    };
    ["posting", "posting-segment"].into_iter().flat_map(entries).collect()
}

fn chain() -> (Vec<Block>, AbiDump) {
    let (mut blocks, mut dump) = (Vec::new(), AbiDump::default());
    for event in synthetic_events(SyntheticChain::builder().seed(5).blocks(260)) {
        match event {
            Event::Block(block) => blocks.push(stretched(*block, 20_000)),
            Event::AbiDump(found) => dump = found,
            Event::SwitchFork { .. } => {}
        }
    }
    (blocks, dump)
}

async fn files(blocks: &[Block], dump: &AbiDump) -> BlockStore {
    let files = BlockStore::open("memory://", StoreOptions::default()).unwrap();
    files.write_abi_dump(dump.clone()).await.unwrap();
    let mut merger = Merger::open(files.clone(), blocks[0].number, "test").await.unwrap();
    let mut writer = ReverseWriter::new();
    for block in blocks {
        merger.push(EncodedBlock::encode(block, &mut writer).unwrap()).await.unwrap();
    }
    merger.finish().await.unwrap();
    files
}

/// Commits all blocks, `batch_bytes` at a time.
fn append(store: &Arc<dyn Store>, indexes: Vec<Arc<dyn Index>>, blocks: &[Block], dump: &AbiDump, batch_bytes: usize) {
    let options = Options { batch_bytes, ..Options::default() };
    let mut pipeline = Pipeline::open(store.clone(), None, indexes, options).unwrap();
    pipeline.abi_dump(dump.clone()).unwrap();
    for block in blocks {
        pipeline.append_final(block).unwrap();
    }
    pipeline.flush().unwrap();
}

#[tokio::test]
async fn built_later_checked_and_damaged() {
    let (blocks, dump) = chain();
    let files = files(&blocks, &dump).await;
    let whole = store();
    append(&whole, indexes(), &blocks, &dump, 32 << 20);
    let expected = contents(&*whole);
    assert!(expected.iter().filter(|(family, ..)| *family == "posting").count() > 5000);

    for batch_bytes in [1, 300_000] {
        let pieces = store();
        append(&pieces, indexes(), &blocks, &dump, batch_bytes);
        assert!(contents(&*pieces) == expected, "{batch_bytes}");
    }

    let late = store();
    append(&late, indexes()[..2].to_vec(), &blocks, &dump, 32 << 20);
    for stop in [3, 50, 120, 261] {
        let options = Options { batch_bytes: 100_000, ..Options::default() };
        let mut rebuild = Rebuild::open(late.clone(), &indexes(), "search", options, |_| {}).unwrap();
        rebuild.abi_dump(dump.clone()).unwrap();
        let next = rebuild.next_number().unwrap();
        for block in blocks.iter().filter(|block| (next..stop).contains(&block.number)) {
            rebuild.push(block).unwrap();
        }
    }
    let rebuild = Rebuild::open(late.clone(), &indexes(), "search", Options::default(), |_| {}).unwrap();
    reindex(&files, rebuild, |_| {}).await.unwrap();
    assert!(contents(&*late) == expected);

    let report = check_indexes(&files, &*late, store(), &indexes(), 10, |_| {}).await.unwrap();
    assert_eq!(report.different, 0);
    let mut batch = WriteBatch::new();
    let (_, key, _) = &expected[77];
    batch.delete(late.keyspace("posting").unwrap(), key.clone());
    late.commit(batch, Durability::Buffer).unwrap();
    let report = check_indexes(&files, &*late, store(), &indexes(), 10, |_| {}).await.unwrap();
    let [Difference { family, kind: DifferenceKind::Missing, .. }] = &report.differences[..] else {
        panic!("{report:?}")
    };
    assert_eq!(family.name(), "posting");
}

#[test]
fn forks_leave_nothing_behind() {
    let chain = SyntheticChain::builder().seed(9).blocks(120).random_forks(250, 4);
    let mut node = Node::new(9_000, 1 << 20);
    let events = synthetic_events(chain);
    let dump = events.iter().find_map(|event| if let Event::AbiDump(dump) = event { Some(dump.clone()) } else { None });
    events.into_iter().for_each(|event| node.push(event));
    let mut blocks: Vec<_> = node.best().map(|(block, _)| (**block).clone()).collect();
    blocks.reverse();
    let straight = store();
    append(&straight, indexes(), &blocks, &dump.unwrap_or_default(), 32 << 20);
    let store = MemoryStore::open(&node.finish(), &keyspaces(&indexes())).unwrap();
    assert!(contents(&store) == contents(&*straight));
}

#[test]
fn other_terms_need_another_index() {
    let (blocks, dump) = chain();
    let store = store();
    append(&store, indexes(), &blocks[..20], &dump, 32 << 20);
    let name = "hooks".parse().unwrap();
    let options = [
        TermOptions {
            events: Some(EventAction { contract: name, action: name, unrestricted: false }),
            ..TermOptions::default()
        },
        TermOptions { act_digest: true, ..TermOptions::default() },
        TermOptions { data_fields: Some(["to".to_owned()].into()), ..TermOptions::default() },
        TermOptions { filter: Filter::new("", "action == 'onblock'", "").unwrap(), ..TermOptions::default() },
        TermOptions { filter: Filter::new("", "#9;action == 'onblock'", "").unwrap(), ..TermOptions::default() },
    ];
    let with = |options: &TermOptions| -> Vec<Arc<dyn Index>> {
        vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(SearchIndex::new(options.clone()))]
    };
    let open = |options: &TermOptions| Pipeline::open(store.clone(), None, with(options), Options::default());
    let is_refused = |options: &TermOptions| matches!(open(options), Err(Error::OtherSettings { index: "search" }));
    assert!(open(&TermOptions::default()).is_ok());
    for (at, wanted) in options.iter().enumerate() {
        assert!(is_refused(wanted), "{wanted:?}");
        let mut rebuild = Rebuild::open(store.clone(), &with(wanted), "search", Options::default(), |_| {}).unwrap();
        rebuild.abi_dump(dump.clone()).unwrap();
        assert_eq!(rebuild.next_number(), Some(blocks[0].number));
        blocks[..20].iter().for_each(|block| rebuild.push(block).unwrap());
        rebuild.finish().unwrap();
        assert!(open(wanted).is_ok() && is_refused(&TermOptions::default()));
        assert!(options.iter().enumerate().all(|(other, options)| other == at || is_refused(options)));
    }
}
