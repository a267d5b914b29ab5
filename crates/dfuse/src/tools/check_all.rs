//! `dfuse tools check all`.

use std::io::{Write, stdout};

use anyhow::{Context, bail};
use clap::Args;
use dfuse_access::{AccessStore, KvAccessStore};
use dfuse_blocks::{CheckOptions, CursorKey, SystemEntropy, check};

use super::{
    check_blocks::{FAULTS_MEND, print},
    index::{CheckIndex, Place, Reindex},
};
use crate::{
    failure::{STDOUT, explained, one_line},
    progress::Progress,
    start::DataDir,
    tools::runtime,
};

/// Check everything in a data directory: API keys and usage, the cursor key, block files, the files of the indexes and, with
/// --entries, every index entry. Exits with code 1 if there are faults. No server may run on the data directory meanwhile
#[derive(Debug, Args)]
pub(crate) struct CheckAll {
    #[command(flatten)]
    place: Place,
    /// Compare every index entry with the blocks, which takes as long as indexing
    #[arg(long)]
    entries: bool,
    /// Rebuild indexes from the block files if they are damaged or differ
    #[arg(long)]
    repair: bool,
}

/// Finds what is wrong with a part.
type Check = fn(&CheckAll) -> anyhow::Result<()>;

impl CheckAll {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let parts: [(&str, Check); 3] =
            [("API keys and key of cursors", Self::keys), ("block files", Self::blocks), ("indexes", Self::indexes)];
        let mut wrong = Vec::new();
        for (part, check) in parts {
            let told = match check(&self) {
                Ok(()) => "sound".to_owned(),
                Err(error) => {
                    wrong.push(part);
                    one_line(&explained(error))
                }
            };
            writeln!(stdout(), "{part}: {told}").context(STDOUT)?;
        }
        if !wrong.is_empty() {
            bail!("not sound: {}; what to do is said with each of them", wrong.join(", "));
        }
        Ok(())
    }

    fn keys(&self) -> anyhow::Result<()> {
        let data_dir = self.place.open()?.data_dir;
        let folder = DataDir::access_in(data_dir.path());
        if folder.is_dir() {
            let keys = KvAccessStore::open(&folder)?;
            let read = keys.keys().map(drop).and_then(|()| keys.usage(0..=u32::MAX).map(drop));
            keys.close()?;
            read?;
        }
        // A new one is made where there is none.
        if data_dir.path().join("cursor.key").exists() {
            CursorKey::open(data_dir.path(), &SystemEntropy)?;
        }
        Ok(())
    }

    fn blocks(&self) -> anyhow::Result<()> {
        let files = self.place.open()?.files;
        let bundles = Progress::new("bundles");
        let options = CheckOptions { range: 0..=u32::MAX, decode: false };
        let report = runtime()?.block_on(check(&files, &options, |progress| bundles.set(progress.done as u64)))?;
        drop(bundles);
        print(&report).context(STDOUT)?;
        match report.findings.len() {
            0 => Ok(()),
            faults => bail!("{faults} {} found: {FAULTS_MEND}", if faults == 1 { "fault" } else { "faults" }),
        }
    }

    fn indexes(&self) -> anyhow::Result<()> {
        let found = self.look_at_indexes();
        if !self.repair || found.is_ok() {
            return found;
        }
        if let Err(error) = found {
            tracing::warn!("{}; they are built anew", one_line(&explained(error)));
        }
        Reindex { place: self.place.clone(), indexes: Vec::new() }.run()?;
        self.look_at_indexes()
    }

    fn look_at_indexes(&self) -> anyhow::Result<()> {
        if self.entries {
            return CheckIndex { place: self.place.clone(), indexes: Vec::new() }.run();
        }
        let opened = self.place.open()?;
        match opened.damage()? {
            Some(damage) => Err(damage),
            // What shows only in the whole, such as a journal without its end.
            None => Ok(crate::indexes::try_open(&opened.data_dir.index())?),
        }
    }
}
