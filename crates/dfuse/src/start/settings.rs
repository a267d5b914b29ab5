//! Configuration: defaults, a TOML file, `DFUSE_*` variables and flags, in rising order.

mod access;
mod filter;
mod firehose;
mod machines;
mod nodeos;
mod options;
mod retention;
mod section;
mod sections;
mod traces;

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use self::section::section;
pub(crate) use self::{
    access::{Access, IssuerSettings},
    filter::Filter,
    firehose::Firehose,
    machines::{Machines, Publish},
    nodeos::{Node, Nodeos},
    retention::{Keep, Retention},
    sections::{Blocks, ChainApi, Graphql, Grpc, Http, Index, Search, Web, WebSocket},
    traces::Traces,
};
use crate::failure::usage;

/// Beginnings of variables that are no settings: flags that are variables too, and those of tests and benchmarks.
const OTHER_VARIABLES: [&str; 8] = ["CONFIG", "BOOT_", "LOG_", "TEST_", "BENCH_", "UPDATE_DOCS", "SERVER", "KV_"];

section! {
    /// Everything that can be set. Field names are the keys of the file, and in capitals, after `DFUSE_`, the variables.
    pub(crate) struct Settings in ""
    {
        /// Where blocks come from: demo, deep-mind:FILE, deep-mind:- (standard input), ship:HOST:PORT or ship:unix:PATH (nodes
        /// with the state-history plugin, several separated by commas), ship-log:DIR (the data directory of such a node),
        /// blocks:URL, firehose:HOST:PORT or firehoses:HOST:PORT (with TLS), several endpoints separated by commas, or nodeos
        /// (supervised nodes, see nodeos.nodes). Flag: --source
        source: String = "demo".to_owned(),
        /// Roles of this process: ingest (reads blocks from the source, writes them to the block store and sends them
        /// to other machines), index (builds indexes) and api (answers clients, from indexes of its own). Only one of
        /// several machines may have fewer than all roles; see [machines]. Flag: --roles
        roles: String = "ingest,index,api".to_owned(),
        /// Directory in which dfuse keeps its data. Not set: ./dfuse-data; the demo uses a temporary directory, which is
        /// removed when the process ends. Flag: --data-dir
        data_dir: Option<PathBuf> = None,
        /// Address of the HTTP server: REST, WebSocket, GraphQL, pages, /healthz and /metrics. Port 0 picks a free port. Flag:
        /// --listen
        listen: String = "127.0.0.1:8080".to_owned(),
        /// Address of gRPC. Not set: 127.0.0.1:9000, or a free port if that is in use or `listen` has port 0. Flag:
        /// --grpc-listen
        grpc_listen: Option<String> = None,
        /// The chain's id. Without it, public keys cannot be recovered from signatures. A data directory remembers its id
        /// and refuses another. Flag: --chain-id
        chain_id: Option<String> = None,
        /// A genesis.json file that the chain's id is computed from, instead of chain_id. A supervised node without data
        /// starts with it
        genesis: Option<PathBuf> = None,
        /// A portable snapshot of nodeos, a file or a URL, whose state the indexes of an empty data directory begin with:
        /// plain, or packed with zstd, gzip or tar. Indexing continues with the next block. Flag: --snapshot
        snapshot: Option<String> = None,
        /// Keys that seal cursors, each 64 hex digits (openssl rand -hex 32 prints one). Give all machines behind one address
        /// the same keys, so that a client can continue on another machine. The first key seals new cursors, and every key
        /// opens them: to replace a key, put the new one first, and remove the old one later. Empty: the data directory has a
        /// key of its own
        cursor_keys: Vec<String> = Vec::new(),
        /// How long a request waits for a block that another machine may already have: the block of its cursor, or one
        /// a little above the head
        ahead_wait_ms: u64 = 2000,
        /// End the process when the source has ended and all of its blocks are indexed. Flag: --exit-at-end
        exit_at_end: bool = false,
        /// Read all index files at startup, and rebuild the indexes from the block files if any is damaged or missing.
        /// Flag: --rebuild-damaged
        rebuild_damaged: bool = false,
    }
    sections {
        machines: Machines,
        blocks: Blocks,
        filter: Filter,
        index: Index,
        search: Search,
        retention: Retention,
        http: Http,
        chain_api: ChainApi,
        nodeos: Nodeos,
        firehose: Firehose,
        websocket: WebSocket,
        graphql: Graphql,
        grpc: Grpc,
        web: Web,
        traces: Traces,
        access: Access,
    }
}

impl Settings {
    /// Puts a file, the environment and flags over the defaults. `flags` holds what was given on the command line only.
    pub(crate) fn load(file: Option<&PathBuf>, flags: &impl Serialize) -> anyhow::Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            if !file.is_file() {
                return Err(usage(format!("there is no configuration file {}", file.display())));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        // Other variables with this prefix may belong to other programs.
        let known = |key: &figment::value::UncasedStr| is_setting(key.as_str());
        for (name, _) in std::env::vars_os() {
            let key = name.to_str().and_then(|name| name.strip_prefix("DFUSE_"));
            if let Some(key) = key
                && !is_setting(key)
                && !OTHER_VARIABLES.iter().any(|other| key.starts_with(other))
            {
                warn!("the variable DFUSE_{key} is no setting; `dfuse tools print-config` names those that are");
            }
        }
        let environment = Env::prefixed("DFUSE_").filter(known).split("__");
        let figment = figment.merge(environment).merge(Serialized::defaults(flags));
        let settings = figment.extract();
        let mut settings: Self = settings
            .map_err(|errors| usage(errors.into_iter().map(|error| describe(&error)).collect::<Vec<_>>().join("; ")))?;
        if let Some(folder) = file.and_then(|file| file.parent()) {
            settings.resolve(folder, |key| {
                let metadata = figment.find_metadata(key);
                metadata
                    .and_then(|metadata| metadata.source.as_ref())
                    .is_some_and(|source| source.file_path().is_some())
            });
        }
        Ok(settings)
    }

    /// Paths that the file names are seen from its directory, so that it can be used from anywhere.
    fn resolve(&mut self, folder: &Path, is_in_file: impl Fn(&str) -> bool) {
        let Self { data_dir, genesis, nodeos, firehose, snapshot, .. } = self;
        if let Some(file) = snapshot.as_mut().filter(|place| is_in_file("snapshot") && !place.contains("://")) {
            *file = folder.join(&*file).display().to_string();
        }
        let optional = [
            ("data_dir", data_dir),
            ("genesis", genesis),
            ("nodeos.snapshot", &mut nodeos.snapshot),
            ("firehose.ca_certificates", &mut firehose.ca_certificates),
        ];
        let optional = optional.into_iter().filter_map(|(key, path)| Some((key, path.as_mut()?)));
        let binary = Some(&mut nodeos.binary).filter(|binary| binary.components().count() > 1);
        let given = [("nodeos.dir", &mut nodeos.dir)].into_iter().chain(binary.map(|binary| ("nodeos.binary", binary)));
        for (_, path) in optional.chain(given).filter(|(key, _)| is_in_file(key)) {
            *path = folder.join(&*path);
        }
        if is_in_file("nodeos.nodes") {
            let paths = nodeos.nodes.iter_mut().flat_map(|node| [&mut node.config_dir, &mut node.data_dir]);
            for path in paths.flatten() {
                *path = folder.join(&*path);
            }
        }
    }

    /// The defaults as a commented configuration file.
    pub(crate) fn reference() -> String {
        let defaults = serde_json::to_value(Self::default()).expect("plain data");
        let mut text = String::new();
        let mut section = None;
        for (name, description) in Self::descriptions() {
            let description = description.trim_start();
            let key = match name.split_once('.') {
                Some((in_section, key)) => {
                    if section != Some(in_section) {
                        section = Some(in_section);
                        let _ = write!(text, "\n[{in_section}]\n");
                    }
                    key
                }
                None => name,
            };
            let variable = name.to_ascii_uppercase().replace('.', "__");
            let value = name.split('.').try_fold(&defaults, |value, key| value.get(key)).unwrap_or(&Value::Null);
            let _ = match value {
                Value::Null => write!(text, "\n# {description}. Variable: DFUSE_{variable}\n# {key} =\n"),
                value => write!(text, "\n# {description}. Variable: DFUSE_{variable}\n{key} = {value}\n"),
            };
        }
        text.trim_start().to_owned()
    }
}

/// Whether a variable is one, without `DFUSE_`.
fn is_setting(variable: &str) -> bool {
    let key = variable.to_ascii_lowercase().replace("__", ".");
    Settings::descriptions().any(|(name, _)| name == key)
}

/// Names the key, what is wrong with it, and where it was set.
fn describe(error: &figment::Error) -> String {
    let key = error.path.join(".");
    let place = error.metadata.as_ref().map(|metadata| match &metadata.source {
        Some(source) => format!(" (in {source})"),
        None => format!(" (in {})", metadata.name),
    });
    let key = if key.is_empty() { String::new() } else { format!("setting \"{key}\": ") };
    format!("{key}{}{}", error.kind, place.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn keys(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
        for (key, value) in value.as_object().unwrap() {
            let name = format!("{prefix}{key}");
            match value {
                Value::Object(_) => keys(value, &format!("{name}."), found),
                _ => assert!(found.insert(name)),
            }
        }
    }

    #[test]
    fn every_setting_is_described() {
        let mut found = BTreeSet::new();
        keys(&serde_json::to_value(Settings::default()).unwrap(), "", &mut found);
        assert_eq!(found, Settings::descriptions().map(|(name, _)| name.to_owned()).collect());
    }

    #[test]
    fn the_reference_is_a_file_of_the_defaults() {
        let figment = Figment::from(Serialized::defaults(Settings::default()));
        let read: Settings = figment.merge(Toml::string(&Settings::reference())).extract().unwrap();
        assert_eq!(read, Settings::default());
    }
}
