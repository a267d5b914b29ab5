//! The dfuse binary: command line, configuration, start-up.

mod answer;
mod backup;
mod boot;
mod cli;
mod control;
mod disk_use;
mod failure;
mod filtering;
mod index_copy;
mod indexes;
mod init;
mod input;
mod keys;
mod logging;
mod maintenance;
mod manual;
mod migration;
mod progress;
mod remedy;
mod runtime;
mod small_file;
mod snapshot;
mod start;
mod tools;

use std::{
    io::{Write, stderr},
    process::ExitCode,
};

use clap::Parser;
use dfuse_query::secrets;

use crate::{cli::Cli, failure::UsageError};

/// Blocks are many small allocations that live and die together, which this allocator serves well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Many threads have some memory of every size each: of huge pages the system would clear ten times what is used. Where
    // this cannot be had, it is only slower.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
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

/// Prints help, the version, or what is wrong with the arguments: which may be a private key in the wrong place.
fn not_parsed(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let shown = match secrets::contains_private_key(&text) {
        true => stderr().write_all(secrets::masked(&text).as_bytes()),
        false => error.print(),
    };
    // There is nowhere else to tell that it failed.
    drop(shown);
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
