//! Copies of the indexes in a directory or an object store, with which new machines begin.
//!
//! Each copy is a folder with the files of a store. The object `current`, written last, names the one that counts and its files.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use dfuse_blocks::{Clock, Objects, StoreOptions, SystemClock};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::{failure::usage, start::DataDir};

const CURRENT: &str = "current";
/// Files that are copied at the same time.
const PARALLEL: usize = 4;

/// What a copy consists of.
#[derive(Debug, Serialize, Deserialize)]
struct Current {
    folder: String,
    files: Vec<CopiedFile>,
}

/// A file of the indexes.
#[derive(Debug, Serialize, Deserialize)]
struct CopiedFile {
    /// Where it is in the directory of the indexes, parts with `/` between.
    path: String,
    /// Its name in the folder of the copy.
    object: String,
    bytes: u64,
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// Where the files of a copy stand while it is made: in the data directory, whose disk has room for indexes.
pub(crate) fn unfinished(data_dir: &Path) -> PathBuf {
    data_dir.join("index-copy.unfinished")
}

/// The place of copies. Credentials come from the environment.
fn open(place: &str) -> anyhow::Result<Objects> {
    let credentials =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(Objects::open(place, StoreOptions { credentials: credentials.collect(), ..StoreOptions::default() })?)
}

/// Puts the files of a store that nobody has open to that place. The copy that was there before goes when this one counts.
pub(crate) async fn put(indexes: &Path, place: &str) -> anyhow::Result<Size> {
    let objects = open(place)?;
    let before = current(&objects, place).await?;
    let folder = format!("copy-{}", SystemClock::new().now().as_micros());
    let mut paths = Vec::new();
    list(indexes, Path::new(""), &mut paths)?;
    let uploads = stream::iter(paths.into_iter().enumerate()).map(|(at, path)| {
        let (objects, file, object) = (&objects, indexes.join(&path), format!("{at:06}"));
        let name = format!("{folder}/{object}");
        async move {
            let bytes = objects.upload(&name, &file).await?;
            anyhow::Ok(CopiedFile { path: path.to_string_lossy().into_owned(), object, bytes })
        }
    });
    let files: Vec<_> = uploads.buffered(PARALLEL).try_collect().await?;
    let size = Size { files: files.len(), bytes: files.iter().map(|file| file.bytes).sum() };
    objects.replace(CURRENT, serde_json::to_vec(&Current { folder, files })?).await?;
    if let Some(before) = before {
        objects.delete_all(&before.folder).await?;
        // Object stores have no folders without objects; at a URL there is nothing to remove.
        let _ = fs::remove_dir(Path::new(place).join(&before.folder));
    }
    Ok(size)
}

/// Takes the indexes of a data directory without any from the copy at that place.
pub(crate) async fn restore(data_dir: &Path, place: &str) -> anyhow::Result<Size> {
    let index = DataDir::index_in(data_dir);
    if index.exists() {
        return Err(usage(format!(
            "{} has indexes already; name an empty directory with --data-dir",
            data_dir.display()
        )));
    }
    let objects = open(place)?;
    let Some(Current { folder, files }) = current(&objects, place).await? else {
        return Err(usage(format!(
            "there is no copy of indexes at {place}; `dfuse tools index copy {place}` makes one"
        )));
    };
    let begun = data_dir.join("index.unfinished");
    match fs::remove_dir_all(&begun) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context(begun.display().to_string()),
        _ => {}
    }
    let size = Size { files: files.len(), bytes: files.iter().map(|file| file.bytes).sum() };
    info!(files = size.files, mib = size.bytes >> 20, "taking the indexes from a copy");
    let clock = SystemClock::new();
    let began = clock.elapsed();
    let mut downloads = stream::iter(files)
        .map(|CopiedFile { path, object, bytes }| {
            let (objects, file, name) = (&objects, begun.join(&path), format!("{folder}/{object}"));
            async move {
                must_be_inside(&path)?;
                fs::create_dir_all(file.parent().unwrap_or(&file))?;
                let found = objects.download(&name, &file).await?;
                if found != bytes {
                    bail!("the copy is damaged: {name} has {found} bytes instead of {bytes}; make another one");
                }
                Ok(bytes)
            }
        })
        .buffer_unordered(PARALLEL);
    let (mut taken, mut told) = (0, began);
    while let Some(bytes) = downloads.try_next().await? {
        taken += bytes;
        let now = clock.elapsed();
        if (now - told).as_secs() >= 10 {
            told = now;
            let seconds_left = (now - began).as_secs_f64() * (size.bytes - taken) as f64 / taken.max(1) as f64;
            info!(
                mib = taken >> 20,
                of = size.bytes >> 20,
                seconds_left = seconds_left as u64,
                "taking the indexes from a copy"
            );
        }
    }
    fs::rename(&begun, &index).with_context(|| index.display().to_string())?;
    Ok(size)
}

async fn current(objects: &Objects, place: &str) -> anyhow::Result<Option<Current>> {
    let Some(content) = objects.get(CURRENT).await? else { return Ok(None) };
    let current = serde_json::from_slice(&content);
    current
        .map(Some)
        .with_context(|| format!("what is at {place} is not a copy of indexes, or of another version of dfuse"))
}

/// A copy says where its files belong; nothing of it may lead elsewhere.
fn must_be_inside(path: &str) -> anyhow::Result<()> {
    use std::path::Component;
    if Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) && !path.is_empty() {
        return Ok(());
    }
    bail!("the copy is damaged: it has a file \"{path}\"")
}

fn list(folder: &Path, inside: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder.join(inside))? {
        let entry = entry?;
        let path = inside.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(folder, &path, found)?;
        } else {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_copy_counts_and_nothing_leads_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to, place) = (folder.path().join("from"), folder.path().join("to"), folder.path().join("place"));
        let place = place.to_str().unwrap();
        fs::create_dir_all(from.join("keyspaces/1")).unwrap();
        fs::create_dir_all(&to).unwrap();
        assert!(restore(&to, place).await.unwrap_err().is::<crate::UsageError>());
        for round in ["a", "bb"] {
            fs::write(from.join("keyspaces/1/table"), round).unwrap();
            fs::write(from.join("version"), "").unwrap();
            assert_eq!(put(&from, place).await.unwrap(), Size { files: 2, bytes: round.len() as u64 });
        }
        assert_eq!(open(place).unwrap().folders("").await.unwrap().len(), 1, "the one before is gone");
        restore(&to, place).await.unwrap();
        assert_eq!(fs::read_to_string(to.join("index/keyspaces/1/table")).unwrap(), "bb");
        assert!(restore(&to, place).await.unwrap_err().to_string().contains("has indexes already"));
        for path in ["/a", "../a", "a/../../b", ""] {
            assert!(must_be_inside(path).is_err(), "{path}");
        }
    }
}
