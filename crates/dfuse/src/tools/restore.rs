//! `dfuse tools restore`.

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use dfuse_blocks::archive::fetch_folder;

use crate::{
    backup::UnfinishedDir,
    failure::{self, usage},
    input::store_options,
    tools::{runtime, space::size},
};

/// Make a data directory of a backup in an object store or a file:// place. Every file is compared with its digest. A backup in a
/// directory of this machine is a data directory already: start with it
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Where the backup is, as it was named to dfuse tools backup
    #[arg(value_name = "URL")]
    place: String,
    /// The data directory to make; nothing must be there yet
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
            Ok(runtime()?.block_on(fetch_folder(place, store_options(true), unfinished))?)
        })?;
        let (files, bytes) = (archive.files(), size(archive.bytes()));
        let version = &archive.made_by;
        let told = format!("{}: {files} files, {bytes}, from a backup of {version}", directory.display());
        writeln!(stdout(), "{told}").context(failure::STDOUT)?;
        Ok(())
    }
}
