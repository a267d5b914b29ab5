//! What a store has, by name.
//!
//! Object stores list in the order of names, a thousand with a request: whoever wants some files begins there and stops after them, and
//! all bundles of a long chain are listed from several places at once. Directories list in any order, and at once.

use std::{ops::RangeInclusive, pin::pin};

use futures::{Stream, StreamExt, TryStreamExt, future::ready, stream, stream::BoxStream};
use object_store::{
    ObjectMeta,
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path,
};

use crate::{
    BlockStore, Error, OneBlockName, Result,
    bundle::{BUNDLE_BLOCKS, base_of},
    names,
};

/// Names that an object store lists with one request.
const LISTED_AT_ONCE: usize = 1000;
/// Bundles whose names fill one list.
const BLOCKS_AT_ONCE: u32 = LISTED_AT_ONCE as u32 * BUNDLE_BLOCKS;
/// Names that a list of few heights has room for, at each of them: blocks that lost are few, and each machine that takes blocks writes
/// its own file.
const NAMES_OF_HEIGHT: usize = 2;
/// Lists that are asked for at the same time.
const LISTS: usize = 16;

/// The files of a folder whose names mean something.
fn named<'a, T: 'a>(
    objects: impl Stream<Item = Result<ObjectMeta>> + 'a,
    folder: &'a Path,
    parse: impl Fn(&str) -> Option<T> + 'a,
) -> impl Stream<Item = Result<T>> + 'a {
    objects.try_filter_map(move |object| {
        // What lies deeper is not ours.
        let direct = object.location.parts_count() == folder.parts_count() + 1;
        ready(Ok(object.location.filename().filter(|_| direct).and_then(&parse)))
    })
}

/// Objects with a prefix and after a name, in lists of some length; as many are asked for as are taken.
fn paged(
    pages: &dyn PaginatedListStore,
    prefix: String,
    after: String,
    length: usize,
) -> impl Stream<Item = object_store::Result<ObjectMeta>> {
    let lists = stream::try_unfold(Some(None), move |next: Option<Option<String>>| {
        let (prefix, after) = (prefix.clone(), after.clone());
        async move {
            let Some(page_token) = next else { return Ok::<_, object_store::Error>(None) };
            let offset = Some(after);
            let options = PaginatedListOptions { offset, page_token, max_keys: Some(length), ..Default::default() };
            let list = pages.list_paginated(Some(&*prefix).filter(|prefix| !prefix.is_empty()), options).await?;
            let objects = stream::iter(list.result.objects.into_iter().map(Ok));
            Ok(Some((objects, list.page_token.map(Some))))
        }
    });
    lists.try_flatten()
}

impl BlockStore {
    pub(crate) async fn list<T: Ord>(&self, folder: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
        self.list_folder(&self.in_root(folder), parse).await
    }

    async fn list_folder<T: Ord>(&self, folder: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
        let objects = self.objects.list(Some(folder)).map_err(|e| Error::store(folder, e));
        let mut names: Vec<T> = named(objects, folder, parse).try_collect().await?;
        names.sort_unstable();
        Ok(names)
    }

    /// What a folder has of some numbers, in order.
    async fn list_numbers<T: Ord>(
        &self,
        folder: &Path,
        numbers: RangeInclusive<u32>,
        most: Option<usize>,
        parse: impl Fn(&str) -> Option<T>,
        number: impl Fn(&T) -> u32,
    ) -> Result<Vec<T>> {
        let objects = self.objects_of(folder, &numbers, most);
        let is_before_end = |name: &T| !self.lists_in_order || number(name) <= *numbers.end();
        let names = named(objects, folder, parse)
            .try_take_while(|name| ready(Ok(is_before_end(name))))
            .try_filter(|name| ready(numbers.contains(&number(name))))
            .take(most.unwrap_or(usize::MAX));
        let mut names: Vec<T> = names.try_collect().await?;
        names.sort_unstable();
        Ok(names)
    }

    /// The objects of a folder whose names begin with one of these numbers, or with a higher one.
    fn objects_of<'a>(
        &'a self,
        folder: &'a Path,
        numbers: &RangeInclusive<u32>,
        most: Option<usize>,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        let (first, last) = (names::beginning(*numbers.start()), names::beginning(*numbers.end()));
        let before = folder.clone().join(&*first);
        let Some(pages) = &self.pages else {
            return self.objects.list_with_offset(Some(folder), &before).map_err(|e| Error::store(folder, e)).boxed();
        };
        let common = first.bytes().zip(last.bytes()).take_while(|(first, last)| first == last).count();
        let prefix = match folder.as_ref() {
            "" => first[..common].to_owned(),
            folder => format!("{folder}/{}", &first[..common]),
        };
        // Those that are not wanted make the answer long, too.
        let heights = usize::try_from(numbers.end() - numbers.start()).map_or(usize::MAX, |more| more + 1);
        let length = most.unwrap_or_else(|| heights.saturating_mul(NAMES_OF_HEIGHT)).min(LISTED_AT_ONCE);
        paged(&**pages, prefix, before.into(), length).map_err(|e| Error::store(folder, e)).boxed()
    }

    /// Names of the files of single blocks in a folder.
    pub(super) async fn list_blocks(&self, folder: &str, numbers: RangeInclusive<u32>) -> Result<Vec<OneBlockName>> {
        self.list_numbers(&self.in_root(folder), numbers, None, OneBlockName::parse, |name| name.number).await
    }

    /// Bases of bundles in a range.
    pub(super) async fn list_bundles(&self, bases: RangeInclusive<u32>, most: Option<usize>) -> Result<Vec<u32>> {
        self.list_numbers(&self.merged, bases, most, names::parse_bundle, |base| *base).await
    }

    /// Bases of all bundles, ascending. What is named like a bundle but for a base that is no multiple of 100 is listed
    /// too, for [`crate::check`] to find.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn bundles(&self) -> Result<Vec<u32>> {
        if !self.lists_in_order {
            return self.list_folder(&self.merged, names::parse_bundle).await;
        }
        let mut bases = self.bundles_from(0).await?;
        let Some(last) = bases.last().copied().filter(|_| bases.len() == LISTED_AT_ONCE) else { return Ok(bases) };
        let end = self.end_of_bundles(last).await?;
        let blocks = ((end - last) / LISTS as u32 + 1).max(BLOCKS_AT_ONCE);
        let pieces = (last + 1..=end).step_by(blocks as usize);
        let pieces = pieces.map(|first| self.list_bundles(first..=end.min(first.saturating_add(blocks - 1)), None));
        let mut pieces = stream::iter(pieces).buffered(LISTS);
        while let Some(piece) = pieces.try_next().await? {
            bases.extend(piece);
        }
        drop(pieces);
        // A list at most, and what was written meanwhile.
        bases.extend(self.list_bundles(end.saturating_add(1)..=u32::MAX, None).await?);
        Ok(bases)
    }

    /// The base of the last bundle, or of one at most a list before it, from one that is there on: with as many requests as the number
    /// of lists has binary digits, twice.
    async fn end_of_bundles(&self, mut last: u32) -> Result<u32> {
        let mut step = BLOCKS_AT_ONCE;
        let mut grows = true;
        while step >= BLOCKS_AT_ONCE {
            let from = last.saturating_add(step);
            match self.list_bundles(from..=u32::MAX, Some(1)).await?.last() {
                Some(found) => last = *found,
                None => grows = false,
            }
            step = if grows { step.saturating_mul(2) } else { step / 2 };
        }
        Ok(last)
    }

    /// The bases from that of a number on. An object store, which lists in order, is asked once: the bundles after these are listed
    /// when these were read.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn bundles_from(&self, number: u32) -> Result<Vec<u32>> {
        self.list_bundles(base_of(number)..=u32::MAX, self.lists_in_order.then_some(LISTED_AT_ONCE)).await
    }

    /// Number of the first block in bundles that have these bases, if there are any; `first_streamable` is that of the chain's
    /// history.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn first_bundled(&self, bases: &[u32], first_streamable: u32) -> Result<Option<u32>> {
        let Some(base) = bases.iter().copied().find(|base| *base == base_of(*base)) else { return Ok(None) };
        if base >= first_streamable {
            return Ok(Some(base));
        }
        // Earlier blocks may have joined.
        match self.first_in_bundle(base).await {
            // Whoever reads its blocks is told.
            Err(Error::Damaged { .. }) => Ok(Some(first_streamable)),
            first => first,
        }
    }

    /// Number of the first block in a bundle; none in one that is empty.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn first_in_bundle(&self, base: u32) -> Result<Option<u32>> {
        let block = pin!(self.read_bundle_blocks(base, 0..=u32::MAX)).try_next().await?;
        Ok(block.map(|block| block.number()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreOptions, bundle};

    #[tokio::test]
    async fn bundles_of_long_chains_are_listed_in_pieces() {
        for (count, beyond) in [(0, 0), (3, 0), (1000, 0), (1001, 0), (2500, 0), (9000, 0), (2500, 3_000_000_000)] {
            let store = BlockStore::open("memory://", StoreOptions::default()).unwrap();
            let mut bases: Vec<_> = (0..count).map(|bundle| bundle * bundle::BUNDLE_BLOCKS).collect();
            if beyond > 0 {
                bases.extend([beyond, beyond + 77]);
            }
            for base in &bases {
                store.put(&store.bundle_path(*base), vec![1]).await.unwrap();
            }
            store.put(&store.path("merged-blocks", "0000000100.dbin.zst.tmp"), vec![1]).await.unwrap();
            assert_eq!(store.bundles().await.unwrap(), bases);
            if let Some(last) = bases.last() {
                assert!(store.bundles_from(*last).await.unwrap().ends_with(&[*last]));
            }
        }
    }
}
