//! Rebuilding the hub after a restart.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use futures::TryStreamExt;

use super::{
    FeedOptions,
    hub::{Entry, Hub, Link},
    index::HubIndex,
};
use crate::{BlockStore, BundleWriter, Linked, OneBlockName, Result, merge::remove_merged_one_blocks};

/// The hub of a store, none of an empty one, and how many blocks had to be read for it.
pub(super) async fn restore(store: &BlockStore, options: &FeedOptions) -> Result<(Option<Hub>, usize)> {
    let bundled = BundleWriter::resume(store.clone(), options.first_streamable).await?.last();
    if let Some(last) = bundled {
        remove_merged_one_blocks(store, last.number.saturating_add(1), last).await?;
    }
    let mut names = store.one_blocks().await?;
    names.retain(|name| bundled.is_none_or(|last| name.number > last.number));
    let (found, read) = links(store, options.data_dir.as_deref(), names).await?;
    let oldest = || found.iter().map(|(link, _)| link).min_by_key(|link| link.number());
    let Some(floor) = bundled.or_else(|| oldest().map(Link::parent)) else { return Ok((None, read)) };
    let first = store.first_bundled(options.first_streamable).await?.unwrap_or(floor.number + 1);
    let mut hub = Hub::new(first, floor);
    for ((link, name), arrival) in found.into_iter().zip(0..) {
        hub.add(Entry { link, arrival, file: Some(name), payload: None });
    }
    Ok((Some(hub), read))
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
    let unknown: Vec<Arc<str>> = files.values().cloned().collect();
    let read = unknown.len();
    let names = files.into_iter().map(|(name, suffix)| OneBlockName { suffix: suffix.to_string(), ..name });
    let links = store.read_one_blocks(names.collect()).map_ok(|block| Link::of(&block));
    let links: Vec<_> = links.try_collect().await?;
    found.extend(links.into_iter().zip(unknown));
    Ok((found, read))
}
