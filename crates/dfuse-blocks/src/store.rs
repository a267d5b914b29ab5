use std::{ffi::OsString, fmt, ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, future::BoxFuture, stream};
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutPayload, list::PaginatedListStore, local::LocalFileSystem, path::Path,
};
use quick_cache::sync::Cache;
use tracing::warn;
use url::Url;
use zstd::bulk::Decompressor;

use crate::{
    BlockRef, EncodedBlock, Error, OneBlockName, Result,
    bundle::{self, BlockTable, BundleEncoder, COMPRESSION_LEVEL, StreamReader, TAIL_BYTES, base_of},
    error::DAMAGED,
    names::{self, FORKED_BLOCKS, MERGED_BLOCKS, ONE_BLOCKS},
    store::remote::Remote,
};

/// Bundles whose tables are kept in memory, about 3 KiB each.
const CACHED_TABLES: usize = 1024;

/// One-block files that are deleted, moved or read at the same time.
const PARALLEL: usize = 8;

/// How often an object is created that is said to be there, and is not.
const CREATE_ATTEMPTS: u32 = 5;

/// How to open a [`BlockStore`].
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// Have the operating system write every file to the disk before it counts as written. Without it a power cut may
    /// lose the files of the last seconds; a killed process loses nothing either way. Local directories only: object
    /// stores are durable.
    pub fsync: bool,
    /// Keys, regions and endpoints of the object store, by the names of its environment variables
    /// (`AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_KEY`, ...); others are passed over.
    pub credentials: Vec<(String, String)>,
}

/// Without the values: there are secrets among them.
impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.credentials.iter().map(|(name, _)| name).collect();
        f.debug_struct("StoreOptions").field("fsync", &self.fsync).field("credentials", &names).finish()
    }
}

impl StoreOptions {
    /// With what the variables of an environment say of object stores.
    pub fn with_variables(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        // The names of some settings without a prefix, such as "timeout" or "endpoint", are those of other programs, too.
        let is_of_store = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
        let credentials = variables.filter_map(text).filter(|(name, _)| is_of_store(name)).collect();
        Self { credentials, ..Self::default() }
    }
}

/// Block files in a directory or an object store. Cloning is cheap, and clones share their cache.
///
/// Every write replaces the whole file at once: readers see the old file, the new one or none. Every read verifies
/// checksums and that a file holds what its name says.
#[derive(Clone)]
pub struct BlockStore {
    pub(crate) objects: Arc<dyn ObjectStore>,
    root: Path,
    /// Folder of the bundles.
    merged: Path,
    /// Whether files are listed in the order of their names: object stores do that, directories don't.
    lists_in_order: bool,
    /// Where it can be said how long a list is to be.
    pages: Option<Arc<dyn PaginatedListStore>>,
    /// How the bundles that were used last are to be read.
    layouts: Arc<Cache<u32, Layout>>,
    /// Others write it.
    reads_only: bool,
}

impl fmt::Debug for BlockStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockStore({} {})", self.objects, self.root)
    }
}

impl BlockStore {
    /// Opens a store by its place: a directory (made if it is not there), `file://`, `memory://`, or with the cargo
    /// features `aws`, `gcp`, `azure` also `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.
    pub fn open(place: &str, options: StoreOptions) -> Result<Self> {
        Self::open_at(place, options, |directory| std::fs::create_dir_all(directory))
    }

    /// The same for a store that is only read: a directory that is not there is an error.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn open_existing(place: &str, options: StoreOptions) -> Result<Self> {
        Self::open_at(place, options, |directory| std::fs::read_dir(directory).map(drop))
    }

    fn open_at(
        place: &str,
        options: StoreOptions,
        prepare: impl FnOnce(&std::path::Path) -> std::io::Result<()>,
    ) -> Result<Self> {
        let unusable = |e: &dyn fmt::Display| Error::Usage(format!("cannot open block store \"{place}\": {e}"));
        let directory = match Url::parse(place) {
            Ok(url) if url.password().is_some() => {
                return Err(Error::Usage(
                    "the URL of a block store has no password: name its credentials in the environment (AWS_..., AZURE_..., \
                     GOOGLE_...)"
                        .to_owned(),
                ));
            }
            Ok(url) if url.scheme() == "file" => {
                url.to_file_path().map_err(|()| unusable(&"not a path of this machine"))?
            }
            Ok(url) if place.contains("://") => {
                let opened = remote::open(&url, options.credentials).map_err(|e| unusable(&e))?;
                let Remote { objects, pages, root } = opened;
                return Ok(Self { lists_in_order: true, pages, ..Self::new(objects, root) });
            }
            _ => place.into(),
        };
        prepare(&directory).map_err(|e| unusable(&e))?;
        let objects = LocalFileSystem::new_with_prefix(&directory).map_err(|e| unusable(&e))?;
        Ok(Self::new(Arc::new(objects.with_fsync(options.fsync)), Path::default()))
    }

    /// A store in `objects`, below `root`.
    pub fn new(objects: Arc<dyn ObjectStore>, root: Path) -> Self {
        let merged = root.clone().join(MERGED_BLOCKS);
        let layouts = Arc::new(Cache::new(CACHED_TABLES));
        Self { objects, root, merged, lists_in_order: false, pages: None, layouts, reads_only: false }
    }

    /// The store for one who leaves all writing to others: whatever would change it fails, and damaged files stay where they are.
    #[must_use]
    pub fn reads_only(self) -> Self {
        Self { reads_only: true, ..self }
    }

    /// The store in a folder of this one.
    pub(crate) fn within(&self, folder: &str) -> Self {
        let inner = Self::new(self.objects.clone(), self.in_root(folder));
        Self { lists_in_order: self.lists_in_order, reads_only: self.reads_only, ..inner }
    }

    pub(crate) fn may_write(&self, path: &Path) -> Result<()> {
        if self.reads_only {
            return Err(Error::Usage(format!("{path}: this process only reads the block store")));
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn in_root(&self, folder: &str) -> Path {
        self.root.clone().join(folder)
    }

    pub(crate) fn path(&self, folder: &str, file_name: &str) -> Path {
        self.in_root(folder).join(file_name)
    }

    pub(crate) fn bundle_path(&self, base: u32) -> Path {
        self.merged.clone().join(names::bundle_file_name(base))
    }

    pub(crate) async fn put(&self, path: &Path, data: Vec<u8>) -> Result<()> {
        self.may_write(path)?;
        let written = self.objects.put(path, PutPayload::from(data)).await;
        written.map(drop).map_err(|e| Error::store(path, e))
    }

    /// Writes an object unless there is one: of several who try at once, one succeeds. Tells whether it was this one; if its answer
    /// was lost on the way, it is told that there is one.
    pub(crate) async fn put_new(&self, path: &Path, data: Vec<u8>) -> Result<bool> {
        let data = PutPayload::from(data);
        for attempt in 1.. {
            let refused = match self.objects.put_opts(path, data.clone(), PutMode::Create.into()).await {
                Ok(_) => return Ok(true),
                Err(error @ object_store::Error::AlreadyExists { .. }) => error,
                Err(error) => return Err(Error::store(path, error)),
            };
            // S3 says the same where several tried at once and none of them succeeded.
            match self.objects.head(path).await.map_err(|e| Error::store(path, e)) {
                Ok(_) => break,
                Err(Error::NotFound(_)) if attempt < CREATE_ATTEMPTS => {}
                Err(Error::NotFound(_)) => return Err(Error::store(path, refused)),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    pub(crate) fn get<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(async move {
            let object = self.objects.get(path).await.map_err(|e| Error::store(path, e))?;
            object.bytes().await.map_err(|e| Error::store(path, e))
        })
    }

    pub(crate) async fn get_range(&self, path: &Path, range: std::ops::Range<u64>) -> Result<Bytes> {
        self.objects.get_range(path, range).await.map_err(|e| Error::store(path, e))
    }

    /// Moves a file that is not what its writer wrote out of the way, where it can be looked at. One that is gone is no error.
    pub(crate) async fn put_aside(&self, file: &Path, why: &Error) -> Result<()> {
        if self.reads_only {
            warn!(file = %file, "{why}; whoever writes the store puts it aside at its next start");
            return Ok(());
        }
        let mut parts: Vec<_> = file.parts().collect();
        let at = parts.len().saturating_sub(2);
        parts.insert(at, DAMAGED.into());
        let to = parts.into_iter().collect();
        match self.objects.rename(file, &to).await.map_err(|e| Error::store(file, e)) {
            Ok(()) => warn!(file = %file, to = %to, "{why}; it is put aside, and written again when its source has it"),
            Err(Error::NotFound(_)) => {}
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// The lowest block of the bundles and one-block files that were put aside.
    pub(crate) async fn lowest_put_aside(&self) -> Result<Option<u32>> {
        let folder = self.root.clone().join(DAMAGED);
        let objects: Vec<_> =
            self.objects.list(Some(&folder)).try_collect().await.map_err(|e| Error::store(&folder, e))?;
        let numbers = objects.iter().filter_map(|object| {
            let name = object.location.filename()?;
            let parts: Vec<_> = object.location.parts().collect();
            let kind = parts.get(parts.len().checked_sub(2)?)?;
            match kind.as_ref() {
                ONE_BLOCKS => OneBlockName::parse(name).map(|name| name.number),
                MERGED_BLOCKS => names::parse_bundle(name),
                _ => None,
            }
        });
        Ok(numbers.min())
    }

    /// Puts the file of one block aside.
    pub(crate) async fn put_one_block_aside(&self, name: &OneBlockName, why: &Error) -> Result<()> {
        self.put_aside(&self.path(ONE_BLOCKS, &name.file_name()), why).await
    }

    /// Puts a forked block aside.
    pub(crate) async fn put_forked_block_aside(&self, name: &OneBlockName, why: &Error) -> Result<()> {
        self.put_aside(&self.path(FORKED_BLOCKS, &name.file_name()), why).await
    }

    /// Forgets how bundles are to be read: another process may have written them anew.
    pub fn forget_tables(&self) {
        self.layouts.clear();
    }

    /// Puts a bundle aside.
    pub(crate) async fn put_bundle_aside(&self, base: u32, why: &Error) -> Result<()> {
        self.layouts.remove(&base);
        self.put_aside(&self.bundle_path(base), why).await
    }

    // One-block files and forked blocks

    /// Names of all one-block files, by number. A block has several if several readers wrote it.
    pub async fn one_blocks(&self) -> Result<Vec<OneBlockName>> {
        self.list(ONE_BLOCKS, OneBlockName::parse).await
    }

    /// The same of blocks from that number on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn one_blocks_from(&self, number: u32) -> Result<Vec<OneBlockName>> {
        self.list_blocks(ONE_BLOCKS, number..=u32::MAX).await
    }

    /// Names of all forked blocks that are kept aside, by number.
    pub async fn forked_blocks(&self) -> Result<Vec<OneBlockName>> {
        self.list(FORKED_BLOCKS, OneBlockName::parse).await
    }

    /// The same of some blocks.
    pub(crate) async fn forked_blocks_of(&self, numbers: RangeInclusive<u32>) -> Result<Vec<OneBlockName>> {
        self.list_blocks(FORKED_BLOCKS, numbers).await
    }

    /// Writes a one-block file. `suffix` tells the writers of a store apart: letters, digits, `_` and `.` only.
    pub async fn write_one_block(&self, block: &EncodedBlock, suffix: &str) -> Result<OneBlockName> {
        self.write_block(ONE_BLOCKS, block, suffix).await
    }

    /// Keeps a block that lost against its siblings aside.
    pub async fn write_forked_block(&self, block: &EncodedBlock, suffix: &str) -> Result<OneBlockName> {
        self.write_block(FORKED_BLOCKS, block, suffix).await
    }

    async fn write_block(&self, folder: &str, block: &EncodedBlock, suffix: &str) -> Result<OneBlockName> {
        names::check_suffix(suffix)?;
        let name = OneBlockName::new(block, suffix);
        let block = block.clone();
        let file = blocking(move || bundle::encode_one_block(&block, COMPRESSION_LEVEL)).await?;
        self.put(&self.path(folder, &name.file_name()), file).await?;
        Ok(name)
    }

    /// Reads a one-block file.
    pub async fn read_one_block(&self, name: &OneBlockName) -> Result<EncodedBlock> {
        self.read_named(ONE_BLOCKS, name).await
    }

    /// Reads a block that was kept aside.
    pub async fn read_forked_block(&self, name: &OneBlockName) -> Result<EncodedBlock> {
        self.read_named(FORKED_BLOCKS, name).await
    }

    /// Looks for a block among those that were kept aside.
    pub(crate) async fn find_forked_block(&self, block: BlockRef) -> Result<Option<EncodedBlock>> {
        self.find_in(FORKED_BLOCKS, block).await
    }

    /// Looks for a block among the one-block files, whoever wrote it; the first of its files that is sound.
    pub(crate) async fn find_one_block(&self, block: BlockRef) -> Result<Option<EncodedBlock>> {
        self.find_in(ONE_BLOCKS, block).await
    }

    /// In a box, so that it is compiled once and not in every crate that waits for it.
    fn find_in<'a>(&'a self, folder: &'a str, block: BlockRef) -> BoxFuture<'a, Result<Option<EncodedBlock>>> {
        Box::pin(async move {
            let id = block.id.to_string();
            for name in self.list_blocks(folder, block.number..=block.number).await? {
                if !id.ends_with(&name.id) {
                    continue;
                }
                match self.read_named(folder, &name).await {
                    Ok(found) if found.id() == block.id => return Ok(Some(found)),
                    Ok(_) | Err(Error::NotFound(_)) => {}
                    Err(error @ Error::Damaged { .. }) if folder == FORKED_BLOCKS => {
                        self.put_forked_block_aside(&name, &error).await?;
                    }
                    // Another writer's file of the block may be whole.
                    Err(error @ Error::Damaged { .. }) => warn!(%error, "passed over"),
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        })
    }

    /// Reads one-block files, several at a time, in the order of their names. Damaged ones are put aside and left out.
    pub(crate) fn read_whole_one_blocks(
        &self,
        names: Vec<OneBlockName>,
    ) -> impl Stream<Item = Result<(OneBlockName, EncodedBlock)>> + Send {
        let store = self.clone();
        let reads = stream::iter(names).map(move |name| {
            let store = store.clone();
            async move {
                match store.read_one_block(&name).await {
                    Ok(block) => Ok(Some((name, block))),
                    Err(error @ Error::Damaged { .. }) => store.put_one_block_aside(&name, &error).await.map(|()| None),
                    Err(error) => Err(error),
                }
            }
        });
        reads.buffered(PARALLEL).try_filter_map(|read| std::future::ready(Ok(read)))
    }

    /// Reads one-block files, several at a time, in the order of their names.
    pub fn read_one_blocks(&self, names: Vec<OneBlockName>) -> impl Stream<Item = Result<EncodedBlock>> + Send + use<> {
        let store = self.clone();
        let reads = stream::iter(names).map(move |name| {
            let store = store.clone();
            async move { store.read_one_block(&name).await }
        });
        reads.buffered(PARALLEL)
    }

    async fn read_named(&self, folder: &str, name: &OneBlockName) -> Result<EncodedBlock> {
        let path = self.path(folder, &name.file_name());
        let data = self.get(&path).await?;
        let name = name.clone();
        blocking(move || {
            let file = path.as_ref();
            let mut reader = StreamReader::new(file, data)?;
            match (reader.block()?, reader.block()?) {
                (Some(block), None) if name.is_of(&block) => Ok(block),
                (Some(block), None) => Err(Error::damaged(file, None, format!("it holds {block:?}"))),
                (None, _) => Err(Error::damaged(file, None, "it holds no block")),
                (_, Some(_)) => Err(Error::damaged(file, None, "it holds more than one block")),
            }
        })
        .await
    }

    /// Deletes one-block files; one that is already gone is no error.
    pub async fn delete_one_blocks(&self, names: Vec<OneBlockName>) -> Result<()> {
        self.delete(ONE_BLOCKS, names).await
    }

    /// Moves one-block files of blocks that lost to the forked blocks.
    pub async fn move_to_forked(&self, names: Vec<OneBlockName>) -> Result<()> {
        self.may_write(&self.root)?;
        let moves = stream::iter(names.into_iter().map(Ok));
        let moves = moves.try_for_each_concurrent(PARALLEL, async |name| {
            let (from, to) = (self.path(ONE_BLOCKS, &name.file_name()), self.path(FORKED_BLOCKS, &name.file_name()));
            match self.objects.rename(&from, &to).await.map_err(|e| Error::store(&from, e)) {
                Err(Error::NotFound(_)) => Ok(()),
                other => other,
            }
        });
        moves.await
    }

    /// Deletes forked blocks with a number below `number`; tells how many.
    pub async fn prune_forked_blocks(&self, number: u32) -> Result<usize> {
        let Some(last) = number.checked_sub(1) else { return Ok(0) };
        let names = self.forked_blocks_of(0..=last).await?;
        let count = names.len();
        self.delete(FORKED_BLOCKS, names).await?;
        Ok(count)
    }

    /// Deletes blocks that were put aside; those that are not there are no error.
    pub(crate) async fn delete_forked_blocks(&self, names: Vec<OneBlockName>) -> Result<()> {
        self.delete(FORKED_BLOCKS, names).await
    }

    async fn delete(&self, folder: &str, names: Vec<OneBlockName>) -> Result<()> {
        self.may_write(&self.root)?;
        let paths: Vec<_> = names.iter().map(|name| Ok(self.path(folder, &name.file_name()))).collect();
        // Object stores delete many with one request.
        let mut deletions = self.objects.delete_stream(stream::iter(paths).boxed());
        while let Some(deleted) = deletions.next().await {
            match deleted {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(Error::store(&self.in_root(folder), error)),
            }
        }
        Ok(())
    }

    // Bundles

    /// The error for a bundle that is not there though there are others before and after it; `number` is that of the first
    /// block that is missing.
    pub fn missing_bundle(&self, number: u32) -> Error {
        Error::MissingBundle { file: self.bundle_path(base_of(number)).to_string(), first: number }
    }

    /// Writes the bundle of `blocks`, which are of one chain, ascending, and all belong into it; replaces one that is there.
    pub async fn write_bundle(&self, blocks: Vec<EncodedBlock>) -> Result<()> {
        let bundle = self.extend_bundle(None, blocks).await?;
        self.put_bundle(bundle, true).await.map(drop)
    }

    /// The same unless the bundle is there, as another machine that takes blocks may have written it first; tells whether it was
    /// written now. Bundles of two machines differ in what their nodes measured, never in ids.
    ///
    /// # Errors
    /// [`Error::OtherChain`] if the bundle that is there is of another chain, and those of the store.
    pub async fn create_bundle(&self, blocks: Vec<EncodedBlock>) -> Result<bool> {
        self.create_begun_bundle(self.extend_bundle(None, blocks).await?).await
    }

    pub(crate) async fn create_begun_bundle(&self, bundle: BundleEncoder) -> Result<bool> {
        let last = bundle.last();
        if self.put_bundle(bundle, false).await? {
            return Ok(true);
        }
        if let Some(last) = last {
            self.must_end_with(last).await?;
        }
        Ok(false)
    }

    /// Adds blocks to a bundle, which may have none yet, off the async threads.
    ///
    /// # Errors
    /// Those of [`BundleEncoder::push`].
    pub(crate) async fn extend_bundle(
        &self,
        bundle: Option<BundleEncoder>,
        blocks: Vec<EncodedBlock>,
    ) -> Result<BundleEncoder> {
        let extended = blocking(move || {
            let mut bundle = bundle.map_or_else(|| BundleEncoder::new(COMPRESSION_LEVEL), Ok)?;
            bundle.extend(&blocks)?;
            Ok(bundle)
        });
        extended.await
    }

    /// Whether the bundle that ends with this block is there.
    ///
    /// # Errors
    /// [`Error::OtherChain`] if it is there with another block, and those of the store.
    pub(crate) async fn has_bundle_to(&self, last: BlockRef) -> Result<bool> {
        match self.must_end_with(last).await {
            Ok(()) => Ok(true),
            Err(Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn must_end_with(&self, last: BlockRef) -> Result<()> {
        let found = self.read_block(last.number).await?;
        if found.id() == last.id {
            return Ok(());
        }
        let why = format!("the bundle that is in the store, from another machine, has block {}", found.id());
        Err(Error::OtherChain { block: last, why })
    }

    /// Tells whether it was written; it is not if it is there and not to be replaced.
    async fn put_bundle(&self, bundle: BundleEncoder, replaces: bool) -> Result<bool> {
        let (Some(first), Some(last)) = (bundle.first(), bundle.last()) else {
            return Err(Error::Usage("a bundle without blocks is of no use".to_owned()));
        };
        let base = base_of(first.number);
        if base_of(last.number) != base {
            return Err(Error::Usage(format!("blocks {} to {} are not of one bundle", first.number, last.number)));
        }
        let path = self.bundle_path(base);
        self.may_write(&path)?;
        let written = match replaces {
            true => self.put(&path, bundle.finish()).await.map(|()| true),
            false => self.put_new(&path, bundle.finish()).await,
        };
        self.layouts.remove(&base);
        written
    }

    /// Deletes the bundles of blocks below `number` only, the lowest first, so that those that are left have no gap whenever
    /// it ends. Returns how many.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete_bundles_below(&self, number: u32) -> Result<usize> {
        let Some(last) = base_of(number).checked_sub(1) else { return Ok(0) };
        let mut bases = self.list_bundles(0..=last, None).await?;
        bases.retain(|base| *base == base_of(*base));
        for base in &bases {
            let path = self.bundle_path(*base);
            match self.objects.delete(&path).await.map_err(|e| Error::store(&path, e)) {
                Ok(()) | Err(Error::NotFound(_)) => self.layouts.remove(base),
                Err(error) => return Err(error),
            };
        }
        Ok(bases.len())
    }

    /// Reads one block from its bundle: one range read of its frame, after the first read from a bundle, which also
    /// fetches its tables. A bundle of others, without tables, is read from its start.
    pub async fn read_block(&self, number: u32) -> Result<EncodedBlock> {
        let is_known = self.layouts.get(&base_of(number)).is_some();
        match self.read_bundled_block(number).await {
            // The bundle may have been written anew since its tables were read.
            Err(Error::NotFound(_) | Error::Damaged { .. }) if is_known => {
                self.forget_layout(base_of(number));
                self.read_bundled_block(number).await
            }
            read => read,
        }
    }

    async fn read_bundled_block(&self, number: u32) -> Result<EncodedBlock> {
        let missing = || Error::NotFound(format!("block {number}"));
        let base = base_of(number);
        let path = self.bundle_path(base);
        let layout = self.layout(base).await.map_err(|e| match e {
            Error::NotFound(_) => missing(),
            other => other,
        })?;
        match layout {
            Layout::Framed(table) => {
                let frame = *table.find(number).ok_or_else(missing)?;
                let data = self.get_range(&path, frame.offset..frame.end()).await?;
                blocking(move || {
                    let mut decompressor = new_decompressor(path.as_ref())?;
                    frame.decode(path.as_ref(), &data, &mut decompressor)
                })
                .await
            }
            Layout::Stream => {
                let data = self.get(&path).await?;
                let found = blocking(move || {
                    let mut reader = StreamReader::new(path.as_ref(), data)?;
                    while let Some(block) = reader.block()? {
                        if block.number() == number {
                            return Ok(Some(block));
                        }
                    }
                    Ok(None)
                });
                found.await?.ok_or_else(missing)
            }
        }
    }

    /// The tables of a bundle are read again when it is read next.
    pub(crate) fn forget_layout(&self, base: u32) {
        self.layouts.remove(&base);
    }

    /// How a bundle is to be read.
    pub(crate) async fn layout(&self, base: u32) -> Result<Layout> {
        if let Some(layout) = self.layouts.get(&base) {
            return Ok(layout);
        }
        let path = self.bundle_path(base);
        // Two requests, as Azure cannot read from the end without knowing the length.
        let size = self.objects.head(&path).await.map_err(|e| Error::store(&path, e))?.size;
        let tail = match size.saturating_sub(TAIL_BYTES) {
            _ if size == 0 => Bytes::new(),
            start => self.get_range(&path, start..size).await?,
        };
        let layout = BlockTable::parse(size, &tail).map_or(Layout::Stream, |table| Layout::Framed(Arc::new(table)));
        self.layouts.insert(base, layout.clone());
        Ok(layout)
    }
}

/// Runs work that keeps a CPU busy off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Usage("the runtime is shutting down".to_owned())),
        },
    }
}

pub(crate) fn new_decompressor(file: &str) -> Result<Decompressor<'static>> {
    Decompressor::new().map_err(|e| Error::Usage(format!("{file}: zstd has no memory: {e}")))
}

/// How a bundle is to be read.
#[derive(Debug, Clone)]
pub(crate) enum Layout {
    /// Block by block: it is ours.
    Framed(Arc<BlockTable>),
    /// From start to end: it is of others.
    Stream,
}

#[cfg(feature = "http")]
mod http;
mod listing;
pub(crate) mod locate;
mod remote;
#[cfg(test)]
mod tests;
mod writers;
