//! The dfuse binary: command line, configuration, start-up.

mod boot;
mod cli;
mod failure;
mod indexes;
mod input;
mod logging;
mod progress;
mod start;
mod tools;

use std::process::ExitCode;

use clap::Parser;

use crate::{cli::Cli, failure::UsageError};

/// Blocks are many small allocations that live and die together, which this allocator serves well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init(&cli.logging);
    let Err(error) = cli.run() else { return ExitCode::SUCCESS };
    if failure::is_closed_pipe(&error) {
        // Whoever read our output has had enough.
        return ExitCode::SUCCESS;
    }
    tracing::error!(target: logging::EXIT, "{}", failure::one_line(&error));
    ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
}
