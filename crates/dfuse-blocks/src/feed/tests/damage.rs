//! What a power cut or a bad disk leaves of the block files: the feed opens, and its source fills the gaps.

use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::*;

type Way = fn(&[u8]) -> Vec<u8>;

/// What a file may have become.
const WAYS: [Way; 3] = [
    |_| vec![],
    |whole| whole[..whole.len() / 2].to_vec(),
    |whole| {
        let mut flipped = whole.to_vec();
        flipped[whole.len() / 2] ^= 0x10;
        flipped
    },
];

async fn strike(store: &BlockStore, path: &Path, way: Way) {
    let whole = store.get(path).await.unwrap();
    store.put(path, way(&whole)).await.unwrap();
    store.forget_tables();
}

/// A store that was fed with blocks 2 to 150 and one lost block, and closed.
async fn fed(options: &FeedOptions) -> (BlockStore, Vec<EncodedBlock>) {
    let (store, _) = Recording::store();
    let blocks = chain(2, 149, 40);
    let (mut feed, mut keeper) = open(&store, options.clone()).await;
    push_all(&mut feed, blocks[..100].iter().cloned()).await;
    push_all(&mut feed, [forked(101, 1, 0, 97)]).await;
    push_all(&mut feed, blocks[100..].iter().cloned()).await;
    keep(&mut keeper).await;
    feed.close().await.unwrap();
    (store, blocks)
}

fn path_of(store: &BlockStore, folder: &str, name: &OneBlockName) -> Path {
    store.path(folder, &name.file_name())
}

/// Every block of the chain, as the feed reads it.
async fn content(feed: &Feed) -> Vec<EncodedBlock> {
    let (first, head) = (feed.handle().first_block().unwrap(), feed.handle().head().unwrap().number);
    let mut blocks = vec![];
    for number in first..=head {
        blocks.push(feed.handle().canonical_block(number).await.unwrap().encoded().clone());
    }
    blocks
}

#[tokio::test]
async fn a_damaged_one_block_file_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    for data_dir in [Some(folder.path().to_owned()), None] {
        let options = FeedOptions { data_dir, ..FeedOptions::default() };
        for way in WAYS {
            for number in [100, 120, 150] {
                let (store, blocks) = fed(&options).await;
                let name = store.one_blocks().await.unwrap().into_iter().find(|name| name.number == number).unwrap();
                strike(&store, &path_of(&store, "one-blocks", &name), way).await;
                let (mut feed, mut keeper) = open(&store, options.clone()).await;
                assert_eq!(feed.handle().head().unwrap().number, number - 1);
                assert!(store.one_blocks().await.unwrap().iter().all(|other| *other != name));
                // The source repeats what is not in bundles.
                let first = feed.resume_number();
                push_all(&mut feed, blocks.iter().filter(|block| block.number() >= first).cloned()).await;
                assert_eq!(feed.handle().head(), blocks.last().map(BlockRef::from));
                keep(&mut keeper).await;
                assert_eq!(content(&feed).await, blocks);
            }
        }
    }
}

#[tokio::test]
async fn without_its_first_blocks_history_begins_anew() {
    let (store, _) = Recording::store();
    let blocks = chain(2, 30, 40);
    let (mut feed, _) = open(&store, FeedOptions::default()).await;
    push_all(&mut feed, blocks.clone()).await;
    feed.close().await.unwrap();
    for way in WAYS {
        let name = store.one_blocks().await.unwrap().remove(0);
        strike(&store, &path_of(&store, "one-blocks", &name), way).await;
        let (mut feed, _) = open(&store, FeedOptions::default()).await;
        assert_eq!((feed.handle().head(), feed.resume_number()), (None, 2));
        push_all(&mut feed, blocks.clone()).await;
        assert_eq!(content(&feed).await, blocks);
        feed.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_forked_block_holds_nothing_up() {
    for way in WAYS {
        let (store, blocks) = fed(&FeedOptions::default()).await;
        let name = store.forked_blocks().await.unwrap().remove(0);
        let cursor = {
            let lost = store.read_forked_block(&name).await.unwrap();
            let tip = BlockRef::from(&lost);
            Cursor { step: Step::New, block: tip, tip, lib: 97 }
        };
        strike(&store, &path_of(&store, "forked-blocks", &name), way).await;
        let (feed, _) = open(&store, FeedOptions::default()).await;
        let lost = feed.handle().lost_blocks(0..=200).await.unwrap();
        assert_eq!(lost.try_collect::<Vec<_>>().await.unwrap().len(), 0);
        assert!(store.forked_blocks().await.unwrap().is_empty());
        let refused = feed.handle().subscribe(Start::Cursor(cursor)).await.err().unwrap();
        assert!(matches!(refused, Error::CursorUnknown(_)), "{refused}");
        assert_eq!(content(&feed).await, blocks);
    }
}

#[tokio::test]
async fn a_torn_last_bundle_is_written_again() {
    for way in &WAYS[..2] {
        let (store, blocks) = fed(&FeedOptions::default()).await;
        strike(&store, &store.bundle_path(0), *way).await;
        let (mut feed, mut keeper) = open(&store, FeedOptions::default()).await;
        assert!(feed.resume_number() <= 2);
        push_all(&mut feed, blocks.clone()).await;
        keep(&mut keeper).await;
        assert_eq!((store.bundles().await.unwrap(), content(&feed).await), (vec![0], blocks));
    }
}

#[tokio::test]
async fn a_missing_bundle_between_others_is_named() {
    let (store, _) = Recording::store();
    let (mut feed, mut keeper) = open(&store, FeedOptions::default()).await;
    push_all(&mut feed, chain(2, 420, 10)).await;
    keep(&mut keeper).await;
    feed.close().await.unwrap();
    for base in [100, 200] {
        let path = store.bundle_path(base);
        let whole = store.get(&path).await.unwrap();
        store.objects.delete(&path).await.unwrap();
        let refused = Feed::open(store.clone(), CursorKey::new([1; 32]), FeedOptions::default(), &Still).await;
        let refused = refused.err().unwrap().to_string();
        assert!(refused.contains(&format!("{path} is missing: the blocks from {base} on")), "{refused}");
        store.put(&path, whole.to_vec()).await.unwrap();
    }
}
