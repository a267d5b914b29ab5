//! `dfuse boot`: gives a fresh private chain its accounts, contracts and features.

mod chain;
mod duration;
mod operations;
mod sequence;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use dfuse_antelope::Checksum256;
use dfuse_blocks::{Clock, SystemClock};
use dfuse_node::rpc::{NodeClient, NodeOptions};
use serde::{Deserialize, Serialize};
use tracing::info;

use self::{chain::Chain, operations::run_step, sequence::Sequence};
use crate::failure::{explained, usage};

const DEFAULT: &str = "bootseq.yaml";

/// Set up a new private chain with accounts, contracts and protocol features. A file lists the steps; docs/boot.md describes
/// it. A file is run only once on each chain.
#[derive(Debug, Args)]
pub(crate) struct Boot {
    /// File with the boot sequence. If the default file does not exist, nothing is done [default: bootseq.yaml]
    #[arg(value_name = "FILE")]
    sequence: Option<PathBuf>,
    /// HTTP address of a node that produces blocks and accepts transactions
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8888", env = "DFUSE_BOOT_NODE")]
    node: String,
    /// File that records that the sequence was run [default: FILE with the extension .state.json]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Maximum time to wait for the node to answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,
}

/// What was run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct State {
    /// SHA-256 of the file.
    revision: Checksum256,
    chain_id: Checksum256,
    /// The last irreversible block when it was done.
    block_num: u32,
    block_id: Checksum256,
    /// Seconds since 1970.
    booted_at: u64,
}

impl Boot {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.boot()).map_err(explained)
    }

    async fn boot(self) -> anyhow::Result<()> {
        let Some(file) = self.sequence.or_else(|| Some(PathBuf::from(DEFAULT)).filter(|file| file.exists())) else {
            info!("there is no {DEFAULT}, so there is nothing to do");
            return Ok(());
        };
        let node = NodeClient::new(&self.node, NodeOptions::default()).map_err(|error| usage(error.to_string()))?;
        let (sequence, revision) = Sequence::read(&file)?;
        let contents = sequence.read_contents(file.parent().unwrap_or(Path::new(".")))?;
        let state_file = self.state.unwrap_or_else(|| file.with_extension("state.json"));
        let state = State::read(&state_file)?;
        let mut chain = Chain::connect(node, sequence.keys(), Duration::from_secs(self.wait)).await?;
        match state {
            Some(state) if state.revision != revision => {
                info!(state = %state_file.display(), "the sequence was changed since it was run");
            }
            Some(state) if chain.has_block(state.chain_id, state.block_id).await? => {
                info!(block_num = state.block_num, "the chain was booted with this sequence already; nothing to do");
                return Ok(());
            }
            Some(_) => info!(state = %state_file.display(), "the chain is another one than that which was booted"),
            None => {}
        }
        let steps = sequence.steps().len();
        info!(chain_id = %chain.chain_id(), steps, "booting the chain");
        for (number, step) in (1..).zip(sequence.steps()) {
            let name = step.operation.name();
            info!(step = number, of = steps, op = name, label = step.label, "step");
            run_step(&mut chain, &sequence, &contents, &step.operation)
                .await
                .with_context(|| format!("step {number} of {steps} ({name}, \"{}\") failed", step.label))?;
        }
        let head = chain.info().await?;
        let state = State {
            revision,
            chain_id: head.chain_id,
            block_num: head.last_irreversible_block_num,
            block_id: head.last_irreversible_block_id,
            booted_at: SystemClock::new().now().as_secs(),
        };
        state.write(&state_file)?;
        info!(state = %state_file.display(), "the chain is booted");
        Ok(())
    }
}

impl State {
    fn read(file: &Path) -> anyhow::Result<Option<Self>> {
        let what = || {
            format!("{} is not the state of a boot sequence; remove it, or name another with --state", file.display())
        };
        match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(what),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// All of it or nothing.
    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let write = || {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut new = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut new, self)?;
            new.persist(file)?;
            io::Result::Ok(())
        };
        write().with_context(|| format!("the chain is booted, but {} cannot be written", file.display()))
    }
}
