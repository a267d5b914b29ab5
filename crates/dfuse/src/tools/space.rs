//! `dfuse tools stats` and `dfuse tools compact`.

use std::{
    collections::BTreeMap,
    io::{self, Write, stdout},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::Args;
use dfuse_kv::EngineOptions;

use crate::{
    control::{Command, Reached, Reply, say_at_length},
    disk_use::DiskUse,
    failure,
    indexes::indexes,
    runtime::Runtime,
    start::Settings,
};

/// Whose data it is about.
#[derive(Debug, Args)]
struct Place {
    /// Configuration file of dfuse start
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Data directory [default: ./dfuse-data]
    #[arg(long, value_name = "DIR", env = "DFUSE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

/// Show the disk space that indexes (by family), block files and API keys take. A server may run on the data directory meanwhile
#[derive(Debug, Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    place: Place,
    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Compact the indexes now, which they otherwise do bit by bit. A server may run on them meanwhile. Takes minutes for large indexes,
/// and as much free space as the largest family
#[derive(Debug, Args)]
pub(crate) struct Compact {
    #[command(flatten)]
    place: Place,
}

impl Place {
    /// Has the server do it, or does it here. Both give what the disk holds then.
    fn disk_use(
        &self,
        command: &Command,
        here: impl FnOnce(&dyn dfuse_kv::Store) -> anyhow::Result<()>,
    ) -> anyhow::Result<DiskUse> {
        // Flags of dfuse start are none of a tool.
        let settings = Settings::load(self.config.as_ref(), &BTreeMap::<&str, &str>::new())?;
        let data_dir = self.data_dir.as_deref().or(settings.data_dir.as_deref());
        let runtime = Runtime::of_one_thread()?;
        match runtime.block_on(Reached::for_reading(data_dir))? {
            Reached::Server(stream) => match runtime.block_on(say_at_length(stream, command))? {
                Reply::DiskUse { disk_use } => Ok(disk_use),
                _ => bail!("the running server is of another version; use the same one for commands"),
            },
            Reached::Directory(data_dir) => {
                let options = EngineOptions::default();
                let (store, _) = dfuse_index::open_store(data_dir.index(), &indexes(Arc::default()), options)?;
                let found =
                    here(&*store).and_then(|()| DiskUse::of(&*store, data_dir.path(), has_own_blocks(&settings)));
                store.close()?;
                found
            }
        }
    }
}

fn has_own_blocks(settings: &Settings) -> bool {
    settings.blocks.store.is_none()
}

impl Stats {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let found = self.place.disk_use(&Command::DiskUse, |_| Ok(()))?;
        let mut out = stdout().lock();
        let printed = match self.json {
            true => serde_json::to_writer(&mut out, &found).map_err(io::Error::from).and_then(|()| writeln!(out)),
            false => print(&found, &mut out),
        };
        printed.context(failure::STDOUT)
    }
}

impl Compact {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let before = self.place.disk_use(&Command::DiskUse, |_| Ok(()))?;
        let after = self.place.disk_use(&Command::Compact, |store| Ok(store.compact()?))?;
        writeln!(stdout(), "{} before, {} now", size(before.total), size(after.total)).context(failure::STDOUT)
    }
}

fn print(found: &DiskUse, out: &mut impl Write) -> io::Result<()> {
    for (index, families) in &found.indexes {
        line(out, index, families.values().sum())?;
        families.iter().try_for_each(|(family, bytes)| line(out, &format!("  {family}"), *bytes))?;
    }
    found.other_families.iter().try_for_each(|(family, bytes)| line(out, family, *bytes))?;
    line(out, "journal of the indexes", found.journal)?;
    line(out, "API keys and usage", found.access)?;
    match &found.block_files {
        None => writeln!(out, "the block files are elsewhere")?,
        Some(folders) => folders.iter().try_for_each(|(folder, files)| {
            line(
                out,
                &format!("{folder} ({} {})", files.files, if files.files == 1 { "file" } else { "files" }),
                files.bytes,
            )
        })?,
    }
    line(out, "total", found.total)?;
    found.lowest_blocks.iter().try_for_each(|(part, lowest)| writeln!(out, "{part}: kept from block {lowest} on"))
}

fn line(out: &mut impl Write, what: &str, bytes: u64) -> io::Result<()> {
    writeln!(out, "{what:<40} {:>12}", size(bytes))
}

/// Bytes in a unit that leaves few digits.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (bytes.max(1).ilog2() / 10).min(UNITS.len() as u32 - 1);
    match unit {
        0 => format!("{bytes} B"),
        unit => format!("{:.1} {}", bytes as f64 / 1024f64.powi(unit as i32), UNITS[unit as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (3 << 19, "1.5 MiB"),
            (1 << 40, "1.0 TiB"),
            (1 << 50, "1024.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
