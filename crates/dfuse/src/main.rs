//! The dfuse binary: command line, configuration, start-up.

mod boot;
mod cli;
mod control;
mod failure;
mod indexes;
mod init;
mod input;
mod keys;
mod logging;
mod maintenance;
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
    // Many threads have some memory of every size each: of huge pages the system would clear ten times what is used. Where
    // this cannot be had, it is only slower.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let cli = Cli::parse();
    start::raise_limit_of_open_files();
    let _log = logging::init(&cli.logging);
    let Err(error) = cli.run() else { return ExitCode::SUCCESS };
    if failure::is_closed_pipe(&error) {
        // Whoever read our output has had enough.
        return ExitCode::SUCCESS;
    }
    tracing::error!(target: logging::EXIT, "{}", failure::one_line(&error));
    ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
}
