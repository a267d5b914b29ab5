use std::sync::Arc;

use super::*;
use crate::testing::{Recording, chain, forked, id};

async fn merge(store: &BlockStore, blocks: &[EncodedBlock]) -> Result<MergeSummary> {
    let mut merger = Merger::open(store.clone(), 2, "default").await?;
    for block in blocks {
        merger.push(block.clone()).await?;
    }
    merger.finish().await
}

fn lib(number: u32) -> u32 {
    number.saturating_sub(6)
}

fn chain_with_lib(numbers: std::ops::RangeInclusive<u32>) -> Vec<EncodedBlock> {
    numbers.map(|number| forked(number, 0, 0, lib(number))).collect()
}

/// Blocks 2 to `last` of branch 0. At 50 and at 98 a branch of two blocks loses, at 150 one block arrives first and loses.
fn forked_chain(last: u32) -> Vec<EncodedBlock> {
    let mut blocks = vec![];
    for number in 2..=last {
        if number == 150 {
            blocks.push(forked(150, 2, 0, lib(150)));
        }
        blocks.push(forked(number, 0, 0, lib(number)));
        if number == 50 || number == 98 {
            blocks.push(forked(number, 1, 0, lib(number)));
            blocks.push(forked(number + 1, 1, 1, lib(number + 1)));
        }
    }
    blocks
}

async fn one_block_numbers(store: &BlockStore) -> Vec<u32> {
    store.one_blocks().await.unwrap().iter().map(|name| name.number).collect()
}

async fn forked_numbers(store: &BlockStore) -> Vec<u32> {
    store.forked_blocks().await.unwrap().iter().map(|name| name.number).collect()
}

async fn canonical(store: &BlockStore, last: u32) {
    let blocks: Vec<_> = store.read_range(2..=last).try_collect().await.unwrap();
    assert!(blocks.iter().zip(2..).all(|(block, number)| block.id() == id(number, 0)));
}

#[tokio::test]
async fn final_blocks_reach_bundles_losers_are_put_aside() {
    let (store, _) = Recording::store();
    let summary = merge(&store, &forked_chain(310)).await.unwrap();
    assert_eq!(summary, MergeSummary { skipped: 0, irreversible: 303, forked: 5, one_blocks: 11 });
    assert_eq!(store.bundles().await.unwrap(), [0, 100, 200]);
    assert_eq!(forked_numbers(&store).await, [50, 51, 98, 99, 150]);
    assert_eq!(one_block_numbers(&store).await, (300..=310).collect::<Vec<_>>());
    canonical(&store, 299).await;
    assert_eq!(store.read_block(150).await.unwrap().id(), id(150, 0));
}

#[tokio::test]
async fn merging_again_or_on_changes_nothing_of_what_is_there() {
    let (store, objects) = Recording::store();
    merge(&store, &forked_chain(310)).await.unwrap();
    let files = objects.files().await;
    let again = merge(&store, &forked_chain(310)).await.unwrap();
    assert_eq!(objects.files().await, files);
    assert_eq!((again.one_blocks, again.forked), (11, 0));

    // The log goes on: in pieces of any length it comes to the same.
    let (whole, whole_objects) = Recording::store();
    merge(&whole, &forked_chain(420)).await.unwrap();
    let (pieces, pieces_objects) = Recording::store();
    for piece in forked_chain(420).chunks(37) {
        merge(&pieces, piece).await.unwrap();
    }
    assert_eq!(pieces_objects.files().await, whole_objects.files().await);
    canonical(&pieces, 399).await;
}

#[tokio::test]
async fn a_gap_is_refused() {
    let (store, _) = Recording::store();
    merge(&store, &chain(2, 250, 0)).await.unwrap();
    let error = merge(&store, &chain(260, 10, 0)).await.unwrap_err();
    assert!(matches!(error, Error::Unlinked { number: 260, .. }), "{error}");

    let (empty, _) = Recording::store();
    let error = merge(&empty, &chain(150, 10, 0)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "block 150 cannot be the first of the store: begin at 2, at 200, or name 150 as the first block: the setting blocks.first_block, for dfuse tools merge --first-block"
    );
    merge(&empty, &chain(200, 150, 0)).await.unwrap();
    assert_eq!(empty.bundles().await.unwrap(), [200]);
}

/// A chain that leaves branch 0 with block `from`, and holds its own blocks to be final.
fn other_chain(from: u32, last: u32) -> Vec<EncodedBlock> {
    let branch = |number: u32| if number < from { 0 } else { 7 };
    (2..=last).map(|n| forked(n, branch(n), branch(n - 1), lib(n))).collect()
}

#[tokio::test]
async fn another_chain_is_refused() {
    let (store, objects) = Recording::store();
    merge(&store, &forked_chain(310)).await.unwrap();
    let files = objects.files().await;
    // Shorter and longer than the store, from another beginning on: nothing of it reaches the store.
    for last in [20, 400] {
        let error = merge(&store, &other_chain(1, last)).await.unwrap_err();
        assert!(matches!(error, Error::OtherChain { block, .. } if block.number == 2), "{error}");
        assert_eq!(objects.files().await, files);
    }
    // Part of the way together: told when the other chain calls final what contradicts.
    for (from, last) in [(2, 100), (60, 100), (160, 400), (301, 400)] {
        let error = merge(&store, &other_chain(from, last)).await.unwrap_err();
        assert!(matches!(error, Error::OtherChain { block, .. } if block.number == from + 6), "{from}: {error}");
    }
    // From its middle on it cannot be told from a gap.
    let error = merge(&store, &other_chain(60, 200)[100..]).await.unwrap_err();
    assert!(error.to_string().ends_with("is missing; let the source begin at block 101 or before"), "{error}");
    canonical(&store, 299).await;
}

#[tokio::test]
async fn a_merge_that_was_killed_continues_in_a_lost_branch() {
    // A branch of seven blocks over the end of a bundle, which then loses.
    let mut blocks = chain_with_lib(2..=96);
    blocks.extend((97..=103).map(|n| forked(n, 1, u8::from(n > 97), 90)));
    blocks.extend(chain_with_lib(97..=250));
    let (whole, whole_objects) = Recording::store();
    merge(&whole, &blocks).await.unwrap();
    let (killed, killed_objects) = Recording::store();
    let mut merger = Merger::open(killed.clone(), 2, "default").await.unwrap();
    for block in &blocks[..115] {
        merger.push(block.clone()).await.unwrap();
    }
    drop(merger);
    assert_eq!(killed.bundles().await.unwrap(), [0]);
    merge(&killed, &blocks).await.unwrap();
    assert_eq!(killed_objects.files().await, whole_objects.files().await);
}

#[tokio::test]
async fn a_wrong_suffix_is_refused_at_once() {
    let (store, _) = Recording::store();
    assert!(matches!(Merger::open(store, 2, "a-b").await, Err(Error::Usage(_))));
}

#[tokio::test]
async fn the_writer_takes_one_chain_only() {
    let (store, _) = Recording::store();
    let mut writer = BundleWriter::resume(store.clone(), 2).await.unwrap();
    let blocks = chain(2, 200, 0);
    for block in &blocks[..150] {
        writer.push(block.clone()).await.unwrap();
    }
    assert_eq!((writer.last().unwrap().number, writer.next_base()), (151, Some(100)));
    assert!(matches!(writer.push(blocks[151].clone()).await, Err(Error::Unlinked { number: 153, .. })));
    assert!(matches!(writer.push(forked(152, 1, 1, 0)).await, Err(Error::Unlinked { number: 152, .. })));
    assert_eq!(writer.finish("default").await.unwrap(), 52);

    let mut writer = BundleWriter::resume(store.clone(), 2).await.unwrap();
    assert_eq!((writer.last().unwrap().number, writer.next_base()), (99, Some(100)));
    for block in &blocks[98..198] {
        writer.push(block.clone()).await.unwrap();
    }
    assert_eq!(store.bundles().await.unwrap(), [0, 100]);
    canonical(&store, 199).await;
}

#[tokio::test]
async fn a_short_last_bundle_is_named() {
    let (store, _) = Recording::store();
    store.write_bundle(chain(2, 90, 0)).await.unwrap();
    let error = Merger::open(store, 2, "default").await.unwrap_err().to_string();
    assert!(
        error.starts_with("chain/merged-blocks/0000000000.dbin.zst is damaged: it ends before block 99"),
        "{error}"
    );
}

#[tokio::test]
async fn one_blocks_of_others_are_taken_up() {
    let (store, _): (_, Arc<Recording>) = Recording::store();
    for block in forked_chain(130) {
        for suffix in ["reader1", "reader2"] {
            store.write_one_block(&block, suffix).await.unwrap();
        }
    }
    let merger = Merger::open(store.clone(), 2, "default").await.unwrap();
    merger.finish().await.unwrap();
    assert_eq!(store.bundles().await.unwrap(), [0]);
    assert_eq!(one_block_numbers(&store).await.first(), Some(&100));
    // Both readers' and the merger's own.
    assert_eq!(forked_numbers(&store).await, [50, 50, 50, 51, 51, 51, 98, 98, 98, 99, 99, 99]);
    canonical(&store, 99).await;
}
