//! `dfuse start`: everything in one process.

mod access;
mod begun;
mod conditions;
mod data_dir;
mod descriptors;
mod index;
mod ingest;
mod issuers;
mod load;
mod nodes;
mod opened;
mod origin;
mod pace;
mod parts;
mod process;
mod reading;
mod repair;
mod settings;
mod signals;
mod surfaces;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::{failure::explained, remedy};

pub(crate) use self::{
    data_dir::DataDir, descriptors::raise_limit as raise_limit_of_open_files, reading::answer, settings::Settings,
};
use self::{descriptors::Shares, origin::Origin};

/// Take blocks from a source, index them, and serve the API. Settings come from here, from DFUSE_* variables, from the
/// configuration file, in this order; `dfuse tools print-config` prints them all.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Start {
    /// A configuration file, as `dfuse tools print-config` prints it [default: ./dfuse.toml if it is there]
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Directory of everything that is kept [default: ./dfuse-data; for the demo a temporary one]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    /// Where blocks come from: demo, deep-mind:FILE, deep-mind:- (standard input), ship:HOST:PORT or ship:unix:PATH (nodes with
    /// the state-history plugin), ship-log:DIR (the data directory of such a node), blocks:DIR, firehose:HOST:PORT (another
    /// server; firehoses:HOST:PORT with TLS; several separated by commas) or nodeos (supervised nodes).
    /// For blocks in an object store (blocks:s3://BUCKET/PREFIX) dfuse is built with the feature aws, gcp or azure
    /// [default: demo]
    #[arg(long, value_name = "SPEC")]
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Address of REST and WebSocket [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    /// Address of gRPC [default: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_listen: Option<String>,
    /// The chain's id
    #[arg(long, value_name = "HEX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<String>,
    /// Begin with the state of a portable snapshot of nodeos: a file or a URL, plain or packed with zstd, gzip or tar. For an
    /// empty data directory; blocks are taken from the one after the snapshot
    #[arg(long, value_name = "FILE|URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    /// End when the source has ended and all its blocks are indexed
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    exit_at_end: bool,
    /// Read all files of the indexes first, and build the indexes anew from the block files if any is damaged
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    rebuild_damaged: bool,
    #[command(flatten)]
    nodeos: NodeFlags,
}

/// Flags of the section `nodeos`.
#[derive(Debug, Args, Serialize)]
struct NodeFlags {
    /// Begin by restoring every supervised node from its newest snapshot
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
        let origin = Origin::parse(&settings.source)?;
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
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.enable_all().max_blocking_threads(shares.blocking_threads).build()?;
        let result = runtime.block_on(process::run(&settings, &shares));
        // What blocks still, after a second signal, is left behind.
        runtime.shutdown_background();
        result.map_err(explained)
    }
}
