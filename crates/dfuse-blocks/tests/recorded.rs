//! Recorded chains through the files and back.
#![allow(clippy::unwrap_used)]

use dfuse_antelope::model::{Block, wire::ReverseWriter};
use dfuse_blocks::{BlockStore, CheckOptions, EncodedBlock, MergeSummary, Merger, StoreOptions, check};
use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::recorded;
use futures::TryStreamExt;

fn blocks(log: &str) -> Option<Vec<Block>> {
    let mut reader = Reader::new(recorded::open(log)?);
    let mut blocks = vec![];
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            blocks.push(*block);
        }
    }
    Some(blocks)
}

/// Merges a log; the summary, and the blocks of all bundles, which are read back and compared.
async fn merge(log: &str) -> Option<(MergeSummary, Vec<u32>)> {
    let blocks = blocks(log)?;
    let first = blocks[0].number;
    let folder = tempfile::tempdir().unwrap();
    let store = BlockStore::open(folder.path().to_str().unwrap(), StoreOptions::default()).unwrap();
    let mut merger = Merger::open(store.clone(), first, "default").await.unwrap();
    let mut writer = ReverseWriter::new();
    for block in &blocks {
        merger.push(EncodedBlock::encode(block, &mut writer).unwrap()).await.unwrap();
    }
    let summary = merger.finish().await.unwrap();

    let bundles = store.bundles().await.unwrap();
    if let Some(last) = bundles.last().map(|base| base + 99) {
        let read: Vec<_> = store.read_range(first..=last).try_collect().await.unwrap();
        for encoded in read {
            let original = blocks.iter().find(|block| block.id == encoded.id()).unwrap();
            assert_eq!(encoded.decode().unwrap(), *original);
        }
    }
    let report = check(&store, &CheckOptions { decode: true, ..Default::default() }, |_| {}).await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.one_blocks.files, report.forked_blocks.files), (summary.one_blocks, summary.forked));
    Some((summary, bundles))
}

#[tokio::test]
async fn three_forks() {
    let Some((summary, bundles)) = merge("fork/fork.dmlog.zst").await else { return };
    // 473 blocks at 413 heights, the 60 others on branches that lost; 2 to 374 are final, and bundle 300 waits for 399.
    assert_eq!(summary, MergeSummary { skipped: 0, irreversible: 373, forked: 60, one_blocks: 115 });
    assert_eq!(bundles, [0, 100, 200]);
}

#[tokio::test]
async fn a_chain_without_forks() {
    let Some((summary, bundles)) = merge("small/small.dmlog.zst").await else { return };
    assert_eq!(summary, MergeSummary { skipped: 0, irreversible: 344, forked: 0, one_blocks: 66 });
    assert_eq!(bundles, [0, 100, 200]);
}

#[tokio::test]
async fn instant_finality() {
    let Some((summary, _)) = merge("public/spring-unittest.dmlog.zst").await else { return };
    assert_eq!((summary.skipped, summary.forked), (0, 0));
    assert!(summary.irreversible > 0);
}
