//! Indexes built again from block files, and compared with them.

use std::sync::Arc;

use dfuse_antelope::model::wire::ReverseWriter;
use dfuse_blocks::{BlockStore, EncodedBlock, Merger, StoreOptions};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{Index, Options, Pipeline, Rebuild, blocks::Blocks, check_indexes, keyspaces, reindex};
use dfuse_kv::{Direction, Durability, KeyRange, MemoryStore, Store, WriteBatch};
use dfuse_testkit::synthetic::SyntheticChain;

fn all() -> Vec<Arc<dyn Index>> {
    let mut indexes = crate::indexes();
    indexes.insert(0, Arc::new(Blocks));
    indexes
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(&keyspaces(&all())))
}

type Contents = Vec<(String, Vec<(Vec<u8>, Vec<u8>)>)>;

fn contents(store: &dyn Store) -> Contents {
    let snapshot = store.snapshot().unwrap();
    let entries = |name: &String| {
        let scan = snapshot.scan(store.keyspace(name).unwrap(), &KeyRange::all(), Direction::Forward).unwrap();
        scan.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
    };
    store.keyspaces().iter().map(|name| (name.clone(), entries(name))).collect()
}

#[tokio::test]
async fn every_index_is_built_again_to_the_same_bytes() {
    let mut log = Vec::new();
    SyntheticChain::builder().seed(3).blocks(140).build().write_log(&mut log).unwrap();
    let blocks: Vec<_> = Reader::new(&log[..])
        .filter_map(|event| match event.unwrap() {
            Event::Block(block) => Some(*block),
            _ => None,
        })
        .collect();
    let files = BlockStore::open("memory://", StoreOptions::default()).unwrap();
    let mut merger = Merger::open(files.clone(), blocks[0].number, "test").await.unwrap();
    let mut writer = ReverseWriter::new();
    let store = store();
    let mut pipeline = Pipeline::open(store.clone(), None, all(), Options::default()).unwrap();
    for block in &blocks {
        merger.push(EncodedBlock::encode(block, &mut writer).unwrap()).await.unwrap();
        // In two ways, to the same end.
        if block.number % 50 < 40 {
            pipeline.append_final(block).unwrap();
        } else {
            pipeline.flush().unwrap();
            pipeline.apply(block).unwrap();
            pipeline.finalize(super::node::reference(block)).unwrap();
        }
    }
    pipeline.flush().unwrap();
    drop(pipeline);
    merger.finish().await.unwrap();

    let before = contents(&*store);
    // The chain sets no code, is not filtered, and does not come from state history.
    let may_be_empty = ["scratch", "row-keys", "code-hash", "block-filter", "state-history-block"];
    assert!(before.iter().all(|(name, entries)| may_be_empty.contains(&&**name) || !entries.is_empty()));
    for index in crate::indexes() {
        let rebuild = Rebuild::open(store.clone(), &all(), index.name(), Options::default(), |_| {}).unwrap();
        reindex(&files, rebuild, |_| {}).await.unwrap();
    }
    assert_eq!(contents(&*store), before);

    let check = async || check_indexes(&files, &*store, self::store(), &all(), 9, |_| {}).await.unwrap();
    assert_eq!(check().await.different, 0);
    let mut batch = WriteBatch::new();
    for name in ["row-current", "scope", "key-account", "permission-link", "token-holder"] {
        batch.put(store.keyspace(name).unwrap(), "no key", "");
    }
    store.commit(batch, Durability::Buffer).unwrap();
    assert_eq!(check().await.different, 5);
}
