//! What a node is told: by dfuse's configuration, by its own `config.ini`, by its arguments.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use dfuse_antelope::Checksum256;

/// A node that is supervised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Names it in logs, metrics and conditions of readiness.
    pub name: String,
    /// The program, looked for in `PATH` if it is a bare name.
    pub binary: PathBuf,
    /// Arguments that come before those that dfuse adds.
    pub arguments: Vec<String>,
    /// Variables that are set beside those that dfuse has.
    pub environment: Vec<(String, String)>,
    /// Addresses of peers, beside those in `config.ini`.
    pub peers: Vec<String>,
    /// Where `config.ini` is.
    pub config_dir: PathBuf,
    /// Where the node keeps its data.
    pub data_dir: PathBuf,
    /// Whether it is this node's log that is read.
    pub deep_mind: bool,
}

#[cfg(test)]
impl NodeConfig {
    /// A node whose settings and data are in one directory.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            name: "n".to_owned(),
            binary: "/bin/sh".into(),
            arguments: vec![],
            environment: vec![],
            peers: vec![],
            config_dir: folder.to_owned(),
            data_dir: folder.to_owned(),
            deep_mind: true,
        }
    }
}

/// How nodes are supervised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeosOptions {
    /// The nodes, in the order in which they start. One of them has `deep_mind`.
    pub nodes: Vec<NodeConfig>,
    /// What a node without data starts with.
    pub genesis: Option<PathBuf>,
    /// What a node without data starts with instead.
    pub snapshot: Option<PathBuf>,
    /// The chain's id, where it is known.
    pub chain_id: Option<Checksum256>,
    /// Most bytes of the log that are read and not decoded yet. When there are more, the node waits.
    pub queue_bytes: usize,
    /// Most bytes of a line of the log.
    pub max_line_bytes: usize,
    /// How long to wait before a node that ended is started again: at first and at most; doubled from time to time.
    pub restart_pauses: (Duration, Duration),
    /// How long a node may take to stop before it is killed.
    pub stop_timeout: Duration,
    /// How long a node may neither answer nor log anything before it is taken for hung and started again.
    pub hang_timeout: Duration,
    /// How often a node is asked for its state.
    pub poll: Duration,
    /// Blocks between two snapshots; none are made if 0.
    pub snapshot_blocks: u32,
    /// Snapshots that are kept; older ones are removed.
    pub snapshots_kept: usize,
    /// Begin by restoring every node from its newest snapshot.
    pub restore: bool,
}

impl Default for NodeosOptions {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            genesis: None,
            snapshot: None,
            chain_id: None,
            queue_bytes: 256 << 20,
            max_line_bytes: dfuse_deep_mind::MAX_LINE,
            restart_pauses: (Duration::from_secs(1), Duration::from_secs(60)),
            stop_timeout: Duration::from_secs(300),
            hang_timeout: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            snapshot_blocks: 7200,
            snapshots_kept: 3,
            restore: false,
        }
    }
}

/// Where the settings of a node are, below its configuration directory.
pub(crate) const CONFIG_FILE: &str = "config.ini";

/// The settings that a node runs with: its `config.ini`, and the arguments over it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeSettings(BTreeMap<String, Vec<String>>);

impl NodeSettings {
    /// Reads what a node will run with.
    pub(crate) fn read(config: &NodeConfig) -> io::Result<Self> {
        let mut settings = Self::parse(&fs::read_to_string(config.config_dir.join(CONFIG_FILE))?);
        settings.take_arguments(&config.arguments);
        settings.0.entry("p2p-peer-address".to_owned()).or_default().extend(config.peers.iter().cloned());
        Ok(settings)
    }

    /// `key = value` lines; `#` begins a comment.
    fn parse(text: &str) -> Self {
        let mut settings = BTreeMap::<_, Vec<_>>::new();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', '[']));
        for (key, value) in lines.filter_map(|line| line.split_once('=')) {
            settings.entry(key.trim().to_owned()).or_default().push(value.trim().trim_matches('"').to_owned());
        }
        Self(settings)
    }

    /// `--key value`, `--key=value`, `--key`: those that may come several times add to the file, others replace.
    fn take_arguments(&mut self, arguments: &[String]) {
        let mut arguments = arguments.iter().peekable();
        while let Some(argument) = arguments.next() {
            let Some(option) = argument.strip_prefix("--") else { continue };
            let (key, value) = match option.split_once('=') {
                Some((key, value)) => (key, value.to_owned()),
                None => {
                    let value = arguments.next_if(|next| !next.starts_with("--"));
                    (option, value.cloned().unwrap_or_else(|| "true".to_owned()))
                }
            };
            let values = self.0.entry(key.to_owned()).or_default();
            if !["plugin", "p2p-peer-address"].contains(&key) {
                values.clear();
            }
            values.push(value);
        }
    }

    /// All values of a setting.
    pub(crate) fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// The value of a setting that is there once.
    pub(crate) fn one(&self, key: &str) -> Option<&str> {
        self.all(key).last().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a setting is on.
    pub(crate) fn is_on(&self, key: &str, default: bool) -> bool {
        self.one(key).map_or(default, |value| ["true", "1", "on", "yes"].contains(&value))
    }

    pub(crate) fn has_plugin(&self, name: &str) -> bool {
        self.all("plugin").iter().any(|plugin| plugin.split_whitespace().any(|plugin| plugin == name))
    }

    /// Where HTTP is served, as an address that can be connected to.
    pub(crate) fn http(&self) -> Option<String> {
        self.has_plugin("eosio::http_plugin").then_some(())?;
        let address = self.one("http-server-address").unwrap_or("127.0.0.1:8888");
        Some(connectable(address))
    }

    /// Where peers connect to.
    pub(crate) fn p2p(&self) -> Option<String> {
        self.has_plugin("eosio::net_plugin").then_some(())?;
        let address = self.one("p2p-listen-endpoint").unwrap_or("0.0.0.0:9876");
        Some(connectable(address))
    }

    /// Peers that the node connects to, without what follows the port.
    pub(crate) fn peers(&self) -> impl Iterator<Item = String> {
        self.all("p2p-peer-address").iter().map(|peer| {
            let mut parts = peer.splitn(3, ':');
            let (host, port) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            connectable(&format!("{host}:{port}"))
        })
    }

    /// A directory below the node's data directory, as one of the settings names it.
    fn below(&self, data_dir: &Path, key: &str, default: &str) -> PathBuf {
        data_dir.join(self.one(key).unwrap_or(default))
    }

    pub(crate) fn snapshots(&self, data_dir: &Path) -> PathBuf {
        self.below(data_dir, "snapshots-dir", "snapshots")
    }

    pub(crate) fn state(&self, data_dir: &Path) -> PathBuf {
        self.below(data_dir, "state-dir", "state")
    }

    pub(crate) fn blocks(&self, data_dir: &Path) -> PathBuf {
        self.below(data_dir, "blocks-dir", "blocks")
    }
}

/// Listening everywhere means that this machine answers, too.
fn connectable(address: &str) -> String {
    let port = address.strip_prefix("0.0.0.0:").or_else(|| address.strip_prefix("localhost:"));
    port.map_or_else(|| address.to_owned(), |port| format!("127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_go_over_the_file() {
        let mut settings = NodeSettings::parse(
            "# http-server-address = 1.1.1.1:1\nplugin = eosio::chain_plugin\nplugin=eosio::http_plugin\n\
             http-server-address = 0.0.0.0:8000\ndeep-mind = true\np2p-peer-address = localhost:1:trx\n",
        );
        assert_eq!(settings.http().unwrap(), "127.0.0.1:8000");
        assert!(settings.is_on("deep-mind", false) && settings.is_on("p2p-accept-transactions", true));
        assert!(settings.p2p().is_none());
        let arguments = [
            "nodeos",
            "--http-server-address=[::1]:9",
            "--plugin",
            "eosio::net_plugin",
            "--deep-mind",
            "--state-dir",
            "s",
        ];
        settings.take_arguments(&arguments.map(str::to_owned));
        assert_eq!(settings.http().unwrap(), "[::1]:9");
        assert_eq!(settings.p2p().unwrap(), "127.0.0.1:9876");
        assert_eq!(settings.peers().collect::<Vec<_>>(), ["127.0.0.1:1"]);
        assert_eq!(settings.all("plugin")[0], "eosio::chain_plugin");
        assert!(settings.is_on("deep-mind", false));
        assert_eq!(settings.state(Path::new("/d")), Path::new("/d/s"));
        assert_eq!(settings.blocks(Path::new("/d")), Path::new("/d/blocks"));
    }
}
