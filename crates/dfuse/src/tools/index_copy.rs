//! `dfuse tools index`.

use std::{
    collections::BTreeMap,
    io::{Write, stdout},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use dfuse_blocks::archive::Archive;
use dfuse_kv::EngineOptions;
use dfuse_node::KeptState;

use crate::{
    control::{Command, Reached, Reply, say_at_length},
    failure, index_copy,
    indexes::indexes,
    start::{DataDir, Settings},
    tools::{runtime, space::size},
};

/// Make and use copies of the indexes, so that a new machine need not build its own
#[derive(Debug, Subcommand)]
pub(crate) enum IndexTool {
    /// Copy the indexes as they are at one moment. A server may run on them meanwhile. The copy replaces the one before; to start
    /// from it, set index.copy on the new machine
    Copy(CopyPlace),
    /// Take the indexes from a copy, for a data directory that has none
    Restore(CopyPlace),
}

#[derive(Debug, Args)]
pub(crate) struct CopyPlace {
    /// Place of the copies: a directory, or the URL of an object store (s3://, gs:// or az://)
    #[arg(value_name = "PLACE")]
    place: String,
    /// Configuration file of dfuse start
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Data directory [default: ./dfuse-data]
    #[arg(long, value_name = "DIR", env = "DFUSE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

impl CopyPlace {
    fn data_dir(&self) -> anyhow::Result<Option<PathBuf>> {
        // Flags of dfuse start are none of a tool.
        let settings = Settings::load(self.config.as_ref(), &BTreeMap::<&str, &str>::new())?;
        Ok(self.data_dir.clone().or(settings.data_dir))
    }
}

impl IndexTool {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let (place, archive, what) = match self {
            Self::Copy(to) => (&to.place, copy(to)?, "copied to"),
            Self::Restore(from) => {
                let data_dir = DataDir::open(from.data_dir()?.as_deref())?;
                (&from.place, runtime()?.block_on(index_copy::restore(data_dir.path(), &from.place))?, "restored from")
            }
        };
        let (files, bytes) = (archive.files(), size(archive.bytes()));
        writeln!(stdout(), "{what} {place}: {files} files, {bytes}").context(failure::STDOUT)
    }
}

/// Makes the files of the copy first, which is as long as the server is asked for anything, and puts them to their place then.
fn copy(to: &CopyPlace) -> anyhow::Result<Archive> {
    let path = to.data_dir()?.unwrap_or_else(|| DataDir::DEFAULT.into());
    let directory = index_copy::unfinished(&std::path::absolute(&path)?);
    let runtime = runtime()?;
    runtime.block_on(index_copy::must_be_usable(&to.place))?;
    // Kept until the end: no server begins meanwhile.
    let mut held = None;
    match runtime.block_on(Reached::for_reading(Some(&path)))? {
        Reached::Server(stream) => {
            let command = Command::CopyIndexes { directory: directory.clone() };
            match runtime.block_on(say_at_length(stream, &command))? {
                Reply::IndexesCopied => {}
                _ => bail!("the running server is of another version; use the same one for commands"),
            }
        }
        Reached::Directory(data_dir) => {
            let (store, _) =
                dfuse_index::open_store(data_dir.index(), &indexes(Arc::default()), EngineOptions::default())?;
            let state = KeptState::in_folder(data_dir.state_history());
            let copied = crate::backup::copy_indexes(&*store, data_dir.path(), &state, &directory);
            store.close()?;
            copied?;
            held = Some(data_dir);
        }
    }
    let put = runtime.block_on(index_copy::put(&directory, &to.place));
    std::fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    drop(held);
    put
}
