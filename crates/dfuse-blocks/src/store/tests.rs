use std::ops::RangeInclusive;

use dfuse_antelope::AbiDump;
use object_store::GetRange;

use super::*;
use crate::testing::{Recording, chain, dbin_stream, forked};

async fn collect(store: &BlockStore, range: RangeInclusive<u32>) -> Result<Vec<EncodedBlock>> {
    store.read_range(range).try_collect().await
}

/// Blocks 2 to 299 in three bundles: ours, then one of others, then ours.
async fn three_bundles() -> (BlockStore, Arc<Recording>, Vec<EncodedBlock>) {
    let (store, objects) = Recording::store();
    let blocks = chain(2, 298, 200);
    store.write_bundle(blocks[..98].to_vec()).await.unwrap();
    let foreign = zstd::encode_all(&dbin_stream(&blocks[98..198])[..], 3).unwrap();
    objects.overwrite("chain/merged-blocks/0000000100.dbin.zst", foreign).await;
    store.write_bundle(blocks[198..].to_vec()).await.unwrap();
    (store, objects, blocks)
}

#[tokio::test]
async fn a_block_is_one_range_read_of_its_own_frame() {
    let (store, objects, blocks) = three_bundles().await;
    let path = "chain/merged-blocks/0000000000.dbin.zst".to_owned();
    let file = objects.content(&path).await;

    // The first read from a bundle fetches its tables, too.
    assert_eq!(store.read_block(7).await.unwrap(), blocks[5]);
    let (size, start) = (file.len() as u64, file.len() as u64 - TAIL_BYTES);
    let first = objects.reads();
    assert_eq!(first.len(), 3);
    assert_eq!(
        first[..2],
        [(path.clone(), Some(GetRange::Bounded(0..0))), (path.clone(), Some(GetRange::Bounded(start..size)))]
    );

    for block in &blocks[..98] {
        assert_eq!(store.read_block(block.number()).await.unwrap(), *block);
        let reads = objects.reads();
        let [(found, Some(GetRange::Bounded(range)))] = &reads[..] else { panic!("{reads:?}") };
        assert_eq!(*found, path);
        let frame = &file[range.start as usize..range.end as usize];
        assert_eq!(zstd::zstd_safe::find_frame_compressed_size(frame), Ok(frame.len()));
        assert!(zstd::decode_all(frame).unwrap().ends_with(block.envelope()));
    }
}

#[tokio::test]
async fn ranges_cross_bundles_of_any_writer() {
    let (store, objects, blocks) = three_bundles().await;
    assert_eq!(store.bundles().await.unwrap(), [0, 100, 200]);
    assert_eq!(collect(&store, 2..=299).await.unwrap(), blocks);
    assert_eq!(collect(&store, 95..=204).await.unwrap(), blocks[93..203]);
    assert_eq!(store.read_block(150).await.unwrap(), blocks[148]);
    // Only what is wanted is fetched: here two neighbouring frames.
    collect(&store, 210..=210).await.unwrap();
    objects.reads();
    assert_eq!(collect(&store, 210..=211).await.unwrap(), blocks[208..210]);
    assert_eq!(objects.reads().len(), 1);
    #[expect(clippy::reversed_empty_ranges)]
    let empty = 5..=4;
    assert_eq!(collect(&store, empty).await.unwrap(), []);
}

#[tokio::test]
async fn large_blocks_are_read_piece_by_piece() {
    let (store, _) = Recording::store();
    let blocks = chain(100, 12, 2 << 20);
    store.write_bundle(blocks.clone()).await.unwrap();
    let mut reader = store.read_bundle(100).await.unwrap();
    let mut pieces = vec![];
    loop {
        let piece = reader.piece().await.unwrap();
        if piece.is_empty() {
            break;
        }
        pieces.push(piece);
    }
    assert!(pieces.len() > 2, "{} pieces", pieces.len());
    assert_eq!(pieces.concat(), blocks);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let (store, _, _) = three_bundles().await;
    let missing = |result: Result<_>| match result {
        Err(Error::NotFound(what)) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(store.read_block(1).await.map(drop)), "block 1");
    assert_eq!(missing(store.read_block(5000).await.map(drop)), "block 5000");
    assert_eq!(missing(collect(&store, 1..=5).await.map(drop)), "block 1");
    assert_eq!(missing(collect(&store, 290..=300).await.map(drop)), "block 300");
    assert_eq!(missing(store.read_abi_dump(1).await.map(drop)), "chain/abi-dumps/0000000001.jsonl.zst");
}

#[tokio::test]
async fn a_chain_that_does_not_link_is_refused() {
    let (store, _, mut blocks) = three_bundles().await;
    blocks[60] = forked(62, 1, 0, 50);
    store.write_bundle(blocks[..98].to_vec()).await.unwrap();
    let error = collect(&store, 2..=99).await.unwrap_err();
    assert!(matches!(error, Error::Unlinked { number: 63, .. }), "{error}");
    assert_eq!(store.read_block(62).await.unwrap(), blocks[60], "the cached table was forgotten");
}

#[tokio::test]
async fn one_block_files_live_where_others_expect_them() {
    let (store, objects) = Recording::store();
    let blocks = chain(101, 2, 0);
    let mut names = vec![];
    for block in &blocks {
        names.push(store.write_one_block(block, "reader1").await.unwrap());
    }
    store.write_one_block(&blocks[0], "reader2").await.unwrap();
    let path = format!("chain/one-blocks/{}.dbin.zst", names[0]);
    assert_eq!(zstd::decode_all(&objects.content(&path).await[..]).unwrap(), dbin_stream(&blocks[..1]));
    objects.overwrite("chain/one-blocks/0000000103-aa-bb-1-x.dbin.zst.tmp", vec![]).await;
    objects.overwrite(&format!("chain/one-blocks/deeper/{}.dbin.zst", names[0]), vec![]).await;
    assert_eq!(store.one_blocks().await.unwrap().len(), 3);
    assert_eq!(store.read_one_block(&names[1]).await.unwrap(), blocks[1]);

    // A file that holds another block than its name says.
    objects.overwrite(&path, objects.content(&format!("chain/one-blocks/{}.dbin.zst", names[1])).await).await;
    assert!(matches!(store.read_one_block(&names[0]).await, Err(Error::Damaged { .. })));
    objects.overwrite(&path, zstd::encode_all(&dbin_stream(&blocks)[..], 1).unwrap()).await;
    assert!(store.read_one_block(&names[0]).await.unwrap_err().to_string().contains("more than one block"));

    assert!(matches!(store.write_one_block(&blocks[0], "a-b").await, Err(Error::Usage(_))));
    store.delete_one_blocks(names.clone()).await.unwrap();
    store.delete_one_blocks(names).await.unwrap();
    assert_eq!(store.one_blocks().await.unwrap().len(), 1);
}

#[tokio::test]
async fn forked_blocks_are_kept_aside_and_pruned() {
    let (store, _) = Recording::store();
    let name = store.write_one_block(&forked(70, 1, 0, 60), "default").await.unwrap();
    store.write_forked_block(&forked(50, 1, 0, 40), "default").await.unwrap();
    store.move_to_forked(vec![name.clone()]).await.unwrap();
    store.move_to_forked(vec![name.clone()]).await.unwrap();
    assert_eq!(store.one_blocks().await.unwrap(), []);
    assert_eq!(store.read_forked_block(&name).await.unwrap(), forked(70, 1, 0, 60));
    assert_eq!(store.prune_forked_blocks(70).await.unwrap(), 1);
    assert_eq!(store.forked_blocks().await.unwrap(), [name]);
}

#[tokio::test]
async fn a_directory_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("new/blocks");
    let store = BlockStore::open(place.to_str().unwrap(), StoreOptions { fsync: true, ..Default::default() }).unwrap();
    let blocks = chain(100, 100, 10);
    store.write_bundle(blocks.clone()).await.unwrap();
    let name = store.write_one_block(&blocks[0], "default").await.unwrap();
    let dump = AbiDump { block_num: 2, global_sequence: 5, abis: vec![] };
    store.write_abi_dump(dump.clone()).await.unwrap();
    assert!(place.join("merged-blocks/0000000100.dbin.zst").is_file());
    assert!(place.join(format!("one-blocks/{name}.dbin.zst")).is_file());

    let url = Url::from_directory_path(&place).unwrap();
    let store = BlockStore::open(url.as_str(), StoreOptions::default()).unwrap();
    assert_eq!(collect(&store, 100..=199).await.unwrap(), blocks);
    assert_eq!(store.abi_dumps().await.unwrap(), [2]);
    assert_eq!(store.read_abi_dump(2).await.unwrap(), dump);
    store.move_to_forked(vec![name]).await.unwrap();
    assert_eq!(store.forked_blocks().await.unwrap().len(), 1);
}

#[test]
fn places_that_are_no_store() {
    let error = |place: &str| BlockStore::open(place, StoreOptions::default()).unwrap_err().to_string();
    assert!(error("ftp://host/x").starts_with("cannot open block store \"ftp://host/x\": "));
    #[cfg(not(feature = "aws"))]
    assert!(error("s3://bucket/x").contains("not enabled"));
}

#[tokio::test]
async fn ranges_can_be_read_from_other_tasks() {
    let (store, _, blocks) = three_bundles().await;
    let task = tokio::spawn(async move { store.read_range(2..=5).try_collect::<Vec<_>>().await });
    assert_eq!(task.await.unwrap().unwrap(), blocks[..4]);
}

#[tokio::test]
async fn layouts_are_forgotten_before_they_are_too_many() {
    let store = BlockStore::open("memory://", StoreOptions::default()).unwrap();
    for base in 0..2 * CACHED_TABLES as u32 {
        store.layouts.insert(base, Layout::Stream);
    }
    assert!((CACHED_TABLES / 2..=CACHED_TABLES).contains(&store.layouts.len()));
}
