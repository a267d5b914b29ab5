//! Every source gives the same blocks, and ends with an error that names what is wrong.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use dfuse_antelope::Checksum256;
use dfuse_blocks::{
    BlockStore, CursorKey, Merger, StoreOptions, SystemClock,
    feed::{Feed, FeedOptions, Mode},
};
use dfuse_node::{Error, Source, SourceEvent, SourceOptions, SourceSpec};
use dfuse_testkit::synthetic::{Fork, SyntheticChain};
use tempfile::TempDir;

fn log(directory: &Path, blocks: u32) -> SourceSpec {
    let mut log = vec![];
    SyntheticChain::builder().seed(7).blocks(blocks).build().write_log(&mut log).unwrap();
    let file = directory.join(format!("{blocks}.dmlog.zst"));
    fs::write(&file, zstd::encode_all(&log[..], 1).unwrap()).unwrap();
    SourceSpec::Log(file)
}

fn open(spec: &SourceSpec, start_block: u32, follow: bool) -> Source {
    let poll = Duration::from_millis(20);
    Source::open(spec, SourceOptions { start_block, follow, poll, ..SourceOptions::default() }).unwrap()
}

/// Ids of all blocks, and the number of ABI dumps.
async fn read(mut source: Source) -> Result<(Vec<Checksum256>, usize), Error> {
    let (mut ids, mut dumps) = (vec![], 0);
    while let Some(event) = source.next().await? {
        match event {
            SourceEvent::Block { block, encoded } => {
                assert!(block.is_none_or(|block| block.id == encoded.id()));
                ids.push(encoded.id());
            }
            SourceEvent::AbiDump(_) => dumps += 1,
            SourceEvent::HasUpTo(_) => {}
            other => panic!("{other:?}"),
        }
    }
    Ok((ids, dumps))
}

async fn merge(spec: &SourceSpec, store: &BlockStore) {
    let mut source = open(spec, 0, false);
    let mut merger = Merger::open(store.clone(), 2, "test").await.unwrap();
    while let Some(event) = source.next().await.unwrap() {
        match event {
            SourceEvent::Block { encoded, .. } => merger.push(encoded).await.unwrap(),
            SourceEvent::AbiDump(dump) => store.write_abi_dump(dump).await.unwrap(),
            SourceEvent::HasUpTo(_) => {}
            other => panic!("{other:?}"),
        }
    }
    merger.finish().await.unwrap();
}

#[tokio::test]
async fn a_store_gives_what_its_log_gave() {
    let directory = TempDir::new().unwrap();
    let spec = log(directory.path(), 250);
    let (ids, dumps) = read(open(&spec, 0, false)).await.unwrap();
    assert_eq!((ids.len(), dumps), (250, 1));

    let place = directory.path().join("store");
    let store = BlockStore::open(place.to_str().unwrap(), StoreOptions::default()).unwrap();
    merge(&spec, &store).await;
    let blocks = SourceSpec::Blocks(place.to_str().unwrap().to_owned());
    assert_eq!(read(open(&blocks, 0, false)).await.unwrap(), (ids.clone(), dumps));
    // Numbers begin at 2.
    assert_eq!(read(open(&blocks, 100, false)).await.unwrap().0, ids[98..]);
    assert_eq!(read(open(&blocks, 245, false)).await.unwrap().0, ids[243..]);
}

#[tokio::test]
async fn a_missing_bundle_is_named() {
    let directory = TempDir::new().unwrap();
    let spec = log(directory.path(), 450);
    for (base, is_found) in [(100, true), (200, true), (300, true), (0, false)] {
        let place = directory.path().join(format!("store-{base}"));
        let store = BlockStore::open(place.to_str().unwrap(), StoreOptions::default()).unwrap();
        merge(&spec, &store).await;
        let file = format!("merged-blocks/{base:010}.dbin.zst");
        fs::remove_file(place.join(&file)).unwrap();
        let blocks = SourceSpec::Blocks(place.to_str().unwrap().to_owned());
        match read(open(&blocks, 0, false)).await {
            Err(error) => {
                assert!(
                    is_found && matches!(error, Error::Blocks(dfuse_blocks::Error::MissingBundle { .. })),
                    "{error}"
                );
                let message = error.to_string();
                assert!(message.contains(&format!("{file} is missing: the blocks from {base} on")), "{message}");
            }
            // The history begins later.
            Ok((ids, _)) => assert!(!is_found && ids[0].block_num() == 100),
        }
        // Whoever begins behind it does not miss it.
        let (ids, _) = read(open(&blocks, base + 100, false)).await.unwrap();
        assert_eq!(ids[0].block_num(), base + 100);
    }
}

#[tokio::test]
async fn a_store_that_grows_is_followed() {
    let directory = TempDir::new().unwrap();
    let place = directory.path().join("store");
    let store = BlockStore::open(place.to_str().unwrap(), StoreOptions::default()).unwrap();
    merge(&log(directory.path(), 120), &store).await;
    let mut source = open(&SourceSpec::Blocks(place.to_str().unwrap().to_owned()), 0, true);
    let mut ids = vec![];
    let (wanted, _) = read(open(&log(directory.path(), 350), 0, false)).await.unwrap();
    while ids.len() < wanted.len() {
        if let Some(SourceEvent::Block { encoded, .. }) = source.next().await.unwrap()
            && !ids.contains(&encoded.id())
        {
            ids.push(encoded.id());
        }
        if ids.len() == 119 {
            merge(&log(directory.path(), 350), &store).await;
        }
    }
    assert!(ids == wanted);
}

/// A writer that publishes block by block and writes bundles meanwhile, with forks: the reader has every block that it had, each
/// after its parent, whatever it sees of the files at a time.
#[tokio::test]
async fn a_store_with_forks_is_followed_as_it_is_written() {
    let directory = TempDir::new().unwrap();
    let mut log = vec![];
    let chain = SyntheticChain::builder().seed(3).blocks(330);
    let chain = chain.fork(Fork::new(40, 2, 3)).fork(Fork::new(150, 3, 4)).fork(Fork::new(320, 2, 3));
    chain.build().write_log(&mut log).unwrap();
    let path = directory.path().join("forks.dmlog");
    fs::write(&path, log).unwrap();

    let place = directory.path().join("store").display().to_string();
    let store = BlockStore::open(&place, StoreOptions::default()).unwrap();
    let options = FeedOptions { mode: Mode::Live, ..FeedOptions::default() };
    let (mut feed, mut keeper) =
        Feed::open(store, CursorKey::new([7; 32]), options, &SystemClock::new()).await.unwrap();
    let mut written = open(&SourceSpec::Log(path), 0, false);
    let options = SourceOptions { follow: true, poll: Duration::ZERO, ..SourceOptions::default() };
    let mut followed = Source::open(&SourceSpec::Blocks(place), options).unwrap();
    let (mut all, mut has) = (0, BTreeSet::new());
    while let Some(event) = written.next().await.unwrap() {
        let SourceEvent::Block { encoded, .. } = event else { continue };
        let id = encoded.id();
        feed.push(encoded).await.unwrap();
        all += 1;
        while keeper.step().await.unwrap() {}
        // Sometimes the reader is behind, and finds bundles where one-block files were.
        while id.block_num() % 90 < 60 && !has.contains(&id) {
            if let Some(SourceEvent::Block { encoded, .. }) = followed.next().await.unwrap() {
                let (id, previous) = (encoded.id(), encoded.previous());
                assert!(id.block_num() == 2 || has.contains(&previous), "{encoded:?}");
                has.insert(id);
            }
        }
    }
    let head = feed.handle().head().unwrap();
    while !has.contains(&head.id) {
        if let Some(SourceEvent::Block { encoded, .. }) = followed.next().await.unwrap() {
            has.insert(encoded.id());
        }
    }
    // All but some of those that lost while the reader was behind.
    assert!(has.len() >= 329 && has.len() <= all && all > 335, "{} of {all}", has.len());
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let directory = TempDir::new().unwrap();
    let absent = SourceSpec::Log(directory.path().join("absent"));
    let error = Source::open(&absent, SourceOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("cannot open "), "{error}");
    let file = directory.path().join("text");
    fs::write(&file, "no log\n").unwrap();
    let error = read(open(&SourceSpec::Log(file), 0, false)).await.unwrap_err();
    assert!(matches!(error, Error::Log(dfuse_deep_mind::Error::NotALog { .. })), "{error}");
}

/// The folder of the bundles itself, as the files of other chains' tools are often passed on.
#[tokio::test]
async fn a_folder_of_bundles_is_a_store() {
    let directory = TempDir::new().unwrap();
    let spec = log(directory.path(), 250);
    let place = directory.path().join("store");
    let store = BlockStore::open(place.to_str().unwrap(), StoreOptions::default()).unwrap();
    merge(&spec, &store).await;
    let (ids, _) = read(open(&spec, 0, false)).await.unwrap();
    let bundled = ids.iter().filter(|id| id.block_num() < 200).copied().collect::<Vec<_>>();
    let merged = place.join("merged-blocks");
    for place in
        [merged.display().to_string(), format!("{}/", merged.display()), format!("file://{}", merged.display())]
    {
        // There is no dump: the one that every chain begins with takes its place.
        assert_eq!(read(open(&SourceSpec::Blocks(place), 0, false)).await.unwrap(), (bundled.clone(), 1));
    }
}

/// What is expected, what was found, and where the files are if they are near.
#[tokio::test]
async fn a_store_of_another_layout_is_told() {
    let directory = TempDir::new().unwrap();
    let store =
        BlockStore::open(directory.path().join("a/storage").to_str().unwrap(), StoreOptions::default()).unwrap();
    merge(&log(directory.path(), 250), &store).await;
    let file = |path: &str, content: &[u8]| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    file("other/blocks-0001.parquet", b"PAR1");
    file("ones/0000000101-dbda3f44afee24dd-24a072678473e4ad-100-x.dbin.zst", b"");
    fs::create_dir(directory.path().join("empty")).unwrap();
    for (name, told) in [
        ("a", "there are bundles in storage/merged-blocks: name \"PLACE/storage\""),
        ("other", "found there: blocks-0001.parquet"),
        ("ones", "there are one-block files in the place itself: name the folder above it"),
        ("empty", "is empty; expected are bundles of 100 blocks (NNNNNNNNNN.dbin.zst) in its folder merged-blocks"),
    ] {
        let place = directory.path().join(name).display().to_string();
        let spec = SourceSpec::Blocks(place.clone());
        // A store that is followed may be empty at first, but is no other thing.
        for follow in [false, true].into_iter().filter(|follow| !follow || name != "empty") {
            let error = read(open(&spec, 0, follow)).await.unwrap_err().to_string();
            assert!(error.contains(&told.replace("PLACE", &place)) && error.contains(&place), "{error}");
            assert!(error.contains("NNNNNNNNNN.dbin.zst"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_store_that_is_empty_at_first_is_followed() {
    let directory = TempDir::new().unwrap();
    let place = directory.path().join("store").display().to_string();
    let store = BlockStore::open(&place, StoreOptions::default()).unwrap();
    let mut source = open(&SourceSpec::Blocks(place), 0, true);
    merge(&log(directory.path(), 120), &store).await;
    let first = loop {
        if let Some(SourceEvent::Block { encoded, .. }) = source.next().await.unwrap() {
            break encoded.number();
        }
    };
    assert_eq!(first, 2);
}

/// A reader that nobody listens to must end.
#[tokio::test]
async fn a_dropped_source_stops_reading() {
    let directory = TempDir::new().unwrap();
    let mut source = open(&log(directory.path(), 250), 0, false);
    assert!(source.next().await.unwrap().is_some());
    drop(source);
}
