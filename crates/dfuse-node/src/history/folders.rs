//! Where the logs of a node are.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::Error;

/// The logs of a node with the state-history plugin: its data directory, or where each kind of log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryFolders {
    history: PathBuf,
    blocks: PathBuf,
    text: String,
}

impl HistoryFolders {
    /// Traces and deltas.
    pub fn history(&self) -> &Path {
        &self.history
    }

    /// The block log.
    pub fn blocks(&self) -> &Path {
        &self.blocks
    }
}

impl FromStr for HistoryFolders {
    type Err = Error;

    /// `DIR`, or `history=DIR,blocks=DIR`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let set_apart = text.strip_prefix("history=").map(|rest| rest.split_once(",blocks="));
        let (history, blocks) = match set_apart {
            None => (Path::new(text).join("state-history"), Path::new(text).join("blocks")),
            Some(Some((history, blocks))) => (history.into(), blocks.into()),
            Some(None) => return Err(Error::Spec(format!("ship-log:{}", text.chars().take(80).collect::<String>()))),
        };
        if [text, &history.to_string_lossy(), &blocks.to_string_lossy()].contains(&"") {
            return Err(Error::Spec("ship-log:".to_owned()));
        }
        Ok(Self { history, blocks, text: text.to_owned() })
    }
}

impl fmt::Display for HistoryFolders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
