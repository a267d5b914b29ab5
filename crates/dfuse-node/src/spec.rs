use std::{fmt, path::PathBuf, str::FromStr};

use crate::{Error, firehose::Endpoints, history::HistoryFolders, ship::Addresses};

/// Names a source, as on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// `deep-mind:FILE`: a recorded log, plain, zstd or gzip.
    Log(PathBuf),
    /// `deep-mind:-`: the log of a node, piped into this process.
    StandardInput,
    /// `ship:HOST:PORT` or `ship:unix:PATH`, several with commas between: nodes that serve state history.
    History(Addresses),
    /// `ship-log:DIR` or `ship-log:history=DIR,blocks=DIR`: the data directory of a node with the state-history plugin, or where its
    /// logs are.
    HistoryLogs(HistoryFolders),
    /// `blocks:URL`: an existing block store, a directory or the URL of an object store.
    Blocks(String),
    /// `firehose:HOST:PORT,...` or `firehoses:...`: Firehose endpoints of the chain.
    Firehose(Endpoints),
}

impl FromStr for SourceSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            Some(("deep-mind", "-")) => Ok(Self::StandardInput),
            Some(("deep-mind", file)) if !file.is_empty() => Ok(Self::Log(file.into())),
            Some(("ship-log", folders)) => folders.parse().map(Self::HistoryLogs),
            Some(("ship", addresses)) => addresses.parse().map(Self::History),
            Some(("blocks", place)) if !place.is_empty() => Ok(Self::Blocks(place.to_owned())),
            Some(("firehose" | "firehoses", _)) => text.parse().map(Self::Firehose).map_err(Error::Endpoint),
            _ => Err(Error::Spec(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(file) => write!(f, "deep-mind:{}", file.display()),
            Self::StandardInput => f.write_str("deep-mind:-"),
            Self::HistoryLogs(folders) => write!(f, "ship-log:{folders}"),
            Self::History(addresses) => write!(f, "ship:{addresses}"),
            Self::Blocks(place) => write!(f, "blocks:{place}"),
            Self::Firehose(endpoints) => endpoints.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_round_trip() {
        for text in [
            "deep-mind:-",
            "deep-mind:/a/b.zst",
            "deep-mind:c:d",
            "ship-log:/data",
            "ship-log:history=/a,blocks=/b",
            "ship:127.0.0.1:8080",
            "ship:unix:/s,[::1]:80",
            "blocks:s3://bucket/x",
            "blocks:./store",
            "firehoses:a.example.com:443,b.example.com:443",
        ] {
            assert_eq!(text.parse::<SourceSpec>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "deep-mind",
            "deep-mind:",
            "blocks:",
            "ship-log:",
            "ship-log:history=/a",
            "ship-log:history=,blocks=/b",
            "ship-log:history=/a,blocks=",
            "ship:host",
            "ship:host:x",
            "ship:",
            "deepmind:x",
            "file",
        ] {
            assert!(matches!(wrong.parse::<SourceSpec>(), Err(Error::Spec(_))), "{wrong}");
        }
        assert!(matches!("firehose:x".parse::<SourceSpec>(), Err(Error::Endpoint(_))));
    }
}
