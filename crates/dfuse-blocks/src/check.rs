use std::{collections::BTreeSet, ops::RangeInclusive};

use dfuse_antelope::Checksum256;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    AbiDumpState, BlockStore, EncodedBlock, Error, OneBlockName, Result,
    bundle::{BUNDLE_BLOCKS, base_of},
    store::blocking,
};

/// Bundles that are read at the same time; each holds a piece of some MiB in memory.
const PARALLEL: usize = 4;

/// What to check.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// Blocks; bundles are read whole.
    pub range: RangeInclusive<u32>,
    /// Also decode every block, rather than trust its checksum.
    pub decode: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { range: 0..=u32::MAX, decode: false }
    }
}

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The blocks are not in the store although later ones are.
    Hole,
    /// The blocks are where others belong, or twice.
    Overlap,
    /// The blocks cannot be read.
    Damaged,
    /// The first of the blocks does not name the block before as its parent.
    Unlinked,
    /// A file that must be there is not.
    Missing,
}

/// A fault and where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// First block that it concerns.
    pub first: u32,
    /// Last block that it concerns.
    pub last: u32,
    /// What kind it is.
    pub fault: Fault,
    /// What exactly is wrong, with the file if there is one.
    pub why: String,
}

/// Files with one block each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OneBlockSummary {
    /// How many.
    pub files: usize,
    /// Lowest and highest block.
    pub range: Option<(u32, u32)>,
}

/// What [`check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Faults, in ascending order; empty if all is well.
    pub findings: Vec<Finding>,
    /// Bundles that were read.
    pub bundles: usize,
    /// Blocks that were read from them.
    pub blocks: u64,
    /// Lowest and highest block in bundles.
    pub range: Option<(u32, u32)>,
    /// Blocks that are not in a bundle yet.
    pub one_blocks: OneBlockSummary,
    /// Blocks that lost.
    pub forked_blocks: OneBlockSummary,
    /// ABI dumps.
    pub abi_dumps: AbiDumpSummary,
}

/// The ABIs that nodes had when they started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AbiDumpSummary {
    /// How many there are, or should be.
    pub files: usize,
    /// How many of them have no checksum, as earlier releases wrote them.
    pub unverified: usize,
}

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckProgress {
    /// Bundles that were read.
    pub done: usize,
    /// Bundles in all.
    pub of: usize,
    /// Faults so far.
    pub findings: usize,
}

/// Reads a store and verifies that files are whole, that no block is missing or there twice, and that each follows the one
/// before. Faults of the files are findings; an error means that the store could not be read.
pub async fn check(
    store: &BlockStore,
    options: &CheckOptions,
    mut progress: impl FnMut(CheckProgress),
) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let (start, end) = (*options.range.start(), *options.range.end());
    let mut bases = store.bundles().await?;
    // Bundles on either side of the range tell that there must be some in it.
    let mut before = bases.iter().any(|base| *base < base_of(start)).then(|| (base_of(start), None));
    let above = bases.iter().copied().find(|base| *base > end);
    bases.retain(|base| (base_of(start)..=end).contains(base));
    let of = bases.len();

    let results = stream::iter(bases).map(|base| BundleCheck::run(store, base, options.decode)).buffered(PARALLEL);
    let mut results = std::pin::pin!(results);
    while let Some(mut bundle) = results.try_next().await? {
        report.bundles += 1;
        report.blocks += bundle.blocks;
        report.findings.append(&mut bundle.findings);
        if !bundle.is_empty() {
            let range = report.range.get_or_insert((bundle.start, 0));
            range.1 = bundle.next - 1;
            if let Some((next, last)) = before {
                if bundle.start > next {
                    report.hole(next, bundle.start - 1);
                } else if let (Some(last), Some(parent)) = (last, bundle.parent)
                    && last != parent
                {
                    report.findings.push(unlinked(bundle.start, parent, last));
                }
            }
            before = Some((bundle.next, bundle.last));
        }
        progress(CheckProgress { done: report.bundles, of, findings: report.findings.len() });
    }

    let mut next = before.map(|(next, _)| next);
    if let Some(missing) = next {
        let above = above.filter(|_| missing <= end);
        if let Some(end) = above.map(|above| above - 1).or((missing % BUNDLE_BLOCKS != 0).then(|| last_of(missing))) {
            report.hole(missing, end);
            next = end.checked_add(1);
        }
    }
    let all_one_blocks = store.one_blocks().await?;
    let all_forked_blocks = store.forked_blocks().await?;
    report.findings.extend(unlinked_one_blocks(&all_one_blocks, &all_forked_blocks, before, &options.range));
    let next = next.or(all_one_blocks.first().map(|first| first.number)).map(|next| next.max(start));
    let goes_on = all_one_blocks.last().is_some_and(|last| last.number > end);
    let one_blocks = in_range(all_one_blocks, &options.range);
    if let Some(mut next) = next {
        for name in &one_blocks {
            if name.number > next {
                report.hole(next, name.number - 1);
            }
            next = name.number.saturating_add(1).max(next);
        }
        if goes_on && next <= end {
            report.hole(next, end);
        }
    }
    report.one_blocks = summarize(&one_blocks);
    let read = |name: OneBlockName| async move { (name.number, store.read_one_block(&name).await.map(drop)) };
    collect_damage(&mut report, one_blocks, read).await?;
    let forked_blocks = in_range(all_forked_blocks, &options.range);
    report.forked_blocks = summarize(&forked_blocks);
    let read = |name: OneBlockName| async move { (name.number, store.read_forked_block(&name).await.map(drop)) };
    collect_damage(&mut report, forked_blocks, read).await?;
    check_abi_dumps(store, options, &mut report).await?;
    report.findings.sort();
    Ok(report)
}

async fn check_abi_dumps(store: &BlockStore, options: &CheckOptions, report: &mut CheckReport) -> Result<()> {
    let mut dumps = store.check_abi_dumps().await?;
    dumps.retain(|dump| options.range.contains(&dump.block_number));
    report.abi_dumps.files = dumps.len();
    for dump in dumps {
        let (fault, why) = match dump.state {
            AbiDumpState::Whole => continue,
            AbiDumpState::Unverified => {
                report.abi_dumps.unverified += 1;
                continue;
            }
            AbiDumpState::Damaged(why) => (Fault::Damaged, why),
            AbiDumpState::Missing => (Fault::Missing, format!("{}: the ABI dump was written and is gone", dump.file)),
        };
        report.findings.push(Finding { first: dump.block_number, last: dump.block_number, fault, why });
    }
    Ok(())
}

impl CheckReport {
    /// Whether there is nothing in the range: neither files nor faults.
    pub fn is_empty(&self) -> bool {
        let files = self.bundles + self.one_blocks.files + self.forked_blocks.files;
        files == 0 && self.findings.is_empty()
    }

    fn hole(&mut self, first: u32, last: u32) {
        let why = "not in the store, although later blocks or files that should hold them are".to_owned();
        self.findings.push(Finding { first, last, fault: Fault::Hole, why });
    }
}

/// Last number that belongs into the bundle of a block.
fn last_of(number: u32) -> u32 {
    base_of(number).saturating_add(BUNDLE_BLOCKS - 1)
}

fn unlinked(number: u32, parent: Checksum256, before: Checksum256) -> Finding {
    let why = format!("its parent is {parent}, but the block before is {before}");
    Finding { first: number, last: number, fault: Fault::Unlinked, why }
}

/// One-block files whose parent the store does not have, although it has others of the parent's height. `before` is the
/// first number that is not in bundles, and the block before it.
fn unlinked_one_blocks(
    one_blocks: &[OneBlockName],
    forked_blocks: &[OneBlockName],
    before: Option<(u32, Option<Checksum256>)>,
    range: &RangeInclusive<u32>,
) -> Vec<Finding> {
    let heights: BTreeSet<u32> = one_blocks.iter().map(|name| name.number).collect();
    let names = one_blocks.iter().chain(forked_blocks);
    let known: BTreeSet<(u32, &str)> = names.map(|name| (name.number, name.id.as_str())).collect();
    let (next, last) = before.unwrap_or((0, None));
    let last = last.map(|last| last.to_string());
    let is_unlinked = |name: &&OneBlockName| {
        let parent = name.number.saturating_sub(1);
        let may_tell = match parent.checked_add(1) {
            Some(number) if number < next => false,
            Some(number) if number == next => last.as_ref().is_some_and(|last| !last.ends_with(&name.previous)),
            _ => heights.contains(&parent),
        };
        range.contains(&name.number) && may_tell && !known.contains(&(parent, name.previous.as_str()))
    };
    let finding = |name: &OneBlockName| {
        let why = format!("one-block file {name}: no block before it has the id that it names as its parent's");
        Finding { first: name.number, last: name.number, fault: Fault::Unlinked, why }
    };
    one_blocks.iter().filter(is_unlinked).map(finding).collect()
}

fn in_range(mut names: Vec<OneBlockName>, range: &RangeInclusive<u32>) -> Vec<OneBlockName> {
    names.retain(|name| range.contains(&name.number));
    names
}

fn summarize(names: &[OneBlockName]) -> OneBlockSummary {
    let range = names.first().zip(names.last()).map(|(first, last)| (first.number, last.number));
    OneBlockSummary { files: names.len(), range }
}

async fn collect_damage<F: Future<Output = (u32, Result<()>)>>(
    report: &mut CheckReport,
    names: Vec<OneBlockName>,
    read: impl Fn(OneBlockName) -> F,
) -> Result<()> {
    let mut results = stream::iter(names).map(read).buffered(PARALLEL);
    while let Some((number, result)) = results.next().await {
        match result {
            Err(error @ Error::Damaged { .. }) => {
                let why = error.to_string();
                report.findings.push(Finding { first: number, last: number, fault: Fault::Damaged, why });
            }
            // A file may go while we look: its block has reached a bundle.
            Ok(()) | Err(Error::NotFound(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// What is in one bundle. What is damaged counts as covered, so that it is reported once only.
struct BundleCheck {
    /// First block that is covered.
    start: u32,
    /// Parent of the first block, if that could be read.
    parent: Option<Checksum256>,
    /// First block that is not covered any more.
    next: u32,
    /// The block before `next`, if it could be read.
    last: Option<Checksum256>,
    blocks: u64,
    findings: Vec<Finding>,
}

impl BundleCheck {
    async fn run(store: &BlockStore, base: u32, decode: bool) -> Result<Self> {
        let mut check = Self { start: base, parent: None, next: base, last: None, blocks: 0, findings: vec![] };
        let file = store.bundle_path(base).to_string();
        if base != base_of(base) {
            check.find(base, base, Fault::Overlap, format!("{file}: {base} is no multiple of {BUNDLE_BLOCKS}"));
            return Ok(check);
        }
        let end = last_of(base);
        let mut reader = match store.read_bundle(base).await {
            Ok(reader) => reader,
            Err(error) => return check.damaged(base, end, error).map(|()| check),
        };
        loop {
            match reader.piece().await {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => {
                    for block in &piece {
                        check.visit(&file, base, end, block);
                    }
                    if decode {
                        check.findings.extend(undecodable(&file, piece).await?);
                    }
                }
                Err(error) if !reader.is_framed() => {
                    check.damaged(check.next, end, error)?;
                    break;
                }
                // One frame of the piece is damaged: see which ones.
                Err(_) => {
                    for number in check.next..=end {
                        match store.read_block(number).await {
                            Ok(block) => {
                                check.visit(&file, base, end, &block);
                                if decode {
                                    check.findings.extend(undecodable(&file, vec![block]).await?);
                                }
                            }
                            Err(Error::NotFound(_)) => {}
                            Err(error) => check.damaged(number, number, error)?,
                        }
                    }
                    break;
                }
            }
        }
        if check.is_empty() && check.findings.is_empty() {
            let error = Error::damaged(&file, None, "it holds no block");
            check.damaged(base, end, error)?;
        }
        Ok(check)
    }

    fn is_empty(&self) -> bool {
        self.next == self.start
    }

    fn find(&mut self, first: u32, last: u32, fault: Fault, why: String) {
        self.findings.push(Finding { first, last, fault, why });
    }

    /// Blocks that cannot be read; anything but damage ends the check.
    fn damaged(&mut self, first: u32, last: u32, error: Error) -> Result<()> {
        if !matches!(error, Error::Damaged { .. }) {
            return Err(error);
        }
        self.find(first, last, Fault::Damaged, error.to_string());
        self.cover(first, None, last, None);
        Ok(())
    }

    fn cover(&mut self, first: u32, parent: Option<Checksum256>, last: u32, id: Option<Checksum256>) {
        if self.is_empty() {
            self.start = first;
            self.parent = parent;
        }
        self.next = last.saturating_add(1);
        self.last = id;
    }

    fn visit(&mut self, file: &str, base: u32, end: u32, block: &EncodedBlock) {
        let number = block.number();
        self.blocks += 1;
        if !(base..=end).contains(&number) {
            return self.find(number, number, Fault::Overlap, format!("{file}: it belongs into another file"));
        }
        if number < self.next {
            return self.find(number, number, Fault::Overlap, format!("{file}: it is there twice or out of order"));
        }
        if !self.is_empty() && number > self.next {
            self.find(self.next, number - 1, Fault::Hole, format!("{file}: not there, although later blocks are"));
        } else if let Some(last) = self.last.filter(|last| *last != block.previous()) {
            self.findings.push(unlinked(number, block.previous(), last));
        }
        self.cover(number, Some(block.previous()), number, Some(block.id()));
    }
}

async fn undecodable(file: &str, blocks: Vec<EncodedBlock>) -> Result<Vec<Finding>> {
    let file = file.to_owned();
    let decode = move |block: &EncodedBlock| {
        let why = format!("{file}: {}", block.decode().err()?);
        Some(Finding { first: block.number(), last: block.number(), fault: Fault::Damaged, why })
    };
    blocking(move || Ok(blocks.iter().filter_map(decode).collect())).await
}

#[cfg(test)]
mod tests;
