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
use dfuse_blocks::{
    Objects,
    archive::{must_be_free, store_folder},
};
use dfuse_kv::EngineOptions;
use dfuse_node::KeptState;

use crate::{
    backup::{BackupSource, Copied, made_by},
    control::{Command, Reached, Reply, say_at_length},
    failure,
    indexes::indexes,
    input::store_options,
    runtime::Runtime,
    start::{DataDir, Settings},
    tools::{runtime, space::size},
};

/// Copy a data directory: indexes, rows of state history, API keys and usage, the cursor key, and the block files if they are in the data
/// directory. A server may run on it meanwhile. To use a copy in a directory, run dfuse start --data-dir DIR. To use a copy in an object store,
/// run dfuse tools restore first
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Place for the copy, where nothing may be yet: a directory, or the URL of an object store (s3://, gs:// or az://)
    /// or of a directory (file://). A copy to a URL is made in the data directory first, and needs
    /// space there
    #[arg(value_name = "DIR|URL")]
    place: String,
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
        if self.place.contains("://") {
            return self.send(&settings, data_dir);
        }
        // A server has another working directory.
        let copied = copy(&settings, data_dir, std::path::absolute(&self.place)?)?;
        writeln!(stdout(), "{}: {}", self.place, told(&copied)).context(failure::STDOUT)
    }

    /// Copies to a place that is not a directory of this machine.
    fn send(&self, settings: &Settings, data_dir: Option<&Path>) -> anyhow::Result<()> {
        let beside = data_dir.unwrap_or(Path::new(DataDir::DEFAULT));
        DataDir::must_have_indexes(beside)?;
        // Before the work: a copy takes long.
        let place = Objects::open(&self.place, store_options(true))?;
        runtime()?.block_on(must_be_free(&place))?;
        let folder = tempfile::Builder::new().prefix("backup-").tempdir_in(beside)?;
        let directory = std::path::absolute(folder.path().join("copy"))?;
        let copied = copy(settings, data_dir, directory.clone())?;
        let archive = runtime()?.block_on(store_folder(&directory, &place, made_by()))?;
        let (files, bytes) = (archive.files(), size(archive.bytes()));
        writeln!(stdout(), "{}: {}; {files} files, {bytes}", self.place, told(&copied)).context(failure::STDOUT)
    }
}

fn told(copied: &Copied) -> String {
    let Copied { entries, history_rows, keys, block_files } = copied;
    let rows = if *history_rows == 0 { String::new() } else { format!("{history_rows} rows of state history, ") };
    format!("{entries} entries of indexes, {rows}{keys} API keys, {block_files} block files")
}

/// Has the server copy the data directory, or does it here.
fn copy(settings: &Settings, data_dir: Option<&Path>, directory: PathBuf) -> anyhow::Result<Copied> {
    let runtime = Runtime::of_one_thread()?;
    match runtime.block_on(Reached::for_reading(data_dir))? {
        Reached::Server(stream) => match runtime.block_on(say_at_length(stream, &Command::Backup { directory }))? {
            Reply::BackedUp { copied } => Ok(copied),
            _ => bail!("the running server is of another version; use the same one for commands"),
        },
        Reached::Directory(data_dir) => here(&data_dir, settings.blocks.store.is_none(), &directory),
    }
}

/// Copies what no server has open.
fn here(data_dir: &DataDir, with_blocks: bool, directory: &Path) -> anyhow::Result<Copied> {
    let (store, _) = dfuse_index::open_store(data_dir.index(), &indexes(Arc::default()), EngineOptions::default())?;
    let access = KvAccessStore::open(&DataDir::access_in(data_dir.path()))?;
    let state = KeptState::in_folder(data_dir.state_history());
    let source =
        BackupSource { store: &*store, access: &access, data_dir: data_dir.path(), state: &state, with_blocks };
    let copied = source.copy(directory);
    access.close()?;
    store.close()?;
    copied
}
