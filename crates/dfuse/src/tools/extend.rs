//! `dfuse tools extend`.

use std::{
    collections::BTreeMap,
    io::{Write, stdout},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use dfuse_node::SourceSpec;

use crate::{
    control::{Command, Reached, Reply, say_at_length},
    failure::{self, usage},
    start::{Settings, extend},
    tools::runtime,
};

/// Have earlier blocks join a data directory that began in the middle of the chain. A running server serves meanwhile, and does
/// it itself. Blocks, transactions, searches and ABIs then reach back to the first of them; state reaches back as far as before.
/// Killed at any moment, the same command goes on.
#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// Where the earlier blocks are: deep-mind:FILE, ship-log:DIR, blocks:DIR or the URL of a block store, firehose:HOST:PORT. It must
    /// have all blocks from the one of --to to the one before the first that is there
    #[arg(long, value_name = "SPEC")]
    source: String,
    /// Number of the first block that is to join
    #[arg(long, value_name = "BLOCK", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..))]
    to: u32,
    /// Configuration file of the server [default: ./dfuse.toml if it exists]
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Data directory of the server [default: ./dfuse-data]
    #[arg(long, value_name = "DIR", env = "DFUSE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

impl Extend {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        // Flags of dfuse start are none of a tool.
        let settings = Settings::load(self.config.as_ref(), &BTreeMap::<&str, &str>::new())?;
        let source = of_any_process(&self.source)?;
        let path = self.data_dir.as_deref().or(settings.data_dir.as_deref());
        let runtime = runtime()?;
        let before = match runtime.block_on(Reached::for_reading(path))? {
            Reached::Server(stream) => {
                let command = Command::Extend { source, first: self.to };
                match runtime.block_on(say_at_length(stream, &command))? {
                    Reply::Extended { before } => before,
                    _ => bail!("the running server is of another version; use the same one for commands"),
                }
            }
            Reached::Directory(data_dir) => runtime.block_on(extend(&settings, data_dir, &source, self.to))?,
        };
        writeln!(stdout(), "blocks {} to {} have joined", self.to, before.saturating_sub(1)).context(failure::STDOUT)
    }
}

/// The source as a process elsewhere on this machine finds it, too.
fn of_any_process(text: &str) -> anyhow::Result<String> {
    let spec: SourceSpec = text.parse().map_err(|error: dfuse_node::Error| usage(error.to_string()))?;
    let absolute = |path: &Path| std::path::absolute(path).map(|path| path.display().to_string());
    Ok(match &spec {
        SourceSpec::StandardInput => {
            return Err(usage(
                "the blocks must be somewhere where they can be read again: give a file instead of deep-mind:-",
            ));
        }
        SourceSpec::History(_) => {
            return Err(usage(
                "a node sends what comes next; give the logs of one that has the earlier blocks, with ship-log:DIR",
            ));
        }
        SourceSpec::Log(file) => format!("deep-mind:{}", absolute(file)?),
        SourceSpec::HistoryLogs(folders) => {
            format!("ship-log:history={},blocks={}", absolute(folders.history())?, absolute(folders.blocks())?)
        }
        SourceSpec::Blocks(place) if place.contains("://") => spec.to_string(),
        SourceSpec::Blocks(place) => format!("blocks:{}", absolute(Path::new(place))?),
        SourceSpec::Firehose(_) => spec.to_string(),
    })
}
