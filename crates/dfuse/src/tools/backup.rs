//! `dfuse tools backup`.

use std::{
    collections::BTreeMap,
    io::{Write, stdout},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::Args;
use dfuse_access::{AccessStore, KvAccessStore};
use dfuse_kv::EngineOptions;

use crate::{
    backup::{BackupSource, Copied},
    control::{Command, Reached, Reply, say_at_length},
    failure,
    indexes::indexes,
    start::{DataDir, Settings},
};

/// Copy a data directory: indexes, API keys and usage, the cursor key, and the block files if they are in the data directory. A
/// server may run on it meanwhile. To use the copy, run dfuse start --data-dir DIR
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Directory for the copy, which must not exist yet
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Configuration file of dfuse start
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Data directory [default: ./dfuse-data]
    #[arg(long, value_name = "DIR", env = "DFUSE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

impl Backup {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        // Flags of dfuse start are none of a tool.
        let settings = Settings::load(self.config.as_ref(), &BTreeMap::<&str, &str>::new())?;
        let data_dir = self.data_dir.as_deref().or(settings.data_dir.as_deref());
        // A server has another working directory.
        let directory = std::path::absolute(&self.directory)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let copied = match runtime.block_on(Reached::for_reading(data_dir))? {
            Reached::Server(stream) => {
                match runtime.block_on(say_at_length(stream, &Command::Backup { directory }))? {
                    Reply::BackedUp { copied } => copied,
                    _ => bail!("the running server is of another version; use the same one for commands"),
                }
            }
            Reached::Directory(data_dir) => here(&data_dir, settings.blocks.store.is_none(), &directory)?,
        };
        let Copied { entries, keys, block_files } = copied;
        let told = format!(
            "{}: {entries} entries of indexes, {keys} API keys, {block_files} block files",
            self.directory.display()
        );
        writeln!(stdout(), "{told}").context(failure::STDOUT)
    }
}

/// Copies what no server has open.
fn here(data_dir: &DataDir, with_blocks: bool, directory: &Path) -> anyhow::Result<Copied> {
    let (store, _) = dfuse_index::open_store(data_dir.index(), &indexes(Arc::default()), EngineOptions::default())?;
    let access = KvAccessStore::open(&DataDir::access_in(data_dir.path()))?;
    let copied =
        BackupSource { store: &*store, access: &access, data_dir: data_dir.path(), with_blocks }.copy(directory);
    access.close()?;
    store.close()?;
    copied
}
