//! `dfuse completions` and `dfuse man`: what shells and manual pages know of the command line, made from its definition.

use std::{
    fs,
    io::{Write, stdout},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure;

/// Print a completion script for a shell, for example: dfuse completions bash > /etc/bash_completion.d/dfuse
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, mut cli: Command) -> anyhow::Result<()> {
        // It panics where its output is closed, so it writes into memory.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli, "dfuse", &mut script);
        stdout().write_all(&script).context(failure::STDOUT)
    }
}

/// Write the manual pages of all commands to a directory, for example: dfuse man /usr/local/share/man/man1
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The directory; it is created if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Man {
    pub(crate) fn run(&self, mut cli: Command) -> anyhow::Result<()> {
        cli.build();
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("the directory {} cannot be made", self.directory.display()))?;
        write_pages(&cli, "dfuse", &self.directory)
    }
}

/// The page of a command, and those of all commands below it.
fn write_pages(command: &Command, name: &str, directory: &Path) -> anyhow::Result<()> {
    let path = directory.join(format!("{name}.1"));
    let write = || {
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone()).render(&mut page)?;
        fs::write(&path, page)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help");
    below.into_iter().try_for_each(|below| write_pages(below, &format!("{name}-{}", below.get_name()), directory))
}
