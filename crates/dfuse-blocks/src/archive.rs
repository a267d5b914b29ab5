//! A folder of files, kept as a whole in a directory or an object store: each file as it is, and a list of them with their
//! digests, which is written last. Without the list there is no archive.

use std::{
    io::{ErrorKind, Read, Write},
    path::{Component, Path, PathBuf},
};

use dfuse_antelope::Checksum;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, WriteMultipart};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Objects, Result, store::blocking};

/// The list, beside the files.
const LIST: &str = "backup.json";
/// Version of the list.
const FORMAT: u32 = 1;
/// Files that are copied at a time.
const PARALLEL: usize = 4;
/// What is read or sent of a file at a time.
const PIECE: usize = 8 << 20;

/// What an archive has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    format: u32,
    /// Whatever made it.
    pub made_by: String,
    files: Vec<ArchivedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ArchivedFile {
    /// Names of folders and file, separated by `/`.
    path: String,
    bytes: u64,
    /// In hexadecimal digits.
    sha256: String,
}

impl Archive {
    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Copies a folder, whose files do not change meanwhile, below the objects of a place.
///
/// # Errors
/// [`Error::Usage`] for files that cannot be read, and where there is an archive already; those of the store.
pub async fn store_folder(folder: &Path, to: &Objects, made_by: String) -> Result<Archive> {
    must_be_free(to).await?;
    let mut paths = Vec::new();
    list(folder, &mut PathBuf::new(), &mut paths).map_err(|error| unreadable(folder, &error))?;
    let sent = stream::iter(paths).map(|path| send(to, folder, path)).buffer_unordered(PARALLEL);
    let mut files: Vec<_> = sent.try_collect().await?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let archive = Archive { format: FORMAT, made_by, files };
    let list = serde_json::to_vec_pretty(&archive).map_err(|error| Error::Usage(error.to_string()))?;
    to.replace(LIST, list).await?;
    Ok(archive)
}

/// Whether an archive can be made at a place.
///
/// # Errors
/// [`Error::Usage`] where there is one already; those of the store.
pub async fn must_be_free(place: &Objects) -> Result<()> {
    match place.get(LIST).await? {
        Some(_) => Err(Error::Usage(format!("there is a backup at {place}; name another place"))),
        None => Ok(()),
    }
}

/// Copies an archive into a folder, which is made. Every file is compared with its digest. After each file, `progress` is told the
/// bytes so far and those of all files.
///
/// # Errors
/// [`Error::Usage`] for a place without an archive, or a folder that cannot be written to; [`Error::Damaged`] for files that are not what
/// was stored; those of the store.
pub async fn fetch_folder(from: &Objects, folder: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Archive> {
    let bytes = from.get(LIST).await?;
    let bytes = bytes.ok_or_else(|| Error::Usage(format!("there is no backup at {from}: it has no {LIST}")))?;
    let archive: Archive = serde_json::from_slice(&bytes).map_err(|error| Error::damaged(LIST, None, error))?;
    if archive.format != FORMAT {
        let why = format!("it has format {}, this version of dfuse knows {FORMAT}", archive.format);
        return Err(Error::damaged(LIST, None, why));
    }
    let mut fetched = stream::iter(&archive.files).map(|file| fetch(from, file, folder)).buffer_unordered(PARALLEL);
    let (mut taken, all) = (0, archive.bytes());
    while let Some(bytes) = fetched.try_next().await? {
        taken += bytes;
        progress(taken, all);
    }
    drop(fetched);
    Ok(archive)
}

/// Paths of the files below a folder, relative to it.
fn list(folder: &Path, below: &mut PathBuf, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder.join(&*below))? {
        let entry = entry?;
        below.push(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(folder, below, paths)?;
        } else {
            paths.push(below.clone());
        }
        below.pop();
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::Usage(format!("{}: {error}", path.display()))
}

async fn send(objects: &Objects, folder: &Path, path: PathBuf) -> Result<ArchivedFile> {
    let source = folder.join(&path);
    let names: Option<Vec<_>> = path.iter().map(|name| name.to_str()).collect();
    let name = names.map(|names| names.join("/"));
    let name = name.ok_or_else(|| Error::Usage(format!("{} is not a name that can be stored", source.display())))?;
    let to = objects.path(&name);
    let mut upload = None;
    let sent = send_pieces(objects, &source, &to, &mut upload).await;
    let sent = match (sent, upload) {
        (Ok(sent), Some(upload)) => upload.finish().await.map(|_| sent).map_err(|error| Error::store(&to, error)),
        (Err(error), Some(upload)) => {
            // An object store would keep what it has of it, and charge for that.
            let _ = upload.abort().await;
            Err(error)
        }
        (sent, None) => sent,
    };
    let (bytes, sha256) = sent?;
    Ok(ArchivedFile { path: name, bytes, sha256 })
}

/// Sends a file: a short one at once, the pieces of a longer one with an upload, which is to be finished. Returns its length and
/// digest.
async fn send_pieces(
    objects: &Objects,
    source: &Path,
    to: &object_store::path::Path,
    upload: &mut Option<WriteMultipart>,
) -> Result<(u64, String)> {
    let (store, failed) = (objects.store(), |error| Error::store(to, error));
    let open = source.to_owned();
    let mut file = blocking(move || std::fs::File::open(&open).map_err(|error| unreadable(&open, &error))).await?;
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    loop {
        let from = source.to_owned();
        let (rest, piece) = blocking(move || {
            let mut piece = Vec::new();
            let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece);
            read.map_err(|error| unreadable(&from, &error))?;
            Ok((file, piece))
        })
        .await?;
        file = rest;
        hasher.update(&piece);
        bytes += piece.len() as u64;
        let is_last = piece.len() < PIECE;
        match upload {
            None if is_last => store.put(to, piece).await?,
            None => {
                let begun = store.objects.put_multipart(to).await.map_err(failed)?;
                upload.insert(WriteMultipart::new_with_chunk_size(begun, PIECE)).write(&piece);
            }
            Some(upload) => {
                upload.wait_for_capacity(PARALLEL).await.map_err(failed)?;
                upload.write(&piece);
            }
        }
        if is_last {
            return Ok((bytes, digest(hasher)));
        }
    }
}

/// Returns the bytes of the file. It is read piece by piece: each is asked for again if it is cut off.
async fn fetch(objects: &Objects, file: &ArchivedFile, folder: &Path) -> Result<u64> {
    let path = Path::new(&file.path);
    if file.path.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Error::damaged(LIST, None, format!("\"{}\" is not a path within a folder", file.path)));
    }
    let (store, from, to) = (objects.store(), objects.path(&file.path), folder.join(path));
    let size = store.objects.head(&from).await.map_err(|error| match Error::store(&from, error) {
        Error::NotFound(_) => Error::damaged(&file.path, None, "it is missing"),
        other => other,
    })?;
    let is_other = || Error::damaged(&file.path, None, "it is not what was stored");
    if size.size != file.bytes {
        return Err(is_other());
    }
    let target = to.clone();
    let mut out = blocking(move || {
        let parent = target.parent().unwrap_or(Path::new(""));
        let made = std::fs::create_dir_all(parent).and_then(|()| std::fs::File::create_new(&target));
        made.map_err(|error| unreadable(&target, &error))
    })
    .await?;
    let mut hasher = Sha256::new();
    for start in (0..file.bytes).step_by(PIECE) {
        let piece = store.get_range(&from, start..file.bytes.min(start + PIECE as u64)).await?;
        hasher.update(&piece);
        let target = to.clone();
        out = blocking(move || {
            out.write_all(&piece).map_err(|error| unreadable(&target, &error))?;
            Ok(out)
        })
        .await?;
    }
    if digest(hasher) != file.sha256 {
        return Err(is_other());
    }
    let bytes = file.bytes;
    blocking(move || match out.sync_all() {
        Err(error) if error.kind() != ErrorKind::Unsupported => Err(unreadable(&to, &error)),
        _ => Ok(bytes),
    })
    .await
}

fn digest(hasher: Sha256) -> String {
    let digest: [u8; 32] = hasher.finalize().into();
    Checksum(digest).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreOptions;

    fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut paths = Vec::new();
        list(folder, &mut PathBuf::new(), &mut paths).unwrap();
        paths.sort();
        paths.into_iter().map(|path| (path.clone(), std::fs::read(folder.join(path)).unwrap())).collect()
    }

    #[tokio::test]
    async fn what_is_fetched_is_what_was_stored() {
        let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put = |name: &str, data: &[u8]| {
            let path = folder.path().join("data").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, data).unwrap();
        };
        put("empty", b"");
        put("index/fjall/0/1", &vec![7; 2 * PIECE + 5]);
        put("index/fjall/0/2", &vec![9; PIECE]);
        put("blocks/a b#c", b"x");
        put("blocks/d", b"x");
        let (data, back) = (folder.path().join("data"), folder.path().join("back"));
        let url = format!("file://{}", place.path().display());
        let objects = Objects::open(&url, StoreOptions::default()).unwrap();
        let stored = store_folder(&data, &objects, "test".to_owned()).await.unwrap();
        assert_eq!((stored.files(), stored.bytes()), (5, (3 * PIECE + 7) as u64));
        let again = store_folder(&data, &objects, "test".to_owned()).await.unwrap_err();
        assert!(again.to_string().contains("there is a backup"), "{again}");
        assert_eq!(fetch_folder(&objects, &back, |_, _| {}).await.unwrap(), stored);
        assert_eq!(files_of(&back), files_of(&data));

        std::fs::write(place.path().join("blocks/d"), "y").unwrap();
        let damaged = fetch_folder(&objects, &folder.path().join("b"), |_, _| {}).await.unwrap_err();
        assert!(damaged.to_string().contains("not what was stored"), "{damaged}");
        std::fs::remove_file(place.path().join("blocks/d")).unwrap();
        let missing = fetch_folder(&objects, &folder.path().join("c"), |_, _| {}).await.unwrap_err();
        assert!(missing.to_string().contains("missing"), "{missing}");
        std::fs::remove_file(place.path().join(LIST)).unwrap();
        let none = fetch_folder(&objects, &folder.path().join("d"), |_, _| {}).await.unwrap_err();
        assert!(matches!(none, Error::Usage(_)), "{none}");
    }

    #[tokio::test]
    async fn a_list_cannot_name_files_elsewhere() {
        let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let objects = Objects::open(place.path().to_str().unwrap(), StoreOptions::default()).unwrap();
        for path in ["../x", "/etc/x", "", "a/../../x"] {
            let file = ArchivedFile { path: path.to_owned(), bytes: 0, sha256: String::new() };
            let archive = Archive { format: FORMAT, made_by: String::new(), files: vec![file] };
            std::fs::write(place.path().join(LIST), serde_json::to_vec(&archive).unwrap()).unwrap();
            let refused = fetch_folder(&objects, folder.path(), |_, _| {}).await;
            assert!(refused.unwrap_err().to_string().contains("not a path within"), "{path}");
        }
        assert_eq!(files_of(folder.path()), []);
    }
}
