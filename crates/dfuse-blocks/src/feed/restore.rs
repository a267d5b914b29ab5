//! Rebuilding the hub after a restart.

use std::{collections::BTreeMap, path::Path, pin::pin, sync::Arc};

use futures::TryStreamExt;
use tracing::warn;

use super::{
    hub::{Entry, Hub, Link},
    index::HubIndex,
    options::FeedOptions,
};
use crate::{
    BlockRef, BlockStore, BundleWriter, Error, Linked, MEND, OneBlockName, Result,
    bundle::{BUNDLE_BLOCKS, base_of},
    merge::{may_begin_with, remove_merged_one_blocks},
};

/// How often a store is read again in which files have gone while it was read.
const ATTEMPTS: usize = 5;

/// The hub of a store, none of an empty one, and how many blocks had to be read for it.
pub(super) async fn restore(store: &BlockStore, options: &FeedOptions) -> Result<(Option<Hub>, usize)> {
    let mut restored = read(store, options).await;
    for _ in 1..ATTEMPTS {
        match restored {
            // Other machines write it: what was listed is in a bundle by now, or put aside.
            Err(Error::NotFound(_)) => restored = read(store, options).await,
            restored => return restored,
        }
    }
    restored
}

async fn read(store: &BlockStore, options: &FeedOptions) -> Result<(Option<Hub>, usize)> {
    let (bundled, bases) = last_bundled(store, options).await?;
    if let Some(last) = bundled.filter(|_| !options.reads_only) {
        remove_merged_one_blocks(store, last.number.saturating_add(1), last).await?;
    }
    let mut names = store.one_blocks().await?;
    names.retain(|name| bundled.is_none_or(|last| name.number > last.number));
    let (found, read) = links(store, options.data_dir.as_deref(), names).await?;
    let oldest = || found.iter().map(|(link, _)| link).min_by_key(|link| link.number());
    let Some(floor) = bundled.or_else(|| oldest().map(Link::parent)) else { return Ok((None, read)) };
    if bundled.is_none() && lacks_its_beginning(store, floor.number + 1, options.first_streamable).await? {
        // What is left is known again once the source has repeated what comes before it.
        warn!(first = floor.number + 1, "one-block files before this block are missing; they are waited for");
        return Ok((None, read));
    }
    let first = store.first_bundled(&bases, options.first_streamable).await?.unwrap_or(floor.number + 1);
    let mut hub = Hub::new(first, floor);
    for ((link, name), arrival) in found.into_iter().zip(0..) {
        hub.add(Entry { link, arrival, file: Some(name), payload: None });
    }
    Ok((Some(hub), read))
}

/// Whether a history without bundles that begins with this block has lost what comes before.
async fn lacks_its_beginning(store: &BlockStore, first: u32, first_streamable: u32) -> Result<bool> {
    // What is below the first block of all joined later.
    if first <= first_streamable {
        return Ok(false);
    }
    let lowest = store.lowest_put_aside().await?;
    Ok(may_begin_with(first, first_streamable).is_err() || lowest.is_some_and(|lowest| lowest < first))
}

/// The last block of the bundles, and the bases of them all. A last bundle that is damaged where that is read is put aside: a power cut
/// may have torn it, and the source has its blocks. Whoever only reads the store does without it.
///
/// # Errors
/// [`Error::MissingBundle`] for the first one that is missing although later ones are there, and those of the store.
async fn last_bundled(store: &BlockStore, options: &FeedOptions) -> Result<(Option<BlockRef>, Vec<u32>)> {
    // Listing those of a long chain takes its time: once.
    let mut bases = store.bundles().await?;
    let last = loop {
        match BundleWriter::resume_after(store.clone(), options.first_streamable, &bases).await {
            Ok(writer) => break writer.last(),
            Err(error @ Error::Damaged { .. }) => {
                let Some(at) = bases.iter().rposition(|base| *base == base_of(*base)) else { return Err(error) };
                let base = bases.remove(at);
                if options.reads_only {
                    // Others write it anew. What is before it is served meanwhile.
                    warn!("{error}; {MEND}; blocks from {base} on are waited for");
                    store.forget_tables();
                } else {
                    store.put_bundle_aside(base, &error).await?;
                }
            }
            Err(error) => return Err(error),
        }
    };
    let gap =
        bases.windows(2).find(|pair| pair[0] == base_of(pair[0]) && pair[1] > pair[0].saturating_add(BUNDLE_BLOCKS));
    match gap {
        Some(pair) => Err(store.missing_bundle(pair[0] + BUNDLE_BLOCKS)),
        None => Ok((last, bases)),
    }
}

/// Links of one-block files in the order in which the blocks came, as far as it is known, with the suffixes of their files;
/// and how many were read. Of several files of one block, one counts.
async fn links(
    store: &BlockStore,
    data_dir: Option<&Path>,
    names: Vec<OneBlockName>,
) -> Result<(Vec<(Link, Arc<str>)>, usize)> {
    // Few writers, many files: they share the text.
    let mut suffixes: BTreeMap<String, Arc<str>> = BTreeMap::new();
    let mut files = BTreeMap::new();
    for mut name in names {
        let suffix = std::mem::take(&mut name.suffix);
        files.insert(name, suffixes.entry(suffix).or_insert_with_key(|suffix| suffix.as_str().into()).clone());
    }
    let mut found = Vec::with_capacity(files.len());
    for link in data_dir.map(HubIndex::read).unwrap_or_default() {
        if let Some(suffix) = files.remove(&OneBlockName::new(&link, "")) {
            found.push((link, suffix));
        }
    }
    let read = files.len();
    let names = files.into_iter().map(|(name, suffix)| OneBlockName { suffix: suffix.to_string(), ..name });
    let mut blocks = pin!(store.read_whole_one_blocks(names.collect()));
    while let Some((name, block)) = blocks.try_next().await? {
        let suffix = suffixes.entry(name.suffix).or_insert_with_key(|suffix| suffix.as_str().into());
        found.push((Link::of(&block), suffix.clone()));
    }
    Ok((found, read))
}
