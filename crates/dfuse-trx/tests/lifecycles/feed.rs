//! Lost blocks and their transactions come back after a restart, through the feed.

use std::sync::Arc;

use dfuse_antelope::model::wire::ReverseWriter;
use dfuse_blocks::{
    Added, BlockRef, BlockStore, CursorKey, EncodedBlock, StoreOptions, SystemClock,
    feed::{Feed, FeedOptions},
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_index::{Index, Options, Pipeline, blocks::Blocks, follow_feed, keyspaces};
use dfuse_kv::MemoryStore;
use dfuse_testkit::recorded;
use dfuse_trx::{BlockSource, FeedBlocks, ForkedTransactions, Transactions, events};
use futures::stream;

async fn open(place: &std::path::Path) -> (Feed, dfuse_blocks::feed::Keeper) {
    let files = BlockStore::open(place.to_str().unwrap(), StoreOptions::default()).unwrap();
    Feed::open(files, CursorKey::new([7; 32]), FeedOptions::default(), &SystemClock::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_knows_what_was_forked_out() {
    // After the second of three switches, while blocks of the losing branches are in files of both kinds.
    const BLOCKS: usize = 180;
    let Some(log) = recorded::open("fork/fork.dmlog.zst") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut feed, mut keeper) = open(folder.path()).await;
    let indexes: Vec<Arc<dyn Index>> = vec![Arc::new(Blocks), Arc::new(Transactions)];
    let store = Arc::new(MemoryStore::new(&keyspaces(&indexes)));
    let pipeline = Pipeline::open(store, None, indexes, Options::default()).unwrap();
    let (handle, serving) = (feed.handle(), pipeline.serving().clone());
    let forked = ForkedTransactions::new();
    let mut blocks = Vec::new();
    let follow = async {
        let mut reader = Reader::new(log);
        let mut writer = ReverseWriter::new();
        while blocks.len() < BLOCKS {
            if let Event::Block(block) = reader.next_event().unwrap().unwrap() {
                if feed.push(EncodedBlock::encode(&block, &mut writer).unwrap()).await.unwrap() == Added::Side {
                    forked.undone(&block);
                }
                blocks.push(block);
                // Nothing is missed: branches that come and go unseen are not streamed.
                while serving.snapshot().head() != handle.head() {
                    tokio::task::yield_now().await;
                }
                while keeper.step().await.unwrap() {}
            }
        }
    };
    tokio::select! {
        ended = follow_feed(pipeline, &handle, stream::empty(), &forked, std::future::pending()) => panic!("{:?}", ended.map(drop)),
        () = follow => {}
    }
    assert!(forked.len() > 50, "{}", forked.len());
    feed.close().await.unwrap();

    let (feed, _keeper) = open(folder.path()).await;
    let restored = ForkedTransactions::restore(&feed.handle()).await.unwrap();
    assert!(restored.len() > 50, "{}", restored.len());
    let view = serving.snapshot().view().clone();
    let reads = tokio::task::spawn_blocking(move || {
        let source = FeedBlocks::new(feed.handle());
        for block in blocks {
            for receipt in block.transactions() {
                // Of what the chain has by now it may know less: there the chain is asked.
                let known = restored.get(receipt.id, None);
                assert!(known == forked.get(receipt.id, None) || !events(&view, receipt.id).unwrap().is_empty());
            }
            // Whatever became of it, it can be read.
            let reference = BlockRef { number: block.number, id: block.id };
            assert_eq!(*source.block(reference).unwrap(), *block);
        }
    });
    reads.await.unwrap();
}
