//! `dfuse start`: everything in one process.

mod access;
mod begun;
mod conditions;
mod data_dir;
mod descriptors;
mod extend;
mod filtered_before;
mod filtering;
mod given;
mod index;
mod ingest;
mod issuers;
mod load;
mod machine_name;
mod nodes;
mod opened;
mod origin;
mod pace;
mod parts;
mod process;
mod reading;
mod repair;
mod retention;
mod roles;
mod settings;
mod signals;
mod source_state;
mod storage;
mod surfaces;
mod traces;
mod watch;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::{failure::explained, remedy, runtime::Runtime};

pub(crate) use self::{
    data_dir::DataDir,
    descriptors::raise_limit as raise_limit_of_open_files,
    extend::Extender,
    reading::{answer, extend, get, with_server},
    settings::Settings,
};
use self::{descriptors::Shares, origin::Origin, roles::Roles};

/// Read blocks from a source, index them and serve the API. A flag overrides a DFUSE_* variable, and a variable overrides the
/// configuration file; `dfuse tools print-config` prints all settings.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Start {
    /// Configuration file, in the form that `dfuse tools print-config` prints [default: ./dfuse.toml if it exists]
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Directory in which dfuse keeps its data [default: ./dfuse-data; a temporary directory for the demo]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    /// Where blocks come from: demo, deep-mind:FILE, deep-mind:- (standard input), ship:HOST:PORT or ship:unix:PATH (nodes with
    /// the state-history plugin), ship-log:DIR (the data directory of such a node), blocks:DIR, firehose:HOST:PORT (another
    /// server; firehoses:HOST:PORT with TLS; several separated by commas) or nodeos (supervised nodes).
    /// Blocks may be in an object store (blocks:s3://BUCKET/PREFIX, gs://, az://)
    /// [default: demo]
    #[arg(long, value_name = "SPEC")]
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Roles of this process where several machines share the work: some of ingest, index and api, separated by commas [default: all]
    #[arg(long, value_name = "ROLES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<String>,
    /// Address of REST and WebSocket [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    /// Address of gRPC [default: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_listen: Option<String>,
    /// Id of the chain
    #[arg(long, value_name = "HEX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<String>,
    /// Portable snapshot of nodeos to load into an empty data directory: a file or a URL, plain or packed with zstd, gzip or
    /// tar. Indexing continues with the next block
    #[arg(long, value_name = "FILE|URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    /// Exit when the source has ended and all of its blocks are indexed
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    exit_at_end: bool,
    /// Read all index files at startup, and rebuild the indexes from the block files if any file is damaged or missing
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    rebuild_damaged: bool,
    #[command(flatten)]
    filter: FilterFlags,
    #[command(flatten)]
    nodeos: NodeFlags,
}

/// Flags of the section `filter`.
#[derive(Debug, Args, Serialize)]
struct FilterFlags {
    /// Keep only transactions with such an action: a CEL expression, such as "receiver == 'eosio.token'" [default: *]
    #[arg(long, value_name = "CEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    include: Option<String>,
    /// Leave out transactions that have only such actions, in the same form
    #[arg(long, value_name = "CEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    exclude: Option<String>,
}

/// Flags of the section `nodeos`.
#[derive(Debug, Args, Serialize)]
struct NodeFlags {
    /// Restore every supervised node from its newest snapshot at startup
    #[arg(long = "restore-nodes")]
    #[serde(skip_serializing_if = "is_false")]
    restore: bool,
}

/// The configuration file that is used if none is named.
pub(crate) const CONFIG_FILE: &str = "dfuse.toml";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Start {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let usual = || Some(PathBuf::from(CONFIG_FILE)).filter(|file| file.is_file());
        let config = self.config.clone().or_else(usual);
        let settings = Settings::load(config.as_ref(), &self)?;
        let origin = Origin::of(&settings, Roles::of(&settings)?)?;
        let own = Some(DataDir::DEFAULT.into()).filter(|_| !matches!(origin, Origin::Demo));
        let all = std::env::args().skip(1).filter(|argument| argument != "--rebuild-damaged");
        let mut arguments: Vec<_> = all.collect();
        arguments.iter().position(|argument| argument == "start").map(|at| arguments.remove(at));
        remedy::set(remedy::Context {
            data_dir: settings.data_dir.clone().or(own),
            config,
            blocks: settings.blocks.store.clone(),
            log: origin.log(),
            start: Some(arguments),
        });
        let api = &settings.chain_api;
        let has_nodes = settings.source == "nodeos" || !api.upstreams.is_empty() || !api.push_upstreams.is_empty();
        let shares = Shares::new(descriptors::raise_limit(), settings.http.max_connections, has_nodes);
        let runtime = Runtime::of_all_cores(shares.blocking_threads)?;
        let result = runtime.block_on(process::run(&settings, &shares));
        // What blocks still, after a second signal, is left behind.
        runtime.shutdown_background();
        result.map_err(explained)
    }
}
