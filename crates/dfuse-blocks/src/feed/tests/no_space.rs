//! A disk that runs full under the block files.

use std::path::Path;

use dfuse_testkit::SmallDisk;

use super::*;
use crate::StoreOptions;

/// Every file below the folder, but those that hold no block.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<String> = entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path.to_str().unwrap().to_owned()] })
        .collect();
    files.sort_unstable();
    files
}

/// All that is there is whole, and nothing else is there.
async fn check_files(store: &BlockStore, folder: &Path, head: u32) {
    let one_blocks = store.one_blocks().await.unwrap();
    let bundles = store.bundles().await.unwrap();
    assert_eq!(files(folder).len(), one_blocks.len() + bundles.len(), "{:?}", files(folder));
    for name in &one_blocks {
        store.read_one_block(name).await.unwrap();
    }
    for number in 2..=head {
        let in_bundle = store.read_block(number).await.is_ok();
        assert!(in_bundle || one_blocks.iter().any(|name| name.number == number), "{number}");
    }
}

#[test]
fn the_disk_runs_full() {
    SmallDisk::run("feed::tests::no_space::the_disk_runs_full", 16, |disk| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(disk));
    });
}

async fn run(disk: &SmallDisk) {
    let folder = disk.path().join("blocks");
    let store = BlockStore::open(folder.to_str().unwrap(), StoreOptions::default()).unwrap();
    let options =
        FeedOptions { data_dir: Some(disk.path().join("data")), memory_bytes: 1 << 20, ..FeedOptions::default() };
    let (mut feed, mut keeper) = open(&store, options.clone()).await;
    let mut stream = feed.handle().subscribe(Start::Block(2)).await.unwrap();
    let mut blocks = chain(2, 240, 30 << 10).into_iter().peekable();

    // Room for the first hundred blocks, but not for their bundle, too.
    disk.fill_but(4 << 10).unwrap();
    let full = loop {
        match feed.push(blocks.peek().unwrap().clone()).await {
            Ok(_) => drop(blocks.next()),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::Store { .. }), "{full}");
    let head = feed.handle().head().unwrap().number;
    assert!(head > 105);
    for _ in 0..3 {
        assert!(matches!(feed.push(blocks.peek().unwrap().clone()).await, Err(Error::Store { .. })));
        assert!(matches!(keeper.step().await, Err(Error::Store { .. })));
        check_files(&store, &folder, head).await;
    }
    assert_eq!(feed.handle().head().unwrap().number, head);
    assert!(steps(&mut stream).await.ends_with(&format!("+{head}")));

    disk.free().unwrap();
    push_all(&mut feed, blocks).await;
    keep(&mut keeper).await;
    assert_eq!(store.bundles().await.unwrap(), [0, 100]);
    assert_eq!(store.one_blocks().await.unwrap().len(), 42);
    check_files(&store, &folder, 241).await;
    assert!(steps(&mut stream).await.ends_with("+241"));
    drop((feed, keeper));
    let (feed, _) = open(&store, options).await;
    assert_eq!(feed.handle().head(), Some(BlockRef { number: 241, id: id(241, 0) }));
}
