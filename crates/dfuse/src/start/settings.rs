//! Configuration: defaults, a TOML file, `DFUSE_*` variables and flags, in rising order.

use std::{
    collections::BTreeSet,
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use dfuse_antelope::Name;
use dfuse_api::WebSocketOptions;
use dfuse_node::rpc::{NodeClient, NodeOptions, RpcError};
use dfuse_search::{EventAction, Filter, FilterError, SYSTEM_ACTIONS, TermOptions};
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::usage;

/// Everything that can be set. Field names are the keys of the file, and in capitals, after `DFUSE_`, the variables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) source: String,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: String,
    pub(crate) grpc_listen: String,
    pub(crate) chain_id: Option<String>,
    pub(crate) genesis: Option<PathBuf>,
    pub(crate) exit_at_end: bool,
    pub(crate) blocks: Blocks,
    pub(crate) index: Index,
    pub(crate) search: Search,
    pub(crate) http: Http,
    pub(crate) chain_api: ChainApi,
    pub(crate) nodeos: Nodeos,
    pub(crate) websocket: WebSocket,
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
    pub(crate) header_timeout_seconds: u64,
    pub(crate) body_timeout_seconds: u64,
    pub(crate) read_timeout_seconds: u64,
    pub(crate) readers: Option<usize>,
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
    pub(crate) slow_client_seconds: u64,
    pub(crate) ping_interval_seconds: u64,
    pub(crate) disabled_messages: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let (feed, api) = (dfuse_blocks::feed::FeedOptions::default(), dfuse_api::Options::default());
        Self {
            source: "demo".to_owned(),
            data_dir: None,
            listen: "127.0.0.1:8080".to_owned(),
            grpc_listen: "127.0.0.1:9000".to_owned(),
            chain_id: None,
            genesis: None,
            exit_at_end: false,
            blocks: Blocks {
                store: None,
                first_block: feed.first_streamable,
                memory_mib: feed.memory_bytes >> 20,
                keep_forked: feed.keep_forked,
                fsync: false,
            },
            index: Index {
                memory_mib: dfuse_index::Options::default().overlay_bytes >> 20,
                cache_mib: dfuse_kv::FjallOptions::default().cache_bytes >> 20,
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
                max_connections: api.max_connections,
                max_header_bytes: api.max_header_bytes,
                max_body_bytes: api.max_body_bytes,
                header_timeout_seconds: api.header_timeout.as_secs(),
                body_timeout_seconds: api.body_timeout.as_secs(),
                read_timeout_seconds: api.read_timeout.as_secs(),
                readers: None,
                shutdown_grace_seconds: api.shutdown_grace.as_secs(),
                max_head_age_seconds: api.max_head_age.map(|age| age.as_secs()),
                client_timeout_seconds: api.client_timeout.as_secs(),
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
                max_pending_bytes: api.websocket.max_pending_bytes,
                slow_client_seconds: api.websocket.slow_client_time.as_secs(),
                ping_interval_seconds: api.websocket.ping_interval.as_secs(),
                disabled_messages: api.websocket.disabled_messages,
            },
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

impl Search {
    /// Which terms are indexed.
    pub(crate) fn options(&self) -> anyhow::Result<TermOptions> {
        Ok(TermOptions {
            data_fields: self.data_fields()?,
            act_digest: self.act_digest,
            events: self.events()?,
            filter: self.filter()?,
        })
    }

    fn data_fields(&self) -> anyhow::Result<Option<BTreeSet<String>>> {
        let names = self.data_fields.split([',', ' ', '\t', '\n']).filter(|name| !name.is_empty());
        let names: BTreeSet<_> = names.map(|name| name.strip_prefix("data.").unwrap_or(name)).collect();
        if names.is_empty() || names.contains("*") {
            return Ok(None);
        }
        if let Some(deep) = names.iter().find(|name| name.contains('.')) {
            let first = deep.split('.').next().unwrap_or_default();
            return Err(usage(format!(
                "setting \"search.data_fields\": \"{deep}\" is a path; name its first part, \"{first}\", for all below it"
            )));
        }
        Ok(Some(names.into_iter().map(str::to_owned).collect()))
    }

    fn events(&self) -> anyhow::Result<Option<EventAction>> {
        let Some(text) = self.events.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let name = |text: &str| Name::parse(text.as_bytes()).ok().filter(|name| *name != Name(0));
        let parts = text.split_once(':').and_then(|(contract, action)| Some((name(contract)?, name(action)?)));
        let Some((contract, action)) = parts else {
            return Err(usage(format!(
                "setting \"search.events\": \"{text}\" is not contract:action, for instance dfuseiohooks:event"
            )));
        };
        Ok(Some(EventAction { contract, action, unrestricted: self.unrestricted_events }))
    }

    fn filter(&self) -> anyhow::Result<Filter> {
        // One after the other, to tell which is wrong.
        let wrong = |name: &str, error: FilterError| usage(format!("setting \"search.{name}\": {error}"));
        Filter::new(&self.include, "", "").map_err(|error| wrong("include", error))?;
        Filter::new("", &self.exclude, "").map_err(|error| wrong("exclude", error))?;
        Filter::new(&self.include, &self.exclude, &self.system).map_err(|error| wrong("system", error))
    }
}

impl Http {
    pub(crate) fn options(&self) -> dfuse_api::Options {
        let defaults = dfuse_api::Options::default();
        dfuse_api::Options {
            max_connections: self.max_connections,
            max_header_bytes: self.max_header_bytes,
            max_body_bytes: self.max_body_bytes,
            header_timeout: Duration::from_secs(self.header_timeout_seconds),
            body_timeout: Duration::from_secs(self.body_timeout_seconds),
            read_timeout: Duration::from_secs(self.read_timeout_seconds),
            readers: self.readers.unwrap_or(defaults.readers),
            shutdown_grace: Duration::from_secs(self.shutdown_grace_seconds),
            max_head_age: self.max_head_age_seconds.map(Duration::from_secs),
            client_timeout: Duration::from_secs(self.client_timeout_seconds),
            integrity_secret: self.integrity_secret.as_deref().map(dfuse_api::IntegritySecret::new),
            ..defaults
        }
    }
}

impl ChainApi {
    /// `own_node` is the address of a supervised node, which is used if no other is named.
    ///
    /// # Errors
    /// An address of a node that is none, or a time that cannot be.
    pub(crate) fn options(&self, own_node: Option<String>) -> anyhow::Result<dfuse_api::ChainApiOptions> {
        if !(1..=500).contains(&self.info_age_ms) {
            return Err(usage(
                "chain_api.info_age_ms must be from 1 to 500: programs take what get_info says for the present",
            ));
        }
        if self.push_again_seconds == 0 {
            return Err(usage("chain_api.push_again_seconds must be 1 or more"));
        }
        let nodes = |urls: &[String]| {
            let client = |url: &String| NodeClient::new(url, NodeOptions::default());
            urls.iter().map(client).collect::<Result<Vec<_>, RpcError>>().map_err(|error| usage(error.to_string()))
        };
        let defaults = dfuse_api::ChainApiOptions::default();
        let own_node = Vec::from_iter(own_node);
        Ok(dfuse_api::ChainApiOptions {
            upstreams: nodes(if self.upstreams.is_empty() { &own_node } else { &self.upstreams })?,
            push_upstreams: nodes(&self.push_upstreams)?,
            authenticate: self.authenticate,
            timeout: Duration::from_secs(self.timeout_seconds),
            retries: self.retries,
            info_age: Duration::from_millis(self.info_age_ms),
            max_blocks_behind: self.max_blocks_behind,
            push: dfuse_api::PushOptions {
                max_waiting: self.max_waiting_pushes,
                retries: self.push_retries,
                timeout: Duration::from_secs(self.timeout_seconds),
                push_again: Duration::from_secs(self.push_again_seconds),
                in_block_timeout: Duration::from_secs(self.in_block_timeout_seconds),
                handoffs_timeout: Duration::from_secs(self.handoffs_timeout_seconds),
                irreversible_timeout: Duration::from_secs(self.irreversible_timeout_seconds),
                ..defaults.push
            },
            ..defaults
        })
    }
}

impl WebSocket {
    pub(crate) fn options(&self) -> anyhow::Result<WebSocketOptions> {
        let known = dfuse_api::stream_message_types();
        if let Some(unknown) = self.disabled_messages.iter().find(|name| !known.contains(&name.as_str())) {
            let known = known.join(", ");
            return Err(usage(format!("websocket.disabled_messages has \"{unknown}\", which is none of {known}")));
        }
        Ok(WebSocketOptions {
            max_streams: self.max_streams,
            max_message_bytes: self.max_message_bytes,
            max_pending_bytes: self.max_pending_bytes,
            slow_client_time: Duration::from_secs(self.slow_client_seconds),
            ping_interval: Duration::from_secs(self.ping_interval_seconds),
            disabled_messages: self.disabled_messages.clone(),
        })
    }
}

/// What is said of each setting; sections are named before their first.
const DESCRIPTIONS: &[(&str, &str)] = &[
    (
        "source",
        "Where blocks come from: demo, deep-mind:FILE, deep-mind:- (standard input), blocks:URL, nodeos (supervised nodes, see \
         nodeos.nodes). Flag: --source",
    ),
    (
        "data_dir",
        "Directory of everything that is kept. Not set: ./dfuse-data, but for the demo a temporary directory that goes with \
         the process. Flag: --data-dir",
    ),
    ("listen", "Address of REST, WebSocket, /healthz and /metrics. Port 0 takes a free one. Flag: --listen"),
    ("grpc_listen", "Address of gRPC, which this version does not serve yet. Flag: --grpc-listen"),
    (
        "chain_id",
        "The chain's id. Without it, keys cannot be recovered from signatures. A data directory remembers it, and refuses \
         another. Flag: --chain-id",
    ),
    (
        "genesis",
        "A genesis.json, from which the chain's id follows: instead of chain_id. A supervised node without data begins with it",
    ),
    ("exit_at_end", "End the process when the source has ended and all its blocks are indexed. Flag: --exit-at-end"),
    ("blocks.store", "Directory or URL of the block files. Not set: blocks in the data directory"),
    ("blocks.first_block", "Number of the first block of the chain's history that a node can give"),
    ("blocks.memory_mib", "Memory for encoded blocks at the chain's end; others are read from files"),
    ("blocks.keep_forked", "Blocks below the last irreversible one for which forked blocks are kept"),
    (
        "blocks.fsync",
        "Have the operating system write every block file to the disk before it counts as written. Without it a power cut \
         may lose the files of the last seconds; a killed process loses nothing either way",
    ),
    ("index.memory_mib", "Memory for what reversible blocks write into the indexes; more goes to disk"),
    ("index.cache_mib", "Memory for what is read from the indexes"),
    (
        "index.fsync",
        "Have the operating system write every commit of the indexes to the disk. Without it a power cut loses the last \
         commits, which are made again from the block files",
    ),
    (
        "search.data_fields",
        "Which fields of the data of actions are indexed, each with all that is in it: names, with commas or blanks between \
         them, or * for all. The index must be built anew when anything in this section changes: dfuse tools reindex search",
    ),
    ("search.act_digest", "Index the digest of every action, some 20 bytes each"),
    (
        "search.events",
        "The action by which contracts tell of events, as contract:action, for instance dfuseiohooks:event. Not set: none",
    ),
    ("search.unrestricted_events", "Index events of any length and number of keys"),
    (
        "search.include",
        "Actions that are indexed: a CEL expression over receiver, account, action, auth, data and others, or several from \
         certain blocks on; see docs/search.md",
    ),
    ("search.exclude", "Actions that are not indexed although they are included: the same"),
    (
        "search.system",
        "System actions that pass filters in any case: the same. For searching it matters whether eosio:setabi is among them",
    ),
    ("http.max_connections", "Most connections at a time; more wait to be accepted"),
    ("http.max_header_bytes", "Most bytes of a request's header, path and query included"),
    ("http.max_body_bytes", "Most bytes of a request's body"),
    ("http.header_timeout_seconds", "How long the header of a request may take, and a connection may be idle"),
    ("http.body_timeout_seconds", "How long the body of a request may take"),
    ("http.read_timeout_seconds", "How long the server may take for one answer"),
    (
        "http.readers",
        "Requests that read from the indexes at a time; more wait for their turn. Not set: four for each core",
    ),
    ("http.shutdown_grace_seconds", "How long requests at work may go on when the process is told to stop"),
    (
        "http.max_head_age_seconds",
        "From which age of the head block on /healthz says that the server is not ready. Not set: never",
    ),
    ("http.client_timeout_seconds", "How long a client may take nothing of a long answer before it is given up"),
    (
        "http.integrity_secret",
        "A secret with which an answer is proven to clients that ask for X-Data-Integrity-Proof. Not set: no proofs",
    ),
    (
        "chain_api.upstreams",
        "Nodes that answer /v1/chain/*, as http://127.0.0.1:8888; the next one takes over when one fails. Not set: the \
         supervised node that takes transactions, if there is one. The variable is written as in this file",
    ),
    (
        "chain_api.push_upstreams",
        "Further nodes that transactions with a guarantee are pushed to while they wait for a block",
    ),
    (
        "chain_api.authenticate",
        "Whether /v1/chain/* asks for the same access as the rest of the API. Pushes with a guarantee always do",
    ),
    ("chain_api.timeout_seconds", "How long a node may take to begin its answer, and then for each part of it"),
    ("chain_api.retries", "How often a request that failed is sent again, if that can do no harm"),
    ("chain_api.info_age_ms", "How old an answer of get_info may be: up to 500"),
    ("chain_api.max_blocks_behind", "Blocks that a node may be behind the best one and still be asked first"),
    ("chain_api.max_waiting_pushes", "Most pushes that wait for their guarantee at a time"),
    (
        "chain_api.push_retries",
        "How often the first push with a guarantee is tried again when the node is away or over a limit of resources",
    ),
    ("chain_api.push_again_seconds", "Time between two pushes of a transaction that waits"),
    ("chain_api.in_block_timeout_seconds", "How long in-block waits for a block"),
    ("chain_api.handoffs_timeout_seconds", "How long handoff:1 to handoff:3 wait for other producers"),
    ("chain_api.irreversible_timeout_seconds", "How long irreversible waits"),
    ("nodeos.binary", "The program that is started for every supervised node"),
    ("nodeos.arguments", "Arguments of every node, before those that dfuse adds"),
    ("nodeos.environment", "Variables of every node, each as \"NAME=VALUE\", beside those that dfuse has"),
    ("nodeos.dir", "Directory of the nodes' own: the node NAME has NAME/config.ini in it, and its data in NAME/data"),
    ("nodeos.snapshot", "A snapshot with which a node without data begins, instead of genesis"),
    (
        "nodeos.queue_mib",
        "Memory for a node's log that is read and not decoded yet, also from standard input. When it is full, the node waits",
    ),
    (
        "nodeos.restart_pause_seconds",
        "Longest pause before a node that ended is started again; the first is a second, and each is twice the one before",
    ),
    ("nodeos.hang_timeout_seconds", "How long a node may neither answer nor log anything before it is started again"),
    (
        "nodeos.stop_timeout_seconds",
        "How long a node may take to stop before it is killed, which makes its state unusable",
    ),
    (
        "nodeos.snapshot_blocks",
        "Blocks between two snapshots that a node is asked to make; 0: none are made. A node whose state is unusable is restored \
         from one, and executes all its blocks again without one",
    ),
    ("nodeos.snapshots_kept", "Snapshots that are kept for each node; older ones are removed"),
    (
        "nodeos.restore",
        "Begin by restoring every node from its newest snapshot; the one whose log is read from the newest that leaves out no \
         block which dfuse has not taken. Flag: --restore-nodes",
    ),
    (
        "nodeos.nodes",
        "The supervised nodes, in the order in which they start, each a table [[nodeos.nodes]]: name; deep_mind = true for the \
         one whose log is read; and if wanted binary, arguments, environment, peers (HOST:PORT), config_dir, data_dir. What else \
         they do is in their own config.ini. `dfuse init` writes all of it",
    ),
    ("websocket.max_streams", "Most streams of a connection"),
    ("websocket.max_message_bytes", "Most bytes of a message from a client; a longer one ends the connection (1009)"),
    (
        "websocket.max_pending_bytes",
        "Bytes of a connection that wait for the client to read; when there are more, its streams wait. It is also the longest \
         table snapshot",
    ),
    (
        "websocket.slow_client_seconds",
        "How long a client may take to read one message; the connection ends after that (1008)",
    ),
    ("websocket.ping_interval_seconds", "Time between two ping messages"),
    (
        "websocket.disabled_messages",
        "Types of requests that are answered with ws_unavailable_message_error, such as [\"get_table_rows\"]. Each name counts \
         by itself: get_action_traces and get_actions, get_transaction_lifecycle and get_transaction are the same",
    ),
];

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
        // Other variables with this prefix belong to tests and tools.
        let known = |key: &figment::value::UncasedStr| {
            let key = key.as_str().to_ascii_lowercase().replace("__", ".");
            DESCRIPTIONS.iter().any(|(name, _)| *name == key)
        };
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
    fn what_is_indexed() {
        let with = |change: fn(&mut Search)| {
            let mut search = Settings::default().search;
            change(&mut search);
            search.options().map_err(|error| error.to_string())
        };
        assert_eq!(with(|_| ()), Ok(TermOptions::default()));
        assert_eq!(with(|search| search.data_fields = " from *".into()), Ok(TermOptions::default()));
        let some = with(|search| search.data_fields = "from, data.to memo,".into()).unwrap();
        assert_eq!(some.data_fields, Some(["from", "memo", "to"].map(str::to_owned).into()));
        let events = with(|search| search.events = Some("dfuseiohooks:event".into())).unwrap().events.unwrap();
        assert_eq!((events.contract.to_string(), events.unrestricted), ("dfuseiohooks".to_owned(), false));
        assert!(with(|search| search.exclude = "receiver == 'spam'".into()).is_ok_and(|it| !it.filter.passes_all()));
        for (change, message) in [
            ((|search| search.data_fields = "from.name".into()) as fn(&mut Search), "name its first part, \"from\""),
            (|search| search.events = Some("dfuseiohooks".into()), "setting \"search.events\": "),
            (|search| search.events = Some("dfuseiohooks:".into()), "setting \"search.events\": "),
            (
                |search| search.include = "receiver == ".into(),
                "setting \"search.include\": expected a value, got the end",
            ),
            (
                |search| search.exclude = "#1 receiver".into(),
                "setting \"search.exclude\": expected the number of a block",
            ),
            (|search| search.system = "reciever".into(), "setting \"search.system\": there is no \"reciever\""),
        ] {
            let error = with(change).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn only_types_of_messages_can_be_disabled() {
        let mut settings = Settings::default().websocket;
        settings.disabled_messages.insert("get_table_rows".to_owned());
        assert_eq!(settings.options().unwrap().disabled_messages, settings.disabled_messages);
        settings.disabled_messages.insert("get_rows".to_owned());
        let error = settings.options().unwrap_err().to_string();
        assert!(error.contains("\"get_rows\", which is none of ") && error.contains(", get_table_rows, "), "{error}");
    }

    #[test]
    fn the_reference_is_a_file_of_the_defaults() {
        let figment = Figment::from(Serialized::defaults(Settings::default()));
        let read: Settings = figment.merge(Toml::string(&Settings::reference())).extract().unwrap();
        assert_eq!(read, Settings::default());
    }
}
