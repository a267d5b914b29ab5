use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::Error;

/// A file of a store that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, which may be missing.
    pub file: PathBuf,
    /// What is wrong.
    pub why: String,
}

impl Damage {
    pub(super) fn new(file: PathBuf, why: impl Into<String>) -> Self {
        Self { file, why: why.into() }
    }

    pub(super) fn missing(file: PathBuf) -> Self {
        Self::new(file, "it is missing")
    }

    pub(super) fn into_error(self, store: &Path) -> Error {
        Error::Corrupt { path: store.to_owned(), why: self.to_string() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}
