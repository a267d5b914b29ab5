//! `dfuse init`: a working configuration for a local chain, or for following a network.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use dfuse_antelope::Genesis;
use dfuse_blocks::{Clock, SystemClock};
use dfuse_node::{SourceSpec, nodeos::snapshot_block};

use crate::{failure::usage, start::CONFIG_FILE};

/// The key pair of a local chain, which every tutorial of EOSIO shows.
const DEVELOPMENT_KEY: (&str, &str) =
    ("EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV", "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3");
const GENESIS_FILE: &str = "genesis.json";

/// Write a configuration for `dfuse start`: for a local chain of two nodes, one that makes blocks and takes transactions and
/// one whose log is read, or for a node that follows an existing network. Asks for what is not said, in a terminal.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Directory to write to: dfuse.toml, and a directory for each node
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// What to configure
    #[arg(long, value_enum)]
    chain: Option<Chain>,
    /// Path of nodeos, if it is not in PATH
    #[arg(long, value_name = "FILE", default_value = "nodeos")]
    nodeos: PathBuf,
    /// Argument to pass to nodeos before all others. May be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    nodeos_argument: Vec<String>,
    /// Environment variable to set for nodeos, as NAME=VALUE. May be repeated
    #[arg(long, value_name = "VARIABLE")]
    nodeos_environment: Vec<String>,
    /// First port to use. Each node takes two: one for HTTP, one for peers
    #[arg(long, value_name = "PORT", default_value_t = 8888)]
    first_port: u16,
    /// Source of state history to follow a network by, from nodes that already run: ship:HOST:PORT, ship:unix:PATH or
    /// ship-log:DIR, as for dfuse start
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["peer", "genesis"])]
    source: Option<String>,
    /// Peer of the network to follow, as HOST:PORT. May be repeated
    #[arg(long, value_name = "PEER")]
    peer: Vec<String>,
    /// The genesis.json of the network, to follow it from its beginning
    #[arg(long, value_name = "FILE", conflicts_with = "snapshot")]
    genesis: Option<PathBuf>,
    /// Snapshot of nodeos, to follow a network from the block of the snapshot on
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Overwrite the files of an earlier configuration
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Chain {
    /// A new chain on this machine
    Local,
    /// An existing network
    Follow,
}

/// A node that is configured.
struct Node<'a> {
    name: &'a str,
    http: u16,
    p2p: u16,
    deep_mind: bool,
    peers: &'a [String],
    /// It makes blocks.
    produces: bool,
    /// The whole chain is on this machine.
    is_local: bool,
}

impl Init {
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let chain = match self.chain {
            Some(chain) => chain,
            None if io::stdin().is_terminal() => self.ask()?,
            None => return Err(usage("say what to run: --chain local or --chain follow")),
        };
        let files = match chain {
            Chain::Local => self.local()?,
            Chain::Follow => self.follow()?,
        };
        let paths = files.iter().map(|(path, _)| self.dir.join(path)).collect::<Vec<_>>();
        if let Some(there) = paths.iter().find(|path| path.exists() && !self.force) {
            return Err(usage(format!("{} is there already; --force replaces it", there.display())));
        }
        for (path, (_, content)) in paths.iter().zip(&files) {
            let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, content));
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        self.say(&paths)
    }

    /// What was written, and what comes next.
    fn say(&self, paths: &[PathBuf]) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        for path in paths {
            writeln!(out, "wrote {}", path.display())?;
        }
        let config = match self.dir.as_path() {
            dir if dir == Path::new(".") => String::new(),
            dir => format!(" --config {}", dir.join(CONFIG_FILE).display()),
        };
        writeln!(out, "\nNow run: dfuse start{config}")?;
        Ok(())
    }

    /// Asks for what is not said.
    fn ask(&mut self) -> anyhow::Result<Chain> {
        let chain = match prompt("Run a local chain, or follow a network? [local/follow]", "local")?.as_str() {
            "local" => Chain::Local,
            "follow" => Chain::Follow,
            other => return Err(usage(format!("\"{other}\" is neither local nor follow"))),
        };
        if self.nodeos == Path::new("nodeos") {
            self.nodeos = prompt("The nodeos program? [nodeos]", "nodeos")?.into();
        }
        if chain == Chain::Follow {
            if self.source.is_none() && self.peer.is_empty() {
                let source = "State history of a node that runs already, as ship:HOST:PORT or ship-log:DIR? [none: a node of my own]";
                self.source = Some(prompt(source, "")?).filter(|source| !source.is_empty());
            }
            if self.source.is_some() {
                return Ok(chain);
            }
            if self.peer.is_empty() {
                let peers = prompt("Peers of the network, as HOST:PORT, with spaces between them?", "")?;
                self.peer = peers.split_whitespace().map(str::to_owned).collect();
            }
            if self.genesis.is_none() && self.snapshot.is_none() {
                let file = prompt("A genesis.json of the network, or a snapshot?", "")?;
                let slot = if file.ends_with(".json") { &mut self.genesis } else { &mut self.snapshot };
                *slot = Some(file).filter(|file| !file.is_empty()).map(PathBuf::from);
            }
        }
        Ok(chain)
    }

    /// A chain of two nodes.
    fn local(&self) -> anyhow::Result<Vec<(PathBuf, String)>> {
        if !self.peer.is_empty() || self.genesis.is_some() || self.snapshot.is_some() || self.source.is_some() {
            return Err(usage("--source, --peer, --genesis and --snapshot are for --chain follow"));
        }
        let [http, follower_http, p2p, follower_p2p] = self.ports()?;
        let peers = [format!("127.0.0.1:{p2p}")];
        let nodes = [
            Node { name: "producer", http, p2p, deep_mind: false, peers: &[], produces: true, is_local: true },
            Node {
                name: "follower",
                http: follower_http,
                p2p: follower_p2p,
                deep_mind: true,
                peers: &peers,
                produces: false,
                is_local: true,
            },
        ];
        let genesis = genesis(SystemClock::new().now().as_millis() as i64);
        let mut config = self.config("a local chain", "nodeos");
        let _ = writeln!(config, "genesis = \"{GENESIS_FILE}\"");
        self.nodeos_section(&mut config, &nodes, None);
        let mut files = vec![(CONFIG_FILE.into(), config), (GENESIS_FILE.into(), genesis)];
        files.extend(nodes.iter().map(node_file));
        Ok(files)
    }

    /// Nodes that others run.
    fn follow_source(&self, source: &str) -> anyhow::Result<Vec<(PathBuf, String)>> {
        match source.parse() {
            Ok(SourceSpec::History(_) | SourceSpec::HistoryLogs(_)) => {}
            Ok(_) => {
                return Err(usage(format!("\"{source}\" is no state history: use ship:HOST:PORT or ship-log:DIR")));
            }
            Err(error) => return Err(usage(error.to_string())),
        }
        let mut config = self.config("the state history of nodes", source);
        if let Some(file) = &self.snapshot {
            File::open(file).map_err(|error| usage(format!("snapshot {}: {error}", file.display())))?;
            let _ = writeln!(config, "snapshot = {}", toml_text(&fs::canonicalize(file)?.display().to_string()));
        }
        Ok(vec![(CONFIG_FILE.into(), config)])
    }

    /// A node that follows a network.
    fn follow(&self) -> anyhow::Result<Vec<(PathBuf, String)>> {
        if let Some(source) = &self.source {
            return self.follow_source(source);
        }
        if self.peer.is_empty() {
            return Err(usage(
                "name at least one peer of the network, --peer HOST:PORT, or the state history of a node: --source ship:HOST:PORT",
            ));
        }
        if let Some(wrong) = self.peer.iter().find(|peer| !peer.contains(':')) {
            return Err(usage(format!("\"{wrong}\" is no peer: write it as HOST:PORT")));
        }
        let [http, _, p2p, _] = self.ports()?;
        let node =
            Node { name: "follower", http, p2p, deep_mind: true, peers: &self.peer, produces: false, is_local: false };
        let mut config = self.config("a node that follows a network", "nodeos");
        let mut files = Vec::new();
        let mut snapshot = None;
        match (&self.genesis, &self.snapshot) {
            (Some(file), _) => {
                let wrong = |error: String| usage(format!("genesis file {}: {error}", file.display()));
                let json = fs::read(file).map_err(|error| wrong(error.to_string()))?;
                let parsed = Genesis::from_json(&json).and_then(|genesis| genesis.chain_id());
                parsed.map_err(|error| wrong(error.to_string()))?;
                let _ = writeln!(config, "genesis = \"{GENESIS_FILE}\"");
                files.push((GENESIS_FILE.into(), String::from_utf8(json).map_err(|error| wrong(error.to_string()))?));
            }
            (None, Some(file)) => {
                File::open(file).map_err(|error| usage(format!("snapshot {}: {error}", file.display())))?;
                let path = fs::canonicalize(file)?;
                let _ = match snapshot_block(&path) {
                    Some(number) => writeln!(config, "\n[blocks]\nfirst_block = {}", number + 1),
                    // The history begins with the next hundred.
                    None => Ok(()),
                };
                snapshot = Some(path);
            }
            (None, None) => {
                return Err(usage("say what the node begins with: --genesis FILE or --snapshot FILE of the network"));
            }
        }
        self.nodeos_section(&mut config, std::slice::from_ref(&node), snapshot.as_deref());
        files.insert(0, (CONFIG_FILE.into(), config));
        files.push(node_file(&node));
        Ok(files)
    }

    fn ports(&self) -> anyhow::Result<[u16; 4]> {
        let last = self.first_port.checked_add(3).filter(|_| self.first_port > 0);
        last.ok_or_else(|| usage(format!("--first-port {}: four ports from there on are needed", self.first_port)))?;
        Ok([0, 1, 2, 3].map(|offset| self.first_port + offset))
    }

    /// The beginning of the configuration file.
    fn config(&self, what: &str, source: &str) -> String {
        let source = toml_text(source);
        format!(
            "# dfuse over {what}. `dfuse tools print-config` prints all settings with what they do; paths are seen from this\n\
             # file's directory.\n\nsource = {source}\ndata_dir = \"dfuse-data\"\n"
        )
    }

    fn nodeos_section(&self, config: &mut String, nodes: &[Node<'_>], snapshot: Option<&Path>) {
        // A program that is given by a path is found from anywhere.
        let binary = match self.nodeos.components().count() {
            1 => self.nodeos.clone(),
            _ => fs::canonicalize(&self.nodeos).unwrap_or_else(|_| self.nodeos.clone()),
        };
        let text = |path: &Path| toml_text(&path.display().to_string());
        let list = |texts: &[String]| texts.iter().map(|text| toml_text(text)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(config, "\n[nodeos]\nbinary = {}\ndir = \"nodes\"", text(&binary));
        if !self.nodeos_argument.is_empty() {
            let _ = writeln!(config, "arguments = [{}]", list(&self.nodeos_argument));
        }
        if !self.nodeos_environment.is_empty() {
            let _ = writeln!(config, "environment = [{}]", list(&self.nodeos_environment));
        }
        if let Some(snapshot) = snapshot {
            let _ = writeln!(config, "snapshot = {}", text(snapshot));
        }
        for node in nodes {
            let what = match (node.produces, node.deep_mind) {
                (true, _) => "# Makes blocks and takes transactions.\n",
                _ => "# Its log is read. Such a node takes no transactions itself.\n",
            };
            let _ = writeln!(config, "\n{what}[[nodeos.nodes]]\nname = \"{}\"", node.name);
            if node.deep_mind {
                config.push_str("deep_mind = true\n");
            }
        }
    }
}

/// Text as TOML has it; a JSON string is one.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The file of a node, which nodeos reads.
fn node_file(node: &Node<'_>) -> (PathBuf, String) {
    let Node { name, http, p2p, deep_mind, peers, produces, is_local } = node;
    let mut text =
        "# Settings of nodeos. eosio::chain_plugin must be the first plugin.\nplugin = eosio::chain_plugin\n"
            .to_owned();
    for plugin in ["http", "chain_api", "net", "net_api", "producer", "producer_api"] {
        let _ = writeln!(text, "plugin = eosio::{plugin}_plugin");
    }
    let _ = write!(
        text,
        "\nhttp-server-address = 127.0.0.1:{http}\nhttp-validate-host = false\nverbose-http-errors = true\n\
         http-max-response-time-ms = 2000\nabi-serializer-max-time-ms = 2000\n\np2p-listen-endpoint = 127.0.0.1:{p2p}\n\
         p2p-max-nodes-per-host = 20\nagent-name = \"{name}\"\n"
    );
    for peer in *peers {
        let _ = writeln!(text, "p2p-peer-address = {peer}");
    }
    let _ = writeln!(text, "\nchain-state-db-size-mb = 4096\ncontracts-console = true");
    if *is_local {
        text.push_str(
            "# By itself nodeos stops on a disk that is nine tenths full, which a small chain need not.\n\
             resource-monitor-not-shutdown-on-threshold-exceeded = true\n",
        );
    }
    if *produces {
        let (public, private) = DEVELOPMENT_KEY;
        let _ = write!(
            text,
            "\n# A key that everybody knows: for a chain that holds nothing of value.\nsignature-provider = {public}=KEY:{private}\n\
             producer-name = eosio\nenable-stale-production = true\nmax-transaction-time = 475\n"
        );
    }
    if *deep_mind {
        text.push_str(
            "\n# A node whose log is read takes no transactions.\ndeep-mind = true\napi-accept-transactions = false\n\
             p2p-accept-transactions = false\n",
        );
    }
    (Path::new("nodes").join(name).join("config.ini"), text)
}

/// What a local chain begins with, at some milliseconds since 1970.
fn genesis(now_ms: i64) -> String {
    let time = dfuse_antelope::TimePoint((now_ms - now_ms.rem_euclid(500)) * 1000);
    let genesis = serde_json::json!({
        "initial_timestamp": time.to_string(),
        "initial_key": DEVELOPMENT_KEY.0,
        "initial_configuration": {
            "max_block_net_usage": 1_048_576,
            "target_block_net_usage_pct": 1000,
            "max_transaction_net_usage": 524_288,
            "base_per_transaction_net_usage": 12,
            "net_usage_leeway": 500,
            "context_free_discount_net_usage_num": 20,
            "context_free_discount_net_usage_den": 100,
            "max_block_cpu_usage": 400_000,
            "target_block_cpu_usage_pct": 1000,
            "max_transaction_cpu_usage": 390_000,
            "min_transaction_cpu_usage": 100,
            "max_transaction_lifetime": 3600,
            "deferred_trx_expiration_window": 600,
            "max_transaction_delay": 3_888_000,
            "max_inline_action_size": 524_288,
            "max_inline_action_depth": 4,
            "max_authority_depth": 6,
        },
    });
    format!("{genesis:#}\n")
}

/// Asks one thing; nothing but a line end takes what is usual.
fn prompt(question: &str, usual: &str) -> anyhow::Result<String> {
    let mut out = io::stdout().lock();
    write!(out, "{question} ")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read the answer")?;
    Ok(Some(line.trim()).filter(|answer| !answer.is_empty()).unwrap_or(usual).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genesis_of_a_local_chain_has_an_id() {
        let parsed = Genesis::from_json(genesis(1_764_000_000_123).as_bytes()).unwrap();
        let other = Genesis::from_json(genesis(1_764_000_000_623).as_bytes()).unwrap();
        assert_ne!(parsed.chain_id().unwrap(), other.chain_id().unwrap());
        assert!(genesis(1_764_000_000_623).contains(":00.500\""), "{}", genesis(1_764_000_000_623));
    }
}
