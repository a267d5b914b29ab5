//! What was run, in a file beside the sequence.

use std::{fs, io, path::Path};

use anyhow::Context;
use dfuse_antelope::Checksum256;
use serde::{Deserialize, Serialize};

/// What was run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// SHA-256 of the file.
    pub(super) revision: Checksum256,
    pub(super) chain_id: Checksum256,
    /// The last irreversible block when it was done.
    pub(super) block_num: u32,
    pub(super) block_id: Checksum256,
    /// Seconds since 1970.
    pub(super) booted_at: u64,
}

impl State {
    pub(super) fn read(file: &Path) -> anyhow::Result<Option<Self>> {
        let what = || {
            format!("{} is not the state of a boot sequence; remove it, or name another with --state", file.display())
        };
        match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(what),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }
}

/// Writes JSON into a file, all of it or nothing.
pub(super) fn write(file: &Path, content: &impl Serialize) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut new, content)?;
    new.persist(file)?;
    Ok(())
}
