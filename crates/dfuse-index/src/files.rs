//! The final blocks of a store of block files.

use dfuse_blocks::{BlockRef, BlockStore, EncodedBlock, OneBlockName};
use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::{Error, Result};

/// Blocks of a bundle.
const BUNDLE_BLOCKS: u32 = 100;
/// Blocks that are decoded and indexed in one go.
const PIECE_BLOCKS: usize = 32;

/// Number of the first block of the bundles.
pub(crate) async fn first_block(files: &BlockStore) -> Result<u32> {
    let bundles = files.bundles_from(0).await?;
    let base = *bundles.first().ok_or_else(|| dfuse_blocks::Error::NotFound("any bundle of blocks".into()))?;
    // The chain's first bundle begins later than its name says.
    let mut blocks = std::pin::pin!(files.read_bundle_blocks(base, base..=base.saturating_add(BUNDLE_BLOCKS - 1)));
    let first = blocks.try_next().await?;
    first.map(|block| block.number()).ok_or_else(|| dfuse_blocks::Error::NotFound("any block".into()).into())
}

/// Number of the last block of the bundles; absent if there are none.
pub(crate) async fn last_bundled(files: &BlockStore) -> Result<Option<u32>> {
    Ok(files.bundles().await?.last().map(|base| base.saturating_add(BUNDLE_BLOCKS - 1)))
}

/// The blocks from `first` to `last`, some at a time: from bundles, and after them from the one-block files that lead to
/// `last`.
pub(crate) async fn final_blocks(
    files: &BlockStore,
    first: u32,
    last: BlockRef,
) -> Result<impl Stream<Item = Result<Vec<EncodedBlock>>> + Send> {
    let bundled = last_bundled(files).await?.unwrap_or(0).min(last.number);
    let names =
        if bundled < last.number { lead_to(files, bundled.max(first - 1) + 1, last).await? } else { Vec::new() };
    let from_bundles = files.read_range(first..=bundled);
    let rest = files.clone();
    let from_files = stream::iter(names).then(move |name| {
        let files = rest.clone();
        async move { files.read_one_block(&name).await }
    });
    let pieces = from_bundles.chain(from_files).chunks(PIECE_BLOCKS);
    Ok(pieces.map(move |piece| {
        let blocks = piece.into_iter().collect::<Result<Vec<_>, _>>()?;
        match blocks.last() {
            Some(block) if block.number() == last.number && block.id() != last.id => {
                Err(Error::Conflict { found: block.into(), committed: last.id })
            }
            _ => Ok(blocks),
        }
    }))
}

/// Names of the one-block files from number `first` on that lead to `last`.
pub(crate) async fn lead_to(files: &BlockStore, first: u32, last: BlockRef) -> Result<Vec<OneBlockName>> {
    let names = files.one_blocks().await?;
    let mut path: Vec<OneBlockName> = Vec::new();
    for number in (first..=last.number).rev() {
        let leads = |name: &&OneBlockName| match path.last() {
            Some(child) => name.id == child.previous,
            None => last.id.to_string().ends_with(&name.id),
        };
        let name = names.iter().filter(|name| name.number == number).find(leads);
        path.push(name.cloned().ok_or_else(|| dfuse_blocks::Error::NotFound(format!("block {number}")))?);
    }
    path.reverse();
    Ok(path)
}
