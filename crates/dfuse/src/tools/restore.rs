//! `dfuse tools restore`.

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use dfuse_blocks::{Objects, archive::fetch_folder};

use crate::{
    backup::UnfinishedDir,
    failure::{self, usage},
    input::store_options,
    tools::{runtime, space::size},
};

/// Create a data directory from a backup at a URL. Every file is compared with its digest. A backup in a local directory is a
/// data directory already, so dfuse start can use it as it is
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// URL of the backup, as given to dfuse tools backup
    #[arg(value_name = "URL")]
    place: String,
    /// Data directory to create, which must not exist yet
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Restore {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let Self { place, directory } = self;
        if !place.contains("://") {
            return Err(usage(format!(
                "{place} is not a URL; a backup in a directory is a data directory: dfuse start --data-dir {place}"
            )));
        }
        let directory = std::path::absolute(directory)?;
        let archive = UnfinishedDir::make(&directory, |unfinished| {
            let place = Objects::open_existing(place, store_options(true))?;
            Ok(runtime()?.block_on(fetch_folder(&place, unfinished, |_, _| {}))?)
        })?;
        let (files, bytes) = (archive.files(), size(archive.bytes()));
        let version = &archive.made_by;
        let told = format!("{}: {files} files, {bytes}, from a backup of {version}", directory.display());
        writeln!(stdout(), "{told}").context(failure::STDOUT)?;
        Ok(())
    }
}
