//! `dfuse tools`: inspection and repair.

mod backup;
mod check_all;
mod check_blocks;
mod compare_blocks;
mod export;
mod extend;
mod firehose_client;
mod index;
mod index_copy;
mod merge;
mod print_blocks;
mod read;
mod restore;
mod snapshot;
mod space;

use std::io::{self, Read, Write};

use anyhow::Context;
use clap::{Args, Subcommand};
use dfuse_blocks::{BlockStore, Located};
use dfuse_deep_mind::{MAX_LINE, Reader};

use crate::{
    failure::{self, usage},
    input::store_options,
    runtime::Runtime,
    start::Settings,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Print the blocks in a log, a block file or a block store
    PrintBlocks(print_blocks::PrintBlocks),
    /// Print a block: the answer of GET /v0/blocks/ID or, for a number, of /v0/blocks?skip=NUMBER&limit=1
    Block(read::Read<read::Block>),
    /// Print the lifecycle of a transaction: the answer of GET /v0/transactions/ID
    Trx(read::Read<read::Trx>),
    /// Print rows of a table at any block: the answer of GET /v0/state/table or, with --key, of /v0/state/table/row
    Rows(read::Read<read::Rows>),
    /// Print transactions with matching actions: the answer of GET /v0/search/transactions
    Search(read::Read<read::Search>),
    /// Check stored data for faults
    #[command(subcommand, arg_required_else_help = true)]
    Check(Check),
    /// Convert a log to a block store, or add it to an existing store
    Merge(merge::Merge),
    Backup(backup::Backup),
    CompareBlocks(compare_blocks::CompareBlocks),
    FirehoseClient(firehose_client::FirehoseClient),
    Restore(restore::Restore),
    Export(export::Export),
    Stats(space::Stats),
    Compact(space::Compact),
    /// Rebuild indexes from the block files
    Reindex(index::Reindex),
    Extend(extend::Extend),
    #[command(subcommand, arg_required_else_help = true)]
    Index(index_copy::IndexTool),
    /// Inspect a portable snapshot of nodeos
    #[command(subcommand, arg_required_else_help = true)]
    Snapshot(snapshot::Look),
    /// Print all settings of `dfuse start` and their defaults, in the form of a configuration file
    PrintConfig,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Check {
    All(check_all::CheckAll),
    /// Find gaps, overlaps, damage and broken links in a block store. Exits with code 1 if there are any
    Blocks(check_blocks::CheckBlocks),
    /// Find index entries that differ from the blocks. Exits with code 1 if there are any
    Index(index::CheckIndex),
}

impl Tool {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let result = match self {
            Self::PrintBlocks(tool) => tool.run(),
            Self::Block(tool) => tool.run(),
            Self::Trx(tool) => tool.run(),
            Self::Rows(tool) => tool.run(),
            Self::Search(tool) => tool.run(),
            Self::Check(Check::Blocks(tool)) => tool.run(),
            Self::Check(Check::Index(tool)) => tool.run(),
            Self::Merge(tool) => tool.run(),
            Self::Backup(backup) => backup.run(),
            Self::CompareBlocks(tool) => tool.run(),
            Self::FirehoseClient(tool) => tool.run(),
            Self::Restore(tool) => tool.run(),
            Self::Export(tool) => tool.run(),
            Self::Stats(tool) => tool.run(),
            Self::Compact(tool) => tool.run(),
            Self::Check(Check::All(tool)) => tool.run(),
            Self::Reindex(tool) => tool.run(),
            Self::Extend(tool) => tool.run(),
            Self::Index(tool) => tool.run(),
            Self::Snapshot(tool) => tool.run(),
            Self::PrintConfig => io::stdout().write_all(Settings::reference().as_bytes()).context(failure::STDOUT),
        };
        result.map_err(failure::explained)
    }
}

/// How logs are read.
#[derive(Debug, Args)]
struct LineOptions {
    /// Maximum length of a line in a log, in MiB
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = MAX_LINE >> 20,
        env = "DFUSE_NODEOS__MAX_LINE_MIB",
        hide_env_values = true
    )]
    max_line_mib: usize,
}

impl LineOptions {
    fn max_bytes(&self) -> usize {
        self.max_line_mib << 20
    }
}

/// Opens a block store, also by the folder of its bundles; fails if it has no block files.
async fn open_store(place: &str) -> anyhow::Result<BlockStore> {
    let store = BlockStore::open_existing(place, store_options(false)).map_err(|error| usage(error.to_string()))?;
    match store.locate(place).await? {
        Located::Store(store) => Ok(store),
        Located::Empty(why) => Err(why.into()),
    }
}

/// The store that has this folder of bundles; any other place is the store itself.
fn whole_store(place: &str) -> &str {
    place.trim_end_matches('/').strip_suffix("/merged-blocks").filter(|store| !store.is_empty()).unwrap_or(place)
}

/// A runtime for a command that reads or writes block stores.
fn runtime() -> anyhow::Result<Runtime> {
    Ok(Runtime::of_two_threads()?)
}

/// What a log that was read to its end leaves to say. A log that ends inside a line was cut: everything before is used,
/// and the command fails at its end.
fn end_of_log<R: Read>(reader: &Reader<R>) -> anyhow::Result<()> {
    let stats = reader.stats();
    if stats.abandoned_blocks > 0 || !stats.unknown.is_empty() || stats.key_value_operations > 0 {
        tracing::warn!(
            abandoned_blocks = stats.abandoned_blocks,
            unknown_lines = stats.unknown.values().sum::<u64>(),
            key_value_operations = stats.key_value_operations,
            "the log holds what blocks do not"
        );
    }
    if stats.torn_line {
        let block = reader.unfinished_block().map(|number| format!(" of block {number}")).unwrap_or_default();
        anyhow::bail!(
            "the log is cut off inside line {}{block}; what comes before was used: copy the rest of the log and run again",
            stats.lines + 1
        );
    }
    if let Some(block) = reader.unfinished_block() {
        tracing::warn!(block, "the log ends before this block is complete; it was left out");
    } else if stats.blocks == 0 {
        tracing::warn!("the log holds no block");
    }
    Ok(())
}
