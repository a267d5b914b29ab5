mod damage;
mod earlier;
mod histories;
mod machines;
mod no_space;
mod support;

use std::{sync::Arc, time::Duration};

use dfuse_deep_mind::Event;
use dfuse_testkit::recorded;
use futures::FutureExt;
use object_store::{ObjectStoreExt, path::Path};

use super::*;
use crate::{
    Added, BlockRef, BlockStore, Clock, Cursor, CursorKey, EncodedBlock, Error, OneBlockName, Step,
    testing::{Recording, chain, forked, id},
};
use support::{Faulty, Reader, Reference, drain, joins};

/// Time stands still.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

async fn open(store: &BlockStore, options: FeedOptions) -> (Feed, Keeper) {
    Feed::open(store.clone(), CursorKey::new([1; 32]), options, &Still).await.unwrap()
}

async fn push_all(feed: &mut Feed, blocks: impl IntoIterator<Item = EncodedBlock>) {
    for block in blocks {
        feed.push(block).await.unwrap();
    }
}

async fn keep(keeper: &mut Keeper) {
    while keeper.step().await.unwrap() {}
}

/// The steps that are there now, as text.
async fn steps(stream: &mut Subscription) -> String {
    let mut steps = vec![];
    while !stream.is_idle() {
        let Some(event) = stream.next().await.unwrap() else { break };
        let sign = match (event.step, event.is_final) {
            (Step::New, false) => "+",
            (Step::New, true) => "=",
            (Step::Undo, _) => "-",
            (Step::Irreversible, _) => "!",
        };
        let block = event.block.encoded();
        let branch = (0..9).find(|branch| id(block.number(), *branch) == block.id()).unwrap();
        steps.push(format!("{sign}{}{}", block.number(), "'".repeat(branch.into())));
    }
    steps.join(" ")
}

/// A store of blocks 2 to 450, of which all but the last three are final.
async fn store_of_450() -> (BlockStore, Arc<Recording>) {
    let (store, objects) = Recording::store();
    let (mut feed, mut keeper) = open(&store, FeedOptions::default()).await;
    push_all(&mut feed, chain(2, 449, 10)).await;
    keep(&mut keeper).await;
    (store, objects)
}

#[tokio::test]
async fn a_missing_bundle_is_no_other_chain() {
    for base in ["0000000000", "0000000100", "0000000200"] {
        let (store, objects) = store_of_450().await;
        let path = format!("chain/merged-blocks/{base}.dbin.zst");
        objects.delete(&Path::from(path.as_str())).await.unwrap();
        let first = base.parse::<u32>().unwrap().max(2);
        // The source begins anew, as after a restart. Without its first bundle the store begins with the second one.
        match Feed::open(store.clone(), CursorKey::new([1; 32]), FeedOptions::default(), &Still).await {
            Ok((mut feed, _keeper)) => {
                assert_eq!(base, "0000000000", "nothing was missed");
                for block in chain(2, 449, 10) {
                    let late = block.number() < 100;
                    let added = feed.push(block).await.unwrap();
                    assert!(added == Added::Known || late && added == Added::Late, "{added:?}");
                }
            }
            Err(error @ Error::MissingBundle { .. }) => {
                let expected = format!("{path} is missing: the blocks from {first} on");
                assert!(error.to_string().starts_with(&expected), "{error}");
            }
            Err(other) => panic!("{other}"),
        }
        assert!(store.forked_blocks().await.unwrap().is_empty());
        let mut merger = crate::Merger::open(store.clone(), 2, "dfuse").await.unwrap();
        let mut result = Ok(());
        for block in chain(2, 449, 10) {
            result = result.and(merger.push(block).await);
        }
        assert_eq!(matches!(result, Err(Error::MissingBundle { .. })), first > 2, "{result:?}");
    }
}

#[tokio::test]
async fn of_a_refused_chain_nothing_stays() {
    let (store, objects) = store_of_450().await;
    // A branch of this chain that lost stays, of course.
    store.write_forked_block(&forked(300, 1, 0, 200), "dfuse").await.unwrap();
    let before = objects.files().await;
    // Another chain with the same beginning, and one that leaves this one later.
    for (start, finality) in [(2_u32, 20), (150, 30)] {
        let (mut feed, _keeper) = open(&store, FeedOptions::default()).await;
        let mut refused = None;
        for number in start..start + 2 * finality {
            let lib = number.saturating_sub(finality);
            let block = forked(number, 2, if number == start { 0 } else { 2 }, lib);
            if let Err(error) = feed.push(block).await {
                refused = Some((number, error));
                break;
            }
        }
        let (number, error) = refused.unwrap();
        assert!(matches!(error, Error::OtherChain { .. }) && number == start + finality, "{number}: {error}");
        assert_eq!(objects.files().await, before);
    }
    let (mut feed, _keeper) = open(&store, FeedOptions::default()).await;
    assert_eq!(feed.push(forked(2, 0, 0, 0)).await.unwrap(), Added::Known);
}

#[tokio::test]
async fn blocks_in_no_file_are_told() {
    let (store, _) = Recording::store();
    let (mut feed, _keeper) = open(&store, FeedOptions { mode: Mode::CatchUp, ..FeedOptions::default() }).await;
    assert_eq!(feed.unwritten(), None);
    push_all(&mut feed, [forked(2, 0, 0, 0), forked(3, 0, 0, 0), forked(3, 1, 0, 0), forked(4, 0, 0, 2)]).await;
    assert_eq!(feed.unwritten(), Some(2..=4));
    feed.go_live().await.unwrap();
    assert_eq!(feed.unwritten(), None);
}

#[tokio::test]
async fn new_undo_irreversible() {
    let (store, _) = Recording::store();
    let (mut feed, mut keeper) = open(&store, FeedOptions::default()).await;
    let mut stream = feed.handle().subscribe(Start::Block(0)).await.unwrap();
    push_all(&mut feed, [forked(2, 0, 0, 0), forked(3, 0, 0, 0)]).await;
    assert_eq!(steps(&mut stream).await, "+2 +3");
    push_all(&mut feed, [forked(4, 0, 0, 2)]).await;
    assert_eq!(steps(&mut stream).await, "+4 !2");
    push_all(&mut feed, [forked(4, 1, 0, 2), forked(5, 1, 1, 2)]).await;
    assert_eq!(steps(&mut stream).await, "-4 +4' +5'");
    let at_fork = stream.cursor().unwrap();
    // Back to blocks that were seen before; one is final by now.
    push_all(&mut feed, [forked(5, 0, 0, 2), forked(6, 0, 0, 4)]).await;
    assert_eq!(steps(&mut stream).await, "-5' -4' !3 =4 +5 +6");

    // Who begins now sees what is final once; who was away on the lost branch is led back.
    let handle = feed.handle();
    for (start, expected) in [
        (Start::Block(2), "=2 =3 =4 +5 +6"),
        (Start::Head(0), "+6"),
        (Start::Head(100), "=2 =3 =4 +5 +6"),
        (Start::Lib, "=4 +5 +6"),
        (Start::Block(9), ""),
        (Start::Cursor(at_fork), "-5' -4' !3 =4 +5 +6"),
    ] {
        assert_eq!(steps(&mut handle.subscribe(start).await.unwrap()).await, expected, "{start:?}");
    }
    let request = Request { irreversible_only: true, ..Start::Block(3).into() };
    let mut irreversible = handle.subscribe(request).await.unwrap();
    assert_eq!(steps(&mut irreversible).await, "!3 !4");
    let request = Request { stop_block: Some(5), ..Start::Block(3).into() };
    assert_eq!(steps(&mut handle.subscribe(request).await.unwrap()).await, "=3 =4 +5");
    let backwards = Request { start: Start::Block(6), ..request };
    assert!(matches!(handle.subscribe(backwards).await, Err(Error::Usage(_))));

    keep(&mut keeper).await;
    assert_eq!(store.forked_blocks().await.unwrap().len(), 1, "4', but not 5', which is above the LIB");
    assert_eq!(handle.block(at_fork.block).await.unwrap().encoded().id(), id(5, 1));
    assert_eq!(handle.canonical_block(5).await.unwrap().encoded().id(), id(5, 0));
    drop(feed);
    assert!(matches!(stream.next().await, Err(Error::Closed)));
    assert!(keeper.run().await.is_ok());
}

#[tokio::test]
async fn confirmations() {
    let (store, _) = Recording::store();
    let (mut feed, _) = open(&store, FeedOptions::default()).await;
    let handle = feed.handle();
    let confirmed = |start: Start| Request { confirmations: 2, ..start.into() };
    let mut stream = handle.subscribe(confirmed(Start::Block(0))).await.unwrap();
    push_all(&mut feed, [forked(2, 0, 0, 0), forked(3, 0, 0, 0)]).await;
    assert_eq!(steps(&mut stream).await, "");
    push_all(&mut feed, [forked(4, 0, 0, 0), forked(5, 0, 0, 0)]).await;
    assert_eq!(steps(&mut stream).await, "+2 +3");
    let at_three = stream.cursor().unwrap();
    // A branch that is not as deep is not seen; a deeper one takes back at once, and comes when it is confirmed.
    push_all(&mut feed, [forked(5, 1, 0, 0), forked(6, 1, 1, 0)]).await;
    assert_eq!(steps(&mut stream).await, "+4");
    push_all(&mut feed, [forked(4, 2, 0, 0), forked(5, 2, 2, 0), forked(6, 2, 2, 0), forked(7, 2, 2, 0)]).await;
    assert_eq!(steps(&mut stream).await, "-4 +4\" +5\"".replace('"', "''"));
    assert_eq!((handle.confirmed(2), handle.confirmed(0), handle.confirmed(u32::MAX)), (Some(5), Some(7), Some(1)));
    // What is final needs no confirmation.
    push_all(&mut feed, [forked(8, 2, 2, 7)]).await;
    assert_eq!(
        steps(&mut stream).await,
        "!2 !3 !4 !5 =6 =7".replace("4", "4''").replace("5", "5''").replace("6", "6''").replace("7", "7''")
    );
    for (start, expected) in
        [(Start::Head(0), "=7''"), (Start::Block(8), ""), (Start::Cursor(at_three), "!2 !3 =4'' =5'' =6'' =7''")]
    {
        assert_eq!(steps(&mut handle.subscribe(confirmed(start)).await.unwrap()).await, expected, "{start:?}");
    }
}

#[tokio::test]
async fn a_stream_never_undoes_below_its_start() {
    let (store, _) = Recording::store();
    let (mut feed, _) = open(&store, FeedOptions::default()).await;
    push_all(&mut feed, [forked(2, 0, 0, 0), forked(3, 0, 0, 0), forked(4, 0, 0, 0)]).await;
    let mut stream = feed.handle().subscribe(Start::Block(4)).await.unwrap();
    assert_eq!(steps(&mut stream).await, "+4");
    let early = stream.cursor().unwrap();
    push_all(&mut feed, [forked(3, 1, 0, 0), forked(4, 1, 1, 0), forked(5, 1, 1, 0)]).await;
    assert_eq!(stream.next().await.unwrap().unwrap().step, Step::Undo);
    let undone = stream.cursor().unwrap();
    assert_eq!(steps(&mut stream).await, "+4' +5'");
    for (cursor, expected) in [(early, "-4 +4' +5'"), (undone, "+4' +5'")] {
        assert_eq!(steps(&mut feed.handle().subscribe(Start::Cursor(cursor)).await.unwrap()).await, expected);
    }
    push_all(&mut feed, [forked(6, 1, 1, 4)]).await;
    assert_eq!(steps(&mut stream).await, "+6' !4'");
}

#[tokio::test]
async fn order_of_durability() {
    let (store, objects) = Recording::store();
    let (mut feed, mut keeper) = open(&store, FeedOptions::default()).await;
    let committer = feed.handle().committer("index");
    for block in chain(2, 210, 10) {
        let name = crate::OneBlockName::new(&block, "dfuse");
        feed.push(block).await.unwrap();
        assert!(objects.content(&format!("chain/one-blocks/{name}.dbin.zst")).await.len() > 10);
    }
    keep(&mut keeper).await;
    assert!(store.bundles().await.unwrap().is_empty());
    committer.acknowledge(BlockRef { number: 198, id: id(198, 0) });
    keep(&mut keeper).await;
    assert_eq!(store.bundles().await.unwrap(), [0]);
    assert_eq!(store.one_blocks().await.unwrap()[0].number, 100);
    // Without committers bundles follow the LIB.
    drop(committer);
    keep(&mut keeper).await;
    assert_eq!(store.bundles().await.unwrap(), [0, 100]);
    assert_eq!(feed.handle().lib().unwrap().number, 208);
}

#[tokio::test]
async fn catching_up_writes_bundles_only() {
    let (store, _) = Recording::store();
    let options = FeedOptions { mode: Mode::CatchUp, ..FeedOptions::default() };
    let (mut feed, mut keeper) = open(&store, options.clone()).await;
    push_all(&mut feed, chain(2, 210, 10)).await;
    push_all(&mut feed, [forked(150, 1, 0, 100)]).await;
    keep(&mut keeper).await;
    assert_eq!((store.bundles().await.unwrap(), store.one_blocks().await.unwrap()), (vec![0, 100], vec![]));
    assert_eq!(store.forked_blocks().await.unwrap().len(), 1);
    drop((feed, keeper));

    // What is lost the source repeats; what it had said is passed over.
    let (mut feed, mut keeper) = open(&store, options).await;
    assert_eq!((feed.handle().head().unwrap().number, feed.resume_number()), (199, 200));
    push_all(&mut feed, chain(2, 210, 10)).await;
    assert_eq!((feed.skipped(), feed.handle().head().unwrap().number), (198, 211));
    feed.go_live().await.unwrap();
    keep(&mut keeper).await;
    assert_eq!(store.one_blocks().await.unwrap().len(), 12);
    push_all(&mut feed, [forked(212, 0, 0, 209)]).await;
    assert_eq!(store.one_blocks().await.unwrap().len(), 13);

    // A committer that does not follow holds the source.
    let committer = feed.handle().committer("index");
    feed.catch_up();
    let lagging = FeedOptions { committer_lag: 5, ..FeedOptions::default() };
    let (empty, _) = Recording::store();
    let (mut other, _) = open(&empty, FeedOptions { mode: Mode::CatchUp, ..lagging }).await;
    let slow = other.handle().committer("slow");
    push_all(&mut other, chain(2, 8, 0)).await;
    assert!(other.push(chain(10, 1, 0).remove(0)).now_or_never().is_none());
    slow.acknowledge(BlockRef { number: 4, id: id(4, 0) });
    push_all(&mut other, chain(10, 1, 0)).await;
    drop((slow, committer));
}

#[tokio::test]
async fn replay_rules() {
    let (store, _) = Recording::store();
    let (mut feed, mut keeper) = open(&store, FeedOptions { live_window: 0, ..FeedOptions::default() }).await;
    push_all(&mut feed, chain(2, 208, 10)).await;
    keep(&mut keeper).await;
    let push = async |feed: &mut Feed, block| feed.push(block).await;

    for number in [2, 98, 150, 204, 206, 209] {
        assert_eq!(push(&mut feed, chain(number, 1, 10).remove(0)).await.unwrap(), Added::Known, "{number}");
    }
    // A branch that lost, told again.
    for block in [forked(150, 1, 0, 100), forked(151, 1, 1, 100), forked(2, 1, 0, 1)] {
        assert_eq!(push(&mut feed, block).await.unwrap(), Added::Late);
    }
    assert_eq!(store.forked_blocks().await.unwrap().len(), 3);
    // It can go on above the LIB but not win.
    for number in 152..212 {
        push(&mut feed, forked(number, 1, 1, 100)).await.unwrap();
    }
    assert_eq!(feed.handle().head().unwrap().id, id(209, 0));
    // Unless it calls itself final.
    for block in [forked(152, 2, 1, 150), forked(212, 1, 1, 150), forked(2, 2, 0, 2), forked(2, 4, 5, 0)] {
        let error = push(&mut feed, block).await.unwrap_err();
        assert!(matches!(error, Error::OtherChain { .. }), "{error}");
    }
    let error = push(&mut feed, chain(212, 1, 0).remove(0)).await.unwrap_err().to_string();
    assert!(
        error.ends_with("does not follow: block 210 is missing; let the source begin at block 210 or before"),
        "{error}"
    );
    for number in [50, 209] {
        let error = push(&mut feed, forked(number, 5, 5, 0)).await.unwrap_err().to_string();
        assert!(error.contains(&format!("block {} {} is missing; let", number - 1, id(number - 1, 5))), "{error}");
    }

    let (empty, _) = Recording::store();
    let (mut feed, _) = open(&empty, FeedOptions::default()).await;
    assert!(matches!(push(&mut feed, chain(150, 1, 0).remove(0)).await, Err(Error::Usage(_))));
}

#[tokio::test]
async fn cursors_resolve_or_say_why_not() {
    let (store, objects) = Recording::store();
    let options = FeedOptions { keep_forked: 150, live_window: 10, ..FeedOptions::default() };
    let (mut feed, mut keeper) = open(&store, options.clone()).await;
    push_all(&mut feed, chain(2, 48, 10)).await;
    push_all(&mut feed, [forked(50, 1, 0, 40), forked(51, 1, 1, 40)]).await;
    let handle = feed.handle();
    let mut stream = handle.subscribe(Start::Block(50)).await.unwrap();
    assert_eq!(steps(&mut stream).await, "+50' +51'");
    let fork = handle.seal(&stream.cursor().unwrap());
    push_all(&mut feed, (50..180).map(|n| forked(n, 0, 0, n - 3))).await;
    keep(&mut keeper).await;

    // On a fork that is final history, also after a restart.
    for _ in 0..2 {
        let handle = feed.handle();
        let cursor = handle.open_cursor(&fork).unwrap();
        let mut stream = handle.subscribe(Start::Cursor(cursor)).await.unwrap();
        let resumed = steps(&mut stream).await;
        assert!(resumed.starts_with("-51' -50' =50 =51 =52 ") && resumed.ends_with("=176 +177 +178 +179"), "{resumed}");
        drop((feed, keeper));
        (feed, keeper) = open(&store, options.clone()).await;
    }

    let handle = feed.handle();
    let subscribe = async |cursor, irreversible_only| {
        let request = Request { irreversible_only, ..Start::Cursor(cursor).into() };
        handle.subscribe(request).await.map(drop)
    };
    let cursor = handle.open_cursor(&fork).unwrap();
    let at = |number, branch| {
        let block = BlockRef { number, id: id(number, branch) };
        Cursor { step: Step::New, block, tip: block, lib: number }
    };
    assert!(matches!(subscribe(cursor, true).await, Err(Error::CursorNotFinal(_))));
    assert!(subscribe(at(100, 0), true).await.is_ok());
    assert!(matches!(subscribe(at(100, 1), true).await, Err(Error::CursorUnknown(_))));
    assert!(matches!(subscribe(at(100, 1), false).await, Err(Error::CursorUnknown(_))));
    assert!(matches!(subscribe(at(500, 0), false).await, Err(Error::CursorAhead { head: 179, .. })));
    assert!(handle.subscribe(Start::Block(180)).await.is_ok());

    push_all(&mut feed, (180..1110).map(|n| forked(n, 0, 0, n - 3))).await;
    keep(&mut keeper).await;
    assert!(matches!(subscribe(cursor, false).await, Err(Error::CursorTooOld(_))));
    assert!(objects.files().await.iter().all(|file| !file.contains("forked-blocks")));
    let (other, _) = Recording::store();
    let key = CursorKey::new([2; 32]);
    let (elsewhere, _) = Feed::open(other, key, FeedOptions::default(), &Still).await.unwrap();
    assert!(matches!(elsewhere.handle().open_cursor(&fork), Err(Error::CursorForeign)));
    assert!(matches!(
        elsewhere.handle().subscribe(Start::Cursor(cursor)).await,
        Err(Error::CursorAhead { head: 0, .. })
    ));
}

#[tokio::test]
async fn a_restart_finds_everything_with_and_without_the_index() {
    let folder = tempfile::tempdir().unwrap();
    for data_dir in [Some(folder.path().to_owned()), None] {
        let (store, objects) = Recording::store();
        let options = FeedOptions { data_dir: data_dir.clone(), ..FeedOptions::default() };
        let (mut feed, mut keeper) = open(&store, options.clone()).await;
        push_all(&mut feed, chain(2, 140, 10)).await;
        // Two branches of one length: the second has the lower id.
        let (mut first, mut second) = (forked(142, 1, 0, 130), forked(142, 2, 0, 130));
        if first.id() < second.id() {
            std::mem::swap(&mut first, &mut second);
        }
        push_all(&mut feed, [first.clone(), second.clone()]).await;
        keep(&mut keeper).await;
        let before = (feed.handle().head(), feed.handle().lib());
        assert_eq!(before.0, Some((&first).into()));
        drop((feed, keeper));
        // Written, but the process ended before it was seen.
        store.write_one_block(&forked(143, 3, 9, 130), "other").await.unwrap();
        objects.reads();
        let (feed, _) = open(&store, options).await;
        let files = objects.reads().iter().filter(|(path, _)| path.contains("one-blocks")).count();
        let head = if data_dir.is_some() { &first } else { &second };
        assert_eq!((feed.handle().head(), feed.handle().lib()), (Some(head.into()), before.1));
        // For the hub's memory the best chain is read, for its links only what the index does not have.
        assert_eq!(files, if data_dir.is_some() { 43 + 1 } else { 43 + 45 });
    }
}

#[tokio::test]
async fn a_slow_stream_is_told_and_resumes() {
    let (store, _) = Recording::store();
    let options = FeedOptions { live_window: 20, ..FeedOptions::default() };
    let (mut feed, mut keeper) = open(&store, options).await;
    push_all(&mut feed, chain(2, 30, 10)).await;
    let handle = feed.handle();
    let (mut slow, mut waiting) =
        (handle.subscribe(Start::Lib).await.unwrap(), handle.subscribe(Start::Block(33)).await.unwrap());
    steps(&mut slow).await;
    for stream in [&mut slow, &mut waiting] {
        assert!(stream.next().now_or_never().is_none());
    }
    push_all(&mut feed, chain(32, 270, 10)).await;
    keep(&mut keeper).await;
    let Err(Error::TooSlow { cursor: Some(cursor) }) = slow.next().await else { panic!() };
    assert_eq!(Some(*cursor), slow.cursor());
    assert!(matches!(waiting.next().await, Err(Error::TooSlow { cursor: None })));
    let mut resumed = handle.subscribe(Start::Cursor(*cursor)).await.unwrap();
    let steps = steps(&mut resumed).await;
    assert!(steps.starts_with("!29 !30 !31 =32 =33") && steps.ends_with("=298 +299 +300 +301"), "{steps}");
}

#[tokio::test]
async fn thousands_share_one_block() {
    let (store, _) = Recording::store();
    // Too little memory for even one block: those who wait for the same one still share it.
    let (mut feed, _) = open(&store, FeedOptions::default()).await;
    let handle = feed.handle();
    let streams: Vec<_> =
        futures::future::try_join_all((0..3000).map(|_| handle.subscribe(Start::Block(2)))).await.unwrap();
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move {
                let mut events = vec![];
                for _ in 0..3 {
                    let block = stream.next().await.unwrap().unwrap().block;
                    let decoded = block.block().await.unwrap();
                    events.push((block, decoded));
                }
                events
            })
        })
        .collect();
    tokio::task::yield_now().await;
    push_all(&mut feed, chain(2, 2, 10)).await;
    let given = Arc::new(chain(4, 1, 10)[0].decode().unwrap());
    feed.push_decoded(chain(4, 1, 10).remove(0), given.clone()).await.unwrap();
    let seen = futures::future::try_join_all(tasks).await.unwrap();
    for events in &seen {
        for ((block, decoded), (first_block, first_decoded)) in events.iter().zip(&seen[0]) {
            assert!(Arc::ptr_eq(block, first_block) && Arc::ptr_eq(decoded, first_decoded));
        }
    }
    assert!(Arc::ptr_eq(&seen[0][2].1, &given));
}

#[tokio::test]
async fn nothing_is_lost_when_waiting_is_given_up() {
    let (store, _) = Recording::store();
    let options = FeedOptions { memory_bytes: 0, history_piece_bytes: 1, live_window: 5, ..FeedOptions::default() };
    let (mut feed, mut keeper) = open(&store, options).await;
    let blocks = chain(2, 150, 10);
    let mut reference = Reference::new(&blocks[0]);
    for block in blocks {
        reference.add(&block);
        feed.push(block).await.unwrap();
    }
    keep(&mut keeper).await;
    let mut reader = Reader::new(Start::Block(2).into());
    let mut stream = feed.handle().subscribe(Start::Block(2)).await.unwrap();
    while !stream.is_idle() {
        match stream.next().now_or_never() {
            Some(event) => reader.take(&event.unwrap().unwrap()),
            None => tokio::task::yield_now().await,
        }
    }
    reader.check(&reference, reference.head, reference.lib);
}

#[tokio::test]
async fn a_failed_write_is_not_taken() {
    let objects = Faulty::new(1, 1000, true);
    let store = BlockStore::new(Arc::new(objects.clone()), Path::from("chain"));
    let (mut feed, mut keeper) = open(&store, FeedOptions::default()).await;
    let mut stream = feed.handle().subscribe(Start::Block(2)).await.unwrap();
    let blocks = chain(2, 110, 10);
    objects.enable(true);
    assert!(matches!(feed.push(blocks[0].clone()).await, Err(error @ Error::Store { .. }) if error.is_away()));
    assert_eq!((feed.handle().head(), steps(&mut stream).await.as_str()), (None, ""));
    objects.enable(false);
    push_all(&mut feed, blocks).await;
    // No room for bundles: streams go on, and so does the keeper when there is.
    objects.enable(true);
    assert!(keeper.run().await.is_err());
    assert!(steps(&mut stream).await.ends_with("=108 +109 +110 +111"));
    objects.enable(false);
    drop(feed);
    keeper.run().await.unwrap();
    assert_eq!(store.bundles().await.unwrap(), [0]);
}

/// A real chain with three partitions of its producers. Whoever joins at whatever time at whatever place ends with it.
#[tokio::test]
async fn recorded_forks() {
    let Some(log) = recorded::open("fork/fork.dmlog.zst") else { return };
    let (mut writer, mut blocks) = (dfuse_antelope::model::wire::ReverseWriter::new(), vec![]);
    for event in dfuse_deep_mind::Reader::new(log) {
        if let Event::Block(block) = event.unwrap() {
            blocks.push(EncodedBlock::encode(&block, &mut writer).unwrap());
        }
    }
    assert_eq!(blocks.len(), 473);
    let (store, _) = Recording::store();
    let options = FeedOptions { live_window: 50, memory_bytes: 1 << 20, ..FeedOptions::default() };
    let (mut feed, mut keeper) = open(&store, options.clone()).await;
    let handle = feed.handle();
    let mut reference = Reference::new(&blocks[0]);
    let all: Request = Start::Block(2).into();
    let irreversible = Request { irreversible_only: true, ..all };
    let (mut stream, mut reader) = (handle.subscribe(all).await.unwrap(), Reader::new(all));
    let (mut finals, mut final_reader) = (handle.subscribe(irreversible).await.unwrap(), Reader::new(irreversible));
    let mut undone = 0;
    let mut cursors = vec![];
    for (at, block) in blocks.iter().enumerate() {
        feed.push(block.clone()).await.unwrap();
        reference.add(block);
        let new = drain(&mut stream, &mut reader).await;
        undone += new.iter().filter(|(cursor, _)| cursor.step == Step::Undo).count();
        cursors.extend(new);
        drain(&mut finals, &mut final_reader).await;
        let (head, lib) = (handle.head().unwrap(), handle.lib().unwrap());
        assert_eq!((head, lib), (reference.head, reference.lib));
        reader.check(&reference, head, lib);
        final_reader.check(&reference, head, lib);
        let at = at as u32;
        for start in [Start::Head(at % 40), Start::Lib, Start::Block(2 + (at * 7) % head.number)] {
            let (irreversible_only, confirmations) = (at % 4 == 3, at % 7);
            joins(&handle, Request { irreversible_only, confirmations, ..start.into() }, &reference).await;
        }
        if at.is_multiple_of(50) {
            keep(&mut keeper).await;
        }
    }
    assert_eq!(undone, 60);
    // The node itself ended at this block.
    let (head, lib) = (handle.head().unwrap(), handle.lib().unwrap());
    assert_eq!((head.number, lib.number), (414, 374));

    // From every position that a stream ever had, before and after a restart and with the forks aside.
    keep(&mut keeper).await;
    drop((feed, keeper));
    let (feed, _) = open(&store, options).await;
    for (cursor, mut reader) in cursors.into_iter().step_by(3) {
        let mut stream = feed.handle().subscribe(Start::Cursor(cursor)).await.unwrap();
        // Only from here on steps are of this stream.
        drain(&mut stream, &mut reader).await;
        reader.check(&reference, head, lib);
    }
    for number in (2..=head.number).step_by(5) {
        joins(&feed.handle(), Start::Block(number).into(), &reference).await;
    }
}
