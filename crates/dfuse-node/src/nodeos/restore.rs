//! How a node without usable state gets one again.

use std::{fs, io, path::Path};

use super::{
    config::{NodeConfig, NodeSettings, NodeosOptions},
    snapshots::{SnapshotFile, first_logged_block, list},
};

/// Where a node's state comes from at its next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It is there, or is made from genesis or the first snapshot.
    AsItIs,
    /// A snapshot, then the blocks that the node keeps.
    Snapshot(SnapshotFile),
    /// All blocks that the node keeps, executed again.
    Replay,
    /// The same, after damage among them was cut off.
    HardReplay,
}

impl Plan {
    /// The best way to a state at or below block `limit`.
    ///
    /// # Errors
    /// There is none; says what to do.
    pub(crate) fn new(config: &NodeConfig, settings: &NodeSettings, limit: u32) -> Result<Self, String> {
        let folder = settings.snapshots(&config.data_dir);
        if let Some(snapshot) = list(&folder).into_iter().rev().find(|snapshot| snapshot.number <= limit) {
            return Ok(Self::Snapshot(snapshot));
        }
        match first_logged_block(&settings.blocks(&config.data_dir)) {
            Some(first) if first > 1 => Err(format!(
                "its state must be made anew from block {limit} or below, but its blocks begin at {first} and there is no such \
                 snapshot in {}; put one there, or remove {} and the data directory of dfuse to begin anew",
                folder.display(),
                config.data_dir.display(),
            )),
            Some(_) => Ok(Self::Replay),
            None => Ok(Self::AsItIs),
        }
    }

    /// What to try after this has failed.
    pub(crate) fn next(self) -> Option<Self> {
        match self {
            Self::AsItIs | Self::HardReplay => None,
            Self::Snapshot(_) => Some(Self::Replay),
            Self::Replay => Some(Self::HardReplay),
        }
    }

    /// Makes room for the new state, and gives the arguments that make it.
    pub(crate) fn prepare(
        &self,
        config: &NodeConfig,
        settings: &NodeSettings,
        options: &NodeosOptions,
    ) -> Result<Vec<String>, String> {
        let argument = |name: &str, path: &Path| vec![name.to_owned(), path.display().to_string()];
        let state = settings.state(&config.data_dir);
        if *self != Self::AsItIs {
            remove(&state).map_err(|error| format!("cannot remove its state, {}: {error}", state.display()))?;
        }
        match self {
            Self::Snapshot(snapshot) => Ok(argument("--snapshot", &snapshot.path)),
            // Blocks without state are executed again.
            Self::Replay => Ok(Vec::new()),
            Self::HardReplay => Ok(vec!["--hard-replay-blockchain".to_owned()]),
            Self::AsItIs if first_logged_block(&settings.blocks(&config.data_dir)).is_some() => Ok(Vec::new()),
            Self::AsItIs if is_filled(&state) => Ok(Vec::new()),
            Self::AsItIs => match (&options.snapshot, &options.genesis) {
                (Some(snapshot), _) => Ok(argument("--snapshot", snapshot)),
                (None, Some(genesis)) => Ok(argument("--genesis-json", genesis)),
                (None, None) => {
                    Err("it has no data yet, and there is nothing to begin with: set genesis or nodeos.snapshot to \
                     a file of the network"
                        .to_owned())
                }
            },
        }
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Whether there is anything in a directory.
fn is_filled(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_allowed_snapshot_comes_before_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_owned();
        let config = NodeConfig::in_folder(&data_dir);
        let settings = NodeSettings::default();
        let plan = |limit| Plan::new(&config, &settings, limit);
        let options = |snapshot: Option<&str>, genesis: Option<&str>| NodeosOptions {
            snapshot: snapshot.map(Into::into),
            genesis: genesis.map(Into::into),
            ..NodeosOptions::default()
        };
        let prepare = |plan: &Plan, options| plan.prepare(&config, &settings, &options);

        assert_eq!(plan(9).unwrap(), Plan::AsItIs);
        assert!(prepare(&Plan::AsItIs, options(None, None)).unwrap_err().contains("nothing to begin with"));
        assert_eq!(prepare(&Plan::AsItIs, options(None, Some("g"))).unwrap(), ["--genesis-json", "g"]);
        assert_eq!(prepare(&Plan::AsItIs, options(Some("s"), Some("g"))).unwrap(), ["--snapshot", "s"]);

        fs::create_dir_all(data_dir.join("blocks")).unwrap();
        fs::create_dir_all(data_dir.join("state")).unwrap();
        fs::write(data_dir.join("state/shared_memory.bin"), "x").unwrap();
        fs::write(data_dir.join("blocks/blocks.log"), [3, 0, 0, 0, 1, 0, 0, 0]).unwrap();
        assert!(prepare(&Plan::AsItIs, options(Some("s"), Some("g"))).unwrap().is_empty());
        assert!(data_dir.join("state").exists());
        assert_eq!(plan(9).unwrap(), Plan::Replay);
        assert_eq!(Plan::Replay.next(), Some(Plan::HardReplay));
        assert!(prepare(&Plan::Replay, options(None, Some("g"))).unwrap().is_empty());
        assert!(!data_dir.join("state").exists());

        fs::create_dir_all(data_dir.join("snapshots")).unwrap();
        for number in [5_u32, 20] {
            fs::write(data_dir.join(format!("snapshots/snapshot-{number:08x}{}.bin", "0".repeat(56))), "").unwrap();
        }
        let Plan::Snapshot(found) = plan(19).unwrap() else { panic!() };
        assert_eq!(found.number, 5);
        assert_eq!(prepare(&Plan::Snapshot(found.clone()), options(None, None)).unwrap()[0], "--snapshot");
        assert_eq!(Plan::Snapshot(found).next(), Some(Plan::Replay));
        fs::write(data_dir.join("blocks/blocks.log"), [3, 0, 0, 0, 4, 0, 0, 0]).unwrap();
        assert!(plan(4).unwrap_err().contains("its blocks begin at 4"));
    }
}
