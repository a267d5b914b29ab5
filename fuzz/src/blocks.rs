use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use dfuse_antelope::model::wire::ReverseWriter;
use dfuse_blocks::{BlockStore, EncodedBlock, bundle::StreamReader};
use futures::StreamExt;
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use tokio::runtime::{Builder, Runtime};

/// Where a store has the bundle of blocks 0 to 99.
const BUNDLE: &str = "merged-blocks/0000000000.dbin.zst";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime without input and output"));

/// A block file, compressed or not: it is read as a stream, and by a store block by block and as a range. A block that
/// can be decoded is the same after it was stored.
pub fn bundle_file(data: &[u8]) {
    let mut writer = ReverseWriter::new();
    let data = Bytes::copy_from_slice(data);
    if let Ok(mut reader) = StreamReader::new("input", data.clone()) {
        while let Ok(Some(encoded)) = reader.block() {
            let Ok(block) = encoded.decode() else { continue };
            let again = EncodedBlock::encode(&block, &mut writer).expect("a decoded block can be encoded");
            assert_eq!(again.decode().expect("what was encoded is decoded"), block);
        }
    }
    RUNTIME.block_on(read_from_store(data));
}

async fn read_from_store(data: Bytes) {
    let objects = Arc::new(InMemory::new());
    objects.put(&Path::from(BUNDLE), data.into()).await.expect("memory takes every object");
    let store = BlockStore::new(objects, Path::default());
    let mut range = std::pin::pin!(store.read_range(2..=99));
    while let Some(Ok(block)) = range.next().await {
        let alone = store.read_block(block.number()).await;
        assert_eq!(alone.expect("a block of a range can be read alone").number(), block.number());
    }
}
