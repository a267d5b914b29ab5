//! Which files a log consists of. A node can split it: `NAME.log`, and `NAME-FIRST-LAST.log` beside it or in folders of old ones.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// Folders of old parts, by the usual names, below that of the log.
const OF_OLD_PARTS: [&str; 3] = ["", "retained", "archive"];

/// A file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// First and last block of a part that is complete. The log goes on in the one that has none.
    pub(super) range: Option<(u32, u32)>,
    pub(super) path: PathBuf,
}

impl Part {
    /// The index beside it: where each block begins.
    pub(super) fn index(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    /// The file, as errors name it.
    pub(super) fn place(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(|source| Error::Open { place: self.path.display().to_string(), source })
    }
}

/// The parts of a log, the one that goes on last.
pub(super) fn parts(folder: &Path, name: &str) -> Result<Vec<Part>> {
    let mut parts = vec![];
    for below in OF_OLD_PARTS {
        let folder = folder.join(below);
        let listed = match fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(Error::Open { place: folder.display().to_string(), source }),
        };
        for entry in listed {
            let entry = entry.map_err(|source| Error::Open { place: folder.display().to_string(), source })?;
            let range = entry.file_name().to_str().and_then(|file| range(file, name));
            parts.extend(range.map(|range| Part { range: Some(range), path: entry.path() }));
        }
    }
    parts.sort_by_key(|part| part.range);
    // The same part can be in two folders while it is moved.
    parts.dedup_by_key(|part| part.range);
    let last = folder.join(format!("{name}.log"));
    if last.is_file() {
        parts.push(Part { range: None, path: last });
    }
    Ok(parts)
}

/// The first and the last block that the name of a part says.
fn range(file: &str, name: &str) -> Option<(u32, u32)> {
    let (first, last) = file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".log")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_the_order_of_their_blocks() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("retained")).unwrap();
        for file in
            ["a.log", "a-41-80.log", "a-41-80.index", "retained/a-1-40.log", "a-x-7.log", "b-1-2.log", "a.index"]
        {
            fs::write(folder.path().join(file), []).unwrap();
        }
        let found: Vec<_> = parts(folder.path(), "a").unwrap().into_iter().map(|part| part.range).collect();
        assert_eq!(found, [Some((1, 40)), Some((41, 80)), None]);
        assert_eq!(parts(&folder.path().join("none"), "a").unwrap(), []);
    }
}
