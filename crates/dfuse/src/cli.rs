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

/// Search, state and streams of Antelope chains from the execution log of a node
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
    /// Write a configuration for a local chain, or for following a network
    Init(Init),
    /// Take blocks from a source, index them, and serve the API
    Start(Start),
    /// Boot a fresh private chain: accounts, contracts, protocol features
    Boot(Boot),
    /// Make, list and revoke API keys, and see what they use
    #[command(subcommand, arg_required_else_help = true)]
    Keys(Keys),
    /// Take a server out of service, or back into it
    #[command(subcommand, arg_required_else_help = true)]
    Maintenance(Maintenance),
    /// Look into logs and block files, check and repair them
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
