//! The files of earlier blocks, from beside a store of block files into it.

use std::pin::pin;

use dfuse_blocks::{BlockRef, BlockStore, BundleWriter, EncodedBlock, bundle::base_of, feed::FeedHandle};
use futures::TryStreamExt;

use crate::{
    Error, Result,
    files::{final_blocks, last_bundled, lead_to},
};

/// Moves the blocks from number `first` to `joint`, the parent of the store's first block, into the store, from the one
/// [beside it](BlockStore::earlier): those of the first block's bundle, then the bundles before it, the last one first. The
/// store thus never has a gap. A feed that runs on the store takes part. What was moved before is passed over.
///
/// # Errors
/// [`Error::Conflict`] if the blocks lead to another one than `joint`; those of the store, if not all blocks are there.
pub async fn move_blocks(files: &BlockStore, first: u32, joint: BlockRef, feed: Option<&FeedHandle>) -> Result<()> {
    let beside = files.earlier();
    let base = base_of(joint.number.saturating_add(1));
    let moved = files.bundles().await?;
    // Once bundles are moved, the blocks beside the store end before them.
    let lowest_moved = moved.iter().copied().filter(|moved| *moved < base).min();
    if lowest_moved.is_none() {
        bundle_up_to(&beside, first, joint).await?;
        let low = first.max(base);
        if low <= joint.number {
            files.precede(blocks(&beside, low, joint).await?, feed).await?;
        }
    }
    let mut bases = beside.bundles().await?;
    bases.retain(|beside| *beside < base);
    while let Some(base) = bases.pop() {
        files.adopt_bundle(&beside, base).await?;
    }
    for number in beside.abi_dumps().await? {
        if !files.abi_dumps().await?.contains(&number) {
            files.write_abi_dump(beside.read_abi_dump(number).await?).await?;
        }
    }
    Ok(())
}

/// The blocks that were gathered beside a store, from number `first` on, must lead to `joint`.
///
/// # Errors
/// [`Error::Conflict`] if they lead to another block, [`dfuse_blocks::Error::NotFound`] if they do not reach it; those of the store.
pub async fn check_gathered(beside: &BlockStore, first: u32, joint: BlockRef) -> Result<()> {
    let bundled = last_bundled(beside).await?.filter(|bundled| *bundled >= first);
    let other = |found: BlockRef| Error::Conflict { found, committed: joint.id };
    if bundled.is_some_and(|bundled| bundled >= joint.number) {
        let found = BlockRef::from(&beside.read_block(joint.number).await?);
        return if found == joint { Ok(()) } else { Err(other(found)) };
    }
    let path = lead_to(beside, bundled.map_or(first, |bundled| bundled + 1), joint).await?;
    let (Some(bundled), Some(next)) = (bundled, path.first()) else { return Ok(()) };
    let last = BlockRef::from(&beside.read_block(bundled).await?);
    if last.id.to_string().ends_with(&next.previous) { Ok(()) } else { Err(other(last)) }
}

/// The blocks from number `first` to `last`, which one bundle has room for.
pub(super) async fn blocks(files: &BlockStore, first: u32, last: BlockRef) -> Result<Vec<EncodedBlock>> {
    let pieces: Vec<_> = final_blocks(files, first, last).await?.try_collect().await?;
    let blocks = pieces.concat();
    match blocks.last() {
        Some(block) if BlockRef::from(block) == last => Ok(blocks),
        Some(block) => Err(Error::Conflict { found: block.into(), committed: last.id }),
        None => Err(dfuse_blocks::Error::NotFound(format!("block {last}")).into()),
    }
}

/// Puts the blocks that lead to `joint` into bundles, as far as these are full.
async fn bundle_up_to(beside: &BlockStore, first: u32, joint: BlockRef) -> Result<()> {
    let mut writer = BundleWriter::resume(beside.clone(), first).await?;
    let next = writer.last().map_or(first, |last| last.number.saturating_add(1));
    if next > joint.number {
        let found = beside.read_block(joint.number).await?;
        return match found.id() == joint.id {
            true => Ok(()),
            false => Err(Error::Conflict { found: (&found).into(), committed: joint.id }),
        };
    }
    let mut pieces = pin!(final_blocks(beside, next, joint).await?);
    while let Some(piece) = pieces.try_next().await? {
        for block in piece {
            writer.push(block).await?;
        }
    }
    Ok(())
}
