//! Feeds of several machines over one store.

use super::*;

fn named(suffix: &str) -> FeedOptions {
    FeedOptions { suffix: suffix.to_owned(), ..FeedOptions::default() }
}

fn reading() -> FeedOptions {
    FeedOptions { reads_only: true, memory_bytes: 1, live_window: 0, ..FeedOptions::default() }
}

/// Blocks 2 to 260 of a chain, and some that lost.
fn blocks() -> Vec<EncodedBlock> {
    let mut blocks = chain(2, 259, 10);
    for lost in [50, 150, 250] {
        let at = blocks.iter().position(|block| block.number() == lost).unwrap();
        blocks.insert(at, forked(lost, 1, 0, lost - 10));
    }
    blocks
}

#[tokio::test]
async fn two_machines_write_one_store_without_harm() {
    let (store, objects) = Recording::store();
    let (mut a, mut keeper_a) = open(&store, named("a")).await;
    let (mut b, mut keeper_b) = open(&store.clone(), named("b")).await;
    let blocks = blocks();
    let half = blocks.len() / 2;
    // One is ahead of the other; then the other starts again, and finds files of both.
    push_all(&mut a, blocks.iter().cloned()).await;
    push_all(&mut b, blocks[..half].iter().cloned()).await;
    keep(&mut keeper_a).await;
    keep(&mut keeper_b).await;
    push_all(&mut b, blocks[half..].iter().cloned()).await;
    drop((b, keeper_b));
    let (mut b, mut keeper_b) = open(&store, named("b")).await;
    push_all(&mut b, blocks.iter().cloned()).await;
    push_all(&mut b, chain(2, 320, 10).into_iter().skip(259)).await;
    keep(&mut keeper_b).await;
    push_all(&mut a, chain(2, 320, 10).into_iter().skip(259)).await;
    keep(&mut keeper_a).await;
    assert_eq!(store.bundles().await.unwrap(), [0, 100, 200]);
    let files = objects.files().await;
    let one_blocks: Vec<_> = files.iter().filter(|path| path.contains("one-blocks")).collect();
    assert!(one_blocks.iter().all(|path| path.contains("/00000003")), "{one_blocks:?}");
    for lost in [50, 150, 250] {
        let found = store.find_forked_block((&forked(lost, 1, 0, lost - 10)).into()).await.unwrap();
        assert!(found.is_some(), "{lost}");
    }
    // A bundle of another chain is no work that another machine has done.
    let other = (200..300).map(|number| forked(number, 1, if number == 200 { 0 } else { 1 }, number - 3)).collect();
    assert!(matches!(store.create_bundle(other).await, Err(Error::OtherChain { .. })));
}

/// A client takes all that is there for it.
async fn take_all(client: &mut Reader, stream: &mut Subscription) {
    while !stream.is_idle() {
        client.take(&stream.next().await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn one_that_reads_changes_nothing_and_forgets_what_others_have_written() {
    let (store, objects) = Recording::store();
    let (mut writer, mut keeper) = open(&store, named("a")).await;
    let blocks = blocks();
    push_all(&mut writer, blocks.iter().take(120).cloned()).await;
    let (mut reader, mut looks) = open(&store.clone().reads_only(), reading()).await;
    assert_eq!(reader.handle().head(), writer.handle().head());
    let mut stream = reader.handle().subscribe(Start::Block(2)).await.unwrap();
    let mut client = Reader::new(Start::Block(2).into());
    take_all(&mut client, &mut stream).await;
    for block in blocks.iter().skip(120).cloned() {
        writer.push(block.clone()).await.unwrap();
        let before = objects.files().await;
        reader.push(block).await.unwrap();
        while looks.step().await.unwrap() {}
        take_all(&mut client, &mut stream).await;
        assert_eq!(objects.files().await, before);
        keep(&mut keeper).await;
    }
    while looks.step().await.unwrap() {}
    take_all(&mut client, &mut stream).await;
    assert_eq!(client.chain, chain(2, 259, 10).iter().map(BlockRef::from).collect::<Vec<_>>());
    assert_eq!(Some(client.lib), writer.handle().lib().map(|lib| lib.number));
    // What left memory is read from where others have put it.
    assert_eq!(reader.resume_number(), 200);
    for block in &blocks {
        let found = reader.handle().block(block.into()).await.unwrap();
        assert_eq!(found.encoded(), block);
    }
    reader.close().await.unwrap();
}

#[tokio::test]
async fn cursors_of_machines_that_are_ahead_or_elsewhere() {
    let (store, _) = Recording::store();
    let (mut a, _keeper_a) = open(&store, named("a")).await;
    let short = FeedOptions { cursor_wait: Duration::from_millis(5), ..named("b") };
    let (mut b, _keeper_b) = open(&store, short).await;
    let blocks = chain(2, 20, 10);
    push_all(&mut a, blocks.iter().cloned()).await;
    push_all(&mut b, blocks[..18].iter().cloned()).await;
    let at = |block: &EncodedBlock, lib| Cursor { step: Step::New, block: block.into(), tip: block.into(), lib };
    let ahead = at(&blocks[19], 11);
    assert!(matches!(b.handle().subscribe(Start::Cursor(ahead)).await, Err(Error::CursorAhead { .. })));
    // It is waited for.
    let patient = FeedOptions { cursor_wait: Duration::from_secs(3600), ..named("c") };
    let (mut c, _keeper_c) = open(&Recording::store().0, patient).await;
    push_all(&mut c, blocks[..18].iter().cloned()).await;
    let handle = c.handle();
    let waiting = tokio::spawn(async move { handle.subscribe(Start::Cursor(ahead)).await.map(drop) });
    push_all(&mut c, blocks[18..].iter().cloned()).await;
    waiting.await.unwrap().unwrap();
    // A block that only the other machine had: found in its file, and undone.
    let side = forked(18, 1, 0, 8);
    a.push(side.clone()).await.unwrap();
    let mut stream = b.handle().subscribe(Start::Cursor(at(&side, 8))).await.unwrap();
    let sent = steps(&mut stream).await;
    let sent: Vec<_> = sent.split(' ').filter(|step| !step.starts_with('!')).collect();
    assert_eq!(sent, ["-18'", "+18", "+19"]);
    // One that nobody had.
    let none = at(&forked(18, 2, 0, 8), 8);
    assert!(matches!(b.handle().subscribe(Start::Cursor(none)).await, Err(Error::CursorUnknown(_))));
}

#[tokio::test]
async fn what_is_published_on_arrival_is_written_before_the_next_block() {
    let faulty = Faulty::new(1, 1000, false);
    let store = BlockStore::new(Arc::new(faulty.clone()), Path::from("chain"));
    let (mut a, keeper) = open(&store, FeedOptions { publish: Publish::OnArrival, ..named("a") }).await;
    let blocks = chain(2, 12, 10);
    push_all(&mut a, blocks[..8].iter().cloned()).await;
    let mut stream = a.handle().subscribe(Start::Block(2)).await.unwrap();
    steps(&mut stream).await;
    faulty.enable(true);
    assert!(matches!(a.push(blocks[8].clone()).await, Err(Error::Store { .. })));
    assert_eq!(steps(&mut stream).await, "+10 !7", "it is seen all the same");
    assert!(matches!(a.push(blocks[9].clone()).await, Err(Error::Store { .. })));
    assert_eq!(a.handle().head(), Some((&blocks[8]).into()));
    faulty.enable(false);
    assert_eq!(a.push(blocks[8].clone()).await.unwrap(), Added::Head, "as it was told the first time");
    assert_eq!(a.push(blocks[8].clone()).await.unwrap(), Added::Known);
    assert_eq!(a.push(blocks[9].clone()).await.unwrap(), Added::Head);
    assert_eq!(steps(&mut stream).await, "+11 !8");
    // It is killed between a block and its file: another machine has both.
    faulty.enable(true);
    assert!(a.push(blocks[10].clone()).await.is_err());
    drop((a, keeper));
    faulty.enable(false);
    let (mut b, _keeper) = open(&store, named("b")).await;
    push_all(&mut b, blocks.iter().cloned()).await;
    let mut numbers: Vec<_> = store.one_blocks().await.unwrap().into_iter().map(|name| name.number).collect();
    numbers.dedup();
    assert_eq!(numbers, (2..14).collect::<Vec<_>>());
}

#[tokio::test]
async fn losses_are_told_as_they_show() {
    let (store, _) = Recording::store();
    let (mut feed, _keeper) = open(&store, FeedOptions::default()).await;
    let blocks = chain(2, 26, 10);
    push_all(&mut feed, blocks[..20].iter().cloned()).await;
    let mut losses = feed.handle().losses();
    assert!(losses.next().now_or_never().is_none());
    // A branch that comes when another one is final.
    for late in [forked(15, 1, 0, 10), forked(16, 1, 1, 10)] {
        assert_eq!(feed.push(late.clone()).await.unwrap(), Added::Late);
        assert_eq!(losses.next().await.unwrap().encoded(), &late);
        assert_eq!(feed.push(late).await.unwrap(), Added::Known);
        assert!(losses.next().now_or_never().is_none(), "it is told once");
    }
    // One that shows that it has lost when another one is final.
    let side = forked(21, 1, 0, 15);
    assert_eq!(feed.push(side.clone()).await.unwrap(), Added::Side);
    assert!(losses.next().now_or_never().is_none());
    push_all(&mut feed, blocks[20..].iter().cloned()).await;
    assert_eq!(losses.next().await.unwrap().encoded(), &side);
    drop(feed);
    assert!(matches!(losses.next().await, Err(Error::Closed)));
}
