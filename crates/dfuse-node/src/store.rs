use std::{collections::BTreeSet, pin::pin};

use dfuse_blocks::{
    BlockStore, EncodedBlock, Located, OneBlockName,
    bundle::{BUNDLE_BLOCKS, base_of},
};
use futures::TryStreamExt;

use crate::{Result, SourceEvent, SourceOptions, event::Sender};

/// Reads a block store: ABI dumps, then bundles, then one-block files, of all branches, by number. One-block files that
/// come later are found by looking again. A block that was read from a one-block file comes again from its bundle.
pub(crate) async fn read(place: &str, store: BlockStore, options: &SourceOptions, sender: &Sender) -> Result<()> {
    let Some(store) = located(place, store, options, sender).await? else { return Ok(()) };
    for block_num in store.abi_dumps().await? {
        let dump = store.read_abi_dump(block_num).await?;
        if sender.send(Ok(SourceEvent::AbiDump(dump))).await.is_err() {
            return Ok(());
        }
    }
    let mut next = options.start_block;
    // Blocks were read, so that the next one must be there.
    let mut has_begun = false;
    // One-block files that were read: the same block may stand under several names.
    let mut seen = BTreeSet::new();
    loop {
        // Before the bundles: a one-block file is deleted only when its bundle is there.
        let mut names = store.one_blocks().await?;
        for base in store.bundles().await? {
            if base.saturating_add(BUNDLE_BLOCKS - 1) < next {
                continue;
            }
            let is_gap = has_begun && base > next && !names.iter().any(|name| name.number == next);
            if is_gap {
                return Err(store.missing_bundle(next).into());
            }
            let mut blocks = pin!(store.read_bundle_blocks(base, next..=u32::MAX));
            while let Some(block) = blocks.try_next().await? {
                next = block.number().saturating_add(1);
                has_begun = true;
                if send(sender, block).await.is_err() {
                    return Ok(());
                }
            }
        }
        seen.retain(|(number, _)| *number >= next);
        names.retain(|name| name.number >= next);
        // Single blocks follow those of the last bundle; a later one may be there before an earlier one for a moment only.
        let is_gap = |name: &OneBlockName| base_of(name.number) > base_of(next);
        if has_begun && names.iter().min().is_some_and(is_gap) {
            return Err(store.missing_bundle(next).into());
        }
        let mut all_read = true;
        for name in names {
            let key = (name.number, name.id.clone());
            if seen.contains(&key) {
                continue;
            }
            let block = match store.read_one_block(&name).await {
                Ok(block) => block,
                Err(dfuse_blocks::Error::NotFound(_)) => {
                    // It is in a bundle by now, or lost: the next look tells.
                    all_read = false;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            seen.insert(key);
            if send(sender, block).await.is_err() {
                return Ok(());
            }
        }
        if !options.follow && all_read {
            return Ok(());
        }
        tokio::select! {
            () = sender.closed() => return Ok(()),
            () = tokio::time::sleep(options.poll) => {}
        }
    }
}

/// Where the store has its files. One that is empty may be filled later; nothing comes back if nobody waits for that.
async fn located(
    place: &str,
    store: BlockStore,
    options: &SourceOptions,
    sender: &Sender,
) -> Result<Option<BlockStore>> {
    let mut told = false;
    loop {
        match store.clone().locate(place).await? {
            Located::Store(store) => return Ok(Some(store)),
            Located::Empty(why) if !options.follow => return Err(why.into()),
            Located::Empty(why) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%why, "waiting for block files");
                }
            }
        }
        tokio::select! {
            () = sender.closed() => return Ok(None),
            () = tokio::time::sleep(options.poll) => {}
        }
    }
}

async fn send(sender: &Sender, encoded: EncodedBlock) -> Result<(), ()> {
    sender.send(Ok(SourceEvent::Block { block: None, encoded })).await.map_err(drop)
}
