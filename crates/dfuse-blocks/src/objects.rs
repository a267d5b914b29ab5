//! What machines keep in an object store beside block files, by name: small objects, and files.

use std::{
    fs::File,
    io::{Read, Write},
};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, PutPayload, WriteMultipart, path::Path};

use crate::{BlockStore, Error, Result, StoreOptions, store::blocking};

/// Bytes of a file that are sent in one go, and how many such pieces at a time.
const PIECE: usize = 8 << 20;
const PIECES: usize = 4;

/// Folders beside those of block files, which are not looked at when block files are searched for.
pub(crate) const BESIDE: [&str; 1] = ["access"];

/// Objects below a folder of a store. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Objects {
    store: BlockStore,
    folder: Path,
}

impl BlockStore {
    /// The objects of API keys, which machines share. Those who only read block files may write them.
    pub fn access_objects(&self) -> Objects {
        Objects { store: self.clone(), folder: self.in_root(BESIDE[0]) }
    }
}

impl Objects {
    /// The objects at a place, a directory or a URL as of block stores.
    ///
    /// # Errors
    /// [`Error::Usage`] for a place that cannot be opened.
    pub fn open(place: &str, options: StoreOptions) -> Result<Self> {
        let store = BlockStore::open(place, options)?;
        Ok(Self { folder: store.root().clone(), store })
    }

    fn path(&self, name: &str) -> Path {
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
    ///
    /// # Errors
    /// Those of the store; then it may have been written.
    pub async fn create(&self, name: &str, content: Vec<u8>) -> Result<bool> {
        let path = self.path(name);
        match self.store.objects.put_opts(&path, PutPayload::from(content), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(Error::store(&path, error)),
        }
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

    /// Writes a file to an object, piece by piece. Returns its bytes.
    ///
    /// # Errors
    /// Those of the store, and [`Error::Usage`] if the file cannot be read.
    pub async fn upload(&self, name: &str, file: &std::path::Path) -> Result<u64> {
        let path = self.path(name);
        let failed = |error| Error::store(&path, error);
        let mut read = File::open(file).map_err(|error| unusable(file, &error))?;
        let upload = self.store.objects.put_multipart(&path).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE);
        let mut bytes = 0;
        loop {
            let shown = file.to_owned();
            let (next, piece) = blocking(move || {
                let mut piece = Vec::with_capacity(PIECE);
                let taken = (&read).take(PIECE as u64).read_to_end(&mut piece);
                taken.map_err(|error| unusable(&shown, &error)).map(|_| (read, piece))
            })
            .await?;
            read = next;
            if piece.is_empty() {
                break;
            }
            bytes += piece.len() as u64;
            upload.wait_for_capacity(PIECES).await.map_err(failed)?;
            upload.put(piece.into());
        }
        upload.finish().await.map_err(failed)?;
        Ok(bytes)
    }

    /// Writes an object to a new file. Returns its bytes.
    ///
    /// # Errors
    /// Those of the store, and [`Error::Usage`] if the file cannot be written.
    pub async fn download(&self, name: &str, file: &std::path::Path) -> Result<u64> {
        let path = self.path(name);
        let failed = |error| Error::store(&path, error);
        let mut pieces = self.store.objects.get(&path).await.map_err(failed)?.into_stream();
        let mut written = File::create_new(file).map_err(|error| unusable(file, &error))?;
        let mut bytes = 0;
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            bytes += piece.len() as u64;
            let shown = file.to_owned();
            written = blocking(move || {
                let done = written.write_all(&piece);
                done.map_err(|error| unusable(&shown, &error)).map(|()| written)
            })
            .await?;
        }
        blocking(move || written.sync_all().map_err(|error| Error::Usage(error.to_string()))).await?;
        Ok(bytes)
    }

    /// Deletes all objects in a folder.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete_all(&self, folder: &str) -> Result<()> {
        for name in self.list(folder).await? {
            let path = self.path(&format!("{folder}/{name}"));
            self.store.objects.delete(&path).await.map_err(|error| Error::store(&path, error))?;
        }
        Ok(())
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

fn unusable(file: &std::path::Path, why: &std::io::Error) -> Error {
    Error::Usage(format!("{}: {why}", file.display()))
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
        let (file, copy) = (folder.path().join("file"), folder.path().join("copy"));
        let content: Vec<u8> = (0..PIECE + 5).map(|at| at as u8).collect();
        std::fs::write(&file, &content).unwrap();
        assert_eq!(objects.upload("copies/1/file", &file).await.unwrap(), content.len() as u64);
        assert_eq!(objects.download("copies/1/file", &copy).await.unwrap(), content.len() as u64);
        assert!(std::fs::read(&copy).unwrap() == content);
        objects.delete_all("copies/1").await.unwrap();
        assert!(matches!(objects.download("copies/1/file", &copy).await, Err(Error::NotFound(_))));
        [file, copy].iter().for_each(|file| std::fs::remove_file(file).unwrap());
        // They are no block files that are where none are expected.
        assert!(matches!(store.locate(place).await.unwrap(), Located::Empty(_)));
    }
}
