//! Where the files of a store are: people name the store, or the folder of its bundles.

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use crate::{
    BlockStore, Error, OneBlockName, Result,
    names::{self, ABI_DUMPS, FORKED_BLOCKS, MERGED_BLOCKS, ONE_BLOCKS},
    objects::BESIDE,
};

/// Objects that are looked at in a place that is not laid out as a store is.
const LOOKED_AT: usize = 2000;
/// Of these, as many are named.
const NAMED: usize = 3;

/// What is at the place of a store.
#[derive(Debug)]
pub enum Located {
    /// A store with blocks, its bundles where they were found.
    Store(BlockStore),
    /// Nothing at all yet; says what is expected there.
    Empty(Error),
}

impl BlockStore {
    /// Finds the block files of a store that others write: in its folders, or bundles at the place itself. `place` is
    /// what people call it.
    ///
    /// # Errors
    /// [`Error::Usage`] where there are files, but none of them is where those of a store are.
    pub async fn locate(self, place: &str) -> Result<Located> {
        let folders = [MERGED_BLOCKS, ONE_BLOCKS, FORKED_BLOCKS, ABI_DUMPS];
        for folder in folders.map(|folder| self.root.clone().join(folder)) {
            if !self.first_objects(&folder, 1).await?.is_empty() {
                return Ok(Located::Store(self));
            }
        }
        let mut objects = self.first_objects(&self.root, LOOKED_AT).await?;
        objects.retain(|object| !BESIDE.contains(&self.inside(object).split('/').next().unwrap_or_default()));
        // A writer may have begun meanwhile.
        if objects.iter().any(|object| folders.contains(&self.inside(object).split('/').next().unwrap_or_default())) {
            return Ok(Located::Store(self));
        }
        let depth = self.root.parts_count() + 1;
        let is_bundle = |object: &&Path| object.filename().is_some_and(|name| names::parse_bundle(name).is_some());
        let mut bundles = objects.iter().filter(is_bundle);
        if bundles.clone().any(|object| object.parts_count() == depth) {
            let merged = self.root.clone();
            return Ok(Located::Store(Self { merged, ..self }));
        }
        let expected = "expected are bundles of 100 blocks (NNNNNNNNNN.dbin.zst) in its folder merged-blocks or in the place \
                        itself, or one-block files (NNNNNNNNNN-ID-PREVIOUS-LIB-SUFFIX.dbin.zst) in its folder one-blocks";
        if objects.is_empty() {
            return Ok(Located::Empty(Error::Usage(format!("the block store \"{place}\" is empty; {expected}"))));
        }
        let is_one_block = |object: &Path| object.filename().is_some_and(|name| OneBlockName::parse(name).is_some());
        let found = match bundles.next().map(|object| self.folder_of(object)) {
            Some(folder) => {
                let store = folder.strip_suffix(MERGED_BLOCKS).unwrap_or(&folder).trim_end_matches('/');
                format!("there are bundles in {folder}: name \"{}/{store}\"", place.trim_end_matches('/'))
            }
            None if objects.iter().any(|object| object.parts_count() == depth && is_one_block(object)) => {
                "there are one-block files in the place itself: name the folder above it, if it is called one-blocks"
                    .to_owned()
            }
            None => {
                let named = objects.iter().take(NAMED).map(|object| self.inside(object));
                format!(
                    "found there: {}{}",
                    named.collect::<Vec<_>>().join(", "),
                    if objects.len() > NAMED { ", ..." } else { "" }
                )
            }
        };
        Err(Error::Usage(format!("\"{place}\" holds no block files where those of a store are; {expected}; {found}")))
    }

    /// Some objects of a folder, whatever they are.
    async fn first_objects(&self, folder: &Path, most: usize) -> Result<Vec<Path>> {
        let objects = self.objects.list(Some(folder)).map_err(|e| Error::store(folder, e));
        objects.take(most).map_ok(|object| object.location).try_collect().await
    }

    /// Path of an object below the root.
    fn inside(&self, object: &Path) -> String {
        let parts = object.parts().skip(self.root.parts_count());
        parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/")
    }

    fn folder_of(&self, object: &Path) -> String {
        let inside = self.inside(object);
        inside.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned())
    }
}
