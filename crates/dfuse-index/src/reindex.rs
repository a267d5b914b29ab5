//! Building one index from the blocks while others serve.

use std::sync::Arc;

use dfuse_antelope::{AbiDump, model::Block};
use dfuse_blocks::{BlockRef, BlockStore};
use dfuse_kv::{Durability, KeyRange, Store, WriteBatch};
use futures::TryStreamExt;

use crate::{
    Checkpoint, CheckpointState, Earlier, EarlierWay, Error, Family, Index, Options, Pipeline, Result,
    checkpoint::{CHECKPOINTS, read_checkpoint},
    files::{final_blocks, first_block, last_bundled},
    load::must_not_hold_loaded_state,
};

/// How far building or checking an index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The entries of a family are being removed.
    Dropping(Family),
    /// Blocks are being taken.
    Blocks {
        /// The last one that was taken.
        number: u32,
        /// The last one that will be.
        last: u32,
    },
    /// The entries of a family are being compared.
    Comparing {
        /// The family.
        family: Family,
        /// How many entries so far.
        entries: u64,
    },
}

/// One index being built, in the store where others serve: a pipeline of its own, whose commits touch nothing but the
/// families and the checkpoint of this index. Killed at any moment, it goes on where it was.
pub struct Rebuild {
    pipeline: Pipeline,
    store: Arc<dyn Store>,
    name: &'static str,
    /// Whether it has terms, which were made with the ABIs that were known.
    has_terms: bool,
    limit: Option<BlockRef>,
}

impl Rebuild {
    /// Prepares to build the index `name`. What was begun with the same schema version and settings, and an index that merely has
    /// fewer blocks than others, is continued; anything else is removed first, some thousand entries at a time.
    pub fn open(
        store: Arc<dyn Store>,
        indexes: &[Arc<dyn Index>],
        name: &str,
        options: Options,
        mut progress: impl FnMut(Progress),
    ) -> Result<Self> {
        let index = indexes.iter().find(|index| index.name() == name).cloned();
        let index = index.ok_or_else(|| Error::Usage(format!("there is no index \"{name}\"")))?;
        let earlier = Earlier::of(&*store)?.filter(|_| index.earlier_way() != EarlierWay::Never);
        if earlier.is_some_and(|earlier| earlier.under_way.is_some()) {
            return Err(Error::Usage(format!(
                "index \"{name}\" takes in earlier blocks: let `dfuse tools extend` end first"
            )));
        }
        let mut others = Vec::new();
        for other in indexes.iter().filter(|other| other.name() != name) {
            others.extend(read_checkpoint(&*store, other.name())?);
        }
        let complete = others.into_iter().filter(|other| other.state == CheckpointState::Complete);
        let limit = complete.max_by_key(|other| other.block.number);
        let own = read_checkpoint(&*store, name)?;
        let continued = own.filter(|own| {
            let behind = limit.is_some_and(|limit| own.block.number < limit.block.number);
            let usable = own.state == CheckpointState::Building || own.state == CheckpointState::Complete && behind;
            (own.schema_version, own.settings) == (index.schema_version(), index.settings()) && usable
        });
        if continued.is_none() {
            must_not_hold_loaded_state(&*store, &*index)?;
            if let Some(own) = own {
                let dropping = Checkpoint { state: CheckpointState::Dropping, ..own };
                write_checkpoint(&*store, index.name(), &dropping)?;
            }
            for family in index.families() {
                progress(Progress::Dropping(*family));
                store.delete_range(store.keyspace(family.name())?, &KeyRange::all(), Durability::Buffer)?;
            }
        }
        let name = index.name();
        let has_terms = index.earlier_way() == EarlierWay::Lists && index.is_read_with_block_files();
        let identity = continued.or(limit).or(own).map(|known| known.identity);
        let pipeline = Pipeline::open_one(store.clone(), index, indexes, continued, identity, options)?;
        Ok(Self { pipeline, store, name, has_terms, limit: limit.map(|limit| limit.block) })
    }

    /// The last block that it has; absent before the first one.
    pub fn block(&self) -> Option<BlockRef> {
        self.pipeline.head()
    }

    /// Where the other indexes are: the last block to give it. Absent if there is no other.
    pub fn limit(&self) -> Option<BlockRef> {
        self.limit
    }

    /// Number of the next block, if it is known.
    pub fn next_number(&self) -> Option<u32> {
        self.pipeline.next_number()
    }

    /// Offers the ABIs of a node at its start: every time that it is opened, before blocks.
    pub fn abi_dump(&mut self, dump: AbiDump) -> Result<()> {
        self.pipeline.abi_dump(dump)
    }

    /// The next final block.
    pub fn push(&mut self, block: &Block) -> Result<()> {
        if self.limit.is_some_and(|limit| block.number > limit.number) {
            return Err(Error::Usage(format!("block {} is above those of other indexes", block.number)));
        }
        self.pipeline.append_final(block)?;
        self.pipeline.check_stall()
    }

    /// Commits what is left. If the index has as many blocks as the others it is live when the store is opened next, or
    /// after [`Pipeline::join`].
    pub fn finish(mut self) -> Result<Option<BlockRef>> {
        self.pipeline.flush()?;
        self.pipeline.check_stall()?;
        let Some(building) = read_checkpoint(&*self.store, self.name)? else { return Ok(None) };
        write_checkpoint(&*self.store, self.name, &Checkpoint { state: CheckpointState::Complete, ..building })?;
        if self.has_terms
            && let Some(mut earlier) = Earlier::of(&*self.store)?
            && let Some(first) = earlier.parts.first().copied()
        {
            // Its blocks were indexed one after the other.
            earlier.parts = vec![first];
            earlier.write(&*self.store)?;
        }
        Ok(Some(building.block))
    }
}

fn write_checkpoint(store: &dyn Store, index: &str, checkpoint: &Checkpoint) -> Result<()> {
    let mut batch = WriteBatch::new();
    batch.put(store.keyspace(CHECKPOINTS.name())?, index.as_bytes().to_vec(), checkpoint.encode());
    Ok(store.commit(batch, Durability::Sync)?)
}

/// Builds an index from the block files, up to where the other indexes are; if there is no other, up to the end of the
/// bundles. Returns the last block that it has. Dropping the future ends it; it can be continued.
pub async fn reindex(
    files: &BlockStore,
    mut rebuild: Rebuild,
    progress: impl FnMut(Progress),
) -> Result<Option<BlockRef>> {
    let last = match rebuild.limit() {
        Some(limit) => limit,
        None => match last_bundled(files).await? {
            Some(number) => (&files.read_block(number).await?).into(),
            None => return Ok(rebuild.block()),
        },
    };
    for number in files.abi_dumps().await? {
        let dump = files.read_abi_dump(number).await?;
        rebuild = blocking(move || rebuild.abi_dump(dump).map(|()| rebuild)).await?;
    }
    let first = rebuild.next_number();
    let take = |mut rebuild: Rebuild, block: &Block| rebuild.push(block).map(|()| rebuild);
    let rebuild = take_blocks(files, first, last, rebuild, take, progress).await?;
    blocking(move || rebuild.finish()).await
}

/// Hands the final blocks from `first` (the first of the bundles, if it is not known) to `last` to a taker, away from the
/// threads of the runtime.
pub(crate) async fn take_blocks<T: Send + 'static>(
    files: &BlockStore,
    first: Option<u32>,
    last: BlockRef,
    mut taker: T,
    take: impl Fn(T, &Block) -> Result<T> + Send + Copy + 'static,
    mut progress: impl FnMut(Progress),
) -> Result<T> {
    let first = match first {
        Some(number) => number,
        None => first_block(files).await?,
    };
    let mut pieces = std::pin::pin!(final_blocks(files, first, last).await?);
    while let Some(piece) = pieces.try_next().await? {
        let number = piece.last().map_or(first, dfuse_blocks::EncodedBlock::number);
        taker = blocking(move || piece.iter().try_fold(taker, |taker, block| take(taker, &block.decode()?))).await?;
        progress(Progress::Blocks { number, last: last.number });
    }
    Ok(taker)
}

/// Runs what takes long away from the threads of the runtime.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failure) => match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Usage("the runtime is shutting down".into())),
        },
    }
}
