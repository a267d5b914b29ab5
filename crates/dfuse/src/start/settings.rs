//! Configuration: defaults, a TOML file, `DFUSE_*` variables and flags, in rising order.

mod access;
mod descriptions;
mod options;

use std::{
    collections::BTreeSet,
    fmt::Write,
    path::{Path, PathBuf},
};

use dfuse_search::SYSTEM_ACTIONS;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

pub(crate) use self::access::{Access, IssuerSettings};
use self::descriptions::DESCRIPTIONS;
use crate::failure::usage;

/// Beginnings of variables that are no settings: flags that are variables too, and those of tests and benchmarks.
const OTHER_VARIABLES: [&str; 8] = ["CONFIG", "BOOT_", "LOG_", "TEST_", "BENCH_", "UPDATE_DOCS", "SERVER", "KV_"];

/// Everything that can be set. Field names are the keys of the file, and in capitals, after `DFUSE_`, the variables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) source: String,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: String,
    pub(crate) grpc_listen: Option<String>,
    pub(crate) chain_id: Option<String>,
    pub(crate) cursor_keys: Vec<String>,
    pub(crate) genesis: Option<PathBuf>,
    pub(crate) exit_at_end: bool,
    pub(crate) rebuild_damaged: bool,
    pub(crate) blocks: Blocks,
    pub(crate) index: Index,
    pub(crate) search: Search,
    pub(crate) http: Http,
    pub(crate) chain_api: ChainApi,
    pub(crate) nodeos: Nodeos,
    pub(crate) websocket: WebSocket,
    pub(crate) graphql: Graphql,
    pub(crate) access: Access,
}

/// Nodes that are supervised, with `source = "nodeos"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nodeos {
    pub(crate) binary: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) dir: PathBuf,
    pub(crate) snapshot: Option<PathBuf>,
    pub(crate) queue_mib: usize,
    pub(crate) max_line_mib: usize,
    pub(crate) restart_pause_seconds: u64,
    pub(crate) hang_timeout_seconds: u64,
    pub(crate) stop_timeout_seconds: u64,
    pub(crate) snapshot_blocks: u32,
    pub(crate) snapshots_kept: usize,
    pub(crate) restore: bool,
    pub(crate) nodes: Vec<Node>,
}

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) deep_mind: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) binary: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) arguments: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) environment: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) peers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Blocks {
    pub(crate) store: Option<String>,
    pub(crate) first_block: u32,
    pub(crate) memory_mib: usize,
    pub(crate) keep_forked: u32,
    pub(crate) fsync: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    pub(crate) memory_mib: usize,
    pub(crate) cache_mib: u64,
    pub(crate) fsync: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    pub(crate) data_fields: String,
    pub(crate) act_digest: bool,
    pub(crate) events: Option<String>,
    pub(crate) unrestricted_events: bool,
    pub(crate) include: String,
    pub(crate) exclude: String,
    pub(crate) system: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) max_connections: usize,
    pub(crate) max_header_bytes: usize,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_bodies_bytes: usize,
    pub(crate) header_timeout_seconds: u64,
    pub(crate) body_timeout_seconds: u64,
    pub(crate) read_timeout_seconds: u64,
    pub(crate) readers: Option<usize>,
    pub(crate) max_waiting_reads: usize,
    pub(crate) max_waiting_reads_per_client: usize,
    pub(crate) shutdown_grace_seconds: u64,
    pub(crate) max_head_age_seconds: Option<u64>,
    pub(crate) client_timeout_seconds: u64,
    pub(crate) integrity_secret: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainApi {
    pub(crate) upstreams: Vec<String>,
    pub(crate) push_upstreams: Vec<String>,
    pub(crate) authenticate: bool,
    pub(crate) timeout_seconds: u64,
    pub(crate) retries: u32,
    pub(crate) info_age_ms: u64,
    pub(crate) max_blocks_behind: u32,
    pub(crate) max_waiting_pushes: usize,
    pub(crate) push_retries: u32,
    pub(crate) push_again_seconds: u64,
    pub(crate) in_block_timeout_seconds: u64,
    pub(crate) handoffs_timeout_seconds: u64,
    pub(crate) irreversible_timeout_seconds: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebSocket {
    pub(crate) max_streams: usize,
    pub(crate) max_message_bytes: usize,
    pub(crate) max_pending_bytes: usize,
    pub(crate) memory_mib: usize,
    pub(crate) slow_client_seconds: u64,
    pub(crate) ping_interval_seconds: u64,
    pub(crate) disabled_messages: BTreeSet<String>,
}

/// GraphQL over WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Graphql {
    pub(crate) max_subscriptions: usize,
    pub(crate) max_message_bytes: usize,
    pub(crate) init_timeout_seconds: u64,
    pub(crate) keep_alive_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let (feed, api) = (dfuse_blocks::feed::FeedOptions::default(), dfuse_api::Options::default());
        let graphql = dfuse_graphql::SocketOptions::default();
        let (http, query) = (dfuse_http::Options::default(), dfuse_query::Options::default());
        Self {
            source: "demo".to_owned(),
            data_dir: None,
            listen: "127.0.0.1:8080".to_owned(),
            grpc_listen: None,
            chain_id: None,
            cursor_keys: Vec::new(),
            genesis: None,
            exit_at_end: false,
            rebuild_damaged: false,
            blocks: Blocks {
                store: None,
                first_block: feed.first_streamable,
                memory_mib: feed.memory_bytes >> 20,
                keep_forked: feed.keep_forked,
                fsync: false,
            },
            index: Index {
                memory_mib: dfuse_index::Options::default().overlay_bytes >> 20,
                cache_mib: dfuse_kv::EngineOptions::default().cache_bytes >> 20,
                fsync: false,
            },
            search: Search {
                data_fields: "*".to_owned(),
                act_digest: false,
                events: None,
                unrestricted_events: false,
                include: "*".to_owned(),
                exclude: String::new(),
                system: SYSTEM_ACTIONS.to_owned(),
            },
            http: Http {
                max_connections: http.max_connections,
                max_header_bytes: http.max_header_bytes,
                max_body_bytes: http.max_body_bytes,
                max_bodies_bytes: http.max_bodies_bytes,
                header_timeout_seconds: http.header_timeout.as_secs(),
                body_timeout_seconds: http.body_timeout.as_secs(),
                read_timeout_seconds: query.read_timeout.as_secs(),
                readers: None,
                max_waiting_reads: query.max_waiting_reads,
                max_waiting_reads_per_client: query.max_waiting_reads_of_client,
                shutdown_grace_seconds: http.shutdown_grace.as_secs(),
                max_head_age_seconds: query.max_head_age.map(|age| age.as_secs()),
                client_timeout_seconds: http.client_timeout.as_secs(),
                integrity_secret: None,
            },
            chain_api: ChainApi {
                upstreams: Vec::new(),
                push_upstreams: Vec::new(),
                authenticate: api.chain_api.authenticate,
                timeout_seconds: api.chain_api.timeout.as_secs(),
                retries: api.chain_api.retries,
                info_age_ms: api.chain_api.info_age.as_millis() as u64,
                max_blocks_behind: api.chain_api.max_blocks_behind,
                max_waiting_pushes: api.chain_api.push.max_waiting,
                push_retries: api.chain_api.push.retries,
                push_again_seconds: api.chain_api.push.push_again.as_secs(),
                in_block_timeout_seconds: api.chain_api.push.in_block_timeout.as_secs(),
                handoffs_timeout_seconds: api.chain_api.push.handoffs_timeout.as_secs(),
                irreversible_timeout_seconds: api.chain_api.push.irreversible_timeout.as_secs(),
            },
            nodeos: Nodeos::default(),
            websocket: WebSocket {
                max_streams: api.websocket.max_streams,
                max_message_bytes: api.websocket.max_message_bytes,
                max_pending_bytes: query.streams.max_pending_bytes,
                memory_mib: query.streams.memory_bytes >> 20,
                slow_client_seconds: api.websocket.slow_client_time.as_secs(),
                ping_interval_seconds: api.websocket.ping_interval.as_secs(),
                disabled_messages: api.websocket.disabled_messages,
            },
            graphql: Graphql {
                max_subscriptions: graphql.max_subscriptions,
                max_message_bytes: graphql.max_message_bytes,
                init_timeout_seconds: graphql.init_timeout.as_secs(),
                keep_alive_seconds: graphql.keep_alive_interval.as_secs(),
            },
            access: Access::default(),
        }
    }
}

impl Default for Nodeos {
    fn default() -> Self {
        let options = dfuse_node::nodeos::NodeosOptions::default();
        Self {
            binary: "nodeos".into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            dir: "nodes".into(),
            snapshot: None,
            queue_mib: options.queue_bytes >> 20,
            max_line_mib: options.max_line_bytes >> 20,
            restart_pause_seconds: options.restart_pauses.1.as_secs(),
            hang_timeout_seconds: options.hang_timeout.as_secs(),
            stop_timeout_seconds: options.stop_timeout.as_secs(),
            snapshot_blocks: options.snapshot_blocks,
            snapshots_kept: options.snapshots_kept,
            restore: false,
            nodes: Vec::new(),
        }
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
        let Self { data_dir, genesis, nodeos, .. } = self;
        let optional = [("data_dir", data_dir), ("genesis", genesis), ("nodeos.snapshot", &mut nodeos.snapshot)];
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
        for (name, description) in DESCRIPTIONS {
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
    DESCRIPTIONS.iter().any(|(name, _)| *name == key)
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
        assert_eq!(found, DESCRIPTIONS.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn the_reference_is_a_file_of_the_defaults() {
        let figment = Figment::from(Serialized::defaults(Settings::default()));
        let read: Settings = figment.merge(Toml::string(&Settings::reference())).extract().unwrap();
        assert_eq!(read, Settings::default());
    }
}
