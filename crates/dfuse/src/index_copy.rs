//! Copies of the indexes in a directory or an object store, with which new machines begin.
//!
//! Each copy is an archive in a folder of its own. The object `current`, written last, names the folder that counts.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use dfuse_blocks::{
    Clock, Objects, SystemClock,
    archive::{Archive, fetch_folder, store_folder},
};
use tracing::info;

use crate::{backup::made_by, failure::usage, input::store_options, start::DataDir};

const CURRENT: &str = "current";
/// Before the time in the name of a copy's folder.
const FOLDER: &str = "copy-";

/// Where the files of a copy stand while it is made: in the data directory, whose disk has room for indexes.
pub(crate) fn unfinished(data_dir: &Path) -> PathBuf {
    data_dir.join("index-copy.unfinished")
}

/// Whether copies can be put to that place, before one is made, which takes long.
pub(crate) async fn must_be_usable(place: &str) -> anyhow::Result<()> {
    current(&Objects::open(place, store_options(true))?).await.map(drop)
}

/// Puts the files of a store that nobody has open to that place. The copy that was there before goes when this one counts.
pub(crate) async fn put(indexes: &Path, place: &str) -> anyhow::Result<Archive> {
    let objects = Objects::open(place, store_options(true))?;
    let before = current(&objects).await?;
    let folder = format!("{FOLDER}{}", SystemClock::new().now().as_micros());
    let archive = store_folder(indexes, &objects.below(&folder), made_by()).await?;
    objects.replace(CURRENT, folder.into_bytes()).await?;
    if let Some(before) = before {
        objects.delete_all(&before).await?;
        // Object stores have no folders without objects; at a URL there is nothing to remove.
        let _ = fs::remove_dir_all(Path::new(place).join(&before));
    }
    Ok(archive)
}

/// Takes the indexes of a data directory without any from the copy at that place.
pub(crate) async fn restore(data_dir: &Path, place: &str) -> anyhow::Result<Archive> {
    let index = DataDir::index_in(data_dir);
    if index.exists() {
        return Err(usage(format!(
            "{} has indexes already; name an empty directory with --data-dir",
            data_dir.display()
        )));
    }
    let objects = Objects::open(place, store_options(true))?;
    let Some(folder) = current(&objects).await? else {
        return Err(usage(format!(
            "there is no copy of indexes at {place}; `dfuse tools index copy {place}` makes one"
        )));
    };
    let begun = data_dir.join("index.unfinished");
    match fs::remove_dir_all(&begun) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context(begun.display().to_string()),
        _ => {}
    }
    info!("taking the indexes from a copy");
    let clock = SystemClock::new();
    let began = clock.elapsed();
    let mut told = began;
    let copy = objects.below(&folder);
    let fetched = fetch_folder(&copy, &begun, |taken, all| {
        let now = clock.elapsed();
        if (now - told).as_secs() >= 10 {
            told = now;
            let seconds_left = (now - began).as_secs_f64() * (all - taken) as f64 / taken.max(1) as f64;
            info!(
                mib = taken >> 20,
                of = all >> 20,
                seconds_left = seconds_left as u64,
                "taking the indexes from a copy"
            );
        }
    });
    let archive = fetched.await.context("the copy cannot be used; make another one")?;
    take_beginning(&begun, data_dir)?;
    fs::rename(&begun, &index).with_context(|| index.display().to_string())?;
    Ok(archive)
}

/// Moves what a copy has beside the files of the indexes to where it belongs, unless the data directory has its own.
fn take_beginning(copy: &Path, data_dir: &Path) -> anyhow::Result<()> {
    for place in [DataDir::state_history_in, DataDir::snapshot_marker_in] {
        let (from, to) = (place(copy), place(data_dir));
        let moved = match (from.exists(), to.exists()) {
            (false, _) => continue,
            (true, false) => fs::rename(&from, &to),
            (true, true) if from.is_dir() => fs::remove_dir_all(&from),
            (true, true) => fs::remove_file(&from),
        };
        moved.with_context(|| to.display().to_string())?;
    }
    Ok(())
}

/// The folder of the copy that counts.
async fn current(objects: &Objects) -> anyhow::Result<Option<String>> {
    let Some(content) = objects.get(CURRENT).await? else { return Ok(None) };
    match std::str::from_utf8(&content) {
        Ok(folder)
            if folder.strip_prefix(FOLDER).is_some_and(|time| time.bytes().all(|byte| byte.is_ascii_digit())) =>
        {
            Ok(Some(folder.to_owned()))
        }
        _ => bail!("what is at {objects} is not a copy of indexes, or of another version of dfuse"),
    }
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
            let archive = put(&from, place).await.unwrap();
            assert_eq!((archive.files(), archive.bytes()), (2, round.len() as u64));
        }
        let objects = Objects::open(place, store_options(false)).unwrap();
        assert_eq!(objects.folders("").await.unwrap().len(), 1, "the one before is gone");
        restore(&to, place).await.unwrap();
        assert_eq!(fs::read_to_string(to.join("index/keyspaces/1/table")).unwrap(), "bb");
        assert!(restore(&to, place).await.unwrap_err().to_string().contains("has indexes already"));
        for folder in ["/a", "../copy-1", "copy-1/..", ""] {
            objects.replace(CURRENT, folder.as_bytes().to_vec()).await.unwrap();
            assert!(current(&objects).await.is_err(), "{folder}");
        }
    }
}
