use std::sync::Arc;

use object_store::{ObjectStoreExt, path::Path};

use super::*;
use crate::testing::{Recording, chain, dbin_stream, forked};

const FILE_100: &str = "chain/merged-blocks/0000000100.dbin.zst";

async fn findings(store: &BlockStore) -> Vec<(u32, u32, Fault)> {
    let report = check(store, &CheckOptions { decode: true, ..Default::default() }, |_| {}).await.unwrap();
    report.findings.iter().map(|f| (f.first, f.last, f.fault)).collect()
}

/// Blocks 2 to 399 in four bundles, 400 to 405 in one-block files.
async fn store() -> (BlockStore, Arc<Recording>, Vec<EncodedBlock>) {
    let (store, objects) = Recording::store();
    let blocks = chain(2, 404, 80);
    for bundle in blocks[..398].chunk_by(|a, b| base_of(a.number()) == base_of(b.number())) {
        store.write_bundle(bundle.to_vec()).await.unwrap();
    }
    for block in &blocks[398..] {
        store.write_one_block(block, "default").await.unwrap();
    }
    (store, objects, blocks)
}

#[tokio::test]
async fn a_good_store() {
    let (store, _, _) = store().await;
    store.write_forked_block(&forked(77, 1, 0, 70), "default").await.unwrap();
    let mut steps = vec![];
    let report = check(&store, &CheckOptions { decode: true, ..Default::default() }, |p| steps.push(p)).await.unwrap();
    let wanted = CheckReport {
        findings: vec![],
        bundles: 4,
        blocks: 398,
        range: Some((2, 399)),
        one_blocks: OneBlockSummary { files: 6, range: Some((400, 405)) },
        forked_blocks: OneBlockSummary { files: 1, range: Some((77, 77)) },
        abi_dumps: AbiDumpSummary::default(),
    };
    assert_eq!(report, wanted);
    assert_eq!(steps.last(), Some(&CheckProgress { done: 4, of: 4, findings: 0 }));

    let part = CheckOptions { range: 150..=250, decode: false };
    let report = check(&store, &part, |_| {}).await.unwrap();
    assert_eq!((report.bundles, report.range), (2, Some((100, 299))));

    let (empty, _) = Recording::store();
    assert_eq!(check(&empty, &CheckOptions::default(), |_| {}).await.unwrap(), CheckReport::default());
}

#[tokio::test]
async fn holes() {
    let (store, objects, blocks) = store().await;
    objects.delete(&Path::from(FILE_100)).await.unwrap();
    let mut bundle = blocks[198..298].to_vec();
    bundle.drain(95..);
    bundle.drain(10..20);
    bundle.drain(..3);
    store.write_bundle(bundle).await.unwrap();
    let name = store.one_blocks().await.unwrap().remove(2);
    store.delete_one_blocks(vec![name]).await.unwrap();
    let hole = |first, last| (first, last, Fault::Hole);
    assert_eq!(findings(&store).await, [hole(100, 202), hole(210, 219), hole(295, 299), hole(402, 402)]);
}

#[tokio::test]
async fn a_bundle_that_ends_early_is_a_hole_also_at_the_end() {
    let (store, _) = Recording::store();
    store.write_bundle(chain(2, 50, 0)).await.unwrap();
    assert_eq!(findings(&store).await, [(52, 99, Fault::Hole)]);
}

#[tokio::test]
async fn damage_is_located() {
    let (store, objects, blocks) = store().await;
    let mut file = objects.content(FILE_100).await;
    let layout = store.layout(100).await.unwrap();
    let crate::store::Layout::Framed(table) = layout else { panic!() };
    for number in [100, 142, 199] {
        let frame = table.find(number).unwrap();
        file[(frame.offset + u64::from(frame.length) / 2) as usize] ^= 0x40;
    }
    objects.overwrite(FILE_100, file).await;
    let damaged = |first, last| (first, last, Fault::Damaged);
    assert_eq!(findings(&store).await, [damaged(100, 100), damaged(142, 142), damaged(199, 199)]);

    // Cut within the frames; a new store has no tables cached.
    let file = objects.content(FILE_100).await;
    objects.overwrite(FILE_100, file[..file.len() / 2].to_vec()).await;
    let fresh = BlockStore::new(objects.clone(), Path::from("chain"));
    assert_eq!(findings(&fresh).await, [damaged(100, 199)]);

    // A file of others, cut: known up to there.
    let foreign = zstd::encode_all(&dbin_stream(&blocks[98..198])[..], 1).unwrap();
    objects.overwrite(FILE_100, foreign[..foreign.len() - 1].to_vec()).await;
    let fresh = BlockStore::new(objects.clone(), Path::from("chain"));
    let found = findings(&fresh).await;
    assert!(matches!(found[..], [(_, 199, Fault::Damaged)]), "{found:?}");
    objects.overwrite(FILE_100, vec![]).await;
    let fresh = BlockStore::new(objects.clone(), Path::from("chain"));
    assert_eq!(findings(&fresh).await, [damaged(100, 199)]);

    let name = fresh.one_blocks().await.unwrap().remove(0);
    objects.overwrite(&format!("chain/one-blocks/{name}.dbin.zst"), vec![1, 2, 3]).await;
    assert_eq!(findings(&fresh).await, [damaged(100, 199), damaged(400, 400)]);
}

#[tokio::test]
async fn wrong_links_and_overlaps() {
    let (store, objects, blocks) = store().await;
    let mut bundle = blocks[98..198].to_vec();
    bundle[0] = forked(100, 1, 1, 90);
    bundle[50] = forked(150, 1, 0, 140);
    store.write_bundle(bundle).await.unwrap();
    let unlinked = |number| (number, number, Fault::Unlinked);
    assert_eq!(findings(&store).await, [unlinked(100), unlinked(101), unlinked(151)]);

    let mut wrong = blocks[98..198].to_vec();
    wrong.insert(20, blocks[5].clone());
    wrong.insert(50, blocks[140].clone());
    objects.overwrite(FILE_100, dbin_stream(&wrong)).await;
    objects.overwrite("chain/merged-blocks/0000000350.dbin.zst", dbin_stream(&blocks[348..398])).await;
    let fresh = BlockStore::new(objects.clone(), Path::from("chain"));
    let found = findings(&fresh).await;
    let overlap = |number| (number, number, Fault::Overlap);
    assert_eq!(found[..1], [overlap(7)]);
    assert_eq!(found.last(), Some(&overlap(350)));
    assert!(found.contains(&(147, 147, Fault::Overlap)) || found.contains(&(142, 142, Fault::Overlap)), "{found:?}");
}

fn found(report: &CheckReport) -> Vec<(u32, u32, Fault)> {
    report.findings.iter().map(|finding| (finding.first, finding.last, finding.fault)).collect()
}

#[tokio::test]
async fn holes_at_the_edges_of_a_range_are_found() {
    let (store, _) = Recording::store();
    for (first, count) in [(2, 98), (200, 100), (400, 100)] {
        store.write_bundle(chain(first, count, 0)).await.unwrap();
    }
    for (range, wanted) in [
        (0..=u32::MAX, vec![(100, 199), (300, 399)]),
        (150..=250, vec![(100, 199)]),
        (0..=150, vec![(100, 199)]),
        (350..=360, vec![(300, 399)]),
        (0..=99, vec![]),
        (400..=u32::MAX, vec![]),
        (500..=600, vec![]),
    ] {
        let options = CheckOptions { range: range.clone(), decode: false };
        let report = check(&store, &options, |_| {}).await.unwrap();
        let wanted: Vec<_> = wanted.into_iter().map(|(first, last)| (first, last, Fault::Hole)).collect();
        assert_eq!(found(&report), wanted, "{range:?}");
    }
}

#[tokio::test]
async fn one_block_files_without_bundles_are_checked() {
    let (store, _) = Recording::store();
    for block in chain(2, 30, 0) {
        if !(10..=12).contains(&block.number()) {
            store.write_one_block(&block, "a").await.unwrap();
        }
    }
    for (range, wanted) in
        [(0..=u32::MAX, vec![(10, 12)]), (11..=20, vec![(11, 12)]), (0..=11, vec![(10, 11)]), (13..=31, vec![])]
    {
        let report = check(&store, &CheckOptions { range, decode: false }, |_| {}).await.unwrap();
        let wanted: Vec<_> = wanted.into_iter().map(|(first, last)| (first, last, Fault::Hole)).collect();
        assert_eq!(found(&report), wanted);
    }
}

#[tokio::test]
async fn one_block_files_of_another_chain_are_found() {
    let (store, _) = Recording::store();
    store.write_bundle(chain(2, 98, 0)).await.unwrap();
    for block in chain(100, 10, 0) {
        store.write_one_block(&block, "a").await.unwrap();
    }
    // A branch of the chain, one whose root was put aside, and two that hang in the air.
    for block in
        [forked(104, 1, 0, 0), forked(105, 1, 1, 0), forked(107, 2, 2, 0), forked(108, 3, 3, 0), forked(100, 4, 4, 0)]
    {
        store.write_one_block(&block, "a").await.unwrap();
    }
    store.write_forked_block(&forked(106, 2, 0, 0), "a").await.unwrap();
    let report = check(&store, &CheckOptions::default(), |_| {}).await.unwrap();
    assert_eq!(found(&report), [(100, 100, Fault::Unlinked), (108, 108, Fault::Unlinked)]);
}
