use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    boot::Boot,
    init::Init,
    keys::Keys,
    logging::LogOptions,
    maintenance::Maintenance,
    manual::{Completions, Man},
    start::Start,
    tools,
};

/// Search, state at any block, and streams for Antelope chains
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) logging: LogOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a configuration for a local chain or for a node of an existing network
    Init(Init),
    /// Read blocks from a source, index them and serve the API
    Start(Start),
    /// Set up a new private chain: accounts, contracts and protocol features
    Boot(Boot),
    /// Create, list and revoke API keys, and show their usage
    #[command(subcommand, arg_required_else_help = true)]
    Keys(Keys),
    /// Take a server out of service or put it back into service
    #[command(subcommand, arg_required_else_help = true)]
    Maintenance(Maintenance),
    /// Inspect, check and repair logs, block files and indexes
    #[command(subcommand, arg_required_else_help = true)]
    Tools(tools::Tool),
    Completions(Completions),
    Man(Man),
}

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Init(init) => init.run(),
            Command::Start(start) => start.run(),
            Command::Boot(boot) => boot.run(),
            Command::Keys(keys) => keys.run(),
            Command::Maintenance(maintenance) => maintenance.run(),
            Command::Tools(tool) => tool.run(),
            Command::Completions(completions) => completions.run(Self::command()),
            Command::Man(man) => man.run(Self::command()),
        }
    }
}
