use dfuse_antelope::Checksum256;
use futures::TryStreamExt;
use tracing::{info, warn};

use crate::{
    Added, BlockRef, BlockStore, EncodedBlock, Error, Finalized, ForkDb, OneBlockName, Result,
    bundle::{BUNDLE_BLOCKS, base_of},
    lost::{Chain, LostBranches},
    names,
};

/// Appends irreversible blocks to the bundles of a store.
#[derive(Debug)]
pub struct BundleWriter {
    store: BlockStore,
    first_streamable: u32,
    last: Option<BlockRef>,
    pending: Vec<EncodedBlock>,
}

impl BundleWriter {
    /// Continues after the last bundle of the store. `first_streamable` is the first block of the chain's history (2 for
    /// a whole chain): the only one that may start in the middle of a bundle.
    pub async fn resume(store: BlockStore, first_streamable: u32) -> Result<Self> {
        let bases = store.bundles().await?;
        Self::resume_after(store, first_streamable, &bases).await
    }

    /// The same where it is known which bundles there are, by their bases.
    pub(crate) async fn resume_after(store: BlockStore, first_streamable: u32, bases: &[u32]) -> Result<Self> {
        let last = match bases.iter().rfind(|base| **base == base_of(**base)) {
            None => None,
            Some(base) => {
                let number = base.saturating_add(BUNDLE_BLOCKS - 1);
                let read = store.read_block(number).await.map_err(|e| match e {
                    Error::NotFound(_) => {
                        let why =
                            format!("it ends before block {number}; remove it and its blocks will be written again");
                        Error::damaged(store.bundle_path(*base).as_ref(), None, why)
                    }
                    other => other,
                });
                Some(BlockRef::from(&read?))
            }
        };
        Ok(Self { store, first_streamable, last, pending: vec![] })
    }

    /// The last block that was taken; none in an empty store before the first one.
    pub fn last(&self) -> Option<BlockRef> {
        self.last
    }

    /// Base of the next bundle to be written; none in an empty store before the first block.
    pub fn next_base(&self) -> Option<u32> {
        self.last
            .map(|last| self.pending.first().map_or(last.number.saturating_add(1), |first| base_of(first.number())))
    }

    /// Takes the next block of the chain; writes a bundle when it is the last one of it.
    pub async fn push(&mut self, block: EncodedBlock) -> Result<()> {
        match self.last {
            None => may_start(&block, self.first_streamable)?,
            Some(last) if last.id == block.previous() => {}
            Some(last) => {
                return Err(Error::unlinked(&block, format!("the last block is {} {}", last.number, last.id)));
            }
        }
        self.last = Some((&block).into());
        let full = block.number() % BUNDLE_BLOCKS == BUNDLE_BLOCKS - 1;
        self.pending.push(block);
        if full {
            self.store.write_bundle(std::mem::take(&mut self.pending)).await?;
        }
        Ok(())
    }

    /// Writes the blocks of the unfinished bundle as one-block files; tells how many.
    pub async fn finish(self, suffix: &str) -> Result<usize> {
        for block in &self.pending {
            self.store.write_one_block(block, suffix).await?;
        }
        Ok(self.pending.len())
    }
}

/// Whether an empty store could start with this block.
pub(crate) fn may_start(block: &EncodedBlock, first_streamable: u32) -> Result<()> {
    may_begin_with(block.number(), first_streamable)
}

/// The same for the number of a block.
pub(crate) fn may_begin_with(number: u32, first_streamable: u32) -> Result<()> {
    if number == first_streamable || number == base_of(number) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "block {number} cannot be the first of the store: begin at {first_streamable}, at {}, or name {number} as the first block: \
         the setting blocks.first_block, for dfuse tools merge --first-block",
        base_of(number).saturating_add(BUNDLE_BLOCKS),
    )))
}

/// What a [`Merger`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MergeSummary {
    /// Blocks that were final already or that had come before.
    pub skipped: usize,
    /// Blocks that became final: in bundles, or in one-block files where they do not fill one.
    pub irreversible: usize,
    /// Blocks that lost and were put aside.
    pub forked: usize,
    /// Blocks that were left in one-block files at the end: reversible, or final and waiting for their bundle to fill.
    pub one_blocks: usize,
}

/// Turns blocks in the order of their arrival, forks included, into block files: final blocks into bundles, losers aside,
/// the rest into one-block files. Starting again, with the same blocks or with later ones, continues where it ended.
#[derive(Debug)]
pub struct Merger {
    store: BlockStore,
    suffix: String,
    writer: BundleWriter,
    /// None in an empty store before the first block.
    forks: Option<ForkDb>,
    /// Number of the first block that is kept; 0 while there is none.
    first: u32,
    lost: LostBranches,
    /// Names of the forked blocks when the first of them was looked for.
    aside: Option<Vec<OneBlockName>>,
    summary: MergeSummary,
}

impl Merger {
    /// Continues a store: its last bundle, and its one-block files above. `suffix` ends the names of one-block files.
    pub async fn open(store: BlockStore, first_streamable: u32, suffix: &str) -> Result<Self> {
        names::check_suffix(suffix)?;
        let bases = store.bundles().await?;
        let writer = BundleWriter::resume_after(store.clone(), first_streamable, &bases).await?;
        let mut merger = Self {
            store: store.clone(),
            suffix: suffix.to_owned(),
            forks: writer.last().map(ForkDb::new),
            writer,
            first: store.first_bundled(&bases, first_streamable).await?.unwrap_or_default(),
            lost: LostBranches::new(store.clone()),
            aside: None,
            summary: MergeSummary::default(),
        };
        let mut names = store.one_blocks().await?;
        names.retain(|name| merger.writer.last().is_none_or(|last| name.number > last.number));
        names.dedup_by(|a, b| a.is_same_block(b));
        let known = store.read_one_blocks(names);
        let mut known = std::pin::pin!(known);
        while let Some(block) = known.try_next().await? {
            if merger.add(block.clone()).await? == Added::Late && merger.final_id(&block).await? != Some(block.id()) {
                merger.put_aside(&block).await?;
            }
        }
        Ok(merger)
    }

    /// Takes a block. Its parent must have come before it, or be in the store. A block that is not above the last
    /// irreversible one is compared with the store's.
    ///
    /// # Errors
    /// [`Error::Unlinked`] for a block without its parent, [`Error::OtherChain`] for one of another chain than the store's.
    pub async fn push(&mut self, block: EncodedBlock) -> Result<()> {
        match self.add(block.clone()).await? {
            Added::Late => self.compare(&block).await,
            // On a branch that lost, or its parent is missing.
            Added::Orphan => {
                let (lost, chain) = self.lost();
                lost.first_of(&block, &chain).await.map(drop)
            }
            Added::Known => {
                self.summary.skipped += 1;
                Ok(())
            }
            Added::Head | Added::Side => Ok(()),
        }
    }

    /// The last block that is final; before the first final one its parent. Absent before there is any block.
    pub fn irreversible(&self) -> Option<BlockRef> {
        self.forks.as_ref().map(ForkDb::lib)
    }

    async fn add(&mut self, block: EncodedBlock) -> Result<Added> {
        let forks = match &mut self.forks {
            Some(forks) => forks,
            None => {
                may_start(&block, self.writer.first_streamable)?;
                let parent = BlockRef { number: block.number().saturating_sub(1), id: block.previous() };
                self.first = block.number();
                self.forks.insert(ForkDb::new(parent))
            }
        };
        let added = forks.add(block);
        let Finalized { irreversible, stalled } = forks.finalize();
        self.summary.irreversible += irreversible.len();
        for block in irreversible {
            self.writer.push(block).await?;
        }
        for block in stalled {
            self.lost.remember_child(block.id(), block.previous());
            self.put_aside(&block).await?;
        }
        Ok(added)
    }

    /// Compares a block at or below the LIB with the one that is final there; one of a lost branch is put aside.
    async fn compare(&mut self, block: &EncodedBlock) -> Result<()> {
        // Below the first block of the store there is nothing to compare with.
        let known = if block.number() < self.first { Some(block.id()) } else { self.final_id(block).await? };
        if known == Some(block.id()) {
            self.summary.skipped += 1;
            return Ok(());
        }
        if known.is_none() {
            // All final blocks are in bundles or at hand.
            return Err(self.store.missing_bundle(block.number()));
        }
        let (lost, chain) = self.lost();
        let first = lost.first_of(block, &chain).await?;
        lost.remember(block.id(), first);
        let name = OneBlockName::new(block, &self.suffix);
        let aside = match &mut self.aside {
            Some(aside) => aside,
            None => self.aside.insert(self.store.forked_blocks().await?),
        };
        if aside.iter().any(|aside| aside.is_same_block(&name)) {
            self.summary.skipped += 1;
            return Ok(());
        }
        self.put_aside(block).await
    }

    fn lost(&mut self) -> (&mut LostBranches, MergedChain<'_>) {
        let Self { lost, first, writer, forks, .. } = self;
        (lost, MergedChain { first: *first, writer, forks: forks.as_ref() })
    }

    /// Id of the final block of the same height, if the store has it.
    async fn final_id(&mut self, block: &EncodedBlock) -> Result<Option<Checksum256>> {
        let (lost, chain) = self.lost();
        lost.final_id(block.number(), &chain).await
    }

    async fn put_aside(&mut self, block: &EncodedBlock) -> Result<()> {
        self.summary.forked += 1;
        self.store.write_forked_block(block, &self.suffix).await.map(drop)
    }

    /// Writes what is not in bundles as one-block files and removes those that are.
    pub async fn finish(self) -> Result<MergeSummary> {
        let Self { store, suffix, writer, forks, mut summary, .. } = self;
        let next_base = writer.next_base().unwrap_or(0);
        let lib = writer.last();
        summary.one_blocks = writer.finish(&suffix).await?;
        if let Some(forks) = forks {
            for block in forks.blocks() {
                store.write_one_block(block, &suffix).await?;
                summary.one_blocks += 1;
            }
        }
        if let Some(lib) = lib {
            remove_merged_one_blocks(&store, next_base, lib).await?;
        }
        let MergeSummary { skipped, irreversible, forked, one_blocks } = summary;
        info!(irreversible, one_blocks, forked, skipped, "merged");
        Ok(summary)
    }
}

/// What a [`Merger`] knows without reading.
struct MergedChain<'a> {
    first: u32,
    writer: &'a BundleWriter,
    forks: Option<&'a ForkDb>,
}

impl Chain for MergedChain<'_> {
    fn first(&self) -> u32 {
        self.first
    }

    fn lib(&self) -> u32 {
        self.forks.map_or(0, |forks| forks.lib().number)
    }

    fn head(&self) -> u32 {
        self.forks.map_or(0, |forks| forks.head().number)
    }

    fn final_id(&self, number: u32) -> Option<Checksum256> {
        let pending = self.writer.pending.first().map(|first| number.checked_sub(first.number()));
        let pending = pending.flatten().and_then(|at| self.writer.pending.get(at as usize)).map(EncodedBlock::id);
        // Before the first block that is final, this is the one before it.
        pending.or_else(|| self.forks.map(ForkDb::lib).filter(|lib| lib.number == number).map(|lib| lib.id))
    }

    fn previous(&self, id: Checksum256) -> Option<Checksum256> {
        self.forks?.get(id).map(EncodedBlock::previous)
    }
}

/// Deletes the one-block files of blocks that are in bundles below `next_base`, and moves those of blocks that lost aside:
/// what is below the base and not in a bundle.
pub(crate) async fn remove_merged_one_blocks(store: &BlockStore, next_base: u32, lib: BlockRef) -> Result<()> {
    let mut names = store.one_blocks().await?;
    names.retain(|name| name.number < next_base && name.number <= lib.number);
    for names in names.chunk_by(|a, b| base_of(a.number) == base_of(b.number)) {
        let (first, last) = (names[0].number, names[names.len() - 1].number);
        let mut canonical: Vec<OneBlockName> = vec![];
        let blocks = store.read_range(first..=last);
        let mut blocks = std::pin::pin!(blocks);
        while let Some(block) = blocks.try_next().await? {
            canonical.push(OneBlockName::new(&block, ""));
        }
        let is_merged = |name: &&OneBlockName| {
            canonical.get((name.number - first) as usize).is_some_and(|merged| merged.id == name.id)
        };
        let (merged, lost): (Vec<_>, Vec<_>) = names.iter().partition(is_merged);
        if !lost.is_empty() {
            warn!(count = lost.len(), first, last, "one-block files of lost blocks are put aside");
        }
        store.move_to_forked(lost.into_iter().cloned().collect()).await?;
        store.delete_one_blocks(merged.into_iter().cloned().collect()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
