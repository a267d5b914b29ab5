//! Lists and blocks of before the first block, into the store that serves.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use dfuse_antelope::{Checksum256, Name};
use dfuse_blocks::{BlockRef, BlockStore, bundle::base_of};
use dfuse_kv::{Durability, Store, WriteBatch};
use futures::TryStreamExt;

use super::files;
use crate::{
    BlockContext, Earlier, EarlierStage, EarlierWay, Error, Family, Index, JoinPass, Options, Pipeline, Progress,
    Result, View, abi,
    checkpoint::{CHECKPOINTS, GENESIS_BLOCK},
    index::parent,
    reindex::{blocking, take_blocks},
};

/// Bytes of entries that are written at once, about.
const BATCH_BYTES: usize = 4 << 20;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlierStep {
    /// Lists are made of blocks, up to this one.
    Indexing(u32),
    /// Blocks are entered, down to this one.
    Entering(u32),
}

/// Fills a store of its own with the lists of the earlier blocks, whose files are there. `indexes` are those of the way
/// [`EarlierWay::Lists`], none of which is in use elsewhere. Killed at any moment, it goes on where it was. Returns what they say
/// at the last of the blocks, and whether the ABIs are known that were set before the first one.
///
/// # Errors
/// Those of the stores.
pub async fn build(
    files: &BlockStore,
    store: Arc<dyn Store>,
    indexes: Vec<Arc<dyn Index>>,
    (first, joint): (u32, BlockRef),
    chain_id: Option<Checksum256>,
    mut progress: impl FnMut(EarlierStep),
) -> Result<Pipeline> {
    let options = Options { chain_id, ..Options::default() };
    let mut pipeline = blocking(move || Pipeline::open(store, None, indexes, options)).await?;
    for number in files.abi_dumps().await?.into_iter().filter(|number| *number < first) {
        let dump = files.read_abi_dump(number).await?;
        pipeline = blocking(move || pipeline.abi_dump(dump).map(|()| pipeline)).await?;
    }
    let take = |mut pipeline: Pipeline, block: &_| {
        pipeline.append_final(block)?;
        pipeline.check_stall().map(|()| pipeline)
    };
    let next = pipeline.next_number().unwrap_or(first);
    if next <= joint.number {
        let told = |step| {
            if let Progress::Blocks { number, .. } = step {
                progress(EarlierStep::Indexing(number));
            }
        };
        pipeline = take_blocks(files, Some(next), joint, pipeline, take, told).await?;
    }
    blocking(move || {
        pipeline.flush()?;
        pipeline.check_stall().map(|()| pipeline)
    })
    .await
}

/// Whether the ABIs are known that were set before the block with number `first`, the first one of a view: those of a chain that had
/// none, and those that a node told when it started, which tells the ABIs of all contracts or of none.
///
/// # Errors
/// Those of reading.
pub fn abis_are_known(view: &View, first: u32) -> Result<bool> {
    let oldest = abi::history(view, Name::EOSIO)?.last().transpose()?;
    let was_told = oldest.is_some_and(|oldest| oldest.global_sequence == 0 && oldest.block_number < first);
    Ok(first <= GENESIS_BLOCK + 1 || was_told)
}

/// Writes what indexes of the way [`EarlierWay::Lists`] have of earlier blocks into the store that serves, in a pass that is not
/// [`JoinPass::Between`].
///
/// # Errors
/// Those of the stores.
pub fn join_lists(
    store: &dyn Store,
    indexes: &[Arc<dyn Index>],
    earlier: &View,
    own: &View,
    pass: JoinPass,
) -> Result<()> {
    for index in indexes.iter().filter(|index| index.earlier_way() == EarlierWay::Lists) {
        let (mut batch, mut bytes) = (WriteBatch::new(), 0);
        let mut put = |family: Family, key: Bytes, value: Option<Bytes>| {
            let keyspace = store.keyspace(family.name())?;
            bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
            match value {
                Some(value) => batch.put(keyspace, key, value),
                None => batch.delete(keyspace, key),
            }
            if bytes >= BATCH_BYTES {
                store.commit(std::mem::take(&mut batch), Durability::Buffer)?;
                bytes = 0;
            }
            Ok(())
        };
        index.join_earlier(earlier, own, pass, &mut put)?;
        store.commit(batch, Durability::Buffer)?;
    }
    Ok(())
}

/// Enters the blocks whose lists have joined, the newest first and a bundle at a time, into the indexes of the way
/// [`EarlierWay::Blocks`]. What is published next has all that was entered until then. `own` gives what is served.
///
/// # Errors
/// Those of the stores, and [`Error::Conflict`] for block files that are of another chain.
pub async fn join_blocks(
    files: &BlockStore,
    store: &Arc<dyn Store>,
    indexes: &[Arc<dyn Index>],
    own: impl Fn() -> View,
    mut progress: impl FnMut(EarlierStep),
) -> Result<()> {
    let indexes: Vec<_> = indexes.iter().filter(|index| index.earlier_way() == EarlierWay::Blocks).cloned().collect();
    loop {
        let Some(mut earlier) = Earlier::of(&**store)? else { return Ok(()) };
        let Some(under_way) = earlier.under_way.filter(|it| it.stage == EarlierStage::Blocks) else { return Ok(()) };
        let last = earlier.first_parent;
        if last.number < under_way.first {
            return Ok(());
        }
        let first = under_way.first.max(base_of(last.number));
        let blocks = if last == under_way.joint {
            files::blocks(files, first, last).await?
        } else {
            let blocks: Vec<_> = pin!(files.read_range(first..=last.number)).try_collect().await?;
            if let Some(found) = blocks.last().filter(|found| found.id() != last.id) {
                return Err(Error::Conflict { found: found.into(), committed: last.id });
            }
            blocks
        };
        let (store, indexes, own) = (store.clone(), indexes.clone(), own());
        blocking(move || {
            let mut batch = WriteBatch::new();
            for block in blocks.iter().rev() {
                let block = block.decode()?;
                let context = BlockContext::new(&block);
                for index in &indexes {
                    for (family, writes) in index.earlier_block(&context, &own)?.families() {
                        let keyspace = store.keyspace(family.name())?;
                        for (key, value) in writes {
                            match value {
                                Some(value) => batch.put(keyspace, key.clone(), value.clone()),
                                None => batch.delete(keyspace, key.clone()),
                            }
                        }
                    }
                }
                earlier.first_parent = parent(&block);
            }
            earlier.put(&mut batch, store.keyspace(CHECKPOINTS.name())?);
            Ok(store.commit(batch, Durability::Buffer)?)
        })
        .await?;
        progress(EarlierStep::Entering(first));
    }
}

/// Says that the blocks have joined.
///
/// # Errors
/// Those of the store.
pub fn finish(store: &dyn Store) -> Result<()> {
    let Some(mut earlier) = Earlier::of(store)? else { return Ok(()) };
    earlier.under_way = None;
    earlier.write(store)
}
