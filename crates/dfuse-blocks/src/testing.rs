//! Synthetic blocks for this crate's tests.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, Checksum256,
    model::{ActionTrace, Block, BlockHeader, Extension, TransactionTrace, wire::ReverseWriter},
};
use futures::{TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, memory::InMemory, path::Path,
};

use crate::{BlockStore, EncodedBlock};

/// The id of a block of a branch; the chain itself is branch 0.
pub(crate) fn id(number: u32, branch: u8) -> Checksum256 {
    let mut id = Checksum256::sha256(&[&number.to_be_bytes()[..], &[branch]].concat());
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}

/// A block of branch 0 with some traces and `size` bytes that hardly compress.
pub(crate) fn block(number: u32, lib_number: u32, size: usize) -> Block {
    forked_block(number, 0, 0, lib_number, size)
}

fn forked_block(number: u32, branch: u8, parent_branch: u8, lib_number: u32, size: usize) -> Block {
    let noise = (0..size.div_ceil(32))
        .flat_map(|i| Checksum256::sha256(&[number as usize, i].map(usize::to_be_bytes).concat()).0);
    let mut block = Block {
        id: id(number, branch),
        number,
        version: 1,
        header: BlockHeader {
            timestamp: BlockTimestamp(number * 2 + u32::from(branch)),
            previous: id(number.saturating_sub(1), parent_branch),
            ..Default::default()
        },
        dpos_irreversible_blocknum: lib_number,
        block_extensions: vec![Extension { r#type: 9, data: noise.take(size).collect::<Bytes>() }],
        unfiltered_transaction_traces: vec![TransactionTrace {
            id: id(number, 255),
            action_traces: vec![ActionTrace { console: "hello".to_owned(), ..Default::default() }; 3],
            ..Default::default()
        }],
        ..Default::default()
    };
    block.update_counts();
    block
}

/// A block of a branch, encoded.
pub(crate) fn forked(number: u32, branch: u8, parent_branch: u8, lib_number: u32) -> EncodedBlock {
    EncodedBlock::encode(&forked_block(number, branch, parent_branch, lib_number, 10), &mut ReverseWriter::new())
        .unwrap()
}

/// Blocks of branch 0, each final three blocks later.
pub(crate) fn chain(first: u32, count: u32, size: usize) -> Vec<EncodedBlock> {
    let mut writer = ReverseWriter::new();
    let blocks = first..first + count;
    blocks.map(|n| EncodedBlock::encode(&block(n, n.saturating_sub(3), size), &mut writer).unwrap()).collect()
}

/// What a bundle of these blocks holds, uncompressed.
pub(crate) fn dbin_stream(blocks: &[EncodedBlock]) -> Vec<u8> {
    let mut stream = crate::dbin::header(dfuse_antelope::model::bstream::ANTELOPE_BLOCK_TYPE_URL).to_vec();
    for block in blocks {
        stream.extend_from_slice(&crate::dbin::length_prefix(block.envelope()).unwrap());
        stream.extend_from_slice(block.envelope());
    }
    stream
}

/// A store in memory that remembers what was read from it.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    objects: InMemory,
    /// Path and range of every read; no range for a whole object, an empty one for its length only.
    reads: Mutex<Vec<(String, Option<GetRange>)>>,
    /// Whether every write replaces what is there, as in a store without conditional writes.
    loses_conditions: AtomicBool,
}

impl Recording {
    /// A block store, and the recorder below it.
    pub(crate) fn store() -> (BlockStore, Arc<Self>) {
        let objects = Arc::new(Self::default());
        (BlockStore::new(objects.clone(), Path::from("chain")), objects)
    }

    /// Paths and ranges since the last call.
    pub(crate) fn reads(&self) -> Vec<(String, Option<GetRange>)> {
        std::mem::take(&mut *self.reads.lock().unwrap())
    }

    /// From now on every write replaces what is there.
    pub(crate) fn lose_conditions(&self) {
        self.loses_conditions.store(true, Ordering::Relaxed);
    }

    /// All objects, sorted.
    pub(crate) async fn files(&self) -> Vec<String> {
        let mut files: Vec<_> =
            self.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
        files.sort();
        files
    }

    /// Overwrites an object.
    pub(crate) async fn overwrite(&self, path: &str, data: Vec<u8>) {
        self.put(&Path::from(path), data.into()).await.unwrap();
    }

    /// What is in an object.
    pub(crate) async fn content(&self, path: &str) -> Vec<u8> {
        self.objects.get(&Path::from(path)).await.unwrap().bytes().await.unwrap().into()
    }
}

impl std::fmt::Display for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recording")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Recording {
    async fn put_opts(&self, path: &Path, data: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let loses = self.loses_conditions.load(Ordering::Relaxed);
        let options = if loses { PutOptions::default() } else { options };
        self.objects.put_opts(path, data, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let range = if options.head { Some(GetRange::Bounded(0..0)) } else { options.range.clone() };
        self.reads.lock().unwrap().push((path.to_string(), range));
        self.objects.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
