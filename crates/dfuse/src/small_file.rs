//! Small files that are there or not, and are written whole or not at all.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::Path,
};

use anyhow::Context;
use serde::{Serialize, de::DeserializeOwned};
use tempfile::NamedTempFile;

/// The content of a file, if there is one.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read(file: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// The same of a JSON file.
///
/// # Errors
/// It cannot be read, or is something else, which is told as `wrong`.
pub(crate) fn read_json<T: DeserializeOwned>(file: &Path, wrong: impl FnOnce() -> String) -> anyhow::Result<Option<T>> {
    read(file)?.map(|bytes| serde_json::from_slice(&bytes).with_context(wrong)).transpose()
}

/// Writes a JSON file, which survives a loss of power when this returns.
///
/// # Errors
/// It cannot be written. What was there before stays.
pub(crate) fn write_json(file: &Path, content: &impl Serialize) -> anyhow::Result<()> {
    let written = || -> io::Result<()> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut new = NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut new, content)?;
        new.flush()?;
        new.as_file().sync_all()?;
        new.persist(file)?;
        Ok(())
    };
    written().with_context(|| format!("cannot write {}", file.display()))
}
