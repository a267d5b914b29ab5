//! Blocks that precede the first one of a feed, in its bundle.

use futures::TryStreamExt;

use super::*;

/// The feed begins with block 346 of a chain, whose earlier blocks come later.
const FIRST: u32 = 346;

fn options() -> FeedOptions {
    FeedOptions { first_streamable: FIRST, ..FeedOptions::default() }
}

fn later(to: u32) -> Vec<EncodedBlock> {
    chain(2, to - 1, 10).split_off(FIRST as usize - 2)
}

fn earlier() -> Vec<EncodedBlock> {
    chain(2, FIRST - 2, 10).split_off(300 - 2)
}

/// The bundle has the earlier blocks, too, and nothing of them is left beside it.
async fn has_all(store: &BlockStore) {
    let bundle: Vec<_> = store.read_bundle_blocks(300, 0..=u32::MAX).try_collect().await.unwrap();
    assert_eq!(bundle.iter().map(EncodedBlock::number).collect::<Vec<_>>(), (300..400).collect::<Vec<_>>());
    assert!(store.one_blocks().await.unwrap().iter().all(|name| name.number > 399));
}

#[tokio::test]
async fn they_go_into_the_bundle_that_is_not_full_yet() {
    let (store, _) = Recording::store();
    let (mut feed, mut keeper) = open(&store, options()).await;
    push_all(&mut feed, later(390)).await;
    keep(&mut keeper).await;
    for _ in 0..2 {
        store.precede(earlier(), Some(&feed.handle())).await.unwrap();
    }
    assert_eq!(store.one_blocks().await.unwrap().iter().map(|name| name.number).min(), Some(300));
    push_all(&mut feed, later(450).split_off(45)).await;
    keep(&mut keeper).await;
    has_all(&store).await;
    feed.handle().begins_with(300);
    let mut stream = feed.handle().subscribe(Start::Block(300)).await.unwrap();
    for number in 300..450 {
        let event = stream.next().await.unwrap().unwrap();
        assert_eq!((event.step, event.block.encoded().id()), (Step::New, id(number, 0)));
    }
}

#[tokio::test]
async fn they_are_put_before_the_bundle_that_is_there() {
    for with_feed in [true, false] {
        let (store, _) = Recording::store();
        let (mut feed, mut keeper) = open(&store, options()).await;
        push_all(&mut feed, later(450)).await;
        keep(&mut keeper).await;
        // Its tables are known.
        assert!(matches!(store.read_block(320).await, Err(Error::NotFound(_))));
        for _ in 0..2 {
            store.precede(earlier(), with_feed.then(|| feed.handle()).as_ref()).await.unwrap();
        }
        has_all(&store).await;
        assert_eq!(store.read_block(320).await.unwrap().id(), id(320, 0));
        // Those of another chain are refused.
        let (other, _) = Recording::store();
        let (mut feed, mut keeper) = open(&other, options()).await;
        push_all(&mut feed, later(450)).await;
        keep(&mut keeper).await;
        let wrong = vec![forked(FIRST - 1, 1, 0, 300)];
        assert!(matches!(other.precede(wrong, None).await, Err(Error::Unlinked { .. })));
    }
}

#[tokio::test]
async fn they_wait_while_the_bundle_is_written() {
    let (store, _) = Recording::store();
    let (mut feed, mut keeper) = open(&store, options()).await;
    push_all(&mut feed, later(450)).await;
    let handle = feed.handle();
    handle.shared.hub_mut().as_mut().unwrap().writes_bundle(true);
    let mut preceding = Box::pin(store.precede(earlier(), Some(&handle)));
    assert!(futures::poll!(&mut preceding).is_pending());
    let (preceded, ()) = futures::join!(preceding, keep(&mut keeper));
    preceded.unwrap();
    has_all(&store).await;
}

#[tokio::test]
async fn some_that_a_kill_left_are_no_gap() {
    let (store, _) = Recording::store();
    let (mut feed, keeper) = open(&store, options()).await;
    push_all(&mut feed, later(380)).await;
    for block in earlier().iter().rev().take(20) {
        store.write_one_block(block, "earlier").await.unwrap();
    }
    drop((feed, keeper));
    let (mut feed, mut keeper) = open(&store, options()).await;
    assert_eq!(feed.handle().head().map(|head| head.number), Some(380));
    store.precede(earlier(), Some(&feed.handle())).await.unwrap();
    push_all(&mut feed, later(450).split_off(35)).await;
    keep(&mut keeper).await;
    has_all(&store).await;
}
