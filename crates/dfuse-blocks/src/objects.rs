//! What machines keep in an object store beside block files, by name.

use std::fmt;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::ready};
use object_store::{ObjectStoreExt, PutPayload, path::Path};

use crate::{BlockStore, Error, Result, StoreOptions};

/// Folders beside those of block files, which are not looked at when block files are searched for.
pub(crate) const BESIDE: [&str; 2] = [ACCESS, PROBES];
const ACCESS: &str = "access";
/// What a start tries out; see [`BlockStore::must_tell_writers_apart`].
const PROBES: &str = "probes";

/// Objects below a folder of a store. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Objects {
    store: BlockStore,
    folder: Path,
    /// For messages.
    place: String,
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl BlockStore {
    /// The objects of API keys, which machines share. Those who only read block files may write them.
    pub fn access_objects(&self) -> Objects {
        self.objects_in(ACCESS)
    }

    pub(crate) fn probe_objects(&self) -> Objects {
        self.objects_in(PROBES)
    }

    fn objects_in(&self, folder: &str) -> Objects {
        Objects { store: self.clone(), folder: self.in_root(folder), place: folder.to_owned() }
    }
}

impl Objects {
    /// The objects at a place, a directory or a URL as of block stores.
    ///
    /// # Errors
    /// [`Error::Usage`] for a place that cannot be opened.
    pub fn open(place: &str, options: StoreOptions) -> Result<Self> {
        Ok(Self::at(place, BlockStore::open(place, options)?))
    }

    /// The same for what is only read: a directory that is not there is an error.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_existing(place: &str, options: StoreOptions) -> Result<Self> {
        Ok(Self::at(place, BlockStore::open_existing(place, options)?))
    }

    fn at(place: &str, store: BlockStore) -> Self {
        Self { folder: store.root().clone(), store, place: place.to_owned() }
    }

    /// The objects in a folder of these.
    pub fn below(&self, folder: &str) -> Self {
        let place = format!("{}/{folder}", self.place.trim_end_matches('/'));
        Self { store: self.store.clone(), folder: self.path(folder), place }
    }

    pub(crate) fn store(&self) -> &BlockStore {
        &self.store
    }

    pub(crate) fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.folder.clone(), Path::join)
    }

    /// What is at that name (parts with `/` between); absent if nothing is.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        match self.store.get(&self.path(name)).await {
            Ok(content) => Ok(Some(content)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes an object unless there is one of that name: of several who try at once, one succeeds. Tells whether it was this one.
    /// Whoever creates an object gives it content of its own: by that it is known if the store's answer was lost.
    ///
    /// # Errors
    /// Those of the store; then it may have been written.
    pub async fn create(&self, name: &str, content: Vec<u8>) -> Result<bool> {
        let path = self.path(name);
        if self.store.put_new(&path, content.clone()).await? {
            return Ok(true);
        }
        Ok(self.store.get(&path).await? == content)
    }

    /// Writes an object over what is there: for those that one machine alone writes.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn replace(&self, name: &str, content: Vec<u8>) -> Result<()> {
        let path = self.path(name);
        let written = self.store.objects.put(&path, PutPayload::from(content)).await;
        written.map(drop).map_err(|error| Error::store(&path, error))
    }

    /// Deletes an object; it may be gone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match self.store.objects.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::store(&path, error)),
        }
    }

    /// Deletes all objects in a folder and those below it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete_all(&self, folder: &str) -> Result<()> {
        let folder = self.path(folder);
        let objects = &self.store.objects;
        let found = objects.list(Some(&folder)).map_ok(|object| object.location).boxed();
        let deleted = objects.delete_stream(found).try_for_each(|_| ready(Ok(()))).await;
        deleted.map_err(|error| Error::store(&folder, error))
    }

    /// Names of the objects in a folder, without the folder, in order.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder);
        let listed =
            self.store.objects.list_with_delimiter(Some(&path)).await.map_err(|error| Error::store(&path, error))?;
        let mut names: Vec<_> =
            listed.objects.iter().filter_map(|object| Some(object.location.filename()?.to_owned())).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Names of the folders in a folder, in order.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder);
        let listed =
            self.store.objects.list_with_delimiter(Some(&path)).await.map_err(|error| Error::store(&path, error))?;
        let mut names: Vec<_> =
            listed.common_prefixes.iter().filter_map(|folder| Some(folder.filename()?.to_owned())).collect();
        names.sort_unstable();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Located, StoreOptions};

    #[tokio::test]
    async fn of_several_who_create_an_object_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let store = BlockStore::open(place, StoreOptions::default()).unwrap().reads_only();
        let objects = store.access_objects();
        let racing = (0..20u8).map(|who| objects.create("keys/0000000000", vec![who]));
        let won: Vec<_> = futures::future::join_all(racing).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let winner = won.iter().position(|won| *won).unwrap() as u8;
        assert_eq!(objects.get("keys/0000000000").await.unwrap().unwrap().as_ref(), [winner]);
        assert_eq!(objects.get("keys/0000000001").await.unwrap(), None);
        objects.replace("usage/1/b", vec![1]).await.unwrap();
        objects.replace("usage/1/b", vec![2]).await.unwrap();
        objects.replace("usage/1/a", vec![3]).await.unwrap();
        assert_eq!(objects.list("usage/1").await.unwrap(), ["a", "b"]);
        assert_eq!(objects.folders("usage").await.unwrap(), ["1"]);
        assert!(objects.folders("none").await.unwrap().is_empty());
        assert_eq!(objects.get("usage/1/b").await.unwrap().unwrap().as_ref(), [2]);
        objects.replace("usage/1/c/d", vec![4]).await.unwrap();
        objects.delete("usage/1/a").await.unwrap();
        objects.delete("usage/1/a").await.unwrap();
        assert_eq!(objects.list("usage/1").await.unwrap(), ["b"]);
        objects.delete_all("usage/1").await.unwrap();
        assert_eq!(objects.get("usage/1/b").await.unwrap(), None);
        assert_eq!(objects.get("usage/1/c/d").await.unwrap(), None);
        // They are no block files that are where none are expected.
        assert!(matches!(store.locate(place).await.unwrap(), Located::Empty(_)));
    }
}
