//! Whether an index can be built again: looked at before one that is sound is given up.

use std::sync::Arc;

use dfuse_blocks::{AbiDumpState, BlockRef, BlockStore};
use dfuse_kv::Store;
use futures::TryStreamExt;

use crate::{
    CheckpointState, Error, Index as _, Part, Progress, Result, abi, checkpoint::read_checkpoint, files::final_blocks,
    reindex::blocking, retention::floors_of,
};

/// Makes sure that the block files have all that the indexes `names` were built from, those that are complete. The files are
/// read, and compared with their checksums. Indexes among `with_block_files` are built from the first block that is kept
/// ([`Index::is_read_with_block_files`](crate::Index::is_read_with_block_files)), others from their first one.
///
/// # Errors
/// [`Error::BlocksNotKept`], [`Error::Irreplaceable`] if something is missing or damaged, and errors of the stores.
pub async fn check_replaceable(
    files: &BlockStore,
    store: &Arc<dyn Store>,
    names: &[&'static str],
    with_block_files: &[&'static str],
    mut progress: impl FnMut(Progress),
) -> Result<()> {
    let mut blocks: Option<(&'static str, u32, BlockRef)> = None;
    for index in names.iter().copied() {
        let checkpoint = read_checkpoint(&**store, index)?;
        let Some(checkpoint) = checkpoint.filter(|it| it.state == CheckpointState::Complete) else { continue };
        let first = checkpoint.identity.first_parent.number + 1;
        let floor = floors_of(&**store)?.get(Part::BlockFiles);
        if floor > first && !with_block_files.contains(&index) {
            return Err(Error::BlocksNotKept { first: floor });
        }
        let first = first.max(floor);
        blocks = Some(match blocks {
            Some((index, lowest, last)) if last.number >= checkpoint.block.number => (index, lowest.min(first), last),
            _ => (index, blocks.map_or(first, |(_, lowest, _)| lowest.min(first)), checkpoint.block),
        });
        if index == abi::Abis.name() {
            let store = store.clone();
            let mut wanted = blocking(move || abi::dumped_at(&*store)).await?;
            // The ABIs of loaded state come with it.
            let loaded = checkpoint.identity.is_loaded.then_some(checkpoint.identity.first_parent.number);
            wanted.retain(|number| Some(*number) != loaded);
            dumps_are_whole(files, wanted).await?.map_err(|why| Error::Irreplaceable { index, why })?;
        }
    }
    let Some((index, first, last)) = blocks else { return Ok(()) };
    let read = async {
        let mut pieces = std::pin::pin!(final_blocks(files, first, last).await?);
        while let Some(piece) = pieces.try_next().await? {
            let number = piece.last().map_or(first, dfuse_blocks::EncodedBlock::number);
            progress(Progress::Blocks { number, last: last.number });
        }
        Ok(())
    };
    match read.await {
        Err(Error::Blocks(error @ (dfuse_blocks::Error::Damaged { .. } | dfuse_blocks::Error::NotFound(_)))) => {
            Err(Error::Irreplaceable { index, why: format!("{error}; {}", dfuse_blocks::MEND) })
        }
        other => other,
    }
}

/// Makes sure that no ABI dump is damaged or missing, for indexes that are to be built from nothing.
///
/// # Errors
/// [`Error::Irreplaceable`], and errors of the store.
pub async fn check_dumps(files: &BlockStore) -> Result<()> {
    dumps_are_whole(files, []).await?.map_err(|why| Error::Irreplaceable { index: abi::Abis.name(), why })
}

/// Whether all dumps are there, those of the blocks `wanted` among them, and none is damaged; else why not.
async fn dumps_are_whole(
    files: &BlockStore,
    wanted: impl IntoIterator<Item = u32>,
) -> Result<std::result::Result<(), String>> {
    let dumps = files.check_abi_dumps().await?;
    let damaged = dumps.iter().find_map(|dump| match &dump.state {
        AbiDumpState::Whole | AbiDumpState::Unverified => None,
        AbiDumpState::Damaged(why) => Some(format!("{why}; {}", dfuse_blocks::MEND)),
        AbiDumpState::Missing => Some(format!("{} is missing; {}", dump.file, dfuse_blocks::MEND)),
    });
    let missing = wanted.into_iter().find(|number| dumps.iter().all(|dump| dump.block_number != *number));
    let missing = missing.map(|number| {
        format!("the ABI dump of block {number} is missing, of which the index has ABIs; {}", dfuse_blocks::MEND)
    });
    Ok(damaged.or(missing).map_or(Ok(()), Err))
}
