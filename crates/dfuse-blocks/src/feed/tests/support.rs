//! A reader of streams that accepts no wrong step, a naive chain to compare with, and a store that fails.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use dfuse_antelope::Checksum256;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, memory::InMemory, path::Path,
};
use xxhash_rust::xxh64::xxh64;

use super::super::{FeedEvent, FeedHandle, Request, Subscription};
use crate::{Added, BlockRef, Cursor, EncodedBlock, Finalized, ForkDb, Step};

/// SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.u64()) * bound as u128) >> 64) as usize
    }

    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

/// What a client has: the blocks that it was sent and that were not undone.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) request: Request,
    /// None before the first event.
    pub(super) first: Option<u32>,
    pub(super) chain: Vec<BlockRef>,
    pub(super) lib: u32,
}

impl Reader {
    pub(super) fn new(request: Request) -> Self {
        Self { request, first: None, chain: vec![], lib: 0 }
    }

    pub(super) fn tip(&self) -> Option<BlockRef> {
        self.chain.last().copied()
    }

    /// Takes a step; panics at one that does not fit.
    pub(super) fn take(&mut self, event: &FeedEvent) {
        let block = event.block.encoded();
        let this = BlockRef::from(block);
        let first = *self.first.get_or_insert_with(|| {
            self.lib = this.number - 1;
            this.number
        });
        let context = || format!("{:?} {this} (final: {}) on {:?}", event.step, event.is_final, self.chain.last());
        match event.step {
            _ if self.request.irreversible_only => {
                assert_eq!(event.step, Step::Irreversible);
                assert_eq!(this.number, self.lib + 1, "{}", context());
                assert!(self.tip().is_none_or(|tip| tip.id == block.previous()), "{}", context());
                self.chain.push(this);
                self.lib = this.number;
            }
            Step::New => {
                assert_eq!(this.number, self.tip().map_or(first, |tip| tip.number + 1), "{}", context());
                assert!(self.tip().is_none_or(|tip| tip.id == block.previous()), "{}", context());
                if event.is_final {
                    assert_eq!(this.number, self.lib + 1, "{}", context());
                    self.lib = this.number;
                }
                self.chain.push(this);
            }
            Step::Undo => {
                assert_eq!(self.tip(), Some(this), "{}", context());
                assert!(this.number > self.lib && !event.is_final, "{}", context());
                self.chain.pop();
            }
            Step::Irreversible => {
                assert_eq!(this.number, self.lib + 1, "{}", context());
                assert_eq!(self.chain[(this.number - first) as usize], this);
                assert!(event.is_final);
                self.lib = this.number;
            }
        }
        let Cursor { step, block, tip, lib } = event.cursor;
        assert_eq!((step, block, lib), (event.step, this, self.lib));
        assert_eq!(tip.number, self.tip().map_or(first - 1, |tip| tip.number));
        assert!(self.tip().is_none_or(|mine| mine == tip));
    }

    /// After everything was taken: the same chain as the feed.
    pub(super) fn check(&self, reference: &Reference, head: BlockRef, lib: BlockRef) {
        let Some(first) = self.first else { return };
        // A source may not have repeated all that was final before.
        let lib = if self.lib > lib.number && lib.number < reference.lib.number { self.lib } else { lib.number };
        // Nor does anybody forget what was final.
        let is_final = self.request.irreversible_only || lib > head.number;
        let end = if is_final { reference.chain(lib, reference.head)[0] } else { head };
        let mut chain = reference.chain(first, end);
        let mut confirmed = end.number.saturating_sub(self.request.confirmations).max(lib);
        if end.number < reference.head.number {
            // What is confirmed stays so when a source has not repeated the blocks on top.
            confirmed = confirmed.max(self.tip().map_or(0, |tip| tip.number));
        }
        chain.truncate(chain.partition_point(|block| block.number <= confirmed));
        assert_eq!(self.chain, chain, "from {first}");
        assert_eq!(self.lib, lib.max(first - 1));
    }
}

/// The chain as the blocks that came make it, computed again from all of them.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) parents: BTreeMap<Checksum256, Checksum256>,
    pub(super) head: BlockRef,
    pub(super) lib: BlockRef,
}

impl Reference {
    pub(super) fn new(first: &EncodedBlock) -> Self {
        let lib = BlockRef { number: first.number() - 1, id: first.previous() };
        Self { parents: BTreeMap::new(), head: lib, lib }
    }

    /// From `first` to `end`.
    pub(super) fn chain(&self, first: u32, end: BlockRef) -> Vec<BlockRef> {
        let mut chain = VecDeque::new();
        let mut id = end.id;
        while id.block_num() >= first {
            chain.push_front(BlockRef { number: id.block_num(), id });
            id = self.parents[&id];
        }
        chain.into()
    }

    fn ancestor(&self, mut id: Checksum256, number: u32) -> Option<Checksum256> {
        while id.block_num() > number {
            id = *self.parents.get(&id)?;
        }
        Some(id)
    }

    pub(super) fn add(&mut self, block: &EncodedBlock) {
        self.parents.insert(block.id(), block.previous());
        let is_linked = self.ancestor(block.id(), self.lib.number) == Some(self.lib.id);
        if is_linked && block.number() > self.head.number {
            self.head = block.into();
            let lib = block.lib_number().min(block.number()).max(self.lib.number);
            self.lib = BlockRef { number: lib, id: self.ancestor(block.id(), lib).unwrap() };
        }
    }
}

/// Takes everything that the feed has for a stream now. Returns every cursor with what the reader had then.
pub(super) async fn drain(stream: &mut Subscription, reader: &mut Reader) -> Vec<(Cursor, Reader)> {
    let mut cursors = vec![];
    while !stream.is_idle() {
        let Some(event) = stream.next().await.unwrap() else { break };
        reader.take(&event);
        cursors.push((event.cursor, reader.clone()));
    }
    cursors
}

/// A stream of its own that is drained and compared with the feed.
pub(super) async fn joins(feed: &FeedHandle, request: Request, reference: &Reference) -> Reader {
    let mut reader = Reader::new(request);
    drain(&mut feed.subscribe(request).await.unwrap(), &mut reader).await;
    reader.check(reference, feed.head().unwrap(), feed.lib().unwrap());
    reader
}

/// Blocks in the order of their arrival, with forks that may go on after they lost and phases in which nothing becomes
/// final.
pub(super) fn fork_tree(random: &mut Random, first: u32, count: usize) -> Vec<EncodedBlock> {
    let root = BlockRef { number: first - 1, id: crate::testing::id(first - 1, 0) };
    let mut forks = ForkDb::new(root);
    // Label of a block: which of its height it is.
    let mut labels: BTreeMap<u32, u8> = BTreeMap::new();
    let mut known: Vec<(u32, u8, u32)> = vec![(first - 1, 0, 0)];
    let (mut stalled, mut finality) = (false, 1 + random.below(12) as u32);
    let fork_chance = [0, 5, 20, 50][random.below(4)];
    let mut blocks = vec![];
    for _ in 0..count {
        if random.percent(3) {
            stalled = !stalled;
            finality = 1 + random.below(12) as u32;
        }
        let head = forks.head();
        let recent = &known[known.len().saturating_sub(12)..];
        let on_head = || known.iter().rev().find(|(number, label, _)| crate::testing::id(*number, *label) == head.id);
        let (parent, parent_label, parent_lib) =
            if random.percent(fork_chance) { recent[random.below(recent.len())] } else { *on_head().unwrap() };
        let number = parent + 1;
        let next = labels.entry(number).or_default();
        let label = *next;
        if label == u8::MAX {
            continue;
        }
        *next += 1;
        // Only what becomes the head may call more final: what its branch left behind can no longer win.
        let advances = crate::testing::id(parent, parent_label) == head.id && !stalled;
        let lib = if advances { parent_lib.max(number.saturating_sub(finality)) } else { parent_lib };
        let block = crate::testing::forked(number, label, parent_label, lib);
        if number > forks.lib().number {
            let added = forks.add(block.clone());
            assert_ne!(added, Added::Known);
            let Finalized { .. } = forks.finalize();
        }
        known.push((number, label, lib));
        blocks.push(block);
    }
    blocks
}

/// A store in memory that fails at times: before it does what it is asked for, or after. Which operations fail depends on
/// the seed, the operation, the path and how often both came, and on nothing else.
#[derive(Debug, Clone)]
pub(super) struct Faulty {
    objects: Arc<InMemory>,
    seed: u64,
    /// In a thousand.
    chance: u64,
    reads_fail: bool,
    counts: Arc<Mutex<BTreeMap<(&'static str, String), u64>>>,
    enabled: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Before,
    After,
}

impl Faulty {
    pub(super) fn new(seed: u64, chance: u64, reads_fail: bool) -> Self {
        Self { objects: Arc::default(), seed, chance, reads_fail, counts: Arc::default(), enabled: Arc::default() }
    }

    pub(super) fn enable(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::SeqCst);
    }

    /// Every file and a digest of its bytes.
    pub(super) async fn digests(&self) -> Vec<(String, u64)> {
        let files: Vec<_> = self.objects.list(None).map(|file| file.unwrap().location).collect().await;
        let mut digests = vec![];
        for path in files {
            let bytes = self.objects.get(&path).await.unwrap().bytes().await.unwrap();
            digests.push((path.to_string(), xxh64(&bytes, 0)));
        }
        digests.sort_unstable();
        digests
    }

    fn fault(&self, operation: &'static str, path: &Path) -> Fault {
        if !self.enabled.load(Ordering::SeqCst) || (operation == "get" && !self.reads_fail) {
            return Fault::None;
        }
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry((operation, path.to_string())).or_default();
        *count += 1;
        let hash = xxh64(format!("{operation} {path} {count}").as_bytes(), self.seed);
        match hash % 1000 {
            chance if chance >= self.chance => Fault::None,
            _ if hash & (1 << 40) == 0 => Fault::Before,
            _ => Fault::After,
        }
    }

    async fn with<T>(
        &self,
        operation: &'static str,
        path: &Path,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        let fault = self.fault(operation, path);
        if fault == Fault::Before {
            return Err(failure(operation));
        }
        let done = work.await?;
        if fault == Fault::After { Err(failure(operation)) } else { Ok(done) }
    }
}

fn failure(operation: &str) -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: operation.into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, data: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        self.with("put", path, self.objects.put_opts(path, data, options)).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.with("get", path, self.objects.get_opts(path, options)).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let this = self.clone();
        let deleted = paths.then(move |path| {
            let this = this.clone();
            async move {
                let path = path?;
                this.with("delete", &path, this.objects.delete(&path)).await?;
                Ok(path)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.with("copy", to, self.objects.copy_opts(from, to, options)).await
    }
}
