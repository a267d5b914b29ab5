//! `dfuse maintenance`.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::{
    control::{Command, Reply, ask},
    failure,
};

/// Take a server out of service or put it back into service
#[derive(Debug, Subcommand)]
pub(crate) enum Maintenance {
    /// Answer all requests but those for health and metrics with 503, and end all streams, until maintenance is switched off
    On(Place),
    /// End maintenance and answer requests again
    Off(Place),
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Data directory of the server [default: ./dfuse-data]
    #[arg(long, value_name = "DIR", env = "DFUSE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

impl Maintenance {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let (on, place) = match self {
            Self::On(place) => (true, place),
            Self::Off(place) => (false, place),
        };
        let reply = ask(place.data_dir.as_deref(), &Command::Maintenance { on })?;
        let is_on = matches!(reply, Reply::Maintenance { on: true });
        writeln!(std::io::stdout(), "maintenance is {}", if is_on { "on" } else { "off" }).context(failure::STDOUT)
    }
}
