//! The block store itself.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dfuse_antelope::model::wire::ReverseWriter;
use dfuse_blocks::{BlockStore, CheckOptions, EncodedBlock, Error, Merger, StoreOptions, SystemEntropy, check};
use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::synthetic::{Fork, SyntheticChain};
use futures::{TryStreamExt, future::join_all};
use tempfile::TempDir;

use crate::{
    is_list, store,
    support::{
        faults::{Fate, Faults},
        s3::{S3, SECRET},
    },
};

/// A chain with a fork that lost.
fn blocks() -> Vec<EncodedBlock> {
    let mut log = vec![];
    let options = SyntheticChain::builder().seed(3).blocks(450).users(5).transactions_per_block(0..=3);
    options.fork(Fork::new(150, 2, 3)).build().write_log(&mut log).unwrap();
    let (mut reader, mut writer, mut blocks) = (Reader::new(&log[..]), ReverseWriter::new(), vec![]);
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            blocks.push(EncodedBlock::encode(&block, &mut writer).unwrap());
        }
    }
    blocks
}

async fn merge(store: &BlockStore, blocks: &[EncodedBlock]) {
    let mut merger = Merger::open(store.clone(), blocks[0].number(), "test").await.unwrap();
    for block in blocks {
        merger.push(block.clone()).await.unwrap();
    }
    merger.finish().await.unwrap();
}

/// Everything that a store has: the blocks of bundles, then those of single files, then those that lost.
async fn everything(store: &BlockStore) -> Vec<EncodedBlock> {
    let last = store.bundles().await.unwrap().last().unwrap() + 99;
    let mut all: Vec<_> = store.read_range(2..=last).try_collect().await.unwrap();
    all.extend(store.read_one_blocks(store.one_blocks().await.unwrap()).try_collect::<Vec<_>>().await.unwrap());
    for name in store.forked_blocks().await.unwrap() {
        all.push(store.read_forked_block(&name).await.unwrap());
    }
    all
}

/// What the same blocks are in a folder.
async fn in_a_folder(blocks: &[EncodedBlock]) -> Vec<EncodedBlock> {
    let folder = TempDir::new().unwrap();
    let store = BlockStore::open(folder.path().to_str().unwrap(), StoreOptions::default()).unwrap();
    merge(&store, blocks).await;
    everything(&store).await
}

#[tokio::test]
async fn a_store_in_s3_is_like_one_in_a_folder() {
    let Some(server) = S3::start() else { return };
    let blocks = blocks();
    let store = store("whole", server.address());
    merge(&store, &blocks).await;
    assert_eq!(everything(&store).await, in_a_folder(&blocks).await);
    let report = check(&store, &CheckOptions { decode: true, ..CheckOptions::default() }, |_| ()).await.unwrap();
    assert!(report.findings.is_empty() && report.bundles > 2 && report.forked_blocks.files == 2, "{report:?}");
    // It goes on where it ended, and passes over what it has.
    merge(&store, &blocks).await;
    assert_eq!(everything(&store).await, in_a_folder(&blocks).await);
    assert_eq!(store.prune_forked_blocks(u32::MAX).await.unwrap(), 2);
    assert_eq!(store.prune_forked_blocks(u32::MAX).await.unwrap(), 0);
    assert!(matches!(store.read_block(9999).await, Err(Error::NotFound(_))));
    assert_eq!(store.delete_bundles_below(200).await.unwrap(), 2);
    assert_eq!(store.bundles().await.unwrap()[0], 200);
}

#[tokio::test]
async fn requests_that_fail_are_made_again() {
    let Some(server) = S3::start() else { return };
    let faults = Faults::before(server.address());
    let blocks = blocks();
    let store = store("faults", faults.address());
    let mut count = 0;
    // What is asked again is answered sooner or later.
    faults.plan(move |_| {
        count += 1;
        match count % 31 {
            2 => Fate::Refused(503),
            // One after the other.
            6 => Fate::Refused(429),
            7 => Fate::Refused(500),
            11 => Fate::CutAnswer { whole: false },
            15 => Fate::CutAnswer { whole: true },
            19 => Fate::CutRequest(Arc::new(|| ())),
            23 => Fate::Closed,
            // It takes until the request is given up.
            27 if count < 100 => Fate::Silence,
            29 => Fate::Late(Duration::from_millis(50)),
            _ => Fate::Pass,
        }
    });
    merge(&store, &blocks).await;
    assert_eq!(everything(&store).await, in_a_folder(&blocks).await);
    let direct = crate::store("faults", server.address());
    let report = check(&direct, &CheckOptions { decode: true, ..CheckOptions::default() }, |_| ()).await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

#[tokio::test]
async fn nothing_partial_is_visible() {
    let Some(server) = S3::start() else { return };
    let faults = Faults::before(server.address());
    let blocks = blocks();
    let bundle = |numbers: std::ops::RangeInclusive<u32>| {
        let mut bundle: Vec<_> = blocks.iter().filter(|block| numbers.contains(&block.number())).cloned().collect();
        bundle.dedup_by_key(|block| block.number());
        bundle
    };
    let file = server.files("partial/merged-blocks/0000000000.dbin.zst");
    let (cut, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // Twice, uploads end inside the file; the third one passes.
    let cuts = |was_there: Option<Vec<u8>>| {
        let (cut, seen, file) = (cut.clone(), seen.clone(), file.clone());
        cut.store(0, Ordering::SeqCst);
        faults.plan(move |line| {
            if !line.starts_with("PUT") || cut.fetch_add(1, Ordering::SeqCst) >= 2 {
                return Fate::Pass;
            }
            let (seen, file, was_there) = (seen.clone(), file.clone(), was_there.clone());
            Fate::CutRequest(Arc::new(move || {
                if fs::read(&file).ok() == was_there {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            }))
        });
    };
    let store = store("partial", faults.address());
    cuts(None);
    assert!(store.create_bundle(bundle(2..=60)).await.unwrap());
    assert_eq!((cut.load(Ordering::SeqCst), seen.load(Ordering::SeqCst)), (3, 2), "nothing was there before all of it");
    let first = fs::read(&file).unwrap();
    cuts(Some(first.clone()));
    store.write_bundle(bundle(2..=99)).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 4, "the file before was there until all of it came");
    assert_ne!(fs::read(&file).unwrap(), first);
    let read: Vec<_> = store.read_range(2..=99).try_collect().await.unwrap();
    assert_eq!(read, bundle(2..=99));
    // Nothing is left of what was cut.
    let names =
        |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names(file.parent().unwrap()), ["0000000000.dbin.zst"]);
}

#[tokio::test]
async fn a_store_that_lets_nobody_in_says_so_without_its_secret() {
    let Some(server) = S3::start() else { return };
    let faults = Faults::before(server.address());
    let store = store("denied", faults.address());
    // No trying again helps.
    faults.plan(|_| Fate::Refused(403));
    let error = store.bundles().await.unwrap_err();
    assert!(error.is_away(), "{error}");
    assert_eq!(faults.requests().len(), 1);
    let told = format!("{error} {error:?} {store:?}");
    assert!(!told.contains(SECRET), "{told}");
    let secret = StoreOptions::with_variables([("AWS_SECRET_ACCESS_KEY".into(), SECRET.into())].into_iter());
    assert!(!format!("{secret:?}").contains(SECRET));
    let place = format!("s3://key:{SECRET}@bucket/x");
    let refused = BlockStore::open(&place, StoreOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("in the environment") && !refused.contains(SECRET), "{refused}");
    for (name, value, wanted) in [
        ("AWS_PROXY_URL", "http://proxy", "proxy_url is not supported"),
        ("AWS_TIMEOUT", "soon", "timeout"),
        ("AWS_ALLOW_HTTP", "perhaps", "only https is allowed"),
    ] {
        let variables = S3::variables(server.address()).into_iter().filter(|(known, _)| *known != name);
        let variables = variables.chain([(name, value.to_owned())]).map(|(name, value)| (name.into(), value.into()));
        let opened = BlockStore::open("s3://blocks/x", StoreOptions::with_variables(variables));
        let error = match opened {
            Ok(store) => store.bundles().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn large_stores_are_listed_with_few_requests() {
    let Some(server) = S3::start() else { return };
    let folder = server.files("large/merged-blocks");
    fs::create_dir_all(&folder).unwrap();
    for bundle in 0..2500 {
        fs::write(folder.join(format!("{:010}.dbin.zst", bundle * 100)), b"x").unwrap();
    }
    let faults = Faults::before(server.address());
    let store = store("large", faults.address());
    let counted = |most: usize| {
        let requests = faults.requests();
        assert!((1..=most).contains(&requests.len()), "{requests:#?}");
    };
    assert_eq!(store.bundles().await.unwrap().len(), 2500);
    counted(10);
    // Whoever follows the end asks for it alone.
    assert_eq!(store.bundles_from(249_850).await.unwrap(), [249_800, 249_900]);
    counted(1);
    let page = store.bundles_from(100_000).await.unwrap();
    assert_eq!((page[0], page.len()), (100_000, 1000));
    counted(1);
    assert_eq!(store.one_blocks_from(249_000).await.unwrap(), []);
    counted(1);
    // What is kept no longer is listed alone, too.
    assert_eq!(store.delete_bundles_below(500).await.unwrap(), 5);
    counted(6);
    // One block is read without any list.
    let written = store_of_blocks(&server, "read").await;
    let reader = crate::store("read", faults.address());
    for block in written {
        assert_eq!(reader.read_block(block.number()).await.unwrap(), block);
    }
    let requests = faults.requests();
    assert!(requests.len() > 98 && !requests.iter().any(|line| is_list(line)), "{requests:#?}");
}

/// Writes the first bundle of a store, and returns its blocks.
async fn store_of_blocks(server: &S3, prefix: &str) -> Vec<EncodedBlock> {
    let mut blocks = blocks();
    blocks.retain(|block| block.number() < 100);
    store(prefix, server.address()).write_bundle(blocks.clone()).await.unwrap();
    blocks
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_who_create_an_object_one_succeeds_even_if_its_answer_is_lost() {
    let Some(server) = S3::start() else { return };
    let faults = Faults::before(server.address());
    let store = store("created", faults.address());
    let mut count = 0;
    faults.plan(move |line| {
        count += usize::from(line.starts_with("PUT"));
        match (line.starts_with("PUT"), count % 3) {
            (true, 0) => Fate::CutAnswer { whole: true },
            _ => Fate::Pass,
        }
    });
    store.must_tell_writers_apart(&SystemEntropy).await.unwrap();
    let objects = store.access_objects();
    for round in 0..10 {
        let name = format!("keys/{round:010}");
        let racing = (0..12u8).map(|who| objects.create(&name, vec![who]));
        let won: Vec<_> = join_all(racing).await.into_iter().map(Result::unwrap).collect();
        let winner = won.iter().position(|won| *won).unwrap() as u8;
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        assert_eq!(objects.get(&name).await.unwrap().unwrap().as_ref(), [winner]);
    }
    // Two writers of one bundle: one of them has written it.
    let bundle: Vec<_> = blocks().into_iter().filter(|block| block.number() < 100).collect();
    let twice = join_all([store.create_bundle(bundle.clone()), store.create_bundle(bundle)]).await;
    assert!(twice.iter().all(Result::is_ok), "{twice:?}");
    // A store that takes no notice of conditions.
    faults.plan(|_| Fate::Unconditional);
    let refused = store.must_tell_writers_apart(&SystemEntropy).await.unwrap_err();
    assert!(matches!(&refused, Error::Usage(why) if why.contains("several machines")), "{refused}");
    assert!(fs::read_dir(server.files("created/probes")).map_or(true, |mut left| left.next().is_none()));
}
