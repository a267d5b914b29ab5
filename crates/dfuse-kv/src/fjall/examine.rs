//! Finding what is damaged in a store: at every opening what the engine would pass over, and all of it when somebody asks.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use super::{
    damage::Damage,
    inventory::Inventory,
    journal,
    layout::{DIRECTORY, VERSION_FILE},
    manifest,
};
use crate::{Error, Result};

const KEYSPACES: &str = "keyspaces";
/// The keyspace in which the engine keeps the names of the others.
const META: u64 = 0;
/// A keyspace may change while it is looked at: so often it is looked at again.
const LOOKS: usize = 5;

/// Reads every file of the store in the directory `path` and compares it with its checksum. Nothing is changed. A store that
/// is not there has no damage.
///
/// It reads all of the store, so that it takes as long as that takes. Another process, or a store in this one, may have it open.
///
/// # Errors
/// [`Error::Io`] for files that cannot be read.
pub fn find_damage(path: impl AsRef<Path>) -> Result<Vec<Damage>> {
    let path = path.as_ref();
    let directory = path.join(DIRECTORY);
    if !exists(&directory)? {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    if !exists(&directory.join(VERSION_FILE))? {
        found.push(Damage::missing(directory.join(VERSION_FILE)));
    }
    let inventory = Inventory::read(path)?;
    found.extend(missing_keyspaces(&directory, inventory.as_ref(), &[])?);
    let is_closed = inventory.as_ref().is_some_and(|inventory| inventory.is_closed);
    if !is_closed {
        let (journals, damage) = journal::read(&directory)?;
        found.extend(damage.or_else(|| missing_journal(&directory, &journals)));
    }
    for (_, keyspace) in keyspaces(&directory)? {
        found.extend(damaged_tables(&keyspace)?);
    }
    Ok(found)
}

/// Looks for what the engine itself would not notice, before it opens: it may cut journals, and makes anew what it misses.
pub(super) fn examine(path: &Path, inventory: Option<&Inventory>, discarded: &[String]) -> Result<JournalEnd> {
    let directory = path.join(DIRECTORY);
    let fail = |damage: Damage| Err(damage.into_error(path));
    if let Some(missing) = missing_keyspaces(&directory, inventory, discarded)?.into_iter().next() {
        return fail(missing);
    }
    for (_, keyspace) in keyspaces(&directory)? {
        if let Err(damage) = manifest::read(&keyspace)? {
            return fail(damage);
        }
    }
    let (journals, damage) = journal::read(&directory)?;
    let damage = damage.or_else(|| missing_journal(&directory, &journals));
    let is_closed = inventory.is_some_and(|inventory| inventory.is_closed);
    match damage {
        Some(_) if is_closed => {
            empty_journals(&directory, &journals.files)?;
            Ok(JournalEnd::Unknown)
        }
        Some(damage) => fail(damage),
        None => Ok(match journals.files.last() {
            Some(newest) if inventory.is_some() && !is_closed && !journals.is_fresh => {
                JournalEnd::At(newest.clone(), journals.last)
            }
            _ => JournalEnd::Unknown,
        }),
    }
}

/// Refuses a store of which the journal lacks what some keyspaces have written out: the others lack it then. `written_out` is the
/// latest moment that a keyspace has on disk.
pub(super) fn examine_end(path: &Path, end: &JournalEnd, written_out: Option<u64>) -> Result<()> {
    match (end, written_out) {
        (JournalEnd::At(file, last), Some(written)) if last.is_none_or(|last| last < written) => {
            let why = "it ends before what was written out of it: its end is missing";
            Err(Damage::new(file.clone(), why).into_error(path))
        }
        _ => Ok(()),
    }
}

/// Where the journals end.
#[derive(Debug)]
pub(super) enum JournalEnd {
    /// Nothing can be concluded from it.
    Unknown,
    /// The newest file, and the moment of the last batch.
    At(PathBuf, Option<u64>),
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|error| Error::io(path, error))
}

/// Directories of keyspaces whose making was finished.
fn keyspaces(directory: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let folder = directory.join(KEYSPACES);
    let fail = |error| Error::io(&folder, error);
    let mut found = Vec::new();
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(fail)?,
    };
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let Some(number) = number.filter(|_| path.join(manifest::CURRENT).exists()) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn missing_keyspaces(directory: &Path, inventory: Option<&Inventory>, discarded: &[String]) -> Result<Vec<Damage>> {
    let wanted = inventory.into_iter().flat_map(|inventory| &inventory.keyspaces);
    let wanted = wanted.filter(|(name, _)| !discarded.contains(name)).map(|(name, number)| (name.as_str(), *number));
    let mut found = Vec::new();
    for (name, number) in [("names of keyspaces", META)].into_iter().chain(wanted) {
        let file = directory.join(KEYSPACES).join(number.to_string()).join(manifest::CURRENT);
        if !exists(&file)? {
            found.push(Damage::new(file, format!("it is missing, and with it the keyspace \"{name}\"")));
        }
    }
    Ok(found)
}

fn missing_journal(directory: &Path, journals: &journal::Journals) -> Option<Damage> {
    journals.files.is_empty().then(|| Damage::new(directory.join("0.jnl"), "the journal is missing"))
}

/// Everything that they had was written out: an empty one in their place says as much, and nothing that is wrong.
fn empty_journals(directory: &Path, files: &[PathBuf]) -> Result<()> {
    let newest = files.last().cloned().unwrap_or_else(|| directory.join("0.jnl"));
    File::create(&newest).and_then(|file| file.sync_all()).map_err(|error| Error::io(&newest, error))?;
    for file in files.iter().filter(|file| **file != newest) {
        fs::remove_file(file).map_err(|error| Error::io(file, error))?;
    }
    Ok(())
}

fn damaged_tables(keyspace: &Path) -> Result<Vec<Damage>> {
    let mut looks = 0;
    loop {
        looks += 1;
        let before = manifest::read(keyspace)?;
        let found = match &before {
            Err(damage) => vec![damage.clone()],
            Ok(tables) => tables.iter().filter_map(|table| damaged_table(table).transpose()).collect::<Result<_>>()?,
        };
        if found.is_empty() || looks == LOOKS || manifest::read(keyspace)? == before {
            return Ok(found);
        }
    }
}

fn damaged_table(table: &manifest::Table) -> Result<Option<Damage>> {
    let fail = |error| Error::io(&table.file, error);
    let mut file = match File::open(&table.file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(Damage::missing(table.file.clone())));
        }
        file => file.map_err(fail)?,
    };
    let mut checksum = Xxh3::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(fail)? {
            0 => break,
            count => checksum.update(&piece[..count]),
        }
    }
    let is_whole = checksum.digest128() == table.checksum;
    Ok((!is_whole).then(|| Damage::new(table.file.clone(), "it does not match its checksum")))
}
