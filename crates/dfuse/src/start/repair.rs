//! What is damaged or missing in a data directory: found at the start, and mended where that needs nobody's decision.

use std::path::Path;

use anyhow::bail;
use dfuse_antelope::AbiDump;
use dfuse_blocks::{AbiDumpState, BlockRef, BlockStore, MEND, feed::FeedHandle};
use dfuse_index::{Index, IndexState, Part, Pipeline, abi::Abis};
use dfuse_kv::find_damage;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::failure::usage;

/// Reads all files of the indexes, and removes the indexes if any file is damaged: they are built again from the block files.
pub(super) async fn rebuild_damaged(folder: &Path, files: &BlockStore) -> anyhow::Result<()> {
    info!("reading all files of the indexes");
    let path = folder.to_owned();
    let damage = spawn_blocking(move || find_damage(path)).await??;
    let mut is_damaged = !damage.is_empty();
    for damage in &damage {
        warn!(file = %damage.file.display(), "a file of the indexes is damaged: {}", damage.why);
    }
    if !is_damaged {
        let path = folder.to_owned();
        // What shows only in the whole, such as a journal without its end.
        let opened = spawn_blocking(move || crate::indexes::try_open(&path)).await?;
        if let Err(why @ (dfuse_kv::Error::Corrupt { .. } | dfuse_kv::Error::Format { .. })) = opened {
            warn!(%why, "the indexes cannot be opened");
            is_damaged = true;
        }
    }
    if !is_damaged {
        info!("no file of the indexes is damaged");
        return Ok(());
    }
    dfuse_index::check_dumps(files).await?;
    let path = folder.to_owned();
    spawn_blocking(move || dfuse_kv::remove(path)).await??;
    warn!("the damaged indexes are removed and built anew from the block files");
    Ok(())
}

/// The indexes must have the state that the data directory begins with.
pub(super) fn must_have_snapshot(pipeline: &Pipeline, begun: Option<BlockRef>) -> anyhow::Result<()> {
    match begun.filter(|block| pipeline.loaded() != Some(*block)) {
        None => Ok(()),
        Some(block) => Err(usage(format!(
            "the indexes of this data directory begin with the snapshot of block {} {}, and its state is gone from them: give \
             the snapshot again with --snapshot, or name another directory with --data-dir",
            block.number, block.id
        ))),
    }
}

/// The block files must begin where the indexes do.
pub(super) fn must_begin_with(pipeline: &Pipeline, feed: &FeedHandle) -> anyhow::Result<()> {
    let kept = pipeline.floors().get().get(Part::BlockFiles);
    match (pipeline.first_number().map(|first| first.max(kept)), feed.first_block()) {
        (Some(wanted), Some(found)) if found > wanted => bail!(
            "the block files begin with block {found}, but the indexes need those from block {wanted} on: the bundle \
             merged-blocks/{:010}.dbin.zst is missing; {MEND}",
            dfuse_blocks::bundle::base_of(wanted)
        ),
        _ => Ok(()),
    }
}

/// The ABI dumps that can be read. One that is damaged or missing is no reason not to start if the index of ABIs has what was in
/// it.
pub(super) async fn usable_dumps(files: &BlockStore, pipeline: &Pipeline) -> anyhow::Result<Vec<AbiDump>> {
    let status = pipeline.serving().status();
    let abis = status.indexes.iter().find(|index| index.name == Abis.name());
    let is_live = abis.is_some_and(|index| index.state == IndexState::Live);
    let has = |number| is_live && status.committed.is_some_and(|committed| committed.number >= number);
    let mut dumps = Vec::new();
    for dump in files.check_abi_dumps().await? {
        let why = match dump.state {
            AbiDumpState::Whole | AbiDumpState::Unverified => {
                dumps.push(files.read_abi_dump(dump.block_number).await?);
                continue;
            }
            AbiDumpState::Damaged(why) => why,
            AbiDumpState::Missing => format!("{} is missing", dump.file),
        };
        if !has(dump.block_number) {
            bail!("{why}, and the indexes need the ABIs in it; {MEND}");
        }
        warn!("{why}; the indexes have the ABIs in it, but cannot be built again without it: {MEND}");
    }
    Ok(dumps)
}
