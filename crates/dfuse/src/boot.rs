//! `dfuse boot`: gives a fresh private chain its accounts, contracts and features.

mod calls;
mod chain;
mod contracts;
mod duration;
mod inject;
mod operations;
mod progress;
mod sequence;
mod state;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use dfuse_blocks::{Clock, SystemClock};
use dfuse_node::rpc::{NodeClient, NodeOptions};
use tracing::info;

pub(crate) use self::contracts::{ACTIVATOR, native_abi};
use self::{
    chain::Chain,
    inject::Injection,
    operations::run_step,
    progress::Progress,
    sequence::{Operation, Sequence},
    state::State,
};
use crate::{
    failure::{explained, usage},
    runtime::Runtime,
    small_file,
};

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

impl Boot {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = Runtime::of_one_thread()?;
        runtime.block_on(self.boot()).map_err(explained)
    }

    async fn boot(self) -> anyhow::Result<()> {
        let Some(file) = self.sequence.or_else(|| Some(PathBuf::from(DEFAULT)).filter(|file| file.exists())) else {
            info!("there is no {DEFAULT}, so there is nothing to do");
            return Ok(());
        };
        let node = NodeClient::new(&self.node, NodeOptions::default()).map_err(|error| usage(error.to_string()))?;
        let (sequence, revision) = Sequence::read(&file)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let contents = sequence.read_contents(folder)?;
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
        let mut progress = Progress::read(state_file.with_extension("progress.json"), revision, &chain).await?;
        let (first, mut done) = (progress.step(), progress.rows());
        if first > 1 || done > 0 {
            info!(step = first, rows = done, "going on where the last run broke off");
        }
        for (number, step) in (1..).zip(sequence.steps()).skip(first.saturating_sub(1)) {
            let name = step.operation.name();
            info!(step = number, of = steps, op = name, label = step.label, "step");
            if !matches!(step.operation, Operation::Inject(_)) {
                progress.forget()?;
            }
            let injection =
                Injection { folder, progress: &mut progress, step: number, done: std::mem::take(&mut done) };
            run_step(&mut chain, &sequence, &contents, &step.operation, injection)
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
        small_file::write_json(&state_file, &state)
            .with_context(|| format!("the chain is booted, but {} cannot be written", state_file.display()))?;
        progress.forget()?;
        info!(state = %state_file.display(), "the chain is booted");
        Ok(())
    }
}
