//! `dfuse tools backup`: a copy of a data directory as it is at one moment, made while a server runs on it or without one.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io::{self, Write, stdout},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::Args;
use dfuse_access::{AccessStore, KvAccessStore};
use dfuse_kv::{EngineOptions, Store};
use serde::{Deserialize, Serialize};

use crate::{
    control::{ACCESS, Command, Reached, Reply, say_at_length},
    failure::{self, usage},
    indexes::indexes,
    start::{DataDir, Settings},
};

/// What of a data directory is copied as it is, if it is there.
const CURSOR_KEY: &str = "cursor.key";
/// Folders of block files, in this order: a block leaves the first only when it is in the last.
const FOLDERS: [&str; 4] = ["one-blocks", "forked-blocks", "abi-dumps", "merged-blocks"];
/// What object stores put into the names of files that are not whole yet.
const UNFINISHED: char = '#';

/// Copy a data directory, beside the server that runs on it or without one: indexes, API keys and usage, the key of cursors, and
/// the block files if they are in the data directory. Start from the copy with dfuse start --data-dir DIR
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where the copy is made; nothing must be there yet
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The configuration file of dfuse start
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Data directory [default: ./dfuse-data]
    #[arg(long, value_name = "DIR", env = "DFUSE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copied {
    entries: u64,
    keys: usize,
    block_files: u64,
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
                match runtime.block_on(say_at_length(stream, &Command::Backup { directory: directory.clone() }))? {
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
    let access = KvAccessStore::open(&data_dir.path().join(ACCESS))?;
    let copied =
        BackupSource { store: &*store, access: &access, data_dir: data_dir.path(), with_blocks }.copy(directory);
    access.close()?;
    store.close()?;
    copied
}

/// What is copied from.
pub(crate) struct BackupSource<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) access: &'a dyn AccessStore,
    pub(crate) data_dir: &'a Path,
    /// Whether the block files are in the data directory. Those elsewhere are not copied.
    pub(crate) with_blocks: bool,
}

impl BackupSource<'_> {
    /// Makes the copy. Under its name it is whole or not there.
    pub(crate) fn copy(&self, directory: &Path) -> anyhow::Result<Copied> {
        if directory.exists() {
            return Err(usage(format!(
                "there is something at {}; name a directory that is not there",
                directory.display()
            )));
        }
        let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
            return Err(usage(format!("{} is not the name of a directory", directory.display())));
        };
        let unfinished = parent.join(format!("{}.unfinished", name.to_string_lossy()));
        let copy = || -> anyhow::Result<Copied> {
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            DirBuilder::new().recursive(true).mode(0o700).create(&unfinished)?;
            let copied = self.copy_into(&unfinished)?;
            fs::rename(&unfinished, directory)?;
            fs::File::open(parent)?.sync_all()?;
            Ok(copied)
        };
        copy().with_context(|| format!("the copy could not be made in {}", unfinished.display()))
    }

    /// The indexes first: whatever they lack at the start from a copy, they take from its blocks.
    fn copy_into(&self, folder: &Path) -> anyhow::Result<Copied> {
        let entries = dfuse_index::copy_store(self.store, DataDir::index_in(folder))?;
        let keys = KvAccessStore::open(&folder.join(ACCESS))?;
        keys.fill_from(self.access)?;
        let count = keys.keys()?.len();
        keys.close()?;
        let cursor_key = self.data_dir.join(CURSOR_KEY);
        if cursor_key.exists() {
            fs::copy(cursor_key, folder.join(CURSOR_KEY))?;
        }
        let mut block_files = 0;
        if self.with_blocks {
            for name in FOLDERS {
                let (from, to) = (DataDir::blocks_in(self.data_dir), DataDir::blocks_in(folder));
                block_files += copy_files(&from.join(name), &to.join(name))?;
            }
        }
        Ok(Copied { entries, keys: count, block_files })
    }
}

/// Copies the files of a folder, none of which changes once it is whole. Files that go meanwhile are in another folder by then.
fn copy_files(from: &Path, to: &Path) -> anyhow::Result<u64> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    fs::create_dir_all(to)?;
    let mut copied = 0;
    for entry in entries {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if entry.file_type()?.is_dir() {
            copied += copy_files(&path, &to.join(&name))?;
        } else if !name.to_string_lossy().contains(UNFINISHED) {
            match fs::copy(&path, to.join(&name)) {
                Ok(_) => copied += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
    }
    Ok(copied)
}
