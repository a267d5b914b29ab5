//! Writing files of a store anew that are damaged or missing, from another store with the same blocks.

use dfuse_antelope::Checksum256;
use futures::TryStreamExt;

use crate::{
    AbiDumpState, BlockStore, EncodedBlock, Error, OneBlockName, Result,
    bundle::{BUNDLE_BLOCKS, base_of},
};

/// Files that were written anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mended {
    /// Bundles.
    pub bundles: usize,
    /// Files of one block.
    pub one_blocks: usize,
    /// Files of blocks that lost.
    pub forked_blocks: usize,
    /// ABI dumps.
    pub abi_dumps: usize,
}

impl Mended {
    /// Files of all kinds.
    pub fn files(&self) -> usize {
        self.bundles + self.one_blocks + self.forked_blocks + self.abi_dumps
    }
}

/// Writes every file of `store` anew that is damaged or missing and that `source` has: bundles up to the last one of the store, ABI
/// dumps, files of one block. Damaged files are put aside before. What `source` does not have stays as it is.
///
/// # Errors
/// [`Error::OtherChain`] if blocks of `source` do not link to those of the store beside them: nothing is written then. Errors of
/// either store.
pub async fn mend(store: &BlockStore, source: &BlockStore) -> Result<Mended> {
    let mut mended = Mended::default();
    let bases = source.bundles().await?;
    for base in bases.into_iter().filter(|base| *base == base_of(*base)) {
        let Some(why) = fault_of_bundle(store, base).await? else { continue };
        let blocks: Vec<_> = source.read_bundle_blocks(base, 0..=u32::MAX).try_collect().await?;
        must_link(store, &blocks).await?;
        store.put_bundle_aside(base, &why).await?;
        store.write_bundle(blocks).await?;
        mended.bundles += 1;
    }
    for name in store.one_blocks().await? {
        if let Err(why @ Error::Damaged { .. }) = store.read_one_block(&name).await
            && let Some(block) = find(source, &name).await?
        {
            store.put_one_block_aside(&name, &why).await?;
            store.write_one_block(&block, &name.suffix).await?;
            mended.one_blocks += 1;
        }
    }
    for name in store.forked_blocks().await? {
        if let Err(why @ Error::Damaged { .. }) = store.read_forked_block(&name).await
            && let Some(block) = find(source, &name).await?
        {
            store.put_forked_block_aside(&name, &why).await?;
            store.write_forked_block(&block, &name.suffix).await?;
            mended.forked_blocks += 1;
        }
    }
    let known = store.check_abi_dumps().await?;
    for number in source.abi_dumps().await? {
        let is_whole = |dump: &crate::CheckedAbiDump| {
            dump.block_number == number && matches!(dump.state, AbiDumpState::Whole | AbiDumpState::Unverified)
        };
        if !known.iter().any(is_whole) {
            store.write_abi_dump(source.read_abi_dump(number).await?).await?;
            mended.abi_dumps += 1;
        }
    }
    Ok(mended)
}

/// Why a bundle cannot be read; nothing if it can, and if the store does not reach so far.
async fn fault_of_bundle(store: &BlockStore, base: u32) -> Result<Option<Error>> {
    let mut blocks = std::pin::pin!(store.read_bundle_blocks(base, 0..=u32::MAX));
    let mut last = None;
    loop {
        match blocks.try_next().await {
            Ok(Some(block)) => last = Some(block.number()),
            Ok(None) if last == Some(base.saturating_add(BUNDLE_BLOCKS - 1)) => return Ok(None),
            Ok(None) => {
                let file = store.bundle_path(base);
                return Ok(Some(Error::damaged(file.as_ref(), None, "it ends before its last block")));
            }
            Err(error @ (Error::Damaged { .. } | Error::NotFound(_))) => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
    }
}

/// The blocks must be of the chain that the store has on either side of them, as far as it can be read there.
async fn must_link(store: &BlockStore, blocks: &[EncodedBlock]) -> Result<()> {
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
    let readable = async |number: Option<u32>| match number {
        Some(number) => store.read_block(number).await.ok(),
        None => None,
    };
    let before = readable(first.number().checked_sub(1)).await.map(|block| block.id());
    let after = readable(last.number().checked_add(1)).await.map(|block| block.previous());
    let differs = |id: Option<Checksum256>, wanted: Checksum256| id.filter(|id| *id != wanted);
    match differs(before, first.previous()).or(differs(after, last.id())) {
        Some(other) => Err(Error::OtherChain { block: first.into(), why: format!("the store has {other} beside it") }),
        None => Ok(()),
    }
}

/// The block of a file of one block, wherever the other store has it.
async fn find(source: &BlockStore, name: &OneBlockName) -> Result<Option<EncodedBlock>> {
    match source.read_block(name.number).await {
        Ok(block) if name.is_of(&block) => return Ok(Some(block)),
        Ok(_) | Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    if let Some(other) = source.one_blocks().await?.iter().find(|other| other.is_same_block(name)) {
        return source.read_one_block(other).await.map(Some);
    }
    match source.forked_blocks().await?.iter().find(|other| other.is_same_block(name)) {
        Some(other) => source.read_forked_block(other).await.map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CheckOptions, check,
        testing::{Recording, chain, forked},
    };

    async fn filled(store: &BlockStore, blocks: &[EncodedBlock]) {
        for bundle in blocks.chunk_by(|a, b| base_of(a.number()) == base_of(b.number())) {
            if bundle.last().is_some_and(|last| last.number() % BUNDLE_BLOCKS == BUNDLE_BLOCKS - 1) {
                store.write_bundle(bundle.to_vec()).await.unwrap();
            } else {
                for block in bundle {
                    store.write_one_block(block, "default").await.unwrap();
                }
            }
        }
        store.write_forked_block(&forked(77, 1, 0, 70), "default").await.unwrap();
    }

    async fn findings(store: &BlockStore) -> usize {
        check(store, &CheckOptions::default(), |_| {}).await.unwrap().findings.len()
    }

    #[tokio::test]
    async fn damaged_and_missing_files_are_written_anew() {
        let (store, _) = Recording::store();
        let (source, _) = Recording::store();
        let blocks = chain(2, 304, 80);
        filled(&store, &blocks).await;
        filled(&source, &blocks).await;
        assert_eq!(mend(&store, &source).await.unwrap(), Mended::default());
        let one_block = store.one_blocks().await.unwrap().remove(3);
        let aside = store.forked_blocks().await.unwrap().remove(0);
        let damaged = [
            store.bundle_path(100),
            store.path("one-blocks", &one_block.file_name()),
            store.path("forked-blocks", &aside.file_name()),
        ];
        for path in damaged {
            let whole = store.get(&path).await.unwrap();
            let mut torn = whole.to_vec();
            torn.truncate(whole.len() / 2);
            for content in [torn, vec![]] {
                store.put(&path, content).await.unwrap();
                store.forget_tables();
                assert!(findings(&store).await > 0, "{path}");
                assert_eq!(mend(&store, &source).await.unwrap().files(), 1, "{path}");
                assert_eq!((findings(&store).await, store.get(&path).await.unwrap()), (0, whole.clone()), "{path}");
            }
        }
        store.put_bundle_aside(100, &Error::Closed).await.unwrap();
        assert_eq!(mend(&store, &source).await.unwrap().bundles, 1);
    }

    #[tokio::test]
    async fn another_chain_mends_nothing() {
        let (store, _) = Recording::store();
        let (other, _) = Recording::store();
        filled(&store, &chain(2, 304, 80)).await;
        let mut blocks = chain(2, 98, 10);
        let branch = std::iter::once(forked(100, 1, 0, 97)).chain((101..200).map(|n| forked(n, 1, 1, n - 3)));
        blocks.extend(branch);
        filled(&other, &blocks).await;
        store.put_bundle_aside(100, &Error::Closed).await.unwrap();
        assert!(matches!(mend(&store, &other).await, Err(Error::OtherChain { .. })));
        assert_eq!(store.bundles().await.unwrap(), [0, 200]);
    }
}
